//! Plans an upgrade: the pending revisions and the tables they change.

use serde::Serialize;

use super::{
    Chain, Change, MigrationError, Revision, State, Step,
    apply::{self, Failure},
    events::Progress,
    revision::Data,
    sqlite, state,
};
use crate::{
    db::{Access, BackendUri, DbError, Direct, dialect::Dialect},
    schema::own::is_own,
};

/// The pending revisions of a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The name of the chain.
    pub chain: &'static str,
    /// The revision of the database; null for one that is empty or older than the first revision.
    pub current: Option<&'static str>,
    /// The target revision.
    pub target: &'static str,
    /// The pending revisions, in order. Empty for an empty database too, whose tables are created at the target.
    pub steps: Vec<PlannedStep>,
}

/// A pending revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedStep {
    /// The revision's id.
    pub revision: &'static str,
    /// What it does.
    pub title: &'static str,
    /// The tables it changes.
    pub tables: Vec<TableSize>,
    /// Whether rows or their indexes are rewritten.
    pub rewrites: bool,
    /// Whether writers are blocked for a time that depends on the size of a table.
    pub locks: bool,
    /// Whether the previous server version works correctly while and after it is applied.
    pub rolling: bool,
}

/// A table and its current size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableSize {
    /// The name.
    pub name: &'static str,
    /// Number of rows; 0 if it does not exist yet.
    pub rows: i64,
}

/// Plans what [`upgrade`](super::upgrade) would do. Changes nothing.
///
/// # Errors
/// An upgrade would be refused, or the database failed.
pub async fn plan(uri: &BackendUri, chain: &'static Chain, to: Option<&str>) -> Result<Plan, MigrationError> {
    let given = to.map(|to| chain.target(to)).transpose()?;
    let direct = Direct::open(uri, Access::Inspect).await?;
    let mut plan = Plan { chain: chain.name, current: None, target: given.unwrap_or(chain.head()), steps: Vec::new() };
    let State::At(current) = state::read(&direct, chain, plan.target).await? else { return Ok(plan) };
    plan.current = current;
    plan.target = given.unwrap_or(chain.goal(current).revision);
    let target = plan.target;
    let goal = chain.reached(Some(target)).unwrap_or_default();
    let reached = chain.reached(current).unwrap_or_default();
    if reached > goal {
        return Err(MigrationError::Later {
            chain: chain.name,
            found: super::shown(current),
            target: target.to_owned(),
        });
    }
    let there = state::tables(&direct).await?;
    let model = Model::at(chain, reached).await?;
    let mut new: Vec<&'static str> = Vec::new();
    for (_, revision) in chain.between(reached, goal) {
        let effect = model.effect(revision, direct.dialect()).await?;
        new.extend(state::created_tables(revision.steps));
        let mut tables = Vec::new();
        for name in changed_tables(revision.steps) {
            let exists = there.iter().any(|table| table == name);
            let rows = if exists { direct.number(format!("SELECT COUNT(*) FROM \"{name}\"")).await? } else { 0 };
            tables.push(TableSize { name, rows });
        }
        let old = changed_tables(revision.steps).iter().any(|name| !new.contains(name));
        plan.steps.push(PlannedStep {
            revision: revision.id,
            title: revision.title,
            tables,
            rewrites: effect.rewrites && old,
            locks: (effect.locks || effect.rewrites) && old,
            rolling: revision.rolling,
        });
        model.advance(revision).await?;
    }
    Ok(plan)
}

/// Whether a revision copies a table on SQLite.
pub(super) async fn copies(chain: &'static Chain, from: usize, to: usize) -> Result<bool, DbError> {
    let model = Model::at(chain, from).await?;
    for (_, revision) in chain.between(from, to) {
        if model.effect(revision, Dialect::Sqlite).await?.rewrites {
            return Ok(true);
        }
        model.advance(revision).await?;
    }
    Ok(false)
}

/// An in-memory SQLite database with the tables of a revision and no rows.
pub(super) struct Model(pub(super) Direct);

/// The effect of a revision on the rows of its tables.
struct Effect {
    rewrites: bool,
    locks: bool,
}

