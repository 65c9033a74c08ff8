//! The statements of a move, by the type of resource. `$1` is the source, the names come after.

use super::{MovableType, skills};
use crate::{
    db::{Sql, upkeep::Move},
    statements::statements,
};

/// Behind a table: its rows in the workspace `$1` with names in `$2`.
const CHOSEN: &str = " WHERE workspace = $1 AND name {in $2}";

/// The same, where `$3` is the target.
const TO: &str = " SET workspace = $3 WHERE workspace = $1 AND name {in $2}";

/// The names in the workspace `$1`: all of them if `$2`, or those in `$3`.
const NAMED: &str = " WHERE workspace = $1 AND ($2 OR name {in $3}) ORDER BY 1";

/// Of the names in `$2`, those in the workspace `$1`.
const TAKEN: &str = " WHERE workspace = $1 AND name {in $2} ORDER BY 1";

statements! {
    /// The names in `$1` that are workspaces, with their roots. They cannot be deleted before the transaction ends.
    pub(super) static WORKSPACES: Move =
        "SELECT name, default_artifact_root FROM workspaces WHERE name {in $1} ORDER BY name {FOR KEY SHARE}";

    static EXPERIMENTS: Move = "SELECT DISTINCT name FROM experiments", NAMED;
    static MODELS: Move = "SELECT DISTINCT name FROM registered_models", NAMED;
    static DATASETS: Move = "SELECT DISTINCT name FROM evaluation_datasets", NAMED;
    static WEBHOOKS: Move = "SELECT DISTINCT name FROM webhooks", NAMED;
    static JOBS: Move =
        "SELECT DISTINCT job_name FROM jobs WHERE workspace = $1 AND ($2 OR job_name {in $3}) ORDER BY 1";
    static MCP_SERVERS: Move = "SELECT DISTINCT name FROM mcp_servers", NAMED;

    /// Name, key and value of the tags with keys in `$2`.
    static EXPERIMENT_TAGS: Move =
        "SELECT e.name, t.key, t.value FROM experiments e JOIN experiment_tags t \
         ON t.experiment_id = e.experiment_id WHERE e.workspace = $1 AND t.key {in $2}";
    static MODEL_TAGS: Move =
        "SELECT name, key, value FROM registered_model_tags WHERE workspace = $1 AND key {in $2}";
    static MCP_SERVER_TAGS: Move = "SELECT name, key, value FROM mcp_server_tags WHERE workspace = $1 AND key {in $2}";

    static TAKEN_EXPERIMENTS: Move = "SELECT name FROM experiments", TAKEN;
    static TAKEN_MODELS: Move = "SELECT name FROM registered_models", TAKEN;
    static TAKEN_MCP_SERVERS: Move = "SELECT name FROM mcp_servers", TAKEN;

    static COUNT_EXPERIMENTS: Move = "SELECT COUNT(*) FROM experiments", CHOSEN;
    static COUNT_MODELS: Move = "SELECT COUNT(*) FROM registered_models", CHOSEN;
    static COUNT_DATASETS: Move = "SELECT COUNT(*) FROM evaluation_datasets", CHOSEN;
    static COUNT_WEBHOOKS: Move = "SELECT COUNT(*) FROM webhooks", CHOSEN;
    static COUNT_JOBS: Move = "SELECT COUNT(*) FROM jobs WHERE workspace = $1 AND job_name {in $2}";
    static COUNT_MCP_SERVERS: Move = "SELECT COUNT(*) FROM mcp_servers", CHOSEN;

    /// The location of an experiment is `$3`, its id, `$4`.
    pub(super) static RETARGET: Move =
        "UPDATE experiments SET artifact_location = CAST($3 AS TEXT) || CAST(experiment_id AS TEXT) || CAST($4 AS TEXT)",
        CHOSEN;

    static MOVE_EXPERIMENTS: Move = "UPDATE experiments", TO;
    static MOVE_MODELS: Move = "UPDATE registered_models", TO;
    static MOVE_DATASETS: Move = "UPDATE evaluation_datasets", TO;
    static MOVE_WEBHOOKS: Move = "UPDATE webhooks", TO;
    static MOVE_JOBS: Move = "UPDATE jobs SET workspace = $3 WHERE workspace = $1 AND job_name {in $2}";
    static MOVE_MCP_SERVERS: Move = "UPDATE mcp_servers", TO;

    /// Foreign keys have moved these already, where they cascade.
    static MOVE_VERSIONS: Move = "UPDATE model_versions", TO;
    static MOVE_MODEL_TAGS: Move = "UPDATE registered_model_tags", TO;
    static MOVE_VERSION_TAGS: Move = "UPDATE model_version_tags", TO;
    static MOVE_ALIASES: Move = "UPDATE registered_model_aliases", TO;
    static MOVE_MCP_VERSIONS: Move = "UPDATE mcp_server_versions", TO;
    static MOVE_MCP_TAGS: Move = "UPDATE mcp_server_tags", TO;
    static MOVE_MCP_VERSION_TAGS: Move = "UPDATE mcp_server_version_tags", TO;
    static MOVE_MCP_ALIASES: Move = "UPDATE mcp_server_aliases", TO;
    static MOVE_MCP_ENDPOINTS: Move =
        "UPDATE mcp_access_endpoints SET workspace = $3 WHERE workspace = $1 AND server_name {in $2}";

    static DEFAULT_EXPERIMENT: Move = "SELECT COUNT(*) FROM experiments", CHOSEN, " AND experiment_id = 0";
    /// Model versions that stay, of runs in experiments that are moved.
    static VERSIONS_LEFT: Move =
        "SELECT COUNT(*) FROM model_versions v JOIN runs r ON r.run_uuid = v.run_id \
         JOIN experiments e ON e.experiment_id = r.experiment_id \
         WHERE v.workspace = $1 AND e.workspace = $1 AND e.name {in $2}";
    /// Datasets that stay, and are linked to experiments that are moved.
    static DATASETS_LEFT: Move =
        "SELECT COUNT(DISTINCT a.source_id) FROM entity_associations a JOIN experiments e \
         ON a.destination_id = CAST(e.experiment_id AS VARCHAR(20)) \
         WHERE a.source_type = 'evaluation_dataset' AND a.destination_type = 'experiment' \
         AND e.workspace = $1 AND e.name {in $2}";
    /// Model versions that are moved, of runs that stay.
    static RUNS_LEFT: Move =
        "SELECT COUNT(*) FROM model_versions v JOIN runs r ON r.run_uuid = v.run_id \
         JOIN experiments e ON e.experiment_id = r.experiment_id \
         WHERE v.workspace = $1 AND v.name {in $2} AND e.workspace = $1";
    /// Datasets that are moved, and are linked to experiments that stay.
    static EXPERIMENTS_LEFT: Move =
        "SELECT COUNT(DISTINCT d.dataset_id) FROM evaluation_datasets d JOIN entity_associations a \
         ON a.source_type = 'evaluation_dataset' AND a.source_id = d.dataset_id AND a.destination_type = 'experiment' \
         JOIN experiments e ON CAST(e.experiment_id AS VARCHAR(20)) = a.destination_id \
         WHERE d.workspace = $1 AND d.name {in $2} AND e.workspace = $1";
}

