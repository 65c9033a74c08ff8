//! Deletes a workspace: alone, with what is in it, or after moving that to the default workspace.
//!
//! The row of the workspace is locked first. Transactions that create something in a workspace hold a share of that lock
//! (`Scoped::keep`), so that nothing is left in a workspace without a row.

use ferroflow_model::{Error, Result, python};

use crate::{
    Store,
    db::{Anywhere, Db, DbError, Row, Sql, Statement, Tx},
    statements::statements,
    workspace::Workspace,
    workspaces::{is_default, no_workspace, skills::Skills},
};

/// What happens to the resources of a workspace that is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeletionMode {
    /// They move to the default workspace.
    SetDefault,
    /// They are deleted.
    Cascade,
    /// If there are any, the workspace is not deleted.
    Restrict,
}

/// The tables whose rows are resources of a workspace, in the order in which the reference reports them.
pub(crate) const RESOURCES: [&str; 11] = [
    "registered_models",
    "experiments",
    "evaluation_datasets",
    "webhooks",
    "secrets",
    "endpoints",
    "model_definitions",
    "budget_policies",
    "guardrails",
    "jobs",
    "mcp_servers",
];

/// Maximum number of conflicts in a message.
const MAX_CONFLICTS: usize = 1000;

/// The experiments, runs, logged models, traces and so on of the workspace.
const EXPERIMENTS: &str = "SELECT e.experiment_id FROM experiments e WHERE {ws:e}";
const RUNS: &str = "SELECT r.run_uuid FROM runs r JOIN experiments e ON e.experiment_id = r.experiment_id WHERE {ws:e}";
const MODELS: &str =
    "SELECT m.model_id FROM logged_models m JOIN experiments e ON e.experiment_id = m.experiment_id WHERE {ws:e}";
const TRACES: &str =
    "SELECT t.request_id FROM trace_info t JOIN experiments e ON e.experiment_id = t.experiment_id WHERE {ws:e}";
const DATASETS: &str = "SELECT d.dataset_id FROM evaluation_datasets d WHERE {ws:d}";
const WEBHOOKS: &str = "SELECT w.webhook_id FROM webhooks w WHERE {ws:w}";

