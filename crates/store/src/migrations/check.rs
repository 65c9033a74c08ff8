//! Compares a database with the schema of its revision.

use std::collections::BTreeSet;

use super::{
    AUTH, Chain, MigrationError, State, TRACKING,
    apply::{self, Failure},
    events::Progress,
    introspect::{Objects, objects, table_of},
    plan::Model,
    shown, state,
};
use crate::{
    db::{Access, BackendUri, DbError, Direct, dialect::Dialect},
    schema,
};

/// The outcome of [`check`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The revision of the database.
    pub state: State,
    /// The differences, one line each.
    pub differences: Vec<String>,
}

/// The PostgreSQL schema in which the expected tables are created, in a transaction that is rolled back.
const SCHEMA: &str = "ff_check_expected";

/// Compares the schema of a database with that of its revision, and its revision with the known heads. Changes nothing.
///
/// # Errors
/// The database cannot be reached, or its revision is not in this chain.
pub async fn check(uri: &BackendUri, chain: &'static Chain) -> Result<Report, MigrationError> {
    let direct = Direct::open(uri, Access::Inspect).await?;
    let state = state::read(&direct, chain, chain.head()).await?;
    let State::At(revision) = state else {
        let differences = vec![format!("missing: the tables of the {} database: it is empty", chain.name)];
        return Ok(Report { state, differences });
    };
    let reached = chain.reached(revision).unwrap_or_default();
    let mut differences = Vec::new();
    if chain.head_at(revision).is_none() {
        differences.push(format!(
            "different: revision: {}, expected {}: run `ferroflow db upgrade`",
            shown(revision),
            chain.named(Some(chain.goal(revision).revision))
        ));
    }
    let found = objects(&direct).await?;
    let expected = match direct.dialect() {
        Dialect::Sqlite => objects(&Model::at(chain, reached).await?.0).await?,
        Dialect::Postgres => expected_by_postgres(&direct, chain, reached).await?,
    };
    let foreign = foreign_tables(chain);
    differences.extend(compare(&expected, &found, &foreign));
    Ok(Report { state, differences })
}

/// Tables and columns that the revision has and the database lacks.
pub(super) async fn missing(direct: &Direct, chain: &'static Chain, reached: usize) -> Result<Vec<String>, DbError> {
    let model = Model::at(chain, reached).await?;
    let found = objects(direct).await?;
    let expected = objects(&model.0).await?;
    let lost: Vec<&String> = expected
        .keys()
        .filter(|name| (name.starts_with("table ") || name.starts_with("column ")) && !found.contains_key(*name))
        .collect();
    // The columns of a missing table are not listed.
    Ok(lost
        .iter()
        .filter(|name| name.starts_with("table ") || found.contains_key(&format!("table {}", table_of(name))))
        .map(|name| (*name).clone())
        .collect())
}

/// Tables that do not belong to this chain: both chains may share a database. The version tables are not in the model.
fn foreign_tables(chain: &'static Chain) -> BTreeSet<&'static str> {
    let other = if chain.name == TRACKING.name { &AUTH } else { &TRACKING };
    let steps = std::iter::once(other.initial).chain(other.revisions().map(|revision| revision.steps));
    let versions = [TRACKING.version_table, AUTH.version_table];
    steps.flat_map(state::created_tables).chain(versions).collect()
}

fn compare(expected: &Objects, found: &Objects, foreign: &BTreeSet<&'static str>) -> Vec<String> {
    let names: BTreeSet<&String> = expected.keys().chain(found.keys()).collect();
    let mut lines = Vec::new();
    for name in names {
        let table = table_of(name);
        if foreign.contains(table) {
            continue;
        }
        // Objects of a missing or unexpected table are not listed.
        let whole = format!("table {table}");
        if *name != whole && expected.contains_key(&whole) != found.contains_key(&whole) {
            continue;
        }
        match (expected.get(name), found.get(name)) {
            (Some(_), None) => lines.push(format!("missing: {name}")),
            (None, Some(_)) => lines.push(format!("not expected: {name}")),
            (Some(expected), Some(found)) => {
                for (property, value) in expected {
                    let actual = found.get(property).map_or("nothing", String::as_str);
                    if actual != value {
                        lines.push(format!("different: {name}: {property} is {actual}, expected {value}"));
                    }
                }
            }
            (None, None) => {}
        }
    }
    lines
}

/// Creates the expected tables in a separate PostgreSQL schema, describes them, and rolls back. The descriptions depend
/// on the version of the server.
async fn expected_by_postgres(direct: &Direct, chain: &'static Chain, reached: usize) -> Result<Objects, DbError> {
    direct.batch("BEGIN").await?;
    let expected = describe(direct, chain, reached).await;
    direct.batch("ROLLBACK").await?;
    expected.map_err(|error| match error {
        DbError::Other(text) => {
            DbError::Other(format!("the expected tables cannot be created in a schema to roll back: {text}"))
        }
        other => other,
    })
}

async fn describe(direct: &Direct, chain: &'static Chain, reached: usize) -> Result<Objects, DbError> {
    direct.batch(format!("CREATE SCHEMA {SCHEMA}; SET LOCAL search_path = {SCHEMA}")).await?;
    let mut silent = |_| {};
    let mut progress = Progress::new(&mut silent);
    let mut made = 0;
    let mut steps: Vec<_> = chain.revisions().take(reached).map(|revision| revision.steps).collect();
    match (schema::script(chain, Dialect::Postgres), chain.reached(Some(chain.head()))) {
        (Some(script), Some(head)) if head <= reached => {
            direct.batch(script).await?;
            made = head;
        }
        _ => steps.insert(0, chain.initial),
    }
    for steps in steps.into_iter().skip(made) {
        match apply::run(direct, steps, &mut Vec::new(), &mut progress).await {
            Ok(()) => {}
            Err(Failure::Db(error)) => return Err(error),
            Err(Failure::Refused(reason)) => return Err(DbError::Other(reason)),
        }
    }
    objects(direct).await
}