/// The statements for a type of resource.
pub(super) struct MoveStatements {
    /// The names that exist.
    pub(super) names: &'static Sql<Move>,
    /// The tags, if there are any.
    pub(super) tags: Option<&'static Sql<Move>>,
    /// The names that the target has, if a name is one there.
    pub(super) taken: Option<&'static Sql<Move>>,
    /// Finds a row if some would lose their files, which are in the folder of the source.
    pub(super) files: Option<&'static Sql<Move>>,
    pub(super) count: &'static Sql<Move>,
    /// The resources first.
    pub(super) moves: Vec<&'static Sql<Move>>,
    /// What a move separates.
    pub(super) ties: Vec<(&'static str, &'static Sql<Move>)>,
}

impl MovableType {
    pub(super) fn statements(self) -> MoveStatements {
        match self {
            Self::Experiments => MoveStatements {
                names: &EXPERIMENTS,
                tags: Some(&EXPERIMENT_TAGS),
                taken: Some(&TAKEN_EXPERIMENTS),
                files: None,
                count: &COUNT_EXPERIMENTS,
                moves: vec![&MOVE_EXPERIMENTS],
                ties: vec![
                    (
                        "of them is experiment 0, the default experiment of the server: clients that name no experiment \
                         do not find it in its workspace any more",
                        &DEFAULT_EXPERIMENT,
                    ),
                    (
                        "model versions that stay have their run in an experiment that is moved: their artifacts \
                         cannot be read any more",
                        &VERSIONS_LEFT,
                    ),
                    (
                        "evaluation datasets that stay are linked to an experiment that is moved: the link has no \
                         effect any more",
                        &DATASETS_LEFT,
                    ),
                ],
            },
            Self::RegisteredModels => MoveStatements {
                names: &MODELS,
                tags: Some(&MODEL_TAGS),
                taken: Some(&TAKEN_MODELS),
                files: None,
                count: &COUNT_MODELS,
                moves: vec![&MOVE_MODELS, &MOVE_VERSIONS, &MOVE_MODEL_TAGS, &MOVE_VERSION_TAGS, &MOVE_ALIASES],
                ties: vec![(
                    "model versions that are moved have their run in an experiment that stays: their artifacts can be \
                     read when it is moved too",
                    &RUNS_LEFT,
                )],
            },
            Self::EvaluationDatasets => MoveStatements {
                names: &DATASETS,
                tags: None,
                taken: None,
                files: None,
                count: &COUNT_DATASETS,
                moves: vec![&MOVE_DATASETS],
                ties: vec![(
                    "evaluation datasets that are moved are linked to an experiment that stays: the link has effect \
                     when it is moved too",
                    &EXPERIMENTS_LEFT,
                )],
            },
            Self::Skills => MoveStatements {
                names: &skills::NAMES,
                tags: Some(&skills::TAGS),
                taken: Some(&skills::TAKEN),
                files: Some(&skills::WITH_FILES),
                count: &skills::COUNT,
                moves: vec![&skills::MOVE],
                ties: vec![],
            },
            Self::Webhooks => MoveStatements {
                names: &WEBHOOKS,
                tags: None,
                taken: None,
                files: None,
                count: &COUNT_WEBHOOKS,
                moves: vec![&MOVE_WEBHOOKS],
                ties: vec![],
            },
            Self::Jobs => MoveStatements {
                names: &JOBS,
                tags: None,
                taken: None,
                files: None,
                count: &COUNT_JOBS,
                moves: vec![&MOVE_JOBS],
                ties: vec![],
            },
            Self::McpServers => MoveStatements {
                names: &MCP_SERVERS,
                tags: Some(&MCP_SERVER_TAGS),
                taken: Some(&TAKEN_MCP_SERVERS),
                files: None,
                count: &COUNT_MCP_SERVERS,
                moves: vec![
                    &MOVE_MCP_SERVERS,
                    &MOVE_MCP_VERSIONS,
                    &MOVE_MCP_TAGS,
                    &MOVE_MCP_VERSION_TAGS,
                    &MOVE_MCP_ALIASES,
                    &MOVE_MCP_ENDPOINTS,
                ],
                ties: vec![],
            },
        }
    }
}
