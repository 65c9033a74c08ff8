//! Workspaces: their rows, and how a request finds its own.

pub(crate) mod apart;
pub(crate) mod delete;
pub(crate) mod known;
pub(crate) mod skills;

pub use self::delete::DeletionMode;

use ferroflow_model::{
    Error, Result,
    messages::service::{TraceArchivalConfig, Workspace as WorkspaceRecord},
    permission::DEFAULT_WORKSPACE,
    uri,
};

use crate::{
    Scoped, Store,
    db::{Anywhere, DbError, Row, Statement, Tx},
    schema::SchemaError,
    statements::statements,
    workspace::Workspace,
};

/// The folder below the server's artifact root that has a folder for each workspace.
pub const WORKSPACES_FOLDER: &str = "workspaces";

/// The columns of a workspace, in the order [`from_row`] reads them.
const COLUMNS: &str = "name, description, default_artifact_root, trace_archival_location, trace_archival_retention";

statements! {
    static LIST: Anywhere = "SELECT ", COLUMNS, " FROM workspaces ORDER BY name";
    static BY_NAME: Anywhere = "SELECT ", COLUMNS, " FROM workspaces WHERE name = $1";
    static ROOT: Anywhere = "SELECT COALESCE(default_artifact_root, '') FROM workspaces WHERE name = $1";
    /// The lock of a new row of the workspace: the workspace cannot be deleted before the transaction ends.
    static ROOT_KEPT: Anywhere =
        "SELECT COALESCE(default_artifact_root, '') FROM workspaces WHERE name = $1 {FOR KEY SHARE}";
    static INSERT: Anywhere =
        "INSERT INTO workspaces (name, description, default_artifact_root, trace_archival_location, \
         trace_archival_retention) VALUES ($1, $2, $3, $4, $5)";
    /// NULL keeps a value, an empty text clears it; the description is kept as it is.
    static UPDATE: Anywhere =
        "UPDATE workspaces SET description = COALESCE(CAST($2 AS TEXT), description), \
         default_artifact_root = CASE WHEN CAST($3 AS TEXT) IS NULL THEN default_artifact_root \
         ELSE NULLIF(CAST($3 AS TEXT), '') END, \
         trace_archival_location = CASE WHEN CAST($4 AS TEXT) IS NULL THEN trace_archival_location \
         ELSE NULLIF(CAST($4 AS TEXT), '') END, \
         trace_archival_retention = CASE WHEN CAST($5 AS TEXT) IS NULL THEN trace_archival_retention \
         ELSE NULLIF(CAST($5 AS TEXT), '') END \
         WHERE name = $1 RETURNING ", COLUMNS;
}

/// The values of a new workspace, or those of a workspace to change: `None` is not set, or not changed, an empty text
/// clears a value. They are validated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkspaceValues {
    /// The description.
    pub description: Option<String>,
    /// The root of the artifacts of new experiments.
    pub default_artifact_root: Option<String>,
    /// Where traces are archived.
    pub trace_archival_location: Option<String>,
    /// The age at which traces are archived.
    pub trace_archival_retention: Option<String>,
}

impl Store {
    /// Whether the server has workspaces.
    #[must_use]
    pub fn has_workspaces(&self) -> bool {
        self.default_workspace.is_some()
    }

    /// The workspace of requests that name none.
    #[must_use]
    pub fn default_workspace(&self) -> &Workspace {
        self.default_workspace.as_ref().unwrap_or_else(|| Workspace::only())
    }

    /// All workspaces, ordered by name.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn list_workspaces(&self) -> Result<Vec<WorkspaceRecord>> {
        Ok(self.workspace_db().query(Statement::new(&LIST, Vec::new()), from_row).await?)
    }

    /// One workspace.
    ///
    /// # Errors
    /// No workspace has the name.
    pub async fn get_workspace_record(&self, name: &str) -> Result<WorkspaceRecord> {
        let found = self.workspace_db().query(Statement::new(&BY_NAME, vec![name.into()]), from_row).await?;
        found.into_iter().next().ok_or_else(|| no_workspace(name))
    }

    /// Creates a workspace.
    ///
    /// # Errors
    /// The name is taken; or the database of the workspaces is another one, and this database still has resources of a
    /// workspace with the name.
    pub async fn create_workspace(&self, name: &str, values: &WorkspaceValues) -> Result<WorkspaceRecord> {
        let cleared = |value: &Option<String>| value.clone().filter(|text| !text.is_empty());
        let (root, location) = (cleared(&values.default_artifact_root), cleared(&values.trace_archival_location));
        let retention = cleared(&values.trace_archival_retention);
        let record = WorkspaceRecord {
            name: Some(name.to_owned()),
            description: values.description.clone(),
            default_artifact_root: root.clone(),
            trace_archival_config: archival(location.clone(), retention.clone()),
        };
        let row = vec![name.into(), values.description.clone().into(), root.into(), location.into(), retention.into()];
        self.check_is_empty(name).await?;
        let inserted = self.workspace_db().transact(|tx| {
            let row = row.clone();
            async move { tx.execute(Statement::new(&INSERT, row)).await }
        });
        match inserted.await {
            Err(DbError::Unique(_)) => Err(Error::already_exists(format!("Workspace '{name}' already exists."))),
            outcome => Ok(outcome.map(|_| record)?),
        }
    }

    /// Changes a workspace.
    ///
    /// # Errors
    /// No workspace has the name.
    pub async fn update_workspace(&self, name: &str, values: &WorkspaceValues) -> Result<WorkspaceRecord> {
        let row = vec![
            name.into(),
            values.description.clone().into(),
            values.default_artifact_root.clone().into(),
            values.trace_archival_location.clone().into(),
            values.trace_archival_retention.clone().into(),
        ];
        self.workspace_db()
            .transaction(|tx| {
                let row = row.clone();
                async move {
                    let changed = tx.query_opt(Statement::new(&UPDATE, row), from_row).await?;
                    changed.ok_or_else(|| no_workspace(name))
                }
            })
            .await
    }
}

