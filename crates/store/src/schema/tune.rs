//! Creates the missing ones of ferroflow's own indexes for `ferroflow db tune`, with an estimate beforehand, and sets how
//! PostgreSQL maintains large tables.

use std::time::Duration;

pub use super::own_indexes::Extra;
use super::own_indexes::{self, OwnIndex, State, concurrently, is_complete};
use crate::db::{Access, BackendUri, Db, DbError, Direct, Statement, Upkeep, dialect::Dialect};

/// Number of rows from which the size of an index is estimated.
const SAMPLE: i64 = 5_000;

/// Bytes of an entry beside its columns, and of a further entry with the same columns, which PostgreSQL stores once.
const ENTRY: (f64, f64) = (16.0, 7.0);

/// Bytes of a table read in a second, entries sorted, and passes over the table: an index that does not block writers
/// is made in two.
const READ: f64 = 200e6;
const SORTED: f64 = 700e3;
const PASSES: f64 = 2.0;

/// Time between two looks at the progress.
const LOOK: Duration = Duration::from_millis(300);

/// The tables that grow with what is logged.
const LARGE: [&str; 12] = [
    "runs",
    "params",
    "tags",
    "metrics",
    "latest_metrics",
    "logged_models",
    "model_versions",
    "trace_info",
    "trace_tags",
    "trace_request_metadata",
    "spans",
    "assessments",
];

/// Settings of a large table in PostgreSQL. By default a table is analyzed when a tenth of it is new, and vacuumed, which
/// index-only scans need, when a fifth is: in a table of 50 million rows that is rarely.
const MAINTENANCE: &str = "autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_scale_factor = 0.05, \
                           autovacuum_vacuum_insert_scale_factor = 0.05";

/// An index that is missing, with estimates.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct MissingIndex {
    /// Its name.
    pub name: &'static str,
    /// Its table.
    pub table: &'static str,
    /// Number of rows of the table.
    pub rows: i64,
    /// Size of the index, in bytes.
    pub bytes: i64,
    /// Time to create it, in seconds.
    pub seconds: f64,
}

/// The indexes that are missing or not complete, in the order in which [`create`] should get them. `extras` are those of
/// which writes are slower, as far as this kind of database can have them.
///
/// # Errors
/// The database failed.
pub async fn plan(db: &Db, extras: &[Extra]) -> Result<Vec<MissingIndex>, DbError> {
    let states = db.query(State::statement(), State::from_row).await?;
    let mut plan = Vec::new();
    let wanted = |index: &OwnIndex| {
        index.extra().is_none_or(|extra| extras.contains(&extra))
            && index.is_for(db.dialect())
            && !is_complete(&states, *index)
    };
    for index in OwnIndex::ALL.into_iter().filter(wanted) {
        plan.push(estimate(db, index).await?);
    }
    Ok(plan)
}

/// The names of the indexes that are missing or not complete, without those that are only created on demand.
///
/// # Errors
/// The database cannot be read.
pub async fn missing(uri: &BackendUri) -> Result<Vec<&'static str>, DbError> {
    let direct = Direct::open(uri, Access::Inspect).await?;
    let states = direct.query(State::statement(), State::from_row).await;
    direct.close().await;
    Ok(own_indexes::missing(&states?).map(OwnIndex::name).collect())
}

async fn estimate(db: &Db, index: OwnIndex) -> Result<MissingIndex, DbError> {
    let definition = index.definition();
    let (table, rows) = (definition.table, rows(db, definition.table).await?);
    let columns: Vec<&str> = definition.columns.iter().map(|column| column.trim_end_matches(" DESC")).collect();
    let size = |column: &&str| match db.dialect() {
        Dialect::Postgres => format!("COALESCE(pg_column_size({column}), 0)"),
        Dialect::Sqlite => format!("COALESCE(length(CAST({column} AS TEXT)), 0)"),
    };
    let sizes = columns.iter().map(size).collect::<Vec<_>>().join(" + ");
    let (only, columns) = (definition.only.unwrap_or("1 = 1"), columns.join(", "));
    let sql = format!(
        "SELECT COUNT(*), COALESCE(SUM(CASE WHEN x.size >= 0 THEN 1 ELSE 0 END), 0), \
         CAST(COALESCE(AVG(CASE WHEN x.size >= 0 THEN x.size END), 0) AS DOUBLE PRECISION), \
         COALESCE(MAX(x.different), 0) FROM (SELECT y.size, CASE WHEN y.size >= 0 THEN y.place END AS different FROM \
         (SELECT CASE WHEN {only} THEN {sizes} ELSE -1 END AS size, \
         dense_rank() OVER (ORDER BY {columns}) AS place \
         FROM (SELECT * FROM {table} LIMIT {SAMPLE}) AS s) AS y) AS x"
    );
    let statement = Statement::unscoped(Upkeep::Startup, sql, Vec::new());
    let read =
        db.query(statement, |row| Ok((row.get::<i64>(0)?, row.get::<i64>(1)?, row.get::<f64>(2)?, row.get::<i64>(3)?)));
    let (sampled, indexed, width, different) = read.await?.into_iter().next().unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "estimates")]
    let [rows_f, sampled, indexed, different] = [rows, sampled, indexed, different].map(|count| count as f64);
    let entries = rows_f * if sampled > 0.0 { indexed / sampled } else { 1.0 };
    let distinct = if indexed > 0.0 { (different / indexed).min(1.0) } else { 1.0 };
    let bytes = entries * (distinct * (width + ENTRY.0) + (1.0 - distinct) * ENTRY.1) / 0.9;
    let seconds = PASSES * table_bytes(db, table).await? / READ + entries / SORTED;
    #[expect(clippy::cast_possible_truncation, reason = "the cast saturates")]
    let bytes = bytes as i64;
    Ok(MissingIndex { name: index.name(), table, rows, bytes, seconds })
}

