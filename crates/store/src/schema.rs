//! The schema: created in an empty database, checked at every start.
//!
//! Tables, columns, indexes and constraints are those of the reference's head revision, so that either server can take
//! over the database. Databases at a later known head are served too. Older ones are migrated by [`crate::migrations`].

pub mod own;
pub(crate) mod own_indexes;
pub mod tune;

use ferroflow_model::permission::DEFAULT_WORKSPACE;

use crate::{
    db::{Anywhere, BackendUri, Db, DbError, Op, Statement, Tx, clock::now_ms, dialect::Dialect, upkeep::Startup},
    migrations::{Chain, TRACKING},
    statements::statements,
    workspaces::WORKSPACES_FOLDER,
};

const POSTGRES: &str = include_str!("schema/postgres.sql");
const SQLITE: &str = include_str!("schema/sqlite.sql");

/// Key of the advisory lock that is held while the tables of a PostgreSQL database are created or migrated.
pub(crate) const LOCK_KEY: i64 = 7_314_201;

statements! {
    static TABLES: Anywhere =
        "{postgres:SELECT CAST(c.relname AS TEXT) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p') AND n.nspname = current_schema() \
         AND c.relname IN ('alembic_version', 'experiments', 'runs')}\
         {sqlite:SELECT name FROM sqlite_master WHERE type = 'table' \
         AND name IN ('alembic_version', 'experiments', 'runs')}";
    static REVISIONS: Anywhere = "SELECT version_num FROM alembic_version";
    static OTHER_WORKSPACES: Startup =
        "SELECT kind, name, workspace FROM (SELECT 'experiment' AS kind, name, workspace \
         FROM experiments WHERE workspace <> 'default' LIMIT 1) AS e \
         UNION ALL SELECT kind, name, workspace FROM (SELECT 'registered model' AS kind, name, \
         workspace FROM registered_models WHERE workspace <> 'default' LIMIT 1) AS m \
         UNION ALL SELECT kind, name, workspace FROM (SELECT 'webhook' AS kind, \
         webhook_id AS name, workspace FROM webhooks WHERE workspace <> 'default' LIMIT 1) AS w";
    static DEFAULT_ROOT: Anywhere = "SELECT default_artifact_root FROM workspaces WHERE name = 'default'";
    static INSERT_DEFAULT_WORKSPACE: Anywhere =
        "INSERT INTO workspaces (name, description) \
         VALUES ('default', 'Default workspace for legacy resources') ON CONFLICT DO NOTHING";
    static HAS_DEFAULT: Startup = "SELECT 1 FROM experiments WHERE experiment_id = 0";
    static INSERT_DEFAULT: Startup =
        "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, creation_time, \
         last_update_time, workspace) \
         VALUES (0, 'Default', $1, 'active', $2, $2, 'default') ON CONFLICT DO NOTHING";
}

/// The script that creates the tables of a chain at its first head, if there is one.
pub(crate) fn script(chain: &Chain, dialect: Dialect) -> Option<&'static str> {
    (chain.name == TRACKING.name).then(|| dialect.pick(POSTGRES, SQLITE))
}

/// Why the database cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The database has another schema revision, or is not an MLflow database.
    #[error("{0}")]
    Refused(String),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Creates the tables in an empty database. Refuses a database whose revision is not served ([`Chain::serves`]), or that
/// has entities outside the default workspace, on a server without workspaces. `workspaces` is the database with the
/// table of workspaces.
///
/// # Errors
/// The database has another revision, tables without a revision, or more than one workspace, or it failed.
pub async fn prepare(db: &Db, artifact_root: &str, workspaces: Option<&Db>) -> Result<(), SchemaError> {
    prepare_tables(db).await?;
    if workspaces.is_none() {
        one_workspace(db).await?;
    }
    default_experiment(db, artifact_root, workspaces).await?;
    Ok(())
}

/// Creates the tables in an empty database, and refuses one whose revision is not served.
///
/// # Errors
/// Those of [`prepare`].
pub(crate) async fn prepare_tables(db: &Db) -> Result<(), SchemaError> {
    match revision(db).await? {
        Some(found) if TRACKING.serves(Some(&found)) => tell_additions(&found),
        Some(found) if TRACKING.revisions().all(|revision| revision.id != found) => {
            return Err(SchemaError::Refused(format!(
                "the database is at revision {found}, which this server does not know: it serves {}. \
                 Start the server that matches the database, or restore the backup from before its upgrade",
                TRACKING.known()
            )));
        }
        Some(found) => {
            return Err(SchemaError::Refused(format!(
                "Detected out-of-date database schema (found version {found}, but expected {}, which is {}). \
                 Take a backup of your database, then run `ferroflow db upgrade <database_uri>` to migrate it, \
                 or start the server with --auto-migrate",
                TRACKING.head(),
                TRACKING.release()
            )));
        }
        None => create(db).await?,
    }
    Ok(())
}

/// Adds a read replica to the database. One that does not answer is left out.
pub(crate) async fn with_replica(db: Db, primary: &BackendUri, replica: &BackendUri) -> Result<Db, SchemaError> {
    let (BackendUri::Postgres(primary), BackendUri::Postgres(replica)) = (primary, replica) else {
        return Err(SchemaError::Refused("only PostgreSQL has read replicas".into()));
    };
    db.with_replica(primary, replica).await.map_err(|error| match error {
        DbError::Other(reason) => SchemaError::Refused(format!("the read replica cannot be used: {reason}")),
        other => SchemaError::Db(other),
    })
}

