//! ferroflow's own indexes on the reference's tables: searches for runs and traces and pages of records are answered from
//! them.
//!
//! A new database gets them with its tables. In a PostgreSQL database that has rows already, they are created one
//! after another without blocking writers, by a background job or by `ferroflow db upgrade`. Until then, and where the
//! role may not create them, the server answers from the reference's indexes, which takes longer.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use super::own::PREFIX;
use crate::{
    Store,
    db::{Anywhere, Db, DbError, Direct, Row, Statement, dialect::Dialect, upkeep::Startup},
    statements::statements,
};

/// How long the server waits before it looks again for an index that was missing.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// Number of characters of a text that are in an index: PostgreSQL refuses entries of more than 2,704 bytes.
const TEXT: usize = 200;

/// The condition on the tags in [`OwnIndex::TagValue`]: not those that the server writes and no search compares.
pub(crate) const TAGS: &str = "key NOT IN ('mlflow.artifactLocation', 'mlflow.trace.spansLocation', \
                               'mlflow.traceName', 'mlflow.linkedPrompts')";

/// The condition on the metadata in [`OwnIndex::MetadataValue`]: not those with long texts or a value for each trace.
pub(crate) const METADATA: &str = "key NOT IN ('mlflow.traceInputs', 'mlflow.traceOutputs', 'mlflow.trace.session', \
                                   'mlflow.trace.tokenUsage', 'mlflow.trace.cost', 'mlflow.trace.sizeStats', \
                                   'mlflow.trace.sizeBytes', 'mlflow.trace.infoFinalized', 'mlflow.trace_schema.version')";

/// The key of runs by which the newest come first, and those without a start time last.
pub(crate) const NEWEST: &str = "COALESCE(start_time, -9223372036854775807)";

/// An index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OwnIndex {
    /// The runs of an experiment from the newest to the oldest, which the reference has no index in, nor by experiment.
    RunsPage,
    /// The records of a dataset in the order of pages, which the reference has no index in.
    RecordsPage,
    /// Traces by state, in the order of time.
    TraceStatus,
    /// Traces by name, in the order of time.
    TraceName,
    /// Traces by the id that the client chose.
    ClientRequestId,
    /// Traces by duration.
    ExecutionTime,
    /// Tags of traces by value.
    TagValue,
    /// Metadata of traces by value.
    MetadataValue,
    /// Spans by name.
    SpanName,
    /// Valid assessments by value.
    AssessmentValue,
    /// Valid assessments by number.
    AssessmentNumber,
}

impl OwnIndex {
    /// All of them.
    pub(crate) const ALL: [Self; 11] = [
        Self::RunsPage,
        Self::RecordsPage,
        Self::TraceStatus,
        Self::TraceName,
        Self::ClientRequestId,
        Self::ExecutionTime,
        Self::TagValue,
        Self::MetadataValue,
        Self::SpanName,
        Self::AssessmentValue,
        Self::AssessmentNumber,
    ];

    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::RunsPage => "ff_runs_page",
            Self::RecordsPage => "ff_evaluation_dataset_records_page",
            Self::TraceStatus => "ff_trace_info_status",
            Self::TraceName => "ff_trace_info_name",
            Self::ClientRequestId => "ff_trace_info_client_request_id",
            Self::ExecutionTime => "ff_trace_info_execution_time",
            Self::TagValue => "ff_trace_tags_value",
            Self::MetadataValue => "ff_trace_request_metadata_value",
            Self::SpanName => "ff_spans_name",
            Self::AssessmentValue => "ff_assessments_value",
            Self::AssessmentNumber => "ff_assessments_number",
        }
    }

    /// The statement that creates it, of which `how` is empty or `CONCURRENTLY `.
    fn create(self, how: &str) -> String {
        let on = match self {
            Self::RunsPage => format!("runs (experiment_id, lifecycle_stage, {NEWEST} DESC, run_uuid)"),
            Self::RecordsPage => "evaluation_dataset_records (dataset_id, created_time, dataset_record_id)".to_owned(),
            Self::TraceStatus => "trace_info (experiment_id, status, timestamp_ms)".to_owned(),
            Self::TraceName => format!("trace_info (experiment_id, substr(trace_name, 1, {TEXT}), timestamp_ms)"),
            Self::ClientRequestId => "trace_info (client_request_id) WHERE client_request_id IS NOT NULL".to_owned(),
            Self::ExecutionTime => "trace_info (experiment_id, execution_time_ms)".to_owned(),
            Self::TagValue => format!("trace_tags (key, substr(value, 1, {TEXT})) WHERE {TAGS}"),
            Self::MetadataValue => format!("trace_request_metadata (key, substr(value, 1, {TEXT})) WHERE {METADATA}"),
            Self::SpanName => format!("spans (experiment_id, substr(name, 1, {TEXT}))"),
            Self::AssessmentValue => {
                format!("assessments (experiment_id, name, substr(value, 1, {TEXT})) WHERE valid")
            }
            Self::AssessmentNumber => {
                "assessments (experiment_id, name, aggregate_value) WHERE valid AND is_numeric_value".to_owned()
            }
        };
        format!("CREATE INDEX {how}IF NOT EXISTS {} ON {on};", self.name())
    }

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// Whether a tag may be in [`OwnIndex::TagValue`].
pub(crate) fn is_tag(key: &str) -> bool {
    !is_named(TAGS, key)
}

