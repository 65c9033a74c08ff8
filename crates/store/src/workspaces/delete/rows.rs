//! Deletes everything in a workspace.

use super::run_all;
use crate::{
    db::{DbError, Sql, Statement, Tx},
    statements::statements,
    workspace::Workspace,
    workspaces::skills::Skills,
};

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

/// Deletes everything in a workspace, with the deliveries of webhooks if they have their table.
pub(super) async fn delete_rows(tx: &Tx, workspace: &Workspace, has_deliveries: bool) -> Result<(), DbError> {
    tx.execute(Statement::within(workspace, &DELETE_REBUILDS, Vec::new())).await?;
    for lock in LOCKS {
        tx.query(Statement::within(workspace, lock, Vec::new()), |_| Ok(())).await?;
    }
    if has_deliveries {
        tx.execute(Statement::within(workspace, &DELETE_DELIVERIES, Vec::new())).await?;
    }
    if let Some(skills) = Skills::of(tx).await? {
        skills.delete(workspace).await?;
    }
    run_all(tx, workspace, &ROWS).await
}
