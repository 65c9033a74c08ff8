//! Review queues of experiments: their users, and the questions that they ask.

use std::collections::HashMap;

use ferroflow_model::{
    Error, Result,
    evaluation::review_queues::{NewQueue, custom_name, name_key, owner, schema_ids, type_of, user, users},
    messages::review_queues::{ReviewQueue, ReviewQueueType},
    validation,
};
use ferroflow_search::PageToken;

use crate::{
    Scoped,
    db::{Child, Column, Conn, DbError, Insert, Op, Row, Statement, Tx, Value, clock::now_ms, text},
    evaluation::{keys::QueueKey, label_schemas::active},
    query::select::{KeyKind, Select, load_children},
    statements::statements,
    tracking::{experiments::id_of, keys::ExperimentKey},
    workspace::Workspace,
};

/// The columns of a queue, in the order [`from_row`] reads them.
const COLUMNS: &str = "q.queue_id, q.experiment_id, q.name, q.queue_type, q.created_by, q.creation_time_ms, \
                       q.last_update_time_ms";
const COLUMN_COUNT: usize = 7;

statements! {
    static BY_ID: Workspace = "SELECT ", COLUMNS, " FROM review_queues q WHERE q.queue_id = $1 AND {ws of q}";
    static LOCKED: Workspace =
        "SELECT ", COLUMNS, " FROM review_queues q WHERE q.queue_id = $1 AND {ws of q} {FOR NO KEY UPDATE}";
    static BY_NAME: ExperimentKey =
        "SELECT ", COLUMNS, " FROM review_queues q WHERE q.experiment_id = $1 AND q.name_key = $2";
    static USERS: Child =
        "SELECT queue_id, user_id FROM review_queue_users WHERE queue_id {in $1} ORDER BY queue_id, user_id";
    static SCHEMAS: Child =
        "SELECT queue_id, schema_id FROM review_queue_label_schemas WHERE queue_id {in $1} \
         ORDER BY queue_id, schema_id";
    static KNOWN_SCHEMAS: ExperimentKey =
        "SELECT schema_id FROM label_schemas WHERE experiment_id = $1 AND schema_id {in $2}";
    static KNOWN_SCHEMAS_OF: QueueKey =
        "SELECT l.schema_id FROM review_queues q JOIN label_schemas l ON l.experiment_id = q.experiment_id \
         WHERE q.queue_id = $1 AND l.schema_id {in $2}";
    static INSERT: ExperimentKey =
        "INSERT INTO review_queues (queue_id, experiment_id, name, name_key, queue_type, created_by, \
         creation_time_ms, last_update_time_ms) VALUES ($2, $1, $3, $4, $5, $6, $7, $7) \
         ON CONFLICT (experiment_id, name_key) DO NOTHING";
    static HAS_ITEMS: QueueKey = "SELECT 1 FROM review_queue_items WHERE queue_id = $1 LIMIT 1";
    /// NULL keeps the value.
    static UPDATE: QueueKey =
        "UPDATE review_queues SET name = COALESCE($2, name), name_key = COALESCE($3, name_key), \
         created_by = COALESCE($4, created_by), last_update_time_ms = $5 WHERE queue_id = $1";
    static DELETE_USERS: QueueKey = "DELETE FROM review_queue_users WHERE queue_id = $1";
    static DELETE_SCHEMAS: QueueKey = "DELETE FROM review_queue_label_schemas WHERE queue_id = $1";
    /// Its users, questions and items are deleted with it.
    static DELETE: Workspace = "DELETE FROM review_queues AS q WHERE q.queue_id = $1 AND {ws of q}";
}

const USER_COLUMNS: &[Column] = &[text("queue_id"), text("user_id")];
const SCHEMA_COLUMNS: &[Column] = &[text("queue_id"), text("schema_id")];

/// A change of a review queue; `None` keeps a value.
#[derive(Debug, Clone, Default)]
pub struct ReviewQueueChange {
    /// The name.
    pub name: Option<String>,
    /// The owner.
    pub owner: Option<String>,
    /// The assigned users.
    pub users: Option<Vec<String>>,
    /// The ids of the label schemas.
    pub schema_ids: Option<Vec<String>>,
}

/// A list of the review queues of an experiment.
#[derive(Debug, Clone, Default)]
pub struct ReviewQueueList {
    /// The experiment.
    pub experiment_id: String,
    /// A user to whom they are assigned.
    pub user: Option<String>,
    /// An item that they contain.
    pub item_id: Option<String>,
    /// Maximum number of queues per page.
    pub max_results: i64,
    /// Page token; `None` for the first page.
    pub page_token: Option<String>,
    /// The only user whose queues the caller may see; `None` for all.
    pub visible_to: Option<String>,
}

