//! ferroflow's own indexes on the reference's tables: searches for runs and traces and pages of records are answered from
//! them.
//!
//! A new database gets them with its tables. In a PostgreSQL database that has rows already, they are created one
//! after another without blocking writers, by a background job or by `ferroflow db upgrade`. Until then, and where the
//! role may not create them, the server answers from the reference's indexes, which takes longer.

mod definition;

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

pub use self::definition::Extra;
pub(crate) use self::definition::{
    CREATED, ENDED_BEFORE_START, HIDDEN_EXPERIMENT, HIDDEN_WORKSPACE, LAST_UPDATED, LONG, LONG_KEY, METADATA, NEWEST,
    NEWEST_OF_VALUE, OwnIndex, RUN_NAMES, RUN_TAGS, TAGS, indexed, is_metadata, is_run_tag, is_tag,
};
use super::own::PREFIX;
use crate::{
    Store,
    db::{Anywhere, Db, DbError, Direct, Row, Statement, dialect::Dialect, upkeep::Startup},
    statements::statements,
};

/// How long the server waits before it looks again for an index that was missing.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

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
        "SELECT CASE WHEN EXISTS (SELECT 1 FROM runs) OR EXISTS (SELECT 1 FROM trace_info) \
         OR EXISTS (SELECT 1 FROM evaluation_dataset_records) OR EXISTS (SELECT 1 FROM logged_models) \
         OR EXISTS (SELECT 1 FROM model_versions) THEN 1 ELSE 0 END";
}

/// An index as it is in the database.
pub(super) struct State {
    name: String,
    is_valid: bool,
    is_being_created: bool,
}

impl State {
    pub(super) fn statement() -> Statement {
        Statement::new(&STATES, vec![PREFIX.into()])
    }

    pub(super) fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        Ok(Self { name: row.get(0)?, is_valid: row.get(1)?, is_being_created: row.get(2)? })
    }
}

/// The statements that create an index in PostgreSQL, without blocking writers; `None` while another process creates it.
/// What an interrupted creation has left is dropped.
pub(super) fn concurrently(index: OwnIndex, states: &[State]) -> Option<Vec<String>> {
    let left = states.iter().find(|state| state.name == index.name());
    if left.is_some_and(|state| state.is_being_created) {
        return None;
    }
    let drop = left.map(|_| format!("DROP INDEX CONCURRENTLY IF EXISTS {}", index.name()));
    let extension = index.extension().map(|extension| format!("CREATE EXTENSION IF NOT EXISTS {extension}"));
    Some(drop.into_iter().chain(extension).chain([index.create("CONCURRENTLY ")]).collect())
}

/// The indexes that are missing or not complete, in the order in which they are created, without the optional ones.
pub(super) fn missing(states: &[State]) -> impl Iterator<Item = OwnIndex> {
    OwnIndex::ALL.into_iter().filter(|index| index.extra().is_none() && !is_complete(states, *index))
}

/// Whether an index is complete.
pub(super) fn is_complete(states: &[State], index: OwnIndex) -> bool {
    states.iter().any(|state| state.name == index.name() && state.is_valid)
}

/// What a process knows about the indexes.
#[derive(Debug, Default)]
pub(crate) struct OwnIndexes {
    /// The [`OwnIndex::bit`]s of those that are complete.
    complete: AtomicU64,
    /// Those of the indexes that were complete at any time: an operator has dropped the ones that are missing.
    seen: AtomicU64,
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
            Err(error) => tracing::warn!(%error, "searches are slow: ferroflow's own indexes are missing"),
            Ok(()) => {}
        }
        Ok(indexes)
    }

    async fn prepare(&self, db: &Db) -> Result<(), DbError> {
        let states = self.look(db).await?;
        if missing(&states).next().is_none() {
            return Ok(());
        }
        let has_rows = db.query(Statement::new(&HAS_ROWS, Vec::new()), |row| row.get::<i64>(0)).await? != [0];
        let script: String = missing(&states).map(|index| index.create("")).collect();
        match db.dialect() {
            Dialect::Postgres if has_rows => {
                let names: Vec<&str> = missing(&states).map(OwnIndex::name).collect();
                tracing::info!(
                    missing = names.join(", "),
                    "searches are slower until ferroflow's own indexes are there: a background job creates them one \
                     after another, `ferroflow db tune` at once; with --dry-run it reports their size"
                );
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
            .filter(|index| is_complete(&states, *index))
            .fold(0, |bits, index| bits | index.bit());
        self.complete.store(complete, Ordering::Relaxed);
        self.seen.fetch_or(complete, Ordering::Relaxed);
        Ok(states)
    }

    /// Whether an index was complete when the process looked last.
    pub(crate) fn is_there(&self, index: OwnIndex) -> bool {
        self.complete.load(Ordering::Relaxed) & index.bit() != 0
    }

    /// Whether an index is complete. Looks at the database where it is not known to be, once a minute.
    ///
    /// # Errors
    /// The database failed.
    pub(crate) async fn has(&self, db: &Db, index: OwnIndex) -> Result<bool, DbError> {
        if self.is_there(index) {
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
        Ok(self.is_there(index))
    }
}

impl Store {
    /// Creates one of ferroflow's own indexes that is missing, without blocking writers in PostgreSQL, and returns its
    /// name. `None` if all are there, or another process is creating one. One that was there and was dropped while this
    /// process runs stays dropped: an operator wants that, and a restart or `ferroflow db tune` creates it again.
    ///
    /// # Errors
    /// The database failed, or its role may not create indexes.
    pub async fn create_own_index(&self) -> Result<Option<&'static str>, DbError> {
        let (db, indexes) = (&self.db, &self.own_indexes);
        let states = indexes.look(db).await?;
        let seen = indexes.seen.load(Ordering::Relaxed);
        let Some(index) = missing(&states).find(|index| seen & index.bit() == 0) else { return Ok(None) };
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
        let Some(index) = missing(&states).next() else { return Ok(()) };
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
        assert_eq!(missing(&[state(true, false)]).next(), Some(OwnIndex::RunsPage));
        assert!(missing(&[state(true, false)]).all(|index| index != OwnIndex::SpanName));
    }
}
