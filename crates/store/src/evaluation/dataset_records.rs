//! The records of evaluation datasets.

use std::collections::{BTreeMap, HashMap};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ferroflow_model::{
    Error, Result,
    evaluation::{
        dataset_digest,
        dataset_records::{Record, Records, stored_object, unwrapped},
    },
    limits::memory,
    python_json::{Json, Text, update},
};

use crate::{
    Scoped,
    db::{Column, DbError, Insert, Plan, Row, Statement, Value, clock::now_ms, dialect::Dialect, int, json, text},
    evaluation::{datasets::not_found, keys::DatasetKey},
    statements::statements,
    workspace::Workspace,
};

/// The columns of a record, in the order [`push_record`] reads them.
const COLUMNS: &str = "dataset_record_id, CAST(inputs AS TEXT), CAST(expectations AS TEXT), CAST(tags AS TEXT), \
                       CAST(source AS TEXT), source_id, source_type, created_time, last_update_time, created_by, \
                       last_updated_by, CAST(outputs AS TEXT)";

statements! {
    static FIRST: DatasetKey = "SELECT ", COLUMNS, " FROM evaluation_dataset_records WHERE dataset_id = $1 \
         ORDER BY created_time, dataset_record_id LIMIT $2 OFFSET $3";
    static NEXT: DatasetKey = "SELECT ", COLUMNS, " FROM evaluation_dataset_records WHERE dataset_id = $1 \
         AND (created_time, dataset_record_id) > ($3, $4) ORDER BY created_time, dataset_record_id LIMIT $2";
    static STORED: DatasetKey =
        "SELECT input_hash, CAST(expectations AS TEXT), CAST(tags AS TEXT) FROM evaluation_dataset_records \
         WHERE dataset_id = $1 AND input_hash {in $2}";
    static COUNT: DatasetKey = "SELECT COUNT(*) FROM evaluation_dataset_records WHERE dataset_id = $1";
    static DELETE: DatasetKey =
        "DELETE FROM evaluation_dataset_records WHERE dataset_id = $1 AND dataset_record_id {in $2}";
    static SET_PROFILE: Workspace =
        "UPDATE evaluation_datasets AS d SET profile = $2 WHERE d.dataset_id = $1 AND {ws:d}";
    static CHANGED: Workspace =
        "UPDATE evaluation_datasets AS d SET last_update_time = $2, last_updated_by = $3, digest = $4, \
         schema = COALESCE($5, d.schema), profile = COALESCE($6, d.profile) WHERE d.dataset_id = $1 AND {ws:d}";
}

const RECORD_COLUMNS: &[Column] = &[
    text("dataset_record_id"),
    text("dataset_id"),
    json("inputs"),
    json("outputs"),
    json("expectations"),
    json("tags"),
    json("source"),
    text("source_id"),
    text("source_type"),
    int("created_time"),
    int("last_update_time"),
    text("created_by"),
    text("last_updated_by"),
    text("input_hash"),
];

/// NULL in a row keeps what is stored.
const ON_CONFLICT: &str = "ON CONFLICT (dataset_id, input_hash) DO UPDATE SET \
    outputs = COALESCE(excluded.outputs, evaluation_dataset_records.outputs), \
    expectations = COALESCE(excluded.expectations, evaluation_dataset_records.expectations), \
    tags = COALESCE(excluded.tags, evaluation_dataset_records.tags), \
    last_update_time = excluded.last_update_time, \
    last_updated_by = COALESCE(excluded.last_updated_by, evaluation_dataset_records.last_updated_by)";

/// Number of records that are read and written together.
const TOGETHER: usize = 1000;

/// The records of a request by identity, in their order.
type ByHash<'a> = BTreeMap<&'a str, Vec<&'a Record>>;

/// A stored object.
type Pairs = Vec<(Text, Json)>;

/// Where a page of records starts.
enum Start {
    Offset(i64),
    /// Behind the record with this time of creation and id.
    After(i64, String),
}