impl Scoped<'_> {
    /// Creates a queue in an active experiment. `created_by` is its owner.
    ///
    /// # Errors
    /// There is no such experiment or label schema in it, or the name is taken.
    pub async fn create_review_queue(
        &self,
        experiment_id: &str,
        new: &NewQueue,
        created_by: Option<&str>,
    ) -> Result<ReviewQueue> {
        let experiment = id_of(experiment_id)?;
        self.store
            .db
            .transaction(|tx| async move {
                let key = active(experiment, ExperimentKey::find(self.workspace, &tx, experiment).await?)?;
                if !new.schema_ids.is_empty() {
                    let known = Statement::of(&key, &KNOWN_SCHEMAS, vec![new.schema_ids.as_slice().into()]);
                    check_schemas(experiment_id, &new.schema_ids, tx.query(known, |row| row.get(0)).await?)?;
                }
                if !insert(&tx, &key, new, created_by).await? {
                    return Err(taken(&new.name));
                }
                self.stored_by_name(&tx, &key, &new.name).await?.ok_or_else(|| taken(&new.name))
            })
            .await
    }

    /// The queue of a user in an active experiment, created if there is none.
    ///
    /// # Errors
    /// There is no such experiment, or the name of the user is not valid or that of another queue.
    pub async fn get_or_create_user_queue(&self, experiment_id: &str, name: &str) -> Result<ReviewQueue> {
        let new = &NewQueue::of(Some(ReviewQueueType::User), name, &[], &[])?;
        let experiment = id_of(experiment_id)?;
        self.store
            .db
            .transaction(|tx| async move {
                let key = active(experiment, ExperimentKey::find(self.workspace, &tx, experiment).await?)?;
                insert(&tx, &key, new, Some(&new.name)).await?;
                let found = self.stored_by_name(&tx, &key, &new.name).await?;
                found.filter(|queue| queue.queue_type == Some(ReviewQueueType::User)).ok_or_else(|| {
                    Error::already_exists(format!(
                        "A non-user queue named '{}' already exists; cannot get-or-create a user queue with that name.",
                        new.name
                    ))
                })
            })
            .await
    }

    /// A queue.
    ///
    /// # Errors
    /// No queue has the id.
    pub async fn get_review_queue(&self, queue_id: &str) -> Result<ReviewQueue> {
        let conn = self.store.db.reader().await?;
        let statement = Statement::within(self.workspace, &BY_ID, vec![queue_id.into()]);
        let found = conn.query_opt(statement, from_row).await?.ok_or_else(|| not_found(queue_id))?;
        with_children(&conn, found).await
    }

    /// A queue by its name in an active experiment; `None` if there is no such experiment or queue.
    ///
    /// # Errors
    /// The id of the experiment is not valid.
    pub async fn find_review_queue(&self, experiment_id: &str, name: &str) -> Result<Option<ReviewQueue>> {
        match self.get_review_queue_by_name(experiment_id, name).await {
            Ok(queue) => Ok(Some(queue)),
            Err(error) if error.code == ferroflow_model::ErrorCode::ResourceDoesNotExist => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A queue by its name in an active experiment.
    ///
    /// # Errors
    /// There is no such experiment or queue.
    pub async fn get_review_queue_by_name(&self, experiment_id: &str, name: &str) -> Result<ReviewQueue> {
        let experiment = id_of(experiment_id)?;
        let conn = self.store.db.reader().await?;
        let key = active(experiment, ExperimentKey::read(self.workspace, &conn, experiment).await?)?;
        let found = conn.query_opt(Statement::of(&key, &BY_NAME, vec![name_key(name).into()]), from_row).await?;
        let found = found.ok_or_else(|| {
            Error::not_found(format!("Review queue with name '{name}' not found for experiment '{experiment_id}'."))
        })?;
        with_children(&conn, found).await
    }

    /// A page of the queues of an active experiment, newest first, and the token of the next page.
    ///
    /// # Errors
    /// There is no such experiment, or the size or the token of the page is not valid.
    pub async fn list_review_queues(&self, list: &ReviewQueueList) -> Result<(Vec<ReviewQueue>, Option<String>)> {
        validation::max_results(list.max_results)?;
        let given = |text: &Option<String>| text.clone().into_iter().collect::<Vec<_>>();
        let experiment = id_of(&list.experiment_id)?;
        let query =
            self.workspace.query([experiment.to_string().as_str()], &[&given(&list.user), &given(&list.item_id)]);
        let token = PageToken::decode_of(list.page_token.as_deref().unwrap_or_default(), query)?;
        let conn = self.store.db.reader().await?;
        active(experiment, ExperimentKey::read(self.workspace, &conn, experiment).await?)?;
        let mut select = Select::new(self.workspace, "review_queues", "q");
        select.of_query(query);
        let place = select.bind(experiment);
        select.filter(format!("q.experiment_id = {place}"));
        for name in [&list.user, &list.visible_to].into_iter().flatten() {
            let place = select.bind(user(name));
            select.filter(format!(
                "EXISTS (SELECT 1 FROM review_queue_users u WHERE u.queue_id = q.queue_id AND u.user_id = {place})"
            ));
        }
        if let Some(item) = &list.item_id {
            let place = select.bind(item);
            select.filter(format!(
                "EXISTS (SELECT 1 FROM review_queue_items i WHERE i.queue_id = q.queue_id AND i.item_id = {place})"
            ));
        }
        select.order_by("q.creation_time_ms", true, KeyKind::Int);
        select.order_by("q.queue_id", false, KeyKind::Text);
        let mut found = select.page(COLUMNS, list.max_results, token)?.read(&conn, COLUMN_COUNT, from_row).await?;
        let ids: Vec<String> = found.rows().filter_map(|queue| queue.queue_id.clone()).collect();
        let (children, count) = load_children(&conn, ids, |ids| children_of(&conn, ids)).await?;
        found.truncate(count);
        let (mut queues, next) = found.finish();
        attach(&mut queues, children);
        Ok((queues, next))
    }

    /// Changes a custom queue.
    ///
    /// # Errors
    /// No queue has the id, it is that of a user, a value is not valid, the name is taken, or the questions of a queue
    /// that has items already would change.
    pub async fn update_review_queue(&self, queue_id: &str, change: &ReviewQueueChange) -> Result<ReviewQueue> {
        self.store
            .db
            .transaction(|tx| async move {
                let statement = Statement::within(self.workspace, &LOCKED, vec![queue_id.into()]);
                let stored = tx.query_opt(statement, from_row).await?.ok_or_else(|| not_found(queue_id))?;
                if stored.queue_type != Some(ReviewQueueType::Custom) {
                    return Err(Error::invalid(
                        "A user queue's name, assigned user, schemas, and owner are fixed and cannot be updated.",
                    ));
                }
                let key = QueueKey::found(queue_id);
                let ReviewQueueChange { name, owner: new_owner, users: new_users, schema_ids: new_schemas } = change;
                let new_owner = new_owner.as_deref().map(owner).transpose()?;
                let name = name.as_deref().map(custom_name).transpose()?;
                let new_users = new_users.as_deref().map(users).transpose()?;
                let mut ops = Vec::new();
                if let Some(users) = &new_users {
                    ops.push(Op::Execute(Statement::of(&key, &DELETE_USERS, Vec::new())));
                    ops.push(Op::Insert(children(queue_id, "review_queue_users", USER_COLUMNS, users)));
                }
                if let Some(given) = new_schemas {
                    let schemas = self.new_questions(&tx, &key, &stored, given).await?;
                    ops.push(Op::Execute(Statement::of(&key, &DELETE_SCHEMAS, Vec::new())));
                    ops.push(Op::Insert(children(queue_id, "review_queue_label_schemas", SCHEMA_COLUMNS, &schemas)));
                }
                if name.is_some() || new_owner.is_some() || !ops.is_empty() {
                    let values = vec![
                        name.clone().into(),
                        name.as_deref().map(name_key).into(),
                        new_owner.into(),
                        now_ms().into(),
                    ];
                    ops.push(Op::Execute(Statement::of(&key, &UPDATE, values)));
                }
                match tx.run(ops).await {
                    Err(DbError::Unique(_)) => return Err(taken(name.as_deref().unwrap_or_default())),
                    outcome => outcome?,
                };
                let statement = Statement::within(self.workspace, &BY_ID, vec![queue_id.into()]);
                let queue = tx.query_opt(statement, from_row).await?.ok_or_else(|| not_found(queue_id))?;
                with_children(tx.conn()?, queue).await
            })
            .await
    }

    /// The new questions of a queue, which has no items yet: reviewers answer the questions that they were asked.
    async fn new_questions(
        &self,
        tx: &Tx,
        key: &QueueKey,
        stored: &ReviewQueue,
        given: &[String],
    ) -> Result<Vec<String>> {
        if tx.query_opt(Statement::of(key, &HAS_ITEMS, Vec::new()), |_| Ok(())).await?.is_some() {
            return Err(Error::invalid(
                "A review queue's questions are locked once items are assigned to it. Remove the items before changing \
                 its questions.",
            ));
        }
        let schemas = schema_ids(given)?;
        if !schemas.is_empty() {
            let known = Statement::of(key, &KNOWN_SCHEMAS_OF, vec![schemas.as_slice().into()]);
            check_schemas(stored.experiment_id(), &schemas, tx.query(known, |row| row.get(0)).await?)?;
        }
        Ok(schemas)
    }

    /// Deletes a queue with its items, if it exists. Assessments that were made by it stay.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn delete_review_queue(&self, queue_id: &str) -> Result<()> {
        let delete = Statement::within(self.workspace, &DELETE, vec![queue_id.into()]);
        self.store.db.unit(vec![Op::Execute(delete)]).await?;
        Ok(())
    }

    async fn stored_by_name(&self, tx: &Tx, key: &ExperimentKey, name: &str) -> Result<Option<ReviewQueue>> {
        let statement = Statement::of(key, &BY_NAME, vec![name_key(name).into()]);
        match tx.query_opt(statement, from_row).await? {
            Some(queue) => with_children(tx.conn()?, queue).await.map(Some),
            None => Ok(None),
        }
    }
}

