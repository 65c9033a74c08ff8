//! The items of review queues: traces, each with a status that any user of the queue may set.

use std::collections::HashMap;

use ferroflow_model::{
    Error, Result,
    evaluation::review_queues::{completed_by, item_id, item_ids, item_type_of, status_name, status_of},
    messages::review_queues::{ReviewQueueItem, ReviewStatus},
    python, validation,
};
use ferroflow_search::PageToken;

use crate::{
    Scoped,
    db::{Column, DbError, Insert, Op, Row, Statement, clock::now_ms, int, text},
    evaluation::{keys::QueueKey, review_queues::not_found},
    query::select::{KeyKind, Select},
    statements::statements,
    workspace::Workspace,
};

/// The columns of an item, in the order [`from_row`] reads them.
const COLUMNS: &str = "i.queue_id, i.item_type, i.item_id, i.status, i.completed_by, i.completed_time_ms, \
                       i.creation_time_ms, i.last_update_time_ms";
const COLUMN_COUNT: usize = 8;

statements! {
    /// Locked until the items are added: a trace that is deleted meanwhile takes its items with it. In the order in
    /// which traces are deleted.
    static TRACES: Workspace =
        "SELECT t.request_id FROM trace_info t WHERE t.request_id {in $1} AND t.experiment_id = $2 AND {ws of t} \
         ORDER BY t.timestamp_ms, t.request_id {FOR KEY SHARE OF t}";
    static ITEMS: QueueKey = "SELECT ", COLUMNS, " FROM review_queue_items i WHERE i.queue_id = $1 \
         AND i.item_id {in $2}";
    static ITEM: QueueKey = "SELECT ", COLUMNS, " FROM review_queue_items i WHERE i.queue_id = $1 AND i.item_id = $2";
    static REMOVE: QueueKey = "DELETE FROM review_queue_items WHERE queue_id = $1 AND item_id {in $2}";
    /// An item that has the status already stays that of the user who set it.
    static SET_STATUS: QueueKey =
        "UPDATE review_queue_items SET status = $3, completed_by = $4, completed_time_ms = $5, \
         last_update_time_ms = $6 WHERE queue_id = $1 AND item_id = $2 AND status <> $3";
}

const ITEM_COLUMNS: &[Column] = &[
    text("queue_id"),
    text("item_type"),
    text("item_id"),
    text("status"),
    int("creation_time_ms"),
    int("last_update_time_ms"),
];