statements! {
    static LOCK: Anywhere = "SELECT 1 FROM workspaces WHERE name = $1 {FOR UPDATE}";
    static DELETE: Anywhere = "DELETE FROM workspaces WHERE name = $1";
    /// A workspace may be larger than what the statements of a request have time for.
    static NO_TIMEOUT: Anywhere = "SELECT {postgres:set_config('statement_timeout', '0', TRUE)}{sqlite:1}";

    /// Columns in the order of [`RESOURCES`]. Nothing deletes the row of a deleted webhook.
    static COUNTS: Workspace =
        "SELECT (SELECT count(*) FROM registered_models a WHERE {ws:a}), \
         (SELECT count(*) FROM experiments b WHERE {ws:b}), \
         (SELECT count(*) FROM evaluation_datasets c WHERE {ws:c}), \
         (SELECT count(*) FROM webhooks d WHERE {ws:d} AND d.deleted_timestamp IS NULL), \
         (SELECT count(*) FROM secrets e WHERE {ws:e}), \
         (SELECT count(*) FROM endpoints f WHERE {ws:f}), \
         (SELECT count(*) FROM model_definitions g WHERE {ws:g}), \
         (SELECT count(*) FROM budget_policies h WHERE {ws:h}), \
         (SELECT count(*) FROM guardrails i WHERE {ws:i}), \
         (SELECT count(*) FROM jobs j WHERE {ws:j}), \
         (SELECT count(*) FROM mcp_servers k WHERE {ws:k})";

    /// Names that the default workspace has too, by table.
    static CONFLICTS: Workspace =
        "SELECT place, name FROM (\
         SELECT 0 AS place, a.name FROM registered_models a WHERE {ws:a} AND EXISTS \
         (SELECT 1 FROM registered_models o WHERE o.workspace = 'default' AND o.name = a.name) \
         UNION ALL SELECT 1, a.name FROM experiments a WHERE {ws:a} AND EXISTS \
         (SELECT 1 FROM experiments o WHERE o.workspace = 'default' AND o.name = a.name) \
         UNION ALL SELECT 2, a.name FROM evaluation_datasets a WHERE {ws:a} AND EXISTS \
         (SELECT 1 FROM evaluation_datasets o WHERE o.workspace = 'default' AND o.name = a.name) \
         UNION ALL SELECT 3, a.name FROM webhooks a WHERE {ws:a} AND EXISTS \
         (SELECT 1 FROM webhooks o WHERE o.workspace = 'default' AND o.name = a.name) \
         UNION ALL SELECT 4, a.secret_name FROM secrets a WHERE {ws:a} AND EXISTS \
         (SELECT 1 FROM secrets o WHERE o.workspace = 'default' AND o.secret_name = a.secret_name) \
         UNION ALL SELECT 5, a.name FROM endpoints a WHERE {ws:a} AND EXISTS \
         (SELECT 1 FROM endpoints o WHERE o.workspace = 'default' AND o.name = a.name) \
         UNION ALL SELECT 6, a.name FROM model_definitions a WHERE {ws:a} AND EXISTS \
         (SELECT 1 FROM model_definitions o WHERE o.workspace = 'default' AND o.name = a.name) \
         UNION ALL SELECT 8, a.name FROM guardrails a WHERE {ws:a} AND EXISTS \
         (SELECT 1 FROM guardrails o WHERE o.workspace = 'default' AND o.name = a.name) \
         UNION ALL SELECT 10, a.name FROM mcp_servers a WHERE {ws:a} AND EXISTS \
         (SELECT 1 FROM mcp_servers o WHERE o.workspace = 'default' AND o.name = a.name)\
         ) AS taken ORDER BY place, name LIMIT $1";

    /// Foreign keys update the rows of models, versions and servers.
    static MOVE_MODELS: Workspace = "UPDATE registered_models AS a SET workspace = 'default' WHERE {ws:a}";
    static MOVE_EXPERIMENTS: Workspace = "UPDATE experiments AS a SET workspace = 'default' WHERE {ws:a}";
    static MOVE_DATASETS: Workspace = "UPDATE evaluation_datasets AS a SET workspace = 'default' WHERE {ws:a}";
    static MOVE_WEBHOOKS: Workspace = "UPDATE webhooks AS a SET workspace = 'default' WHERE {ws:a}";
    static MOVE_SECRETS: Workspace = "UPDATE secrets AS a SET workspace = 'default' WHERE {ws:a}";
    static MOVE_ENDPOINTS: Workspace = "UPDATE endpoints AS a SET workspace = 'default' WHERE {ws:a}";
    static MOVE_DEFINITIONS: Workspace = "UPDATE model_definitions AS a SET workspace = 'default' WHERE {ws:a}";
    static MOVE_BUDGETS: Workspace = "UPDATE budget_policies AS a SET workspace = 'default' WHERE {ws:a}";
    static MOVE_GUARDRAILS: Workspace = "UPDATE guardrails AS a SET workspace = 'default' WHERE {ws:a}";
    static MOVE_GUARDRAIL_CONFIGS: Workspace = "UPDATE guardrail_configs AS a SET workspace = 'default' WHERE {ws:a}";
    static MOVE_JOBS: Workspace = "UPDATE jobs AS a SET workspace = 'default' WHERE {ws:a}";
    static MOVE_MCP_SERVERS: Workspace = "UPDATE mcp_servers AS a SET workspace = 'default' WHERE {ws:a}";

    /// Rows that transactions add children to: these wait, and fail when the rows are gone.
    static LOCK_EXPERIMENTS: Workspace =
        "SELECT count(*) FROM (", EXPERIMENTS, "{postgres: ORDER BY e.experiment_id FOR UPDATE OF e}) AS locked";
    static LOCK_RUNS: Workspace =
        "SELECT count(*) FROM (", RUNS, "{postgres: ORDER BY r.run_uuid FOR UPDATE OF r}) AS locked";
    static LOCK_LOGGED_MODELS: Workspace =
        "SELECT count(*) FROM (", MODELS, "{postgres: ORDER BY m.model_id FOR UPDATE OF m}) AS locked";
    static LOCK_TRACES: Workspace =
        "SELECT count(*) FROM (", TRACES, "{postgres: ORDER BY t.request_id FOR UPDATE OF t}) AS locked";
    static LOCK_DATASETS: Workspace =
        "SELECT count(*) FROM (", DATASETS, "{postgres: ORDER BY d.dataset_id FOR UPDATE OF d}) AS locked";
    static LOCK_WEBHOOKS: Workspace =
        "SELECT count(*) FROM (", WEBHOOKS, "{postgres: ORDER BY w.webhook_id FOR UPDATE OF w}) AS locked";
    static LOCK_REGISTERED_MODELS: Workspace =
        "SELECT count(*) FROM (SELECT m.name FROM registered_models m WHERE {ws:m} \
         {postgres:ORDER BY m.name FOR UPDATE OF m}) AS locked";

    static DELETE_REBUILDS: Workspace =
        "DELETE FROM sql_trace_rollup_rebuild_queue WHERE experiment_id IN (", EXPERIMENTS, ")";
    static DELETE_TRACE_ROLLUPS: Workspace =
        "DELETE FROM sql_trace_metric_daily_rollups WHERE experiment_id IN (", EXPERIMENTS, ")";
    static DELETE_COST_ROLLUPS: Workspace =
        "DELETE FROM sql_span_cost_daily_rollups WHERE experiment_id IN (", EXPERIMENTS, ")";
    static DELETE_ASSESSMENT_ROLLUPS: Workspace =
        "DELETE FROM sql_assessment_daily_rollups WHERE experiment_id IN (", EXPERIMENTS, ")";

    static DELETE_DELIVERIES: Workspace =
        "DELETE FROM ff_webhook_deliveries WHERE webhook_id IN (", WEBHOOKS, ")";
    static DELETE_WEBHOOKS: Workspace = "DELETE FROM webhooks AS a WHERE {ws:a}";
    static DELETE_DELETED_WEBHOOKS: Workspace =
        "DELETE FROM webhooks AS a WHERE {ws:a} AND a.deleted_timestamp IS NOT NULL";

    static DELETE_VERSION_TAGS: Workspace = "DELETE FROM model_version_tags AS a WHERE {ws:a}";
    static DELETE_VERSIONS: Workspace = "DELETE FROM model_versions AS a WHERE {ws:a}";
    static DELETE_ALIASES: Workspace = "DELETE FROM registered_model_aliases AS a WHERE {ws:a}";
    static DELETE_MODEL_TAGS: Workspace = "DELETE FROM registered_model_tags AS a WHERE {ws:a}";
    static DELETE_REGISTERED_MODELS: Workspace = "DELETE FROM registered_models AS a WHERE {ws:a}";

    /// Other rows of the gateway are deleted with these by foreign keys.
    static DELETE_GUARDRAIL_CONFIGS: Workspace = "DELETE FROM guardrail_configs AS a WHERE {ws:a}";
    static DELETE_GUARDRAILS: Workspace = "DELETE FROM guardrails AS a WHERE {ws:a}";
    static DELETE_ENDPOINTS: Workspace = "DELETE FROM endpoints AS a WHERE {ws:a}";
    static DELETE_DEFINITIONS: Workspace = "DELETE FROM model_definitions AS a WHERE {ws:a}";
    static DELETE_SECRETS: Workspace = "DELETE FROM secrets AS a WHERE {ws:a}";
    static DELETE_BUDGETS: Workspace = "DELETE FROM budget_policies AS a WHERE {ws:a}";
    static DELETE_JOBS: Workspace = "DELETE FROM jobs AS a WHERE {ws:a}";
    static DELETE_MCP_SERVERS: Workspace = "DELETE FROM mcp_servers AS a WHERE {ws:a}";

    static DELETE_TRACE_LINKS: Workspace =
        "DELETE FROM entity_associations WHERE source_type = 'trace' AND source_id IN (", TRACES, ")";
    static DELETE_LINKS_TO_TRACES: Workspace =
        "DELETE FROM entity_associations WHERE destination_type = 'trace' AND destination_id IN (", TRACES, ")";
    static DELETE_RUN_LINKS: Workspace =
        "DELETE FROM entity_associations WHERE source_type = 'run' AND source_id IN (", RUNS, ")";
    static DELETE_LINKS_TO_RUNS: Workspace =
        "DELETE FROM entity_associations WHERE destination_type = 'run' AND destination_id IN (", RUNS, ")";
    static DELETE_DATASET_LINKS: Workspace =
        "DELETE FROM entity_associations WHERE source_type = 'evaluation_dataset' AND source_id IN (", DATASETS, ")";
    static DELETE_LINKS_TO_DATASETS: Workspace =
        "DELETE FROM entity_associations WHERE destination_type = 'evaluation_dataset' AND destination_id IN (",
        DATASETS, ")";
    static DELETE_EXPERIMENT_LINKS: Workspace =
        "DELETE FROM entity_associations WHERE source_type = 'experiment' AND source_id IN \
         (SELECT CAST(e.experiment_id AS VARCHAR(20)) FROM experiments e WHERE {ws:e})";
    static DELETE_LINKS_TO_EXPERIMENTS: Workspace =
        "DELETE FROM entity_associations WHERE destination_type = 'experiment' AND destination_id IN \
         (SELECT CAST(e.experiment_id AS VARCHAR(20)) FROM experiments e WHERE {ws:e})";
    static DELETE_DATASETS: Workspace = "DELETE FROM evaluation_datasets AS a WHERE {ws:a}";

    static DELETE_BINDINGS: Workspace =
        "DELETE FROM endpoint_bindings WHERE resource_type = 'scorer' AND resource_id IN (SELECT s.scorer_id \
         FROM scorers s JOIN experiments e ON e.experiment_id = s.experiment_id WHERE {ws:e})";
    static DELETE_REVIEWS: Workspace =
        "DELETE FROM review_queue_items WHERE item_type = 'trace' AND item_id IN (", TRACES, ")";
    static DELETE_TRACES: Workspace = "DELETE FROM trace_info WHERE experiment_id IN (", EXPERIMENTS, ")";

    static DELETE_METRICS: Workspace = "DELETE FROM metrics WHERE run_uuid IN (", RUNS, ")";
    static DELETE_LATEST_METRICS: Workspace = "DELETE FROM latest_metrics WHERE run_uuid IN (", RUNS, ")";
    static DELETE_PARAMS: Workspace = "DELETE FROM params WHERE run_uuid IN (", RUNS, ")";
    static DELETE_TAGS: Workspace = "DELETE FROM tags WHERE run_uuid IN (", RUNS, ")";
    static DELETE_INPUT_TAGS: Workspace =
        "DELETE FROM input_tags WHERE input_uuid IN (SELECT i.input_uuid FROM inputs i \
         WHERE i.destination_type = 'RUN' AND i.destination_id IN (", RUNS, "))";
    static DELETE_INPUTS: Workspace =
        "DELETE FROM inputs WHERE destination_type = 'RUN' AND destination_id IN (", RUNS, ")";
    static DELETE_MODEL_INPUTS: Workspace =
        "DELETE FROM inputs WHERE source_type = 'RUN_INPUT' AND source_id IN (", RUNS, ")";
    static DELETE_MODEL_OUTPUTS: Workspace =
        "DELETE FROM inputs WHERE source_type = 'RUN_OUTPUT' AND source_id IN (", RUNS, ")";
    static DELETE_USES_AS_INPUT: Workspace =
        "DELETE FROM inputs WHERE destination_type = 'MODEL_INPUT' AND destination_id IN (", MODELS, ")";
    static DELETE_USES_AS_OUTPUT: Workspace =
        "DELETE FROM inputs WHERE destination_type = 'MODEL_OUTPUT' AND destination_id IN (", MODELS, ")";
    static DELETE_LOGGED_MODELS: Workspace =
        "DELETE FROM logged_models WHERE experiment_id IN (", EXPERIMENTS, ")";
    static DELETE_RUNS: Workspace = "DELETE FROM runs WHERE experiment_id IN (", EXPERIMENTS, ")";

    static DELETE_SCORING: Workspace =
        "DELETE FROM online_scoring_configs WHERE experiment_id IN (", EXPERIMENTS, ")";
    static DELETE_EXPERIMENT_TAGS: Workspace =
        "DELETE FROM experiment_tags WHERE experiment_id IN (", EXPERIMENTS, ")";
    /// Run inputs, issues, label schemas, review queues and scorers are deleted with it by foreign keys.
    static DELETE_EXPERIMENTS: Workspace = "DELETE FROM experiments AS e WHERE {ws:e}";
}