/// Inserts a queue with its users and questions. Returns whether the name was free.
async fn insert(tx: &Tx, key: &ExperimentKey, new: &NewQueue, created_by: Option<&str>) -> Result<bool> {
    let id = format!("rq-{}", uuid::Uuid::new_v4().simple());
    let values = vec![
        id.as_str().into(),
        new.name.as_str().into(),
        name_key(&new.name).into(),
        new.kind.into(),
        created_by.map(str::to_owned).into(),
        now_ms().into(),
    ];
    if tx.execute(Statement::of(key, &INSERT, values)).await? == 0 {
        return Ok(false);
    }
    tx.run(vec![
        Op::Insert(children(&id, "review_queue_users", USER_COLUMNS, &new.users)),
        Op::Insert(children(&id, "review_queue_label_schemas", SCHEMA_COLUMNS, &new.schema_ids)),
    ])
    .await?;
    Ok(true)
}

/// The rows of a queue's users or questions.
fn children(queue_id: &str, table: &'static str, columns: &'static [Column], values: &[String]) -> Insert {
    let mut values: Vec<&String> = values.iter().collect();
    values.sort();
    let rows = values.into_iter().map(|value| vec![Value::from(queue_id), value.into()]).collect();
    Insert { table, columns, only_if: None, on_conflict: "", rows }
}

