//! Moves everything into the default workspace, as `mlflow db migrate-to-default-workspace` does: the way back to a
//! server without workspaces.

use ferroflow_model::{Error, Result, python::repr};

use crate::{
    Unscoped,
    db::{DbError, Row, Sql, Statement, Tx, upkeep::Move},
    statements::statements,
    upkeep::move_resources::listed,
    workspaces::skills::Skills,
};

/// Behind `UPDATE` and the name of a table.
const TO_DEFAULT: &str = " SET workspace = 'default' WHERE workspace <> 'default'";

/// Rows of a table outside the default workspace.
const OUTSIDE: &str = " WHERE workspace <> 'default'";

statements! {
    /// The experiments whose names are in several workspaces.
    static EXPERIMENTS: Move =
        "SELECT e.name, e.workspace, CAST(e.experiment_id AS VARCHAR(20)) FROM experiments e JOIN \
         (SELECT name FROM experiments GROUP BY name HAVING COUNT(*) > 1) d ON d.name = e.name ORDER BY 1, 2, 3";
    static MODELS: Move =
        "SELECT m.name, m.workspace, NULL FROM registered_models m JOIN \
         (SELECT name FROM registered_models GROUP BY name HAVING COUNT(*) > 1) d ON d.name = m.name ORDER BY 1, 2";
    static DATASETS: Move =
        "SELECT m.name, m.workspace, NULL FROM evaluation_datasets m JOIN \
         (SELECT name FROM evaluation_datasets GROUP BY name HAVING COUNT(*) > 1) d ON d.name = m.name ORDER BY 1, 2";
    static SECRETS: Move =
        "SELECT m.secret_name, m.workspace, NULL FROM secrets m JOIN \
         (SELECT secret_name FROM secrets GROUP BY secret_name HAVING COUNT(*) > 1) d \
         ON d.secret_name = m.secret_name ORDER BY 1, 2";
    static ENDPOINTS: Move =
        "SELECT m.name, m.workspace, NULL FROM endpoints m JOIN \
         (SELECT name FROM endpoints GROUP BY name HAVING COUNT(*) > 1) d ON d.name = m.name ORDER BY 1, 2";
    static DEFINITIONS: Move =
        "SELECT m.name, m.workspace, NULL FROM model_definitions m JOIN \
         (SELECT name FROM model_definitions GROUP BY name HAVING COUNT(*) > 1) d ON d.name = m.name ORDER BY 1, 2";
    static MCP_SERVERS: Move =
        "SELECT m.name, m.workspace, NULL FROM mcp_servers m JOIN \
         (SELECT name FROM mcp_servers GROUP BY name HAVING COUNT(*) > 1) d ON d.name = m.name ORDER BY 1, 2";

    static COUNT_MODELS: Move = "SELECT COUNT(*) FROM registered_models", OUTSIDE;
    static COUNT_EXPERIMENTS: Move = "SELECT COUNT(*) FROM experiments", OUTSIDE;
    static COUNT_DATASETS: Move = "SELECT COUNT(*) FROM evaluation_datasets", OUTSIDE;
    static COUNT_WEBHOOKS: Move = "SELECT COUNT(*) FROM webhooks", OUTSIDE;
    static COUNT_SECRETS: Move = "SELECT COUNT(*) FROM secrets", OUTSIDE;
    static COUNT_ENDPOINTS: Move = "SELECT COUNT(*) FROM endpoints", OUTSIDE;
    static COUNT_DEFINITIONS: Move = "SELECT COUNT(*) FROM model_definitions", OUTSIDE;
    static COUNT_BUDGETS: Move = "SELECT COUNT(*) FROM budget_policies", OUTSIDE;
    static COUNT_GUARDRAILS: Move = "SELECT COUNT(*) FROM guardrails", OUTSIDE;
    static COUNT_JOBS: Move = "SELECT COUNT(*) FROM jobs", OUTSIDE;
    static COUNT_MCP_SERVERS: Move = "SELECT COUNT(*) FROM mcp_servers", OUTSIDE;
    static COUNT_VERSIONS: Move = "SELECT COUNT(*) FROM model_versions", OUTSIDE;
    static COUNT_MODEL_TAGS: Move = "SELECT COUNT(*) FROM registered_model_tags", OUTSIDE;
    static COUNT_VERSION_TAGS: Move = "SELECT COUNT(*) FROM model_version_tags", OUTSIDE;
    static COUNT_ALIASES: Move = "SELECT COUNT(*) FROM registered_model_aliases", OUTSIDE;
    static COUNT_GUARDRAIL_CONFIGS: Move = "SELECT COUNT(*) FROM guardrail_configs", OUTSIDE;
    static COUNT_MCP_VERSIONS: Move = "SELECT COUNT(*) FROM mcp_server_versions", OUTSIDE;
    static COUNT_MCP_TAGS: Move = "SELECT COUNT(*) FROM mcp_server_tags", OUTSIDE;
    static COUNT_MCP_VERSION_TAGS: Move = "SELECT COUNT(*) FROM mcp_server_version_tags", OUTSIDE;
    static COUNT_MCP_ALIASES: Move = "SELECT COUNT(*) FROM mcp_server_aliases", OUTSIDE;
    static COUNT_MCP_ENDPOINTS: Move = "SELECT COUNT(*) FROM mcp_access_endpoints", OUTSIDE;

    static MOVE_MODELS: Move = "UPDATE registered_models", TO_DEFAULT;
    static MOVE_EXPERIMENTS: Move = "UPDATE experiments", TO_DEFAULT;
    static MOVE_DATASETS: Move = "UPDATE evaluation_datasets", TO_DEFAULT;
    static MOVE_WEBHOOKS: Move = "UPDATE webhooks", TO_DEFAULT;
    static MOVE_SECRETS: Move = "UPDATE secrets", TO_DEFAULT;
    static MOVE_ENDPOINTS: Move = "UPDATE endpoints", TO_DEFAULT;
    static MOVE_DEFINITIONS: Move = "UPDATE model_definitions", TO_DEFAULT;
    static MOVE_BUDGETS: Move = "UPDATE budget_policies", TO_DEFAULT;
    static MOVE_GUARDRAILS: Move = "UPDATE guardrails", TO_DEFAULT;
    static MOVE_JOBS: Move = "UPDATE jobs", TO_DEFAULT;
    static MOVE_MCP_SERVERS: Move = "UPDATE mcp_servers", TO_DEFAULT;
    static MOVE_VERSIONS: Move = "UPDATE model_versions", TO_DEFAULT;
    static MOVE_MODEL_TAGS: Move = "UPDATE registered_model_tags", TO_DEFAULT;
    static MOVE_VERSION_TAGS: Move = "UPDATE model_version_tags", TO_DEFAULT;
    static MOVE_ALIASES: Move = "UPDATE registered_model_aliases", TO_DEFAULT;
    static MOVE_GUARDRAIL_CONFIGS: Move = "UPDATE guardrail_configs", TO_DEFAULT;
    static MOVE_MCP_VERSIONS: Move = "UPDATE mcp_server_versions", TO_DEFAULT;
    static MOVE_MCP_TAGS: Move = "UPDATE mcp_server_tags", TO_DEFAULT;
    static MOVE_MCP_VERSION_TAGS: Move = "UPDATE mcp_server_version_tags", TO_DEFAULT;
    static MOVE_MCP_ALIASES: Move = "UPDATE mcp_server_aliases", TO_DEFAULT;
    static MOVE_MCP_ENDPOINTS: Move = "UPDATE mcp_access_endpoints", TO_DEFAULT;
}

