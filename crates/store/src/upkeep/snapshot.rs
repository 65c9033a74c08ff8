//! Snapshots of SQLite files, copied while servers write to them, and what a copy contains.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    db::{Access, BackendUri, DbError, Direct, Statement, Upkeep, Value, clock},
    upkeep::scheduler_leases::ROLLUP_LEASE,
};

/// Why a file cannot be copied, or a copy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// SQLite reports that the file is damaged.
    #[error("the database is damaged, SQLite says: {0}")]
    Damaged(String),
    /// Another process has the file open.
    #[error("{0} is in use: stop the server that has it open")]
    InUse(String),
    /// The file cannot be read, or the copy cannot be written.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Copies the last committed state into a single file without a write-ahead log, and runs SQLite's integrity check on
/// the copy. `progress` gets the number of copied pages and of all pages, every 250 ms.
///
/// # Errors
/// The file cannot be read or is damaged, or `to` exists.
pub async fn copy(from: &Path, to: &Path, progress: &mut (dyn FnMut(u64, u64) + Send)) -> Result<(), SnapshotError> {
    // Created first, so that the copy has the original's permissions before it has contents.
    let unreadable = |error: std::io::Error| DbError::Unavailable(error.to_string());
    std::fs::metadata(from).map_err(unreadable)?;
    let mut made = std::fs::File::options();
    std::os::unix::fs::OpenOptionsExt::mode(&mut made, 0o600);
    made.write(true).create_new(true).open(to).map_err(unreadable)?;
    std::fs::metadata(from).and_then(|meta| std::fs::set_permissions(to, meta.permissions())).map_err(unreadable)?;
    let at = Arc::new((AtomicU64::new(0), AtomicU64::new(0)));
    let seen = Arc::clone(&at);
    let copying = Direct::back_up(from, to, move |done, total| {
        seen.0.store(done, Ordering::Relaxed);
        seen.1.store(total, Ordering::Relaxed);
    });
    tokio::pin!(copying);
    loop {
        tokio::select! {
            done = &mut copying => {
                done?;
                break;
            }
            () = tokio::time::sleep(Duration::from_millis(250)) => {
                progress(at.0.load(Ordering::Relaxed), at.1.load(Ordering::Relaxed));
            }
        }
    }
    verify(to).await
}

/// Runs SQLite's integrity check on a file.
///
/// # Errors
/// The check fails, or the file cannot be read.
pub async fn verify(file: &Path) -> Result<(), SnapshotError> {
    let copy = Direct::open(&BackendUri::Sqlite(file.to_owned()), Access::Inspect).await?;
    let problems = copy.texts("PRAGMA integrity_check(3)").await?;
    let said = || problems.iter().flat_map(|problem| problem.lines()).collect::<Vec<_>>().join("; ");
    if problems == ["ok"] { Ok(()) } else { Err(SnapshotError::Damaged(said())) }
}

/// The number of rows of each table.
///
/// # Errors
/// The database cannot be read.
pub async fn rows(uri: &BackendUri) -> Result<BTreeMap<String, i64>, SnapshotError> {
    let direct = Direct::open(uri, Access::Inspect).await?;
    let tables = crate::migrations::tables(&direct).await?;
    if tables.is_empty() {
        return Ok(BTreeMap::new());
    }
    // One statement, so that all counts are of the same snapshot.
    let counts = tables.iter().enumerate().map(|(number, table)| {
        format!("SELECT CAST(${} AS TEXT), COUNT(*) FROM \"{}\"", number + 1, table.replace('"', "\"\""))
    });
    let sql = counts.collect::<Vec<_>>().join(" UNION ALL ");
    let names = tables.iter().map(Value::from).collect();
    let rows =
        direct.query(Statement::unscoped(Upkeep::Backup, sql, names), |row| Ok((row.get(0)?, row.get(1)?))).await?;
    Ok(rows.into_iter().collect())
}

