//! Quotas of experiments and workspaces. One replica counts, in the background; all read what it has found, and refuse what
//! would add to an experiment or workspace that is full. So a quota holds to within the interval of the counts, and costs a
//! write nothing.

use std::{
    collections::HashMap,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use ferroflow_model::{
    Error, ErrorCode, Result,
    quotas::{Counted, Quota, QuotaScope, Quotas},
};

use crate::{
    Scoped, Store,
    db::{Anywhere, DbError, Insert, Op, Row, Statement, Upkeep, clock::now_ms, int, text, upkeep::Quotas as Counting},
    schema::own,
    statements::statements,
    upkeep::usage,
};

/// Points by experiment of the runs in a part.
const POINTS: &str = "SELECT e.workspace, e.experiment_id, CAST(SUM(c.n) AS BIGINT) FROM \
     (SELECT run_uuid, COUNT(*) AS n FROM metrics WHERE {part} GROUP BY run_uuid) c \
     JOIN runs r ON r.run_uuid = c.run_uuid JOIN experiments e ON e.experiment_id = r.experiment_id \
     GROUP BY e.workspace, e.experiment_id";

statements! {
    static RUNS: Counting =
        "SELECT e.workspace, e.experiment_id, c.n FROM \
         (SELECT experiment_id, COUNT(*) AS n FROM runs GROUP BY experiment_id) c \
         JOIN experiments e ON e.experiment_id = c.experiment_id";
    static TRACES: Counting =
        "SELECT e.workspace, e.experiment_id, c.n FROM \
         (SELECT experiment_id, COUNT(*) AS n FROM trace_info GROUP BY experiment_id) c \
         JOIN experiments e ON e.experiment_id = c.experiment_id";
    static FOUND: Anywhere = "SELECT quota, workspace, experiment_id, value FROM ff_usage";
    static FORGET: Anywhere = "DELETE FROM ff_usage";
}

/// The id in a place of a whole workspace.
const ALL: i64 = -1;

/// An experiment or a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The quota.
    pub quota: Quota,
    /// The workspace.
    pub workspace: String,
    /// The experiment; `None` for the whole workspace.
    pub experiment: Option<i64>,
}

/// What is full, for requests.
#[derive(Default)]
pub(crate) struct Full {
    any: AtomicBool,
    /// The counted value and the limit.
    places: RwLock<HashMap<Place, (i64, i64)>>,
}

impl Store {
    /// Creates the table of what is counted, if it is missing.
    ///
    /// # Errors
    /// The database failed, or its role may not create tables.
    pub async fn prepare_usage(&self) -> Result<()> {
        Ok(own::prepare_usage(&self.db).await?)
    }

    /// Counts what quotas limit, and stores the counts that reach a limit. Replicas read these.
    ///
    /// # Errors
    /// The database failed.
    pub async fn count_for_quotas(&self, quotas: &Quotas) -> Result<()> {
        let mut counts: HashMap<Place, i64> = HashMap::new();
        for counted in [Counted::Runs, Counted::Traces, Counted::Points] {
            if !quotas.used().any(|quota| quota.counted == counted) {
                continue;
            }
            for (workspace, experiment, value) in self.count(counted).await? {
                for scope in [QuotaScope::Experiment, QuotaScope::Workspace] {
                    let experiment = (scope == QuotaScope::Experiment).then_some(experiment);
                    let place = Place { quota: Quota { scope, counted }, workspace: workspace.clone(), experiment };
                    *counts.entry(place).or_default() += value;
                }
            }
        }
        let mut found: Vec<_> = counts
            .into_iter()
            .filter(|(place, value)| quotas.lowest(place.quota).is_some_and(|limit| *value >= limit))
            .collect();
        found.sort();
        let now = now_ms();
        let rows = found.into_iter().map(|(Place { quota, workspace, experiment }, value)| {
            vec![quota.name().into(), workspace.into(), experiment.unwrap_or(ALL).into(), value.into(), now.into()]
        });
        let columns =
            &const { [text("quota"), text("workspace"), int("experiment_id"), int("value"), int("measured_at")] };
        let insert = Insert { table: "ff_usage", columns, only_if: None, on_conflict: "", rows: rows.collect() };
        self.db.unit(vec![Op::Execute(Statement::new(&FORGET, Vec::new())), Op::Insert(insert)]).await?;
        Ok(())
    }

