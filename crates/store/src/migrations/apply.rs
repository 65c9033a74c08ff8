//! Runs the steps of a revision in the open transaction.

use std::future::Future;
use std::pin::Pin;

use super::{
    Change, Step, analytics,
    definition::AlterMethod,
    events::Progress,
    issue_categories,
    revision::{Data, spell},
    sqlite, state,
};
use crate::db::{DbError, Direct, dialect::Dialect};

/// Why steps failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The data cannot be converted: the reason, as a sentence.
    Refused(String),
    /// The database failed, or a lock was not obtained.
    Db(DbError),
}

impl From<DbError> for Failure {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

/// Runs steps in order. `altered` gets the SQLite tables whose foreign keys must be checked: copied ones, and those
/// with a new foreign key.
pub(super) fn run<'a>(
    direct: &'a Direct,
    steps: &'static [Step],
    altered: &'a mut Vec<&'static str>,
    progress: &'a mut Progress<'_>,
) -> Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + 'a>> {
    Box::pin(async move {
        for step in steps {
            match *step {
                Step::Sql(_) | Step::Postgres(_) | Step::Sqlite(_) => {
                    if let Some(sql) = step.statement(direct.dialect()) {
                        direct.batch(sql).await?;
                    }
                }
                Step::AddColumns(table, columns) => add_columns(direct, table, columns).await?,
                Step::Alter(table, changes) => match direct.dialect() {
                    Dialect::Postgres => direct.batch(alter_table(table, changes)).await?,
                    Dialect::Sqlite => {
                        let method = sqlite::alter(direct, table, changes, progress).await?;
                        if method == AlterMethod::Copy || changes.iter().any(is_foreign_key) {
                            altered.push(table);
                        }
                    }
                },
                Step::AlterSqlite(table, changes) => {
                    if direct.dialect() == Dialect::Sqlite {
                        sqlite::alter(direct, table, changes, progress).await?;
                    }
                }
                Step::IfTable(table, steps) => {
                    if state::tables(direct).await?.iter().any(|name| name == table) {
                        run(direct, steps, altered, progress).await?;
                    }
                }
                Step::Refuse(sql) => {
                    if let Some(reason) = direct.texts(spell(sql, direct.dialect())).await?.into_iter().next() {
                        return Err(Failure::Refused(reason));
                    }
                }
                Step::Data(Data::TraceAnalytics) => analytics::fill(direct, progress).await?,
                Step::Data(Data::IssueCategories) => issue_categories::fill(direct, progress).await?,
            }
        }
        Ok(())
    })
}

fn is_foreign_key(change: &Change) -> bool {
    matches!(change, Change::Constrain(clause) if clause.contains("FOREIGN KEY"))
}

async fn add_columns(direct: &Direct, table: &str, columns: &[&str]) -> Result<(), DbError> {
    if direct.dialect() == Dialect::Postgres {
        let columns: Vec<String> = columns
            .iter()
            .map(|column| format!("ADD COLUMN IF NOT EXISTS {}", spell(column, Dialect::Postgres)))
            .collect();
        return direct.batch(format!("ALTER TABLE {table} {}", columns.join(", "))).await;
    }
    let there = direct.texts(format!("SELECT name FROM pragma_table_info('{table}')")).await?;
    for column in columns {
        let name = column.split(' ').next().unwrap_or_default();
        if !there.iter().any(|other| other == name) {
            direct.batch(format!("ALTER TABLE {table} ADD COLUMN {}", spell(column, Dialect::Sqlite))).await?;
        }
    }
    Ok(())
}

/// One `ALTER TABLE` with all changes, so that PostgreSQL scans the rows once.
fn alter_table(table: &str, changes: &[Change]) -> String {
    let actions: Vec<String> = changes
        .iter()
        .map(|change| match change {
            Change::Add(column) => format!("ADD COLUMN {column}"),
            Change::Widen(column, to) | Change::Narrow(column, to) => format!("ALTER COLUMN {column} TYPE {to}"),
            Change::Nullable(column) => format!("ALTER COLUMN {column} DROP NOT NULL"),
            Change::NotNull(column) => format!("ALTER COLUMN {column} SET NOT NULL"),
            Change::DropColumn(column) => format!("DROP COLUMN IF EXISTS {column}"),
            Change::Drop(name) | Change::DropUnnamed(name, _) => format!("DROP CONSTRAINT IF EXISTS {name}"),
            Change::Constrain(constraint) => format!("ADD {constraint}"),
        })
        .collect();
    format!("ALTER TABLE {table} {}", actions.join(", "))
}