impl Scoped<'_> {
    /// Adds traces of its experiment to a queue, those that it does not have yet, and returns the items of all of them.
    ///
    /// # Errors
    /// An id is not valid, no queue has the id, or the experiment has no such trace.
    pub async fn add_review_queue_items(&self, queue_id: &str, ids: &[String]) -> Result<Vec<ReviewQueueItem>> {
        let ids = &item_ids(ids)?;
        self.store
            .db
            .transaction(|tx| async move {
                let found = QueueKey::lock(self.workspace, &tx, queue_id).await?;
                let (key, experiment) = found.ok_or_else(|| not_found(queue_id))?;
                let traces = vec![ids.as_slice().into(), experiment.into()];
                let traces = Statement::within(self.workspace, &TRACES, traces);
                let known: Vec<String> = tx.query(traces, |row| row.get(0)).await?;
                let missing = missing(ids, &known);
                if !missing.is_empty() {
                    return Err(Error::not_found(format!(
                        "Cannot attach trace(s) {} to review queue '{queue_id}': they do not exist in experiment \
                         '{experiment}'.",
                        python::repr_list(&missing)
                    )));
                }
                let (mut sorted, now) = (ids.iter().collect::<Vec<_>>(), now_ms());
                sorted.sort();
                let row = |id: &String| {
                    vec![queue_id.into(), "trace".into(), id.into(), "pending".into(), now.into(), now.into()]
                };
                tx.insert(Insert {
                    table: "review_queue_items",
                    columns: ITEM_COLUMNS,
                    only_if: None,
                    on_conflict: "ON CONFLICT (queue_id, item_id) DO NOTHING",
                    rows: sorted.into_iter().map(row).collect(),
                })
                .await?;
                let items = tx.query(Statement::of(&key, &ITEMS, vec![ids.as_slice().into()]), from_row).await?;
                let mut by_id: HashMap<String, ReviewQueueItem> =
                    items.into_iter().map(|item| (item.item_id().to_owned(), item)).collect();
                Ok(ids.iter().filter_map(|id| by_id.remove(id)).collect())
            })
            .await
    }

    /// Removes items from a queue, those that it has.
    ///
    /// # Errors
    /// An id is not valid, or no queue has the id.
    pub async fn remove_review_queue_items(&self, queue_id: &str, ids: &[String]) -> Result<()> {
        let ids = &item_ids(ids)?;
        self.store
            .db
            .transaction(|tx| async move {
                let key = QueueKey::find(self.workspace, &tx, queue_id).await?.ok_or_else(|| not_found(queue_id))?;
                tx.run(vec![Op::Execute(Statement::of(&key, &REMOVE, vec![ids.as_slice().into()]))]).await?;
                Ok(())
            })
            .await
    }

    /// A page of the items of a queue, newest first, perhaps of those with a status, and the token of the next page.
    ///
    /// # Errors
    /// No queue has the id, or the size or the token of the page is not valid.
    pub async fn list_review_queue_items(
        &self,
        queue_id: &str,
        status: Option<ReviewStatus>,
        max_results: i64,
        page_token: Option<&str>,
    ) -> Result<(Vec<ReviewQueueItem>, Option<String>)> {
        validation::max_results(max_results)?;
        let status = status.map(|status| status_name(Some(status))).transpose()?;
        let query = self.workspace.query([queue_id, status.unwrap_or_default()], &[]);
        let token = PageToken::decode_of(page_token.unwrap_or_default(), query)?;
        let conn = self.store.db.reader().await?;
        if QueueKey::read_only(self.workspace, &conn, queue_id).await?.is_none() {
            return Err(not_found(queue_id));
        }
        let mut select = Select::new(self.workspace, "review_queues", "q");
        select.of_query(query);
        select.join("JOIN review_queue_items i ON i.queue_id = q.queue_id");
        let place = select.bind(queue_id);
        select.filter(format!("q.queue_id = {place}"));
        if let Some(status) = status {
            let place = select.bind(status);
            select.filter(format!("i.status = {place}"));
        }
        select.order_by("i.creation_time_ms", true, KeyKind::Int);
        select.order_by("i.item_id", false, KeyKind::Text);
        let page = select.page(COLUMNS, max_results, token)?;
        Ok(page.read(&conn, COLUMN_COUNT, from_row).await?.finish())
    }

    /// Sets the status of an item, and who completed or declined it. An item that has the status already is unchanged.
    ///
    /// # Errors
    /// The status is not set, it is attributed where it may not be or not where it must be, no queue has the id, or the
    /// queue has no such item.
    pub async fn set_review_queue_item_status(
        &self,
        queue_id: &str,
        item: &str,
        status: Option<ReviewStatus>,
        user: Option<&str>,
    ) -> Result<ReviewQueueItem> {
        let status = status_name(status)?;
        let item = item_id(item);
        let user = &completed_by(status, user)?;
        self.store
            .db
            .transaction(|tx| async move {
                let key = QueueKey::find(self.workspace, &tx, queue_id).await?.ok_or_else(|| not_found(queue_id))?;
                let now = now_ms();
                let values = vec![
                    item.into(),
                    status.into(),
                    user.clone().into(),
                    user.as_ref().map(|_| now).into(),
                    now.into(),
                ];
                tx.execute(Statement::of(&key, &SET_STATUS, values)).await?;
                let found = tx.query_opt(Statement::of(&key, &ITEM, vec![item.into()]), from_row).await?;
                found.ok_or_else(|| {
                    Error::not_found(format!("Item '{item}' is not attached to review queue '{queue_id}'."))
                })
            })
            .await
    }
}

fn missing<'a>(given: &'a [String], known: &[String]) -> Vec<&'a String> {
    let known: std::collections::HashSet<&str> = known.iter().map(String::as_str).collect();
    given.iter().filter(|id| !known.contains(id.as_str())).collect()
}

/// Reads [`COLUMNS`].
fn from_row(row: &Row<'_>) -> Result<ReviewQueueItem, DbError> {
    Ok(ReviewQueueItem {
        queue_id: row.get(0)?,
        item_type: item_type_of(row.str(1)?),
        item_id: row.get(2)?,
        status: status_of(row.str(3)?),
        completed_by: row.get(4)?,
        completed_time_ms: row.get(5)?,
        creation_time_ms: row.get(6)?,
        last_update_time_ms: row.get(7)?,
    })
}