/// Artifact locations of experiments other than `mlflow-artifacts:`, which the server itself serves.
///
/// # Errors
/// The database cannot be read.
pub async fn foreign_locations(uri: &BackendUri) -> Result<Vec<String>, SnapshotError> {
    let direct = Direct::open(uri, Access::Inspect).await?;
    let sql = "SELECT DISTINCT artifact_location FROM experiments WHERE artifact_location NOT LIKE 'mlflow-artifacts:%' \
               ORDER BY 1";
    Ok(direct.texts(sql).await?)
}

/// Checkpoints the write-ahead log into the file, and fails if another process has the file open.
///
/// # Errors
/// Another process has it open, or it is not a database.
pub async fn checkpoint(file: &Path) -> Result<(), SnapshotError> {
    let direct = Direct::open(&BackendUri::Sqlite(file.to_owned()), Access::Migrate).await?;
    let outcome = checkpoint_by(&direct, file).await;
    // Close first: the file may be renamed or settled again next.
    direct.close().await;
    outcome
}

async fn checkpoint_by(direct: &Direct, file: &Path) -> Result<(), SnapshotError> {
    // SQLite leaves WAL mode only if this is the only connection; an exclusive lock detects a writer without WAL.
    let mode = direct.texts("PRAGMA journal_mode = DELETE").await;
    let alone = match mode {
        Ok(mode) if mode == ["delete"] => direct.batch("BEGIN EXCLUSIVE; COMMIT").await,
        Ok(_) => return Err(SnapshotError::InUse(file.display().to_string())),
        Err(error) => Err(error),
    };
    match alone {
        Err(DbError::Locked(_) | DbError::Unavailable(_) | DbError::NotBegun(_)) => {
            Err(SnapshotError::InUse(file.display().to_string()))
        }
        other => Ok(other?),
    }
}

/// The times of events, by table; older databases do not have all of them.
const TIMES: [(&str, &str); 9] = [
    ("runs", "start_time"),
    ("runs", "end_time"),
    ("experiments", "last_update_time"),
    ("evaluation_datasets", "last_update_time"),
    ("issues", "last_updated_timestamp"),
    ("label_schemas", "last_update_time"),
    ("review_queues", "last_update_time_ms"),
    ("review_queue_items", "last_update_time_ms"),
    ("scorer_versions", "creation_time"),
];

/// The time of the latest event in a tracking database, in milliseconds since 1970.
///
/// # Errors
/// The database cannot be read.
pub async fn newest(uri: &BackendUri) -> Result<Option<i64>, SnapshotError> {
    let direct = Direct::open(uri, Access::Inspect).await?;
    let tables = crate::migrations::tables(&direct).await?;
    let times: Vec<String> = TIMES
        .iter()
        .filter(|(table, _)| tables.iter().any(|found| found == table))
        .map(|(table, column)| format!("SELECT MAX({column}) AS at FROM {table}"))
        .collect();
    let sql = format!("SELECT MAX(at) FROM ({}) times", times.join(" UNION ALL "));
    let found =
        direct.query(Statement::unscoped(Upkeep::Backup, sql, Vec::new()), |row| row.get::<Option<i64>>(0)).await?;
    Ok(found.into_iter().flatten().next())
}

/// When a builder of rollups took or renewed its lease, in milliseconds before now; `None` if none ever did.
///
/// # Errors
/// The database cannot be read.
pub async fn rollup_pass_age(uri: &BackendUri) -> Result<Option<i64>, SnapshotError> {
    let direct = Direct::open(uri, Access::Inspect).await?;
    if !crate::migrations::tables(&direct).await?.iter().any(|table| table == "scheduler_leases") {
        return Ok(None);
    }
    let values = vec![ROLLUP_LEASE.into(), clock::now_ms().into()];
    let age = Statement::unscoped(Upkeep::Backup, PASS_AGE, values);
    Ok(direct.query(age, |row| row.get::<i64>(0)).await?.into_iter().next())
}

const PASS_AGE: &str =
    "SELECT CAST($2 AS BIGINT) - acquired_at FROM scheduler_leases WHERE lease_key = CAST($1 AS VARCHAR)";
