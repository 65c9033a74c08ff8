//! The tracking database on PostgreSQL and SQLite: one module per resource, each function one unit
//! of work.

pub mod artifact_refs;
mod assessments;
pub mod batch;
mod clock;
mod compare;
pub mod db;
pub mod dialect;
mod experiment_locations;
mod experiment_search;
mod experiments;
pub mod fernet;
pub mod gc;
mod grants;
mod inputs;
mod logged_model_search;
mod logged_models;
pub mod login_epoch;
mod login_failures;
mod metric_samples;
mod metrics;
pub mod migrations;
mod model_version_search;
mod model_versions;
mod new_model_version;
mod outbox;
mod parents;
mod prompt_links;
mod prompt_split;
mod registered_model_children;
mod registered_model_search;
mod registered_models;
mod role_permissions;
mod roles;
pub mod roster;
mod run_children;
mod run_search;
mod runs;
pub mod schema;
mod select;
pub mod snapshot;
mod token_users;
mod trace_archival;
mod trace_payloads;
mod users;
mod visible;
mod webhooks;

pub use experiment_search::ExperimentSearch;
use ferroflow_model::{Result, messages::service::ViewType};
pub use logged_model_search::LoggedModelSearch;
pub use logged_models::NewLoggedModel;
pub use login_failures::LoginFailures;
pub use metrics::{HistoryPoint, MAX_BULK_HISTORY};
pub use model_version_search::ModelVersionSearch;
pub use new_model_version::NewModelVersion;
pub use outbox::Delivery;
pub use parents::Child;
pub use registered_model_search::RegisteredModelSearch;
pub use role_permissions::RolePermission;
pub use roles::{Assignment, Role};
pub use run_search::RunSearch;
pub use runs::NewRun;
pub use token_users::{TokenUser, is_mark, token_mark};
pub use trace_archival::{ArchivableSpans, ArchivalTags, ArchiveOutcome, ArchiveRequest, Candidate, Due};
pub use trace_payloads::{SpansLocation, TraceLocations};
pub use users::{Account, Grant, User, UserStore, UsersError};
pub use visible::Visible;
pub use webhooks::{KEY_VARIABLE, NewWebhook, WebhookChange};

use crate::{
    batch::Batcher,
    db::{BackendUri, Db, DbOptions},
    fernet::FernetKey,
    outbox::Outbox,
    schema::SchemaError,
};

/// The tracking store. One per process, shared by reference.
pub struct Store {
    db: Db,
    batch: Batcher,
    artifact_root: String,
    outbox: Outbox,
    webhook_key: Option<FernetKey>,
}

/// Options of [`Store::open`].
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Root of the artifacts of new experiments: a URI or absolute path, such as `mlflow-artifacts:/`.
    pub artifact_root: String,
    /// Limits of the database.
    pub db: DbOptions,
}

impl Store {
    /// Opens the database, creates the tables if it is empty, and starts the batching writer.
    ///
    /// # Errors
    /// The database cannot be reached, or has another schema revision.
    pub async fn open(uri: &BackendUri, options: StoreOptions) -> Result<Self, SchemaError> {
        let db = Db::open(uri, options.db)?;
        schema::prepare(&db, &options.artifact_root).await?;
        let batch = Batcher::start(&db);
        let outbox = Outbox::open(&db).await?;
        Ok(Self { db, batch, artifact_root: options.artifact_root, outbox, webhook_key: None })
    }

    /// Checks that the database can be read and written.
    ///
    /// # Errors
    /// As [`Db::check`].
    pub async fn ping(&self) -> Result<()> {
        Ok(self.db.check().await?)
    }

    /// The database, for metrics of the server.
    #[must_use]
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// The batching writer, for metrics of the server.
    #[must_use]
    pub fn batch(&self) -> &Batcher {
        &self.batch
    }

    /// Closes the database. Every acknowledged write is already committed.
    ///
    /// # Errors
    /// The database failed.
    pub async fn close(&self) -> Result<()> {
        Ok(self.db.close().await?)
    }
}

/// The lifecycle stages of a view, as a list in SQL.
pub(crate) fn stages(view: ViewType) -> &'static str {
    match view {
        ViewType::ActiveOnly => "('active')",
        ViewType::DeletedOnly => "('deleted')",
        ViewType::All => "('active', 'deleted')",
    }
}
