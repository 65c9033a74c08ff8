//! What takes the space of a database: its tables, and the workspaces, experiments, runs and models with the most rows.

pub mod sizes;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
};

use serde::Serialize;

use self::sizes::TableSize;
use crate::{
    db::{Access, BackendUri, DbError, Direct, Row, Statement, Upkeep, Value, clock::now_ms, upkeep::Backup},
    statements::statements,
    upkeep::snapshot::SnapshotError,
};

/// Number of parts in which the runs are read, by the first two digits of their ids, which are random.
pub(crate) const PARTS: u16 = 256;

/// The rows of each run of a part. `{part}` is the condition on its id.
const OF_RUNS: &str = "SELECT r.run_uuid, r.name, r.experiment_id, \
     CASE WHEN r.lifecycle_stage <> 'deleted' THEN 0 WHEN r.deleted_time <= $1 THEN 2 ELSE 1 END, \
     CAST(COALESCE(m.n, 0) AS BIGINT), CAST(COALESCE(l.n, 0) AS BIGINT), CAST(COALESCE(p.n, 0) AS BIGINT), \
     CAST(COALESCE(t.n, 0) AS BIGINT) FROM runs r \
     LEFT JOIN (SELECT run_uuid, COUNT(*) AS n FROM metrics WHERE {part} GROUP BY run_uuid) m ON m.run_uuid = r.run_uuid \
     LEFT JOIN (SELECT run_uuid, COUNT(*) AS n FROM latest_metrics WHERE {part} GROUP BY run_uuid) l \
     ON l.run_uuid = r.run_uuid \
     LEFT JOIN (SELECT run_uuid, COUNT(*) AS n FROM params WHERE {part} GROUP BY run_uuid) p ON p.run_uuid = r.run_uuid \
     LEFT JOIN (SELECT run_uuid, COUNT(*) AS n FROM tags WHERE {part} GROUP BY run_uuid) t ON t.run_uuid = r.run_uuid \
     WHERE {part of r}";

/// Number of columns in front of the counts of [`OF_RUNS`].
const COUNTS: usize = 4;

statements! {
    static EXPERIMENTS: Backup =
        "SELECT experiment_id, name, workspace, lifecycle_stage FROM experiments";
    static RUNS: Backup = "SELECT experiment_id, COUNT(*), 0 FROM runs GROUP BY experiment_id";
    static LOGGED_MODELS: Backup =
        "SELECT experiment_id, COUNT(*), SUM(CASE WHEN lifecycle_stage = 'deleted' THEN 1 ELSE 0 END) \
         FROM logged_models GROUP BY experiment_id";
    static TRACES: Backup =
        "SELECT experiment_id, COUNT(*), SUM(CASE WHEN timestamp_ms < $1 THEN 1 ELSE 0 END) \
         FROM trace_info GROUP BY experiment_id";
    static SPANS: Backup =
        "SELECT experiment_id, COUNT(*), SUM(CASE WHEN start_time_unix_nano < $1 THEN 1 ELSE 0 END) \
         FROM spans GROUP BY experiment_id";
    static MODELS: Backup =
        "SELECT m.workspace, m.name, COUNT(v.version) FROM registered_models m \
         LEFT JOIN model_versions v ON v.workspace = m.workspace AND v.name = m.name GROUP BY m.workspace, m.name";
}

/// What to count.
#[derive(Debug, Clone, Copy)]
pub struct UsageOptions {
    /// Number of the largest experiments, runs and models.
    pub top: usize,
    /// Age of what retention would free, in milliseconds.
    pub older_than_ms: i64,
    /// Whether the rows of runs are not counted: of a large database that takes minutes.
    pub quick: bool,
}

/// Rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Rows {
    /// Runs, deleted ones too.
    pub runs: i64,
    /// Metric points.
    pub points: i64,
    /// Latest metrics: one for each metric of a run.
    pub metrics: i64,
    /// Params.
    pub params: i64,
    /// Tags of runs.
    pub tags: i64,
    /// Logged models.
    pub logged_models: i64,
    /// Traces.
    pub traces: i64,
    /// Spans in the database: not those that are archived.
    pub spans: i64,
    /// Bytes that these take, estimated by the average row of each table with its indexes.
    pub bytes: i64,
}

impl Rows {
    fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        self.points += other.points;
        self.metrics += other.metrics;
        self.params += other.params;
        self.tags += other.tags;
        self.logged_models += other.logged_models;
        self.traces += other.traces;
        self.spans += other.spans;
        self.bytes += other.bytes;
    }

    /// Each number with its table.
    fn by_table(&self) -> [(&'static str, i64); 8] {
        [
            ("runs", self.runs),
            ("metrics", self.points),
            ("latest_metrics", self.metrics),
            ("params", self.params),
            ("tags", self.tags),
            ("logged_models", self.logged_models),
            ("trace_info", self.traces),
            ("spans", self.spans),
        ]
    }
}

