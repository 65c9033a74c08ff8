//! Changes the definition of a SQLite table, beyond what SQL supports.

use super::{
    Change,
    definition::{AlterMethod, Definition},
    events::{Event, Progress},
};
use crate::db::{DbError, Direct, Statement, Upkeep, Value};

/// Rows copied per statement, between two reports of progress.
const ROWS: i64 = 100_000;

/// Changes a table: its definition alone if that is sufficient, otherwise by copying its rows into a new table.
pub(super) async fn alter(
    direct: &Direct,
    table: &'static str,
    changes: &[Change],
    progress: &mut Progress<'_>,
) -> Result<AlterMethod, DbError> {
    let sql = direct
        .query(
            Statement::unscoped(
                Upkeep::Migration,
                "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = $1",
                vec![table.into()],
            ),
            |row| row.get::<String>(0),
        )
        .await?;
    let mut definition = sql.first().and_then(|sql| Definition::parse(sql)).ok_or_else(|| {
        DbError::Other(format!("the table {table} is missing or has no definition that can be changed"))
    })?;
    let old = columns(direct, table).await?;
    let method = definition.change(changes);
    match method {
        AlterMethod::None => {}
        AlterMethod::Text => set_text(direct, table, &definition).await?,
        AlterMethod::Copy => copy(direct, table, &definition, &old, progress).await?,
    }
    Ok(method)
}

/// Whether the changes would copy the table.
pub(super) async fn copies(direct: &Direct, table: &'static str, changes: &[Change]) -> Result<bool, DbError> {
    let found = direct
        .query(
            Statement::unscoped(
                Upkeep::Migration,
                "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = $1",
                vec![table.into()],
            ),
            |row| row.get::<String>(0),
        )
        .await?;
    let definition = found.first().and_then(|sql| Definition::parse(sql));
    Ok(definition.is_some_and(|mut definition| definition.change(changes) == AlterMethod::Copy))
}

/// Replaces the text of the definition, as described in SQLite's documentation of `ALTER TABLE` for changes that keep
/// the rows valid.
async fn set_text(direct: &Direct, table: &'static str, definition: &Definition) -> Result<(), DbError> {
    let version = direct.number("PRAGMA schema_version").await?;
    direct.batch("PRAGMA writable_schema = ON").await?;
    let set = direct
        .execute(Statement::unscoped(
            Upkeep::Migration,
            "UPDATE sqlite_master SET sql = $1 WHERE type = 'table' AND name = $2",
            vec![definition.create(table).into(), table.into()],
        ))
        .await;
    // Makes every connection, including this one, reload the schema.
    direct.batch(format!("PRAGMA schema_version = {}; PRAGMA writable_schema = RESET", version + 1)).await?;
    set.map(drop)
}

async fn copy(
    direct: &Direct,
    table: &'static str,
    definition: &Definition,
    old: &[(String, bool)],
    progress: &mut Progress<'_>,
) -> Result<(), DbError> {
    let new_table = format!("ff_new_{table}");
    direct.batch(format!("DROP TABLE IF EXISTS {new_table}; {}", definition.create(&new_table))).await?;
    // Indexes and triggers, which are dropped with the table.
    let attached = direct
        .query(
            Statement::unscoped(Upkeep::Migration,
                "SELECT sql FROM sqlite_master WHERE tbl_name = $1 AND type IN ('index', 'trigger') AND sql IS NOT NULL",
                vec![table.into()],
            ),
            |row| row.get::<String>(0),
        )
        .await?;
    let new = columns(direct, &new_table).await?;
    let kept: Vec<String> = old
        .iter()
        .filter(|(name, generated)| !generated && new.iter().any(|(other, generated)| other == name && !generated))
        .map(|(name, _)| format!("\"{name}\""))
        .collect();
    let kept = kept.join(", ");
    let last = direct.number(format!("SELECT COALESCE(MAX(rowid), 0) FROM \"{table}\"")).await?;
    let mut from = direct.number(format!("SELECT COALESCE(MIN(rowid), 1) - 1 FROM \"{table}\"")).await?;
    let first = from;
    while from < last {
        let to = from.saturating_add(ROWS);
        direct
            .execute(Statement::unscoped(
                Upkeep::Migration,
                format!(
                    "INSERT INTO {new_table} ({kept}) SELECT {kept} FROM \"{table}\" \
                     WHERE rowid > $1 AND rowid <= $2 ORDER BY rowid"
                ),
                vec![Value::Int(from), Value::Int(to)],
            ))
            .await?;
        from = to;
        progress.report(Event::Rows { table, done: count(from.min(last) - first), total: count(last - first) });
    }
    direct.batch(format!("DROP TABLE \"{table}\"; ALTER TABLE {new_table} RENAME TO \"{table}\"")).await?;
    for sql in attached {
        direct.batch(sql).await?;
    }
    Ok(())
}

fn count(rows: i64) -> u64 {
    u64::try_from(rows).unwrap_or_default()
}

/// The columns of a table, and whether each is generated.
async fn columns(direct: &Direct, table: &str) -> Result<Vec<(String, bool)>, DbError> {
    direct
        .query(
            Statement::unscoped(
                Upkeep::Migration,
                "SELECT name, hidden FROM pragma_table_xinfo($1) ORDER BY cid",
                vec![table.into()],
            ),
            |row| Ok((row.get::<String>(0)?, row.get::<i64>(1)? != 0)),
        )
        .await
}