static MOVES: [&Sql<Workspace>; 12] = [
    &MOVE_MODELS,
    &MOVE_EXPERIMENTS,
    &MOVE_DATASETS,
    &MOVE_WEBHOOKS,
    &MOVE_SECRETS,
    &MOVE_ENDPOINTS,
    &MOVE_DEFINITIONS,
    &MOVE_BUDGETS,
    &MOVE_GUARDRAILS,
    &MOVE_GUARDRAIL_CONFIGS,
    &MOVE_JOBS,
    &MOVE_MCP_SERVERS,
];

/// The queue of rollups is locked before traces, as by all their writers.
static LOCKS: [&Sql<Workspace>; 7] = [
    &LOCK_EXPERIMENTS,
    &LOCK_RUNS,
    &LOCK_LOGGED_MODELS,
    &LOCK_REGISTERED_MODELS,
    &LOCK_DATASETS,
    &LOCK_WEBHOOKS,
    &LOCK_TRACES,
];

/// All rows of a workspace, in the order of the foreign keys.
static ROWS: [&Sql<Workspace>; 45] = [
    &DELETE_WEBHOOKS,
    &DELETE_VERSION_TAGS,
    &DELETE_VERSIONS,
    &DELETE_ALIASES,
    &DELETE_MODEL_TAGS,
    &DELETE_REGISTERED_MODELS,
    &DELETE_GUARDRAIL_CONFIGS,
    &DELETE_GUARDRAILS,
    &DELETE_ENDPOINTS,
    &DELETE_DEFINITIONS,
    &DELETE_SECRETS,
    &DELETE_BUDGETS,
    &DELETE_JOBS,
    &DELETE_MCP_SERVERS,
    &DELETE_TRACE_LINKS,
    &DELETE_LINKS_TO_TRACES,
    &DELETE_RUN_LINKS,
    &DELETE_LINKS_TO_RUNS,
    &DELETE_DATASET_LINKS,
    &DELETE_LINKS_TO_DATASETS,
    &DELETE_EXPERIMENT_LINKS,
    &DELETE_LINKS_TO_EXPERIMENTS,
    &DELETE_DATASETS,
    &DELETE_BINDINGS,
    &DELETE_REVIEWS,
    &DELETE_TRACES,
    &DELETE_METRICS,
    &DELETE_LATEST_METRICS,
    &DELETE_PARAMS,
    &DELETE_TAGS,
    &DELETE_INPUT_TAGS,
    &DELETE_INPUTS,
    &DELETE_MODEL_INPUTS,
    &DELETE_MODEL_OUTPUTS,
    &DELETE_USES_AS_INPUT,
    &DELETE_USES_AS_OUTPUT,
    &DELETE_LOGGED_MODELS,
    &DELETE_RUNS,
    // Builders and writers may have added some before the traces were locked.
    &DELETE_REBUILDS,
    &DELETE_TRACE_ROLLUPS,
    &DELETE_COST_ROLLUPS,
    &DELETE_ASSESSMENT_ROLLUPS,
    &DELETE_SCORING,
    &DELETE_EXPERIMENT_TAGS,
    &DELETE_EXPERIMENTS,
];