/// An experiment with its rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExperimentUsage {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Its workspace.
    pub workspace: String,
    /// Whether it is marked as deleted.
    pub is_deleted: bool,
    /// Its rows.
    #[serde(flatten)]
    pub rows: Rows,
}

/// A run with its rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunUsage {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: Option<String>,
    /// Its experiment.
    pub experiment: i64,
    /// Its rows.
    #[serde(flatten)]
    pub rows: Rows,
}

/// A registered model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelUsage {
    /// Its workspace.
    pub workspace: String,
    /// Its name.
    pub name: String,
    /// Number of its versions.
    pub versions: i64,
}

/// What retention would free.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Freed {
    /// Runs that are marked as deleted, with their rows: `gc`.
    pub deleted: Rows,
    /// Those that were deleted before the age: `gc --older-than`.
    pub deleted_long_ago: Rows,
    /// Traces that began before the age, and their spans in the database, which trace archival moves.
    pub old_traces: Rows,
}

/// The usage of a database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Its size in bytes.
    pub bytes: i64,
    /// The tables, largest first.
    pub tables: Vec<TableSize>,
    /// All rows.
    pub total: Rows,
    /// Rows by workspace.
    pub workspaces: BTreeMap<String, Rows>,
    /// The largest experiments.
    pub experiments: Vec<ExperimentUsage>,
    /// The runs with the most points; none with [`UsageOptions::quick`].
    pub runs: Vec<RunUsage>,
    /// The registered models with the most versions.
    pub models: Vec<ModelUsage>,
    /// Number of registered models, and of their versions.
    pub registered: (i64, i64),
    /// What retention would free.
    pub freed: Freed,
}

/// Counts the rows of a tracking database at a head. `progress` is told how many of how many parts are done.
///
/// # Errors
/// The database cannot be read.
pub async fn usage(
    uri: &BackendUri,
    options: UsageOptions,
    mut progress: impl FnMut(u64, u64),
) -> Result<Usage, SnapshotError> {
    let direct = Direct::open(uri, Access::Inspect).await?;
    let (bytes, mut tables) = sizes::tables(&direct).await?;
    let before = now_ms().saturating_sub(options.older_than_ms);
    let mut count = Count { before, top: options.top, ..Count::default() };
    count.read_experiments(&direct).await?;
    if !options.quick {
        for part in 0..PARTS {
            progress(part.into(), PARTS.into());
            count.read_runs(&direct, part).await?;
        }
        progress(PARTS.into(), PARTS.into());
    }
    let models = direct.query(Statement::new(&MODELS, Vec::new()), model_from_row).await?;
    Ok(count.finish(bytes, &mut tables, models))
}

/// The condition that a run is in a part, and its parameters from `first` on: the parts cover all ids, in whatever order the database has them.
pub(crate) fn part_of(part: u16, first: usize) -> (String, Vec<Value>) {
    let bound = |part: u16| format!("{part:02x}");
    match part {
        0 => (format!("run_uuid < ${first}"), vec![bound(1).into()]),
        _ if part + 1 == PARTS => (format!("run_uuid >= ${first}"), vec![bound(part).into()]),
        _ => (
            format!("run_uuid >= ${first} AND run_uuid < ${}", first + 1),
            vec![bound(part).into(), bound(part + 1).into()],
        ),
    }
}

/// The counts so far.
#[derive(Default)]
struct Count {
    /// The time before which something is old, in milliseconds since 1970.
    before: i64,
    top: usize,
    experiments: HashMap<i64, ExperimentUsage>,
    runs: Vec<RunUsage>,
    freed: Freed,
}

impl Count {
    /// Reads what has an index by experiment.
    async fn read_experiments(&mut self, direct: &Direct) -> Result<(), DbError> {
        let found = direct.query(Statement::new(&EXPERIMENTS, Vec::new()), experiment_from_row).await?;
        self.experiments = found.into_iter().map(|experiment| (experiment.id, experiment)).collect();
        for (id, count, _) in counts(direct, Statement::new(&RUNS, Vec::new())).await? {
            self.rows(id).runs += count;
        }
        for (id, count, deleted) in counts(direct, Statement::new(&LOGGED_MODELS, Vec::new())).await? {
            self.rows(id).logged_models += count;
            self.freed.deleted.logged_models += deleted;
        }
        for (id, count, old) in counts(direct, Statement::new(&TRACES, vec![self.before.into()])).await? {
            self.rows(id).traces += count;
            self.freed.old_traces.traces += old;
        }
        let nanoseconds = self.before.saturating_mul(1_000_000);
        for (id, count, old) in counts(direct, Statement::new(&SPANS, vec![nanoseconds.into()])).await? {
            self.rows(id).spans += count;
            self.freed.old_traces.spans += old;
        }
        Ok(())
    }