/// Whether metadata may be in [`OwnIndex::MetadataValue`].
pub(crate) fn is_metadata(key: &str) -> bool {
    !is_named(METADATA, key)
}

/// Whether a condition of this file names a key.
fn is_named(condition: &str, key: &str) -> bool {
    condition.split('\'').skip(1).step_by(2).any(|named| named == key)
}

/// The part of a text that is in an index. SQLite's `substr` ends at a NUL.
pub(crate) fn indexed(text: &str) -> String {
    text.chars().take_while(|c| *c != '\0').take(TEXT).collect()
}

statements! {
    /// The indexes whose names begin with `$1`: the name, whether it is complete, and whether it is being created now.
    static STATES: Anywhere =
        "{postgres:SELECT CAST(c.relname AS TEXT), i.indisvalid, EXISTS (SELECT 1 FROM pg_stat_progress_create_index p \
         WHERE p.index_relid = c.oid AND p.datname = current_database()) \
         FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = current_schema() AND starts_with(CAST(c.relname AS TEXT), $1)}\
         {sqlite:SELECT name, 1 = 1, 1 = 0 FROM sqlite_master WHERE type = 'index' \
         AND substr(name, 1, length($1)) = $1}";

    /// Whether a table that has such an index has rows.
    static HAS_ROWS: Startup =
        "SELECT CASE WHEN EXISTS (SELECT 1 FROM runs) OR EXISTS (SELECT 1 FROM trace_info) OR EXISTS (SELECT 1 FROM evaluation_dataset_records) \
         THEN 1 ELSE 0 END";
}

/// An index as it is in the database.
struct State {
    name: String,
    is_valid: bool,
    is_being_created: bool,
}

impl State {
    fn statement() -> Statement {
        Statement::new(&STATES, vec![PREFIX.into()])
    }

    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        Ok(Self { name: row.get(0)?, is_valid: row.get(1)?, is_being_created: row.get(2)? })
    }
}

/// The statements that create an index in PostgreSQL, without blocking writers; `None` while another process creates it.
/// What an interrupted creation has left is dropped.
fn concurrently(index: OwnIndex, states: &[State]) -> Option<Vec<String>> {
    let left = states.iter().find(|state| state.name == index.name());
    if left.is_some_and(|state| state.is_being_created) {
        return None;
    }
    let drop = left.map(|_| format!("DROP INDEX CONCURRENTLY IF EXISTS {}", index.name()));
    Some(drop.into_iter().chain([index.create("CONCURRENTLY ")]).collect())
}

/// The first index that is missing or not complete.
fn first_missing(states: &[State]) -> Option<OwnIndex> {
    OwnIndex::ALL.into_iter().find(|index| !states.iter().any(|state| state.name == index.name() && state.is_valid))
}

/// What a process knows about the indexes. One that was dropped meanwhile is noticed by the job that creates it again.
#[derive(Debug, Default)]
pub(crate) struct OwnIndexes {
    /// The [`OwnIndex::bit`]s of those that are complete.
    complete: AtomicU32,
    looked_at: Mutex<Option<Instant>>,
}