impl Store {
    /// Deletes a workspace, in one transaction; where workspaces have a database of their own, in one of each, of which the
    /// last deletes the row. There, what is left of a workspace without a row is deleted too.
    ///
    /// # Errors
    /// It does not exist or is the default one, it has resources that may not be deleted, or names that the default
    /// workspace has too.
    pub async fn delete_workspace(&self, name: &str, mode: DeletionMode) -> Result<()> {
        if is_default(name) {
            return Err(Error::invalid_state("Cannot delete the reserved 'default' workspace"));
        }
        let outcome = match &self.workspace_db {
            None => self.delete_with_row(name, mode).await,
            Some(workspaces) => Box::pin(self.delete_apart(workspaces, name, mode)).await,
        };
        self.known_workspaces.remove(name);
        outcome
    }

    async fn delete_with_row(&self, name: &str, mode: DeletionMode) -> Result<()> {
        let workspace = &Workspace::found(name);
        let outcome = self
            .db
            .transact(|tx| async move {
                if !lock(&tx, name).await? {
                    return Err(Failure::Refused(no_workspace(name)));
                }
                self.empty(&tx, workspace, mode).await?;
                tx.execute(Statement::new(&DELETE, vec![name.into()])).await?;
                Ok(())
            })
            .await;
        outcome.map_err(|failure| failure.of(name))
    }