impl Scoped<'_> {
    /// The root of the artifacts of new experiments, and whether it is the workspace's folder below the server's root:
    /// `<root>/workspaces/<name>`. Without workspaces it is the server's root.
    ///
    /// # Errors
    /// The workspace is deleted, or the root has a query that locations must not have.
    pub async fn artifact_root(&self) -> Result<(String, bool)> {
        let Some(name) = self.workspace.parameter() else { return Ok((self.store.artifact_root.clone(), false)) };
        let statement = Statement::new(&ROOT, vec![name.as_ref().into()]);
        let found = self.store.workspace_db().query(statement, |row| row.get::<String>(0)).await?;
        self.root_of(name, found.into_iter().next())
    }

    /// Runs `work` in a transaction that creates rows in the workspace, which is not deleted meanwhile. It gets the
    /// [`Self::artifact_root`].
    ///
    /// # Errors
    /// The workspace is deleted, and those of `work`, as of [`Db::transaction`](crate::db::Db::transaction).
    pub(crate) async fn creating<T, Fut>(&self, work: impl Fn(Tx, String) -> Fut) -> Result<T>
    where
        Fut: Future<Output = Result<T>>,
    {
        if self.store.workspace_db.is_some() {
            return Box::pin(self.creating_apart(work)).await;
        }
        let work = &work;
        self.store
            .db
            .transaction(|tx| async move {
                let root = self.artifact_root_kept(&tx).await?;
                work(tx, root).await
            })
            .await
    }

    /// [`Self::artifact_root`] in a transaction, until whose end the workspace is not deleted.
    async fn artifact_root_kept(&self, tx: &Tx) -> Result<String> {
        let Some(name) = self.workspace.parameter() else { return Ok(self.store.artifact_root.clone()) };
        let statement = Statement::new(&ROOT_KEPT, vec![name.as_ref().into()]);
        let found = tx.query_opt(statement, |row| row.get::<String>(0)).await?;
        Ok(self.root_of(name, found)?.0)
    }

    /// The root of a workspace from what was found of it: the text of its own root, which may be empty.
    fn root_of(&self, name: &str, found: Option<String>) -> Result<(String, bool)> {
        let own = found.ok_or_else(|| no_workspace(name))?;
        if !own.is_empty() {
            return Ok((own, false));
        }
        Ok((uri::append_path(&self.store.artifact_root, &format!("{WORKSPACES_FOLDER}/{name}"))?, true))
    }
}

/// Refuses an artifact root whose folders of workspaces would be ambiguous.
///
/// # Errors
/// It ends with the folder of workspaces, or with that of one workspace.
pub(crate) fn check_root(root: &str) -> Result<(), SchemaError> {
    let path = match uri::SplitUri::parse(root) {
        Ok(parts) if uri::scheme(root).is_some() => parts.path,
        _ => root.to_owned(),
    };
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    match segments.as_slice() {
        [.., WORKSPACES_FOLDER] => Err(SchemaError::Refused(format!(
            "Cannot enable workspace mode because the default artifact root {root} ends with the reserved \
             '{WORKSPACES_FOLDER}' segment. Choose a different artifact root before enabling workspaces."
        ))),
        [.., WORKSPACES_FOLDER, _] => Err(SchemaError::Refused(format!(
            "Cannot enable workspace mode because the default artifact root {root} is already scoped under the reserved \
             '{WORKSPACES_FOLDER}/<name>' prefix. Configure a different artifact root before enabling workspaces."
        ))),
        _ => Ok(()),
    }
}

/// Reads [`COLUMNS`].
fn from_row(row: &Row<'_>) -> Result<WorkspaceRecord, DbError> {
    Ok(WorkspaceRecord {
        name: row.get(0)?,
        description: row.get(1)?,
        default_artifact_root: row.get(2)?,
        trace_archival_config: archival(row.get(3)?, row.get(4)?),
    })
}

fn archival(location: Option<String>, retention: Option<String>) -> Option<TraceArchivalConfig> {
    (location.is_some() || retention.is_some()).then_some(TraceArchivalConfig { location, retention })
}

/// The error for a workspace that does not exist.
#[must_use]
pub fn no_workspace(name: &str) -> Error {
    Error::not_found(format!("Workspace '{name}' not found"))
}

/// Whether a name is that of the default workspace.
pub(crate) fn is_default(name: &str) -> bool {
    name == DEFAULT_WORKSPACE
}