    /// Reads the runs of a part.
    async fn read_runs(&mut self, direct: &Direct, part: u16) -> Result<(), DbError> {
        let (condition, bounds) = part_of(part, 2);
        let sql =
            OF_RUNS.replace("{part of r}", &condition.replace("run_uuid", "r.run_uuid")).replace("{part}", &condition);
        let params = [self.before.into()].into_iter().chain(bounds).collect();
        for (run, deleted) in direct.query(Statement::unscoped(Upkeep::Backup, sql, params), run_from_row).await? {
            // The runs themselves are counted by experiment.
            self.rows(run.experiment).add(&Rows { runs: 0, ..run.rows });
            if deleted > 0 {
                self.freed.deleted.add(&run.rows);
            }
            if deleted > 1 {
                self.freed.deleted_long_ago.add(&run.rows);
            }
            self.runs.push(run);
        }
        self.runs.sort_by_cached_key(|run| (Reverse(run.rows.points), run.id.clone()));
        self.runs.truncate(self.top);
        Ok(())
    }

    /// The rows of an experiment. One that was created since the experiments were read has no name yet.
    fn rows(&mut self, id: i64) -> &mut Rows {
        let unknown = || ExperimentUsage {
            id,
            name: String::new(),
            workspace: String::new(),
            is_deleted: false,
            rows: Rows::default(),
        };
        &mut self.experiments.entry(id).or_insert_with(unknown).rows
    }

    fn finish(self, bytes: i64, tables: &mut [TableSize], mut models: Vec<ModelUsage>) -> Usage {
        let Self { top, experiments, mut runs, mut freed, .. } = self;
        let mut experiments: Vec<_> = experiments.into_values().collect();
        let mut total = Rows::default();
        for experiment in &experiments {
            total.add(&experiment.rows);
        }
        let averages = sizes::averages(tables, &total.by_table());
        let of = |rows: &Rows| sizes::bytes(&averages, &rows.by_table());
        for rows in [&mut total, &mut freed.deleted, &mut freed.deleted_long_ago, &mut freed.old_traces] {
            rows.bytes = of(rows);
        }
        let mut workspaces: BTreeMap<String, Rows> = BTreeMap::new();
        for experiment in &mut experiments {
            experiment.rows.bytes = of(&experiment.rows);
            workspaces.entry(experiment.workspace.clone()).or_default().add(&experiment.rows);
        }
        for run in &mut runs {
            run.rows.bytes = of(&run.rows);
        }
        experiments
            .sort_by_key(|experiment| (Reverse(experiment.rows.bytes), Reverse(experiment.rows.runs), experiment.id));
        experiments.truncate(top);
        let registered = (len(&models), models.iter().map(|model| model.versions).sum());
        models.sort_by(|a, b| (b.versions, &a.workspace, &a.name).cmp(&(a.versions, &b.workspace, &b.name)));
        models.truncate(top);
        let tables = tables.to_vec();
        Usage { bytes, tables, total, workspaces, experiments, runs, models, registered, freed }
    }
}

fn len<T>(list: &[T]) -> i64 {
    i64::try_from(list.len()).unwrap_or(i64::MAX)
}

/// Counts by experiment: all, and those of interest.
async fn counts(direct: &Direct, statement: Statement) -> Result<Vec<(i64, i64, i64)>, DbError> {
    direct.query(statement, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).await
}

fn experiment_from_row(row: &Row<'_>) -> Result<ExperimentUsage, DbError> {
    let is_deleted = row.get::<Option<String>>(3)?.is_some_and(|stage| stage == "deleted");
    Ok(ExperimentUsage {
        id: row.get(0)?,
        name: row.get(1)?,
        workspace: row.get(2)?,
        is_deleted,
        rows: Rows::default(),
    })
}

/// A run with its rows, and whether it is deleted: 0 no, 1 yes, 2 long ago.
fn run_from_row(row: &Row<'_>) -> Result<(RunUsage, i64), DbError> {
    let rows = Rows {
        runs: 1,
        points: row.get(COUNTS)?,
        metrics: row.get(COUNTS + 1)?,
        params: row.get(COUNTS + 2)?,
        tags: row.get(COUNTS + 3)?,
        ..Rows::default()
    };
    Ok((RunUsage { id: row.get(0)?, name: row.get(1)?, experiment: row.get(2)?, rows }, row.get(3)?))
}

fn model_from_row(row: &Row<'_>) -> Result<ModelUsage, DbError> {
    Ok(ModelUsage { workspace: row.get(0)?, name: row.get(1)?, versions: row.get(2)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_ends_where_the_next_one_begins() {
        let parts: Vec<_> = (0..PARTS).map(|part| part_of(part, 3)).collect();
        assert_eq!(parts[0].0, "run_uuid < $3");
        assert_eq!(parts[7].0, "run_uuid >= $3 AND run_uuid < $4");
        assert_eq!(parts[255].0, "run_uuid >= $3");
        for (number, (one, next)) in parts.iter().zip(&parts[1..]).enumerate() {
            assert_eq!(one.1.last(), next.1.first(), "{number}");
        }
    }
}