impl OwnIndexes {
    /// Creates the indexes in SQLite, and in a PostgreSQL database without rows, and notes which there are.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub(crate) async fn open(db: &Db) -> Result<Self, DbError> {
        let indexes = Self::default();
        match indexes.prepare(db).await {
            Err(error @ (DbError::Unavailable(_) | DbError::NotBegun(_) | DbError::Conflict(_))) => return Err(error),
            Err(error) => tracing::warn!(%error, "searches for traces are slow: ferroflow's own indexes are missing"),
            Ok(()) => {}
        }
        Ok(indexes)
    }

    async fn prepare(&self, db: &Db) -> Result<(), DbError> {
        let states = self.look(db).await?;
        if first_missing(&states).is_none() {
            return Ok(());
        }
        let has_rows = db.query(Statement::new(&HAS_ROWS, Vec::new()), |row| row.get::<i64>(0)).await? != [0];
        let script = OwnIndex::ALL.map(|index| index.create("")).concat();
        match db.dialect() {
            Dialect::Postgres if has_rows => {
                tracing::info!("ferroflow's own indexes are being created in the background");
                return Ok(());
            }
            // Serializes replicas that start at the same time, as for the reference's tables.
            Dialect::Postgres => {
                let lock = super::LOCK_KEY;
                let script = format!("SET LOCAL lock_timeout = '2s'; SELECT pg_advisory_xact_lock({lock});\n{script}");
                db.batch(script).await?;
            }
            Dialect::Sqlite => {
                if has_rows {
                    tracing::info!("creating ferroflow's own indexes, which takes a while in a large database");
                }
                db.batch(script).await?;
            }
        }
        self.look(db).await.map(drop)
    }

    async fn look(&self, db: &Db) -> Result<Vec<State>, DbError> {
        let states = db.query(State::statement(), State::from_row).await?;
        let complete = OwnIndex::ALL
            .into_iter()
            .filter(|index| states.iter().any(|state| state.name == index.name() && state.is_valid))
            .fold(0, |bits, index| bits | index.bit());
        self.complete.store(complete, Ordering::Relaxed);
        Ok(states)
    }

    /// Whether an index is complete.
    ///
    /// # Errors
    /// The database failed.
    pub(crate) async fn has(&self, db: &Db, index: OwnIndex) -> Result<bool, DbError> {
        let is_complete = || self.complete.load(Ordering::Relaxed) & index.bit() != 0;
        if is_complete() {
            return Ok(true);
        }
        {
            let mut looked_at = self.looked_at.lock().unwrap_or_else(PoisonError::into_inner);
            if looked_at.is_some_and(|at| at.elapsed() < LOOK_AGAIN) {
                return Ok(false);
            }
            *looked_at = Some(Instant::now());
        }
        self.look(db).await?;
        Ok(is_complete())
    }
}

impl Store {
    /// Creates one of ferroflow's own indexes that is missing, without blocking writers in PostgreSQL, and returns its
    /// name. `None` if all are there, or another process is creating one.
    ///
    /// # Errors
    /// The database failed, or its role may not create indexes.
    pub async fn create_own_index(&self) -> Result<Option<&'static str>, DbError> {
        let (db, indexes) = (&self.db, &self.own_indexes);
        let states = indexes.look(db).await?;
        let Some(index) = first_missing(&states) else { return Ok(None) };
        match db.dialect() {
            Dialect::Sqlite => db.batch(index.create("")).await?,
            Dialect::Postgres => {
                let Some(statements) = concurrently(index, &states) else { return Ok(None) };
                for statement in statements {
                    db.alone(statement).await?;
                }
            }
        }
        indexes.look(db).await?;
        Ok(Some(index.name()))
    }
}

/// Creates the indexes that are missing, for `ferroflow db upgrade`. `wait` is the maximum time to wait for the
/// transactions that write at the same time.
///
/// # Errors
/// The database failed, or its role may not create indexes, or a transaction did not end in time.
pub(crate) async fn create_all(direct: &Direct, wait: Duration) -> Result<(), DbError> {
    if direct.dialect() == Dialect::Postgres && !direct.is_pooled() {
        direct.batch(format!("SET lock_timeout = {}", wait.as_millis().max(1))).await?;
    }
    loop {
        let states = direct.query(State::statement(), State::from_row).await?;
        let Some(index) = first_missing(&states) else { return Ok(()) };
        let statements = match direct.dialect() {
            Dialect::Sqlite => Some(vec![index.create("")]),
            Dialect::Postgres => concurrently(index, &states),
        };
        let Some(statements) = statements else { return Ok(()) };
        for statement in statements {
            direct.batch(statement).await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_has_the_beginning_of_a_text() {
        assert_eq!(indexed("short"), "short");
        assert_eq!(indexed(&"ä".repeat(300)), "ä".repeat(200));
        assert_eq!(indexed("a\0b"), "a");
    }

    #[test]
    fn keys_without_a_value_to_search_for_are_not_in_an_index() {
        assert!(is_tag("env") && is_tag(", ") && !is_tag("mlflow.traceName") && !is_tag("mlflow.artifactLocation"));
        assert!(is_metadata("mlflow.sourceRun") && !is_metadata("mlflow.traceInputs"));
        assert!(!is_metadata("mlflow.trace_schema.version"));
    }

    #[test]
    fn an_unfinished_index_is_dropped_unless_it_is_being_created() {
        let state = |is_valid, is_being_created| State {
            name: OwnIndex::SpanName.name().to_owned(),
            is_valid,
            is_being_created,
        };
        let statements = |states: &[State]| concurrently(OwnIndex::SpanName, states).map(|statements| statements.len());
        assert_eq!(statements(&[]), Some(1));
        assert_eq!(statements(&[state(false, false)]), Some(2));
        assert_eq!(statements(&[state(false, true)]), None);
        assert_eq!(first_missing(&[state(true, false)]), Some(OwnIndex::RunsPage));
    }
}