/// The users and questions of queues, by the ids of the queues.
#[derive(Default)]
struct Children {
    users: Vec<(String, String)>,
    schema_ids: Vec<(String, String)>,
}

async fn children_of(conn: &Conn, ids: Vec<String>) -> Result<Children, DbError> {
    let pair = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let (users, schema_ids) = tokio::join!(
        conn.query(Statement::new(&USERS, vec![ids.clone().into()]), pair),
        conn.query(Statement::new(&SCHEMAS, vec![ids.into()]), pair),
    );
    Ok(Children { users: users?, schema_ids: schema_ids? })
}

fn attach(queues: &mut [ReviewQueue], parts: Vec<Children>) {
    let (mut users, mut schema_ids) = (HashMap::<String, Vec<String>>::new(), HashMap::<String, Vec<String>>::new());
    for part in parts {
        part.users.into_iter().for_each(|(queue, user)| users.entry(queue).or_default().push(user));
        part.schema_ids.into_iter().for_each(|(queue, id)| schema_ids.entry(queue).or_default().push(id));
    }
    for queue in queues {
        queue.users = users.remove(queue.queue_id()).unwrap_or_default();
        queue.schema_ids = schema_ids.remove(queue.queue_id()).unwrap_or_default();
    }
}

async fn with_children(conn: &Conn, mut queue: ReviewQueue) -> Result<ReviewQueue> {
    let found = children_of(conn, vec![queue.queue_id().to_owned()]).await?;
    attach(std::slice::from_mut(&mut queue), vec![found]);
    Ok(queue)
}

fn check_schemas(experiment_id: &str, given: &[String], known: Vec<String>) -> Result<()> {
    let missing: Vec<&String> = given.iter().filter(|id| !known.contains(id)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let missing = ferroflow_model::python::repr_list(&missing);
    Err(Error::invalid(format!("Label schema id(s) {missing} not found for experiment '{experiment_id}'.")))
}

/// Reads [`COLUMNS`].
fn from_row(row: &Row<'_>) -> Result<ReviewQueue, DbError> {
    Ok(ReviewQueue {
        queue_id: row.get(0)?,
        experiment_id: Some(row.get::<i64>(1)?.to_string()),
        name: row.get(2)?,
        queue_type: type_of(row.str(3)?),
        created_by: row.get(4)?,
        creation_time_ms: row.get(5)?,
        last_update_time_ms: row.get(6)?,
        users: Vec::new(),
        schema_ids: Vec::new(),
    })
}

/// The error for a queue that does not exist.
pub(in crate::evaluation) fn not_found(queue_id: &str) -> Error {
    Error::not_found(format!("Review queue with id '{queue_id}' not found."))
}

fn taken(name: &str) -> Error {
    Error::already_exists(format!("Review queue with name '{name}' already exists (names are case-insensitive)."))
}