impl Model {
    /// Creates the tables of the first `reached` revisions.
    pub(super) async fn at(chain: &'static Chain, reached: usize) -> Result<Self, DbError> {
        let model = Self(Direct::in_memory()?);
        // One transaction, so that statements do not commit separately.
        model.0.batch("BEGIN").await?;
        model.steps(chain.initial).await?;
        for revision in chain.revisions().take(reached) {
            model.advance(revision).await?;
        }
        Ok(model)
    }

    async fn advance(&self, revision: &'static Revision) -> Result<(), DbError> {
        self.steps(revision.steps).await
    }

    async fn steps(&self, steps: &'static [Step]) -> Result<(), DbError> {
        let mut silent = |_| {};
        match apply::run(&self.0, steps, &mut Vec::new(), &mut Progress::new(&mut silent)).await {
            Ok(()) => Ok(()),
            Err(Failure::Db(error)) => Err(error),
            Err(Failure::Refused(reason)) => Err(DbError::Other(reason)),
        }
    }

    async fn effect(&self, revision: &'static Revision, dialect: Dialect) -> Result<Effect, DbError> {
        let mut effect = Effect { rewrites: false, locks: false };
        let created: Vec<&str> = state::created_tables(revision.steps).collect();
        for step in revision.steps {
            match *step {
                Step::Alter(table, changes) if !created.contains(&table) => {
                    effect.rewrites |= match dialect {
                        Dialect::Sqlite => sqlite::copies(&self.0, table, changes).await?,
                        Dialect::Postgres => changes.iter().any(rewrites_in_postgres),
                    };
                    effect.locks |=
                        changes.iter().any(|change| matches!(change, Change::Constrain(_) | Change::NotNull(_)));
                }
                Step::Sql(sql) => {
                    let table = table_of(sql);
                    effect.locks |= !sql.starts_with("CREATE TABLE")
                        && !sql.starts_with("ALTER TABLE")
                        && table.is_some_and(|table| !created.contains(&table));
                }
                Step::Data(data) => effect.rewrites |= data == Data::TraceAnalytics,
                _ => {}
            }
        }
        Ok(effect)
    }
}

/// PostgreSQL builds an index for a key, and scans the rows for a narrower type.
fn rewrites_in_postgres(change: &Change) -> bool {
    match change {
        Change::Constrain(clause) => clause.contains("PRIMARY KEY") || clause.contains("UNIQUE"),
        Change::Narrow(..) => true,
        _ => false,
    }
}

/// The tables that steps change, without duplicates.
fn changed_tables(steps: &'static [Step]) -> Vec<&'static str> {
    let mut tables: Vec<&'static str> = Vec::new();
    for step in steps {
        let found: Vec<&'static str> = match *step {
            Step::Sql(sql) => table_of(sql).into_iter().collect(),
            Step::AddColumns(table, _) | Step::Alter(table, _) | Step::AlterSqlite(table, _) => vec![table],
            Step::IfTable(_, steps) => changed_tables(steps),
            Step::Data(Data::TraceAnalytics) => vec!["trace_info", "spans", "assessments"],
            Step::Data(Data::IssueCategories) => vec!["issue_categories"],
            Step::Postgres(_) | Step::Sqlite(_) | Step::Refuse(_) => Vec::new(),
        };
        for table in found {
            if !tables.contains(&table) && !is_own(table) {
                tables.push(table);
            }
        }
    }
    tables
}

/// The table that a statement creates, fills or alters.
fn table_of(sql: &'static str) -> Option<&'static str> {
    let after = ["CREATE TABLE IF NOT EXISTS ", "INSERT INTO ", "UPDATE ", "DELETE FROM ", "ALTER TABLE "]
        .iter()
        .find_map(|start| sql.strip_prefix(start));
    let after = after.or_else(|| {
        let index = sql.starts_with("CREATE INDEX") || sql.starts_with("CREATE UNIQUE INDEX");
        index.then(|| sql.split_once(" ON ").map(|(_, rest)| rest)).flatten()
    });
    after?.split([' ', '\n', '(']).next()
}