/// Resources whose names must be unique in the default workspace, by the name of their column. The reference refuses
/// datasets with the same name too.
static UNIQUE: [(&str, &str, &Sql<Move>); 7] = [
    ("experiments", "name", &EXPERIMENTS),
    ("registered models", "name", &MODELS),
    ("evaluation datasets", "name", &DATASETS),
    ("secrets", "secret_name", &SECRETS),
    ("endpoints", "name", &ENDPOINTS),
    ("model definitions", "name", &DEFINITIONS),
    ("MCP servers", "name", &MCP_SERVERS),
];

/// The tables in the reference's order: parents first, because their keys cascade.
static TABLES: [(&str, &Sql<Move>, &Sql<Move>); 21] = [
    ("registered_models", &COUNT_MODELS, &MOVE_MODELS),
    ("experiments", &COUNT_EXPERIMENTS, &MOVE_EXPERIMENTS),
    ("evaluation_datasets", &COUNT_DATASETS, &MOVE_DATASETS),
    ("webhooks", &COUNT_WEBHOOKS, &MOVE_WEBHOOKS),
    ("secrets", &COUNT_SECRETS, &MOVE_SECRETS),
    ("endpoints", &COUNT_ENDPOINTS, &MOVE_ENDPOINTS),
    ("model_definitions", &COUNT_DEFINITIONS, &MOVE_DEFINITIONS),
    ("budget_policies", &COUNT_BUDGETS, &MOVE_BUDGETS),
    ("guardrails", &COUNT_GUARDRAILS, &MOVE_GUARDRAILS),
    ("jobs", &COUNT_JOBS, &MOVE_JOBS),
    ("mcp_servers", &COUNT_MCP_SERVERS, &MOVE_MCP_SERVERS),
    ("model_versions", &COUNT_VERSIONS, &MOVE_VERSIONS),
    ("registered_model_tags", &COUNT_MODEL_TAGS, &MOVE_MODEL_TAGS),
    ("model_version_tags", &COUNT_VERSION_TAGS, &MOVE_VERSION_TAGS),
    ("registered_model_aliases", &COUNT_ALIASES, &MOVE_ALIASES),
    ("guardrail_configs", &COUNT_GUARDRAIL_CONFIGS, &MOVE_GUARDRAIL_CONFIGS),
    ("mcp_server_versions", &COUNT_MCP_VERSIONS, &MOVE_MCP_VERSIONS),
    ("mcp_server_tags", &COUNT_MCP_TAGS, &MOVE_MCP_TAGS),
    ("mcp_server_version_tags", &COUNT_MCP_VERSION_TAGS, &MOVE_MCP_VERSION_TAGS),
    ("mcp_server_aliases", &COUNT_MCP_ALIASES, &MOVE_MCP_ALIASES),
    ("mcp_access_endpoints", &COUNT_MCP_ENDPOINTS, &MOVE_MCP_ENDPOINTS),
];