    async fn delete_apart(&self, workspaces: &Db, name: &str, mode: DeletionMode) -> Result<()> {
        let workspace = &Workspace::found(name);
        workspaces
            .transaction_once(|held| async move {
                if !lock(&held, name).await? && self.resources(name).await?.is_none() {
                    return Err(no_workspace(name));
                }
                let emptied = self.db.transact(|tx| async move { self.empty(&tx, workspace, mode).await }).await;
                emptied.map_err(|failure: Failure| failure.of(name))?;
                held.execute(Statement::new(&DELETE, vec![name.into()])).await?;
                Ok(())
            })
            .await
    }

    /// Deletes or moves what is in a workspace, or refuses to.
    async fn empty(&self, tx: &Tx, workspace: &Workspace, mode: DeletionMode) -> Result<(), Failure> {
        tx.query(Statement::new(&NO_TIMEOUT, Vec::new()), |_| Ok(())).await?;
        match mode {
            DeletionMode::Restrict => restrict(tx, workspace).await,
            DeletionMode::SetDefault => move_to_default(tx, workspace).await,
            DeletionMode::Cascade => Ok(self.delete_rows(tx, workspace).await?),
        }
    }

    /// Deletes everything in a workspace.
    async fn delete_rows(&self, tx: &Tx, workspace: &Workspace) -> Result<(), DbError> {
        tx.execute(Statement::within(workspace, &DELETE_REBUILDS, Vec::new())).await?;
        for lock in LOCKS {
            tx.query(Statement::within(workspace, lock, Vec::new()), |_| Ok(())).await?;
        }
        if self.outbox.is_ready() {
            tx.execute(Statement::within(workspace, &DELETE_DELIVERIES, Vec::new())).await?;
        }
        if let Some(skills) = Skills::of(tx).await? {
            skills.delete(workspace).await?;
        }
        run_all(tx, workspace, &ROWS).await
    }
}