/// The number of rows of a table: PostgreSQL's own estimate, if there is one.
async fn rows(db: &Db, table: &str) -> Result<i64, DbError> {
    if db.dialect() == Dialect::Postgres {
        let sql = format!("SELECT CAST(reltuples AS BIGINT) FROM pg_class WHERE oid = '{table}'::regclass");
        let estimated = number(db, &sql).await?;
        if estimated > 0 {
            return Ok(estimated);
        }
    }
    number(db, &format!("SELECT COUNT(*) FROM {table}")).await
}

/// The size of a table without its indexes; 0 in SQLite, which does not know it.
async fn table_bytes(db: &Db, table: &str) -> Result<f64, DbError> {
    if db.dialect() == Dialect::Sqlite {
        return Ok(0.0);
    }
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let bytes = number(db, &format!("SELECT pg_relation_size('{table}')")).await? as f64;
    Ok(bytes)
}

async fn number(db: &Db, sql: &str) -> Result<i64, DbError> {
    let statement = Statement::unscoped(Upkeep::Startup, sql.to_owned(), Vec::new());
    Ok(db.query(statement, |row| row.get::<i64>(0)).await?.into_iter().next().unwrap_or_default())
}

/// Creates an index that is missing, in PostgreSQL without blocking writers; waits for it if a server creates it already.
/// `progress` gets the number of blocks or rows that are done in the present phase, and of all of them.
///
/// # Errors
/// The database failed, or its role may not create indexes.
pub async fn create(db: &Db, index: &MissingIndex, progress: impl Fn(u64, u64)) -> Result<(), DbError> {
    let Some(index) = OwnIndex::ALL.into_iter().find(|known| known.name() == index.name) else { return Ok(()) };
    loop {
        let states = db.query(State::statement(), State::from_row).await?;
        if is_complete(&states, index) {
            return Ok(());
        }
        let statements = match db.dialect() {
            Dialect::Sqlite => return db.batch(index.create("")).await,
            Dialect::Postgres => concurrently(index, &states),
        };
        let Some(statements) = statements else {
            tell(db, &progress).await?;
            tokio::time::sleep(LOOK).await;
            continue;
        };
        for statement in statements {
            let mut done = std::pin::pin!(db.alone(statement));
            loop {
                match tokio::time::timeout(LOOK, done.as_mut()).await {
                    Ok(outcome) => break outcome?,
                    Err(_) => tell(db, &progress).await?,
                }
            }
        }
    }
}

/// Passes on the progress of the creation that runs in this database.
async fn tell(db: &Db, progress: &impl Fn(u64, u64)) -> Result<(), DbError> {
    let sql = "SELECT CASE WHEN blocks_total > 0 THEN blocks_done ELSE COALESCE(tuples_done, 0) END, \
               CASE WHEN blocks_total > 0 THEN blocks_total ELSE COALESCE(tuples_total, 0) END \
               FROM pg_stat_progress_create_index WHERE datname = current_database()";
    let statement = Statement::unscoped(Upkeep::Startup, sql, Vec::new());
    let seen = db.query(statement, |row| Ok((row.get::<i64>(0)?, row.get::<i64>(1)?))).await?;
    if let Some((done, all)) = seen.first() {
        progress(u64::try_from(*done).unwrap_or_default(), u64::try_from(*all).unwrap_or_default());
    }
    Ok(())
}

/// Lets PostgreSQL look after large tables earlier, and gathers the statistics of all of them now; in SQLite only the
/// latter. Returns the tables.
///
/// # Errors
/// The database failed, or its role does not own the tables.
pub async fn analyze(db: &Db) -> Result<&'static [&'static str], DbError> {
    for table in LARGE {
        match db.dialect() {
            Dialect::Postgres => {
                db.batch(format!("ALTER TABLE {table} SET ({MAINTENANCE})")).await?;
                db.alone(format!("ANALYZE {table}")).await?;
            }
            Dialect::Sqlite => db.batch(format!("ANALYZE {table};")).await?,
        }
    }
    Ok(&LARGE)
}