impl Unscoped<'_> {
    /// Moves everything into the default workspace, or finds out what would be moved and what prevents it. Returns the
    /// number of rows of each table. `limit` is how many conflicts an error lists at most.
    ///
    /// # Errors
    /// Names are not unique across workspaces, and nothing was moved; or the database failed.
    pub async fn move_to_default_workspace(&self, dry_run: bool, limit: usize) -> Result<Vec<(&'static str, i64)>> {
        self.store
            .db
            .transaction(|tx| async move {
                let skills = Skills::of(&tx).await?;
                if let Some(skills) = &skills {
                    if let Some(error) = skills.refusal_outside().await? {
                        return Err(error);
                    }
                    let found = skills.duplicates().await?;
                    if !found.is_empty() {
                        return Err(conflicts("skills", "name", &found, limit));
                    }
                }
                for (what, column, duplicates) in UNIQUE {
                    let found = tx.query(Statement::new(duplicates, Vec::new()), duplicate).await?;
                    if !found.is_empty() {
                        return Err(conflicts(what, column, &found, limit));
                    }
                }
                // Before the first change: children are moved with their parents.
                let mut counts = Vec::new();
                for (table, count, _) in TABLES {
                    counts.push((table, number(&tx, count).await?));
                }
                if let Some(skills) = &skills {
                    counts.push(("skills", skills.count_outside().await?));
                    if !dry_run {
                        skills.move_all_to_default().await?;
                    }
                }
                if !dry_run {
                    for (_, _, moves) in TABLES {
                        tx.execute(Statement::new(moves, Vec::new())).await?;
                    }
                }
                Ok(counts)
            })
            .await
    }
}

async fn number(tx: &Tx, count: &'static Sql<Move>) -> Result<i64> {
    let found = tx.query(Statement::new(count, Vec::new()), |row| row.get::<i64>(0)).await?;
    Ok(found.first().copied().unwrap_or_default())
}

/// A name, its workspace, and the id of an experiment.
type Duplicate = (String, String, Option<String>);

fn duplicate(row: &Row<'_>) -> std::result::Result<Duplicate, DbError> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}

fn conflicts(what: &str, column: &str, found: &[Duplicate], limit: usize) -> Error {
    let line = |(name, workspace, id): &Duplicate| {
        let id = id.as_ref().map(|id| format!(", experiment_id={id}")).unwrap_or_default();
        format!("{column}={}, workspace={}{id}", repr(name), repr(workspace))
    };
    let lines: Vec<String> = found.iter().map(line).collect();
    Error::invalid(format!(
        "Move aborted: merging workspaces would create duplicate {what} with the same name. Resolve the following \
         conflicts by renaming the affected resources (restore deleted ones first) or permanently deleting them, then \
         retry: {}",
        listed(&lines, limit)
    ))
}
