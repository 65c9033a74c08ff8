//! The current revision of a database.

use super::{Chain, MigrationError, Step, shown};
use crate::db::{Access, BackendUri, DbError, Direct, dialect::Dialect};

/// The current revision of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The database has no tables of the chain.
    Empty,
    /// The database is at a revision of the chain; `None` is before the first.
    At(Option<&'static str>),
}

/// Reads the current revision. Changes nothing.
///
/// # Errors
/// The database cannot be reached, or its revision is not in this chain.
pub async fn state(uri: &BackendUri, chain: &'static Chain) -> Result<State, MigrationError> {
    let direct = Direct::open(uri, Access::Inspect).await?;
    read(&direct, chain, chain.head()).await
}

/// [`state`] on an open connection. `target` is used in error messages.
pub(super) async fn read(direct: &Direct, chain: &'static Chain, target: &str) -> Result<State, MigrationError> {
    let tables = tables(direct).await?;
    let has = |name: &str| tables.iter().any(|table| table == name);
    let versions = if has(chain.version_table) {
        direct.texts(format!("SELECT version_num FROM {}", chain.version_table)).await?
    } else {
        Vec::new()
    };
    let broken = |found: String, reason: String| MigrationError::Broken {
        chain: chain.name,
        found,
        target: target.to_owned(),
        reason,
    };
    match versions.as_slice() {
        [found] => match chain.revisions().find(|revision| revision.id == found) {
            Some(revision) => Ok(State::At(Some(revision.id))),
            None => Err(MigrationError::Unknown { chain: chain.name, found: found.clone(), known: chain.known() }),
        },
        [] if !chain.marker_tables.iter().any(|table| has(table)) => Ok(State::Empty),
        [] => {
            let place = chain.reached(chain.unversioned).unwrap_or_default();
            let newer = chain.revisions().skip(place).find_map(|r| created_tables(r.steps).find(|name| has(name)));
            match newer {
                None => Ok(State::At(chain.unversioned)),
                Some(table) => Err(broken(
                    shown(None),
                    format!(
                        "it has the table {table} of a later version, and no row in {} says which: restore that row \
                         or a backup",
                        chain.version_table
                    ),
                )),
            }
        }
        several => Err(broken(
            several.join(" and "),
            format!("the table {} has {} rows and should have one", chain.version_table, several.len()),
        )),
    }
}

/// The tables that steps create.
pub(super) fn created_tables(steps: &'static [Step]) -> impl Iterator<Item = &'static str> {
    steps.iter().filter_map(|step| match step {
        Step::Sql(sql) => sql.strip_prefix("CREATE TABLE IF NOT EXISTS ")?.split([' ', '\n']).next(),
        _ => None,
    })
}

/// The names of the tables, without system tables.
pub(crate) async fn tables(direct: &Direct) -> Result<Vec<String>, DbError> {
    let sql = match direct.dialect() {
        Dialect::Postgres => {
            "SELECT CAST(c.relname AS TEXT) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r', 'p') AND n.nspname = current_schema() ORDER BY 1"
        }
        Dialect::Sqlite => {
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY 1"
        }
    };
    direct.texts(sql).await
}