impl Scoped<'_> {
    /// Adds records, and merges those that the dataset has already. Returns how many were added and merged.
    ///
    /// # Errors
    /// No dataset has the id, or the database cannot store a number.
    pub async fn upsert_dataset_records(&self, dataset_id: &str, given: &Records) -> Result<(usize, usize)> {
        if given.has_infinite && self.store.db.dialect() == Dialect::Postgres {
            return Err(Error::bad_request(
                "The records have numbers that are infinite or NaN, which JSON does not have.",
            ));
        }
        let mut by_hash = ByHash::new();
        for record in &given.records {
            by_hash.entry(&record.input_hash).or_default().push(record);
        }
        let groups: Vec<(&str, Vec<&Record>)> = by_hash.into_iter().collect();
        let user = given.records.iter().rev().find_map(|record| record.user.clone());
        let (groups, user) = (&groups, &user);
        self.store
            .db
            .transaction(|tx| async move {
                let found = DatasetKey::lock(self.workspace, &tx, dataset_id).await?;
                let (key, dataset) = found.ok_or_else(|| not_found(dataset_id, "."))?;
                let (now, mut inserted) = (now_ms(), 0);
                for part in groups.chunks(TOGETHER) {
                    let before = tx.conn()?.charged();
                    let hashes: Vec<String> = part.iter().map(|(hash, _)| (*hash).to_owned()).collect();
                    let stored = Statement::of(&key, &STORED, vec![hashes.into()]);
                    let stored: HashMap<String, (Pairs, Pairs)> = tx
                        .query(stored, |row| {
                            Ok((row.get(0)?, (stored_object(row.opt_str(1)?), stored_object(row.opt_str(2)?))))
                        })
                        .await?
                        .into_iter()
                        .collect();
                    inserted += part.len() - stored.len();
                    let rows = part
                        .iter()
                        .map(|(hash, records)| row(dataset_id, hash, records, stored.get(*hash), now))
                        .collect();
                    tx.insert(Insert {
                        table: "evaluation_dataset_records",
                        columns: RECORD_COLUMNS,
                        only_if: None,
                        on_conflict: ON_CONFLICT,
                        rows,
                    })
                    .await?;
                    let conn = tx.conn()?;
                    conn.refund(conn.charged() - before);
                }
                let count = tx.query_opt(Statement::of(&key, &COUNT, Vec::new()), |row| row.get::<i64>(0)).await?;
                let profile = count.filter(|count| *count > 0).map(|count| format!("{{\"num_records\": {count}}}"));
                let values = vec![
                    dataset_id.into(),
                    now.into(),
                    user.clone().into(),
                    dataset_digest(&dataset.name, now).into(),
                    given.fields.merged(dataset.schema.as_deref(), !given.records.is_empty()).into(),
                    profile.into(),
                ];
                tx.execute(Statement::within(self.workspace, &CHANGED, values)).await?;
                Ok((inserted, given.records.len() - inserted))
            })
            .await
    }

    /// A page of records as a JSON array, oldest first, and the token of the next page. It ends early where its rows
    /// would take more memory than a page may.
    ///
    /// # Errors
    /// No dataset has the id, or the size or the token of the page is not valid.
    pub async fn dataset_records(
        &self,
        dataset_id: &str,
        max_results: i64,
        page_token: &str,
    ) -> Result<(String, Option<String>)> {
        if max_results < 1 {
            return Err(Error::invalid(format!(
                "Invalid value {max_results} for parameter 'max_results' supplied. It must be a positive integer"
            )));
        }
        let start = start(page_token)?;
        self.store.db.replicated(|| self.read_dataset_records(dataset_id, max_results, &start)).await
    }

    async fn read_dataset_records(
        &self,
        dataset_id: &str,
        max_results: i64,
        start: &Start,
    ) -> Result<(String, Option<String>)> {
        let conn = self.store.db.reader().await?;
        let key = DatasetKey::read_only(self.workspace, &conn, dataset_id).await?;
        let key = key.ok_or_else(|| not_found(dataset_id, "."))?;
        let rows = max_results.saturating_add(1).into();
        let statement = match start {
            Start::Offset(offset) => Statement::of(&key, &FIRST, vec![rows, (*offset).into()]),
            Start::After(time, id) => Statement::of(&key, &NEXT, vec![rows, (*time).into(), id.as_str().into()]),
        };
        let limit = usize::try_from(max_results).unwrap_or(usize::MAX);
        let page = Page { json: "[".to_owned(), ..Page::default() };
        let dataset_id = Json::Text(Text::new(dataset_id)).dumps();
        let page = conn
            .fold_counted(vec![statement.planned(Plan::IndexOrder)], page, move |page, _, row| {
                if page.has_more || page.count == limit || page.size > memory::PAGE {
                    page.has_more = true;
                    return Ok(0);
                }
                page.push(&dataset_id, row)?;
                let size = row.size()?;
                page.size += size;
                Ok(size)
            })
            .await?;
        let token = page.last.filter(|_| page.has_more).map(|(time, id)| STANDARD.encode(format!("{time}:{id}")));
        Ok((page.json + "]", token))
    }

    /// Deletes records and returns how many there were.
    ///
    /// # Errors
    /// No dataset has the id.
    pub async fn delete_dataset_records(&self, dataset_id: &str, record_ids: &[String]) -> Result<u64> {
        self.store
            .db
            .transaction(|tx| async move {
                let found = DatasetKey::lock(self.workspace, &tx, dataset_id).await?;
                let (key, dataset) = found.ok_or_else(|| not_found(dataset_id, "."))?;
                let deleted = tx.execute(Statement::of(&key, &DELETE, vec![record_ids.into()])).await?;
                if deleted > 0 {
                    let left = num_records(dataset.profile.as_deref()).saturating_sub(deleted);
                    let profile = if left > 0 { format!("{{\"num_records\": {left}}}") } else { "null".to_owned() };
                    let values = vec![dataset_id.into(), profile.into()];
                    tx.execute(Statement::within(self.workspace, &SET_PROFILE, values)).await?;
                }
                Ok(deleted)
            })
            .await
    }
}