/// Logs what the schema has beyond the first head, and that an upgrade to a later head is not complete.
fn tell_additions(revision: &str) {
    match TRACKING.head_at(Some(revision)) {
        Some(head) if head.adds.is_empty() => {}
        Some(head) => {
            tracing::info!(revision, release = head.release, adds = head.adds, "the database is served");
        }
        None => tracing::warn!(
            revision,
            "the database is between two releases of MLflow and is served: `ferroflow db upgrade` completes its upgrade"
        ),
    }
}

/// The revision of the database; `None` if it is empty.
async fn revision(db: &Db) -> Result<Option<String>, SchemaError> {
    let tables: Vec<String> = db.query(Statement::new(&TABLES, Vec::new()), |row| row.get(0)).await?;
    if tables.is_empty() {
        return Ok(None);
    }
    if !tables.iter().any(|table| table == "alembic_version") {
        return Err(SchemaError::Refused(format!(
            "the database has MLflow tables ({}) but no revision: it is older than MLflow 1.0 or was not made by MLflow. \
             This server needs revision {}. Take a backup of your database, then run \
             `ferroflow db upgrade <database_uri>` to migrate it, or start the server with --auto-migrate",
            tables.join(", "),
            TRACKING.named(Some(TRACKING.head()))
        )));
    }
    let revisions: Vec<String> = db.query(Statement::new(&REVISIONS, Vec::new()), |row| row.get(0)).await?;
    match revisions.as_slice() {
        [] if tables.len() == 1 => Ok(None),
        [revision] => Ok(Some(revision.clone())),
        _ => Ok(Some(format!("[{}]", revisions.join(", ")))),
    }
}

/// The revision of the database as a transaction sees it.
pub(crate) async fn revision_of(tx: &Tx) -> Result<Option<String>, DbError> {
    tx.query_opt(Statement::new(&REVISIONS, Vec::new()), |row| row.get(0)).await
}

/// A failed upgrade by the reference leaves an empty version table.
const EMPTY: &str = "DROP TABLE IF EXISTS alembic_version;\n";

async fn create(db: &Db) -> Result<(), SchemaError> {
    tracing::info!(revision = TRACKING.head(), "creating the tables of an empty database");
    let script = match db.dialect() {
        // A transaction-level lock, so that it works behind `PgBouncer` and is released with the connection.
        Dialect::Postgres => format!("SELECT pg_advisory_xact_lock({LOCK_KEY});\n{EMPTY}{POSTGRES}"),
        Dialect::Sqlite => format!("{EMPTY}{SQLITE}"),
    };
    match db.batch(script).await {
        Ok(()) => Ok(()),
        // Another replica may have created the tables first.
        Err(error) => match revision(db).await? {
            Some(found) if TRACKING.serves(Some(&found)) => Ok(()),
            _ => Err(error.into()),
        },
    }
}

/// Refuses entities outside the default workspace: they would be found by id but missing from lists.
async fn one_workspace(db: &Db) -> Result<(), SchemaError> {
    let found: Vec<(String, String, String)> = db
        .query(Statement::new(&OTHER_WORKSPACES, Vec::new()), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .await?;
    let Some((kind, name, workspace)) = found.into_iter().next() else { return Ok(()) };
    Err(SchemaError::Refused(format!(
        "the database has {kind}s outside the default workspace (for example, {kind} '{name}' in workspace \
         '{workspace}'), and this server has no workspaces. Start it with --enable-workspaces, or move them to the default \
         workspace with `ferroflow db migrate-to-default-workspace`"
    )))
}

/// The artifact root of the default workspace, which exists in every database with workspaces.
async fn default_root(db: &Db, artifact_root: &str) -> Result<String, SchemaError> {
    let found = db.query(Statement::new(&DEFAULT_ROOT, Vec::new()), |row| row.get::<Option<String>>(0)).await?;
    if found.is_empty() {
        db.unit(vec![Op::Execute(Statement::new(&INSERT_DEFAULT_WORKSPACE, Vec::new()))]).await?;
    }
    match found.into_iter().next().flatten().filter(|root| !root.is_empty()) {
        Some(own) => Ok(own),
        None => below(artifact_root, &format!("{WORKSPACES_FOLDER}/{DEFAULT_WORKSPACE}")),
    }
}

fn below(artifact_root: &str, path: &str) -> Result<String, SchemaError> {
    ferroflow_model::uri::append_path(artifact_root, path)
        .map_err(|error| SchemaError::Refused(format!("the default artifact root cannot be used: {}", error.message)))
}

/// Creates experiment 0, which exists in every database, in the default workspace.
async fn default_experiment(db: &Db, artifact_root: &str, workspaces: Option<&Db>) -> Result<(), SchemaError> {
    let root = match workspaces {
        Some(workspaces) => default_root(workspaces, artifact_root).await?,
        None => artifact_root.to_owned(),
    };
    let location = below(&root, "0")?;
    let exists = db.query(Statement::new(&HAS_DEFAULT, Vec::new()), |_| Ok(())).await?;
    if !exists.is_empty() {
        return Ok(());
    }
    db.unit(vec![Op::Execute(Statement::new(&INSERT_DEFAULT, vec![location.into(), now_ms().into()]))]).await?;
    Ok(())
}
