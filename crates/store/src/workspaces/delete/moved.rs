//! Moves everything in a workspace to the default one.

use ferroflow_model::{Error, python};

use super::{Failure, RESOURCES, run_all};
use crate::{
    db::{Row, Sql, Statement, Tx},
    statements::statements,
    workspace::Workspace,
    workspaces::skills::Skills,
};

/// Maximum number of conflicts in a message.
const MAX_CONFLICTS: usize = 1000;

statements! {
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

/// Moves everything, unless the default workspace has some of its names.
pub(super) async fn move_to_default(tx: &Tx, workspace: &Workspace) -> Result<(), Failure> {
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