/// The row for the records with one identity. `stored` has the expectations and tags of the record that exists already.
fn row(dataset_id: &str, hash: &str, records: &[&Record], stored: Option<&(Pairs, Pairs)>, now: i64) -> Vec<Value> {
    let [first, ..] = records else { return Vec::new() };
    let outputs = records.iter().rev().find_map(|record| record.outputs.clone());
    let (mut expectations, mut tags, mut outputs) = (
        merged(
            stored.map_or(&[], |(expectations, _)| expectations),
            records.iter().filter_map(|r| r.expectations.as_ref()),
        ),
        merged(stored.map_or(&[], |(_, tags)| tags), records.iter().map(|r| &r.tags)),
        outputs,
    );
    if stored.is_none() {
        // As the reference stores what is missing.
        let none = if first.expectations.is_some() { "{}" } else { "null" };
        expectations.get_or_insert_with(|| none.to_owned());
        tags.get_or_insert_with(|| "{}".to_owned());
        outputs.get_or_insert_with(|| first.first_outputs());
    }
    let source = first.source.as_ref();
    vec![
        format!("dr-{}", uuid::Uuid::new_v4().simple()).into(),
        dataset_id.into(),
        (&first.inputs).into(),
        outputs.into(),
        expectations.into(),
        tags.into(),
        source.map_or("null", |source| source.json.as_str()).into(),
        source.and_then(|source| source.id.clone()).into(),
        source.map(|source| source.kind).into(),
        now.into(),
        now.into(),
        first.user.clone().into(),
        records.iter().rev().find_map(|record| record.user.clone()).into(),
        hash.into(),
    ]
}

/// A stored object with others merged into it; `None` if they change nothing.
fn merged<'a>(stored: &[(Text, Json)], others: impl Iterator<Item = &'a Pairs>) -> Option<String> {
    let mut others = others.filter(|other| !other.is_empty()).peekable();
    others.peek()?;
    let mut pairs = stored.to_vec();
    others.for_each(|other| update(&mut pairs, other));
    Some(Json::Object(pairs).dumps())
}

/// The number of records in a profile.
fn num_records(profile: Option<&str>) -> u64 {
    let profile = profile.and_then(|profile| Json::parse(profile, 1000).ok());
    match profile.as_ref().and_then(|profile| profile.get("num_records")) {
        Some(Json::Int(digits)) => digits.parse().unwrap_or_default(),
        _ => 0,
    }
}

/// Reads a page token: the reference's of the same form, or an offset of old versions of it.
fn start(token: &str) -> Result<Start> {
    if token.is_empty() {
        return Ok(Start::Offset(0));
    }
    let decoded = STANDARD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let after = decoded.as_deref().and_then(|decoded| decoded.split_once(':'));
    if let Some((time, id)) = after.and_then(|(time, id)| Some((time.trim().parse().ok()?, id))) {
        return Ok(Start::After(time, id.to_owned()));
    }
    let offset = token.trim().parse().ok().filter(|offset| *offset >= 0);
    offset.map(Start::Offset).ok_or_else(|| Error::invalid("Invalid page token"))
}

/// A page under construction.
#[derive(Default)]
struct Page {
    json: String,
    count: usize,
    size: usize,
    has_more: bool,
    /// The time of creation and the id of the last record.
    last: Option<(i64, String)>,
}

impl Page {
    /// Appends a record: [`COLUMNS`], which has JSON as it is stored.
    fn push(&mut self, dataset_id: &str, row: &Row<'_>) -> Result<(), DbError> {
        let out = &mut self.json;
        let quoted = |text: &str| Json::Text(Text::new(text)).dumps();
        let (id, created): (String, Option<i64>) = (row.get(0)?, row.get(7)?);
        out.push_str(if self.count > 0 { ", " } else { "" });
        out.push_str("{\"dataset_record_id\": ");
        out.push_str(&quoted(&id));
        let mut field = |name: &str, value: &str| {
            for part in [", \"", name, "\": ", value] {
                out.push_str(part);
            }
        };
        let json = |index| Ok::<_, DbError>(row.opt_str(index)?.filter(|json| *json != "null"));
        let number = |number: Option<i64>| number.map_or("null".to_owned(), |number| number.to_string());
        field("dataset_id", dataset_id);
        field("inputs", row.str(1)?);
        if let Some(expectations) = json(2)? {
            field("expectations", expectations);
        }
        field("tags", json(3)?.unwrap_or("{}"));
        if let Some(source) = json(4)?.filter(|source| *source != "{}") {
            field("source", source);
            if let Some(id) = row.opt_str(5)? {
                field("source_id", &quoted(id));
            }
            if let Some(kind) = row.opt_str(6)? {
                field("source_type", &quoted(kind));
            }
        }
        field("created_time", &number(created));
        field("last_update_time", &number(row.get(8)?));
        for (index, name) in [(9, "created_by"), (10, "last_updated_by")] {
            if let Some(user) = row.opt_str(index)? {
                field(name, &quoted(user));
            }
        }
        if let Some(outputs) = row.opt_str(11)?.and_then(unwrapped) {
            field("outputs", outputs);
        }
        self.json.push('}');
        self.count += 1;
        self.last = Some((created.unwrap_or_default(), id));
        Ok(())
    }
}