    /// Counts by experiment, with its workspace. Points are counted in parts, each of which ends soon.
    async fn count(&self, counted: Counted) -> Result<Vec<(String, i64, i64)>, DbError> {
        let statement = match counted {
            Counted::Runs => Statement::new(&RUNS, Vec::new()),
            Counted::Traces => Statement::new(&TRACES, Vec::new()),
            Counted::Points => {
                let mut counts = Vec::new();
                for part in 0..usage::PARTS {
                    let (condition, bounds) = usage::part_of(part, 1);
                    let sql = POINTS.replace("{part}", &condition);
                    counts
                        .extend(self.db.query(Statement::unscoped(Upkeep::Quotas, sql, bounds), count_from_row).await?);
                }
                return Ok(counts);
            }
        };
        self.db.query(statement, count_from_row).await
    }

    /// Reads the counts, and refuses from now on what adds to a place over its hard limit. Returns the places that reach a
    /// limit with their counts.
    ///
    /// # Errors
    /// The database failed.
    pub async fn enforce_quotas(&self, quotas: &Quotas) -> Result<Vec<(Place, i64)>> {
        let found = self.db.query(Statement::new(&FOUND, Vec::new()), place_from_row).await?;
        // Another replica may have other limits, or know other quotas.
        let mut found: Vec<_> = found
            .into_iter()
            .flatten()
            .filter(|(place, value)| quotas.lowest(place.quota).is_some_and(|limit| value >= &limit))
            .collect();
        found.sort();
        let over_hard = |(place, value): &(Place, i64)| {
            let limit = quotas.hard.get(place.quota).filter(|limit| value >= limit)?;
            Some((place.clone(), (*value, limit)))
        };
        let full: HashMap<_, _> = found.iter().filter_map(over_hard).collect();
        self.full.any.store(!full.is_empty(), Ordering::Relaxed);
        *self.full.places.write().unwrap_or_else(PoisonError::into_inner) = full;
        Ok(found)
    }
}

impl Scoped<'_> {
    /// Checks that an experiment of this workspace, and the workspace, may have more of something.
    ///
    /// # Errors
    /// One of them is full.
    pub(crate) fn check_quota(&self, counted: &[Counted], experiment: i64) -> Result<()> {
        if !self.store.full.any.load(Ordering::Relaxed) {
            return Ok(());
        }
        let places = self.store.full.places.read().unwrap_or_else(PoisonError::into_inner);
        for counted in counted {
            for scope in [QuotaScope::Experiment, QuotaScope::Workspace] {
                let experiment = (scope == QuotaScope::Experiment).then_some(experiment);
                let quota = Quota { scope, counted: *counted };
                let place = Place { quota, workspace: self.workspace.name().to_owned(), experiment };
                if let Some((value, limit)) = places.get(&place) {
                    return Err(place.error(*value, *limit));
                }
            }
        }
        Ok(())
    }
}

impl Place {
    fn error(&self, value: i64, limit: i64) -> Error {
        let whose = match self.experiment {
            Some(id) => format!("The experiment {id}"),
            None => format!("The workspace '{}'", self.workspace),
        };
        let (what, refused) = match self.quota.counted {
            Counted::Runs => ("runs", "No run can be created in it"),
            Counted::Points => ("metric points", "No run can be created in it; its runs may still log"),
            Counted::Traces => ("traces", "No trace can be logged to it"),
        };
        Error::new(
            ErrorCode::QuotaExceeded,
            format!(
                "{whose} has {value} {what}, and its quota is {limit}. {refused} until some were deleted and purged, or an \
                 operator has raised the quota {}.",
                self.quota
            ),
        )
    }
}

fn count_from_row(row: &Row<'_>) -> Result<(String, i64, i64), DbError> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}

/// `None` for a quota of another version.
fn place_from_row(row: &Row<'_>) -> Result<Option<(Place, i64)>, DbError> {
    let Some(quota) = Quota::from_name(&row.get::<String>(0)?) else { return Ok(None) };
    let experiment = Some(row.get::<i64>(2)?).filter(|id| *id != ALL);
    Ok(Some((Place { quota, workspace: row.get(1)?, experiment }, row.get(3)?)))
}