/// Why a workspace is not deleted.
enum Failure {
    Refused(Error),
    Db(DbError),
}

impl Failure {
    /// The error for the client.
    fn of(self, name: &str) -> Error {
        match self {
            Self::Refused(error) => error,
            Self::Db(DbError::Unique(_)) => Error::invalid_state(format!(
                "Cannot delete workspace '{name}': resources in this workspace conflict with existing resources in the \
                 'default' workspace. Resolve naming conflicts before deleting."
            )),
            Self::Db(DbError::ForeignKey(_)) => Error::invalid_state(format!(
                "Cannot delete workspace '{name}': deletion failed due to database integrity constraints. This often \
                 indicates that related resources still reference this workspace."
            )),
            Self::Db(error) => error.into(),
        }
    }
}

impl From<DbError> for Failure {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

/// Locks the row of a workspace, if there is one.
async fn lock(tx: &Tx, name: &str) -> Result<bool, DbError> {
    Ok(tx.query_opt(Statement::new(&LOCK, vec![name.into()]), |_| Ok(())).await?.is_some())
}

async fn restrict(tx: &Tx, workspace: &Workspace) -> Result<(), Failure> {
    tx.execute(Statement::within(workspace, &DELETE_DELETED_WEBHOOKS, Vec::new())).await?;
    match resources(tx, workspace).await? {
        None => Ok(()),
        Some((table, count)) => Err(still_there(workspace, table, count)),
    }
}

/// The first table with resources of a workspace, and how many.
pub(super) async fn resources(tx: &Tx, workspace: &Workspace) -> Result<Option<(&'static str, i64)>, DbError> {
    let read = |row: &Row<'_>| (0..RESOURCES.len()).map(|column| row.get::<i64>(column)).collect::<Result<Vec<_>, _>>();
    let counts = tx.query_opt(Statement::within(workspace, &COUNTS, Vec::new()), read).await?.unwrap_or_default();
    if let Some((table, count)) = RESOURCES.into_iter().zip(counts).find(|(_, count)| *count > 0) {
        return Ok(Some((table, count)));
    }
    match Skills::of(tx).await? {
        Some(skills) => Ok(Some(("skills", skills.count(workspace).await?)).filter(|(_, count)| *count > 0)),
        None => Ok(None),
    }
}

/// How many resources of a table keep the workspace from being deleted.
fn still_there(workspace: &Workspace, table: &str, count: i64) -> Failure {
    Failure::Refused(Error::invalid_state(format!(
        "Cannot delete workspace '{}': table '{table}' still contains {count} resource(s). Remove or reassign them before \
         deleting the workspace.",
        workspace.name()
    )))
}

async fn move_to_default(tx: &Tx, workspace: &Workspace) -> Result<(), Failure> {
    let skills = Skills::of(tx).await?;
    if let Some(skills) = &skills
        && let Some(error) = skills.refusal(workspace).await?
    {
        return Err(Failure::Refused(error));
    }
    let most = i64::try_from(MAX_CONFLICTS).unwrap_or(i64::MAX);
    let read = |row: &Row<'_>| Ok((row.get::<i64>(0)?, row.get::<String>(1)?));
    let conflicts = tx.query(Statement::within(workspace, &CONFLICTS, vec![most.into()]), read).await?;
    let of_skills = match &skills {
        Some(skills) => skills.conflicts(workspace, most).await?,
        None => Vec::new(),
    };
    if conflicts.is_empty() && of_skills.is_empty() {
        run_all(tx, workspace, &MOVES).await?;
        if let Some(skills) = &skills {
            skills.move_to_default(workspace).await?;
        }
        return Ok(());
    }
    let table = |place: i64| usize::try_from(place).ok().and_then(|place| RESOURCES.get(place)).copied();
    let lines: Vec<String> = conflicts
        .iter()
        .map(|(place, name)| format!("  - {}: {}", table(*place).unwrap_or_default(), python::repr(name)))
        .chain(of_skills)
        .collect();
    Err(Failure::Refused(Error::invalid_state(format!(
        "Cannot reassign resources from workspace '{}' to 'default': the following names already exist in the default \
         workspace and would cause conflicts:\n{}\nRename or remove the conflicting resources before retrying.",
        workspace.name(),
        lines.join("\n")
    ))))
}

async fn run_all(tx: &Tx, workspace: &Workspace, statements: &[&'static Sql<Workspace>]) -> Result<(), DbError> {
    for statement in statements {
        tx.execute(Statement::within(workspace, statement, Vec::new())).await?;
    }
    Ok(())
}
