//! The tracking database on PostgreSQL and SQLite: one module per resource, each function one unit
//! of work.

pub mod accounts;
pub mod db;
mod demo;
mod evaluation;
pub mod events;
pub mod fairness;
mod group_commit;
pub mod migrations;
mod query;
pub mod quotas;
mod registry;
pub mod schema;
mod scoped;
pub mod statements;
mod traces;
pub mod tracking;
pub mod upkeep;
mod workspace;
pub mod workspaces;

pub use accounts::{
    grants::Grants,
    login_failures::LoginFailures,
    role_permissions::RolePermission,
    roles::{Assignment, Role},
    token_users::{TokenRole, TokenUser, is_mark, token_mark},
    users::{Account, Grant, Member, Membership, User, UserStore, UsersError},
};
pub use demo::{DEMO_EXPERIMENT, DeletedDemo, DemoFeature, GeneratedDemo};
pub use evaluation::{
    dataset_search::DatasetSearch,
    datasets::NewDataset,
    issues::{IssueChange, IssueSearch},
    label_schemas::{LabelSchemaChange, NewLabelSchema},
    review_queues::{ReviewQueueChange, ReviewQueueList},
    scorers::RegisteredScorer,
};
pub use events::{
    outbox::Delivery,
    webhooks::{KEY_VARIABLE, NewWebhook, WebhookChange},
};
use std::sync::Arc;

use ferroflow_model::{Result, messages::service::ViewType, permission::DEFAULT_WORKSPACE, validation::Limits};
pub use group_commit::{QueueStats, queues};
pub use query::{scope::Scope, visible::Visible};
pub use registry::{
    model_version_search::ModelVersionSearch, new_model_version::NewModelVersion,
    registered_model_search::RegisteredModelSearch,
};
pub use scoped::{Scoped, Unscoped};
pub use traces::{
    assessments::AssessmentChange,
    completed_sessions::{CompletedSession, CompletedSessionSearch},
    rollups::{Day, Family as RollupFamily, Partition as RollupPartition},
    span_log::{Joins, SpansLogged},
    trace_delete::{DeletedTraces, DeletionPlace, DoomedTraces},
    trace_metrics::TraceMetricsQuery,
    trace_payloads::{SpanPlace, SpansLocation, TraceLocations},
    trace_search::{Reach, TraceCounts, TraceSearch},
    trace_v2::TraceEvent,
};
pub use tracking::{
    experiment_locations::{CustomLocation, WorkspaceRoots},
    experiment_search::ExperimentSearch,
    logged_model_search::LoggedModelSearch,
    logged_models::NewLoggedModel,
    metrics::{Histories, HistoryPoint, MAX_BULK_HISTORY},
    parents::Child,
    run_search::{RunReach, RunSearch},
    runs::NewRun,
};
pub use upkeep::{
    abandoned_traces::{OldTrace, TraceState},
    scheduler_leases::{ROLLUP_LEASE, SchedulerLease},
    trace_archival::{ArchivableSpans, ArchivalTags, ArchiveOutcome, ArchiveRequest, Candidate, Due},
    trace_rollups::{PartitionOutcome, RollupRows},
};
pub use workspace::Workspace;
pub use workspaces::{DeletionMode, WORKSPACES_FOLDER, WorkspaceValues};

use crate::{
    db::{BackendUri, Db, DbOptions, dialect::Dialect},
    events::{fernet::FernetKey, outbox::Outbox},
    fairness::Budget,
    quotas::Full,
    schema::{SchemaError, own_indexes::OwnIndexes},
    traces::{rollup_queue::Rollups, span_log::lanes::SpanLanes, trace_start::StartLane},
    tracking::{batch::Batcher, metric_steps::MetricSteps},
    workspaces::known::Known,
};

/// The tracking store. One per process, shared by reference. Its data is reached through [`Store::within`] and
/// [`Store::unscoped`].
pub struct Store {
    db: Db,
    batch: Batcher,
    metric_steps: Arc<MetricSteps>,
    spans: SpanLanes,
    /// The queue of traces that clients start, if there is one.
    starts: Option<StartLane>,
    artifact_root: String,
    limits: Limits,
    outbox: Outbox,
    own_indexes: OwnIndexes,
    webhook_key: Option<FernetKey>,
    rollups: Rollups,
    /// The workspace of requests that name none, on a server with workspaces.
    default_workspace: Option<Workspace>,
    known_workspaces: Known,
    /// The database of the workspaces, if it is another one.
    workspace_db: Option<Db>,
    /// What is full by quotas.
    full: Full,
}

/// Options of [`Store::open`].
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Root of the artifacts of new experiments: a URI or absolute path, such as `mlflow-artifacts:/`.
    pub artifact_root: String,
    /// The limits of values.
    pub limits: Limits,
    /// Limits of the database.
    pub db: DbOptions,
    /// Whether days of traces are summed up, by this server or another one of the database.
    pub rollups: bool,
    /// A streaming replica of the database, which answers reads that take long.
    pub read_replica: Option<BackendUri>,
    /// Whether the server has workspaces. If not, a database with several is refused.
    pub workspaces: bool,
    /// The database whose table of workspaces is used, with all tables of a tracking database. By default, and if it is
    /// the same, it is the database itself.
    pub workspace_store: Option<BackendUri>,
}

/// Artifacts of new experiments are served.
impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            artifact_root: "mlflow-artifacts:/".into(),
            limits: Limits::default(),
            db: DbOptions::default(),
            rollups: false,
            read_replica: None,
            workspaces: false,
            workspace_store: None,
        }
    }
}

impl Store {
    /// Opens the database, creates the tables if it is empty, and starts the batching writer.
    ///
    /// # Errors
    /// The database cannot be reached, has another schema revision, or has workspaces and the server has none; the read
    /// replica is one of another database; the database of the workspaces cannot be used; or the artifact root cannot
    /// have folders of workspaces.
    pub async fn open(uri: &BackendUri, options: StoreOptions) -> Result<Self, SchemaError> {
        let StoreOptions { artifact_root, limits, db, rollups, read_replica, workspaces, workspace_store } = options;
        if workspaces {
            workspaces::check_root(&artifact_root)?;
        }
        let rollups = Rollups { is_enabled: rollups };
        let apart = workspace_store.filter(|other| workspaces && !other.is_same_database(uri));
        let workspace_db = match apart {
            Some(other) => Some(Box::pin(workspaces::apart::open(&other, db.clone())).await?),
            None => None,
        };
        let db = Db::open(uri, db)?;
        let of_workspaces = workspaces.then(|| workspace_db.as_ref().unwrap_or(&db));
        schema::prepare(&db, &artifact_root, of_workspaces).await?;
        let db = match read_replica {
            Some(replica) => Box::pin(schema::with_replica(db, uri, &replica)).await?,
            None => db,
        };
        let own_indexes = OwnIndexes::open(&db).await?;
        let metric_steps = Arc::new(MetricSteps::default());
        let batch = Batcher::start(&db, &metric_steps);
        let spans = SpanLanes::start(&db, rollups, batch.shared_stats());
        let starts = match db.dialect() {
            Dialect::Sqlite => Some(StartLane::start(&db, rollups, batch.shared_stats())),
            Dialect::Postgres => None,
        };
        let outbox = Outbox::open(&db).await?;
        let default_workspace = workspaces.then(|| Workspace::found(DEFAULT_WORKSPACE));
        Ok(Self {
            db,
            batch,
            metric_steps,
            spans,
            starts,
            artifact_root,
            limits,
            outbox,
            own_indexes,
            webhook_key: None,
            rollups,
            default_workspace,
            known_workspaces: Known::default(),
            workspace_db,
            full: Full::default(),
        })
    }

    /// Checks that the database can be read and written, and that of the workspaces.
    ///
    /// # Errors
    /// As [`Db::check`].
    pub async fn ping(&self) -> Result<()> {
        match &self.workspace_db {
            Some(workspaces) => tokio::try_join!(self.db.check(), workspaces.check()).map(drop)?,
            None => self.db.check().await?,
        }
        Ok(())
    }

    /// The database, for metrics of the server.
    #[must_use]
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// The limits of values.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// The batching writer, for metrics of the server.
    #[must_use]
    pub fn batch(&self) -> &Batcher {
        &self.batch
    }

    /// What writes share, for metrics of the server.
    pub fn budgets(&self) -> impl Iterator<Item = &Budget> {
        let starts = self.starts.iter().map(StartLane::places);
        [self.batch.places(), self.spans.memory()].into_iter().chain(starts)
    }

    /// Closes the database, and that of the workspaces. Every acknowledged write is already committed.
    ///
    /// # Errors
    /// The database failed.
    pub async fn close(&self) -> Result<()> {
        if let Some(workspaces) = &self.workspace_db {
            workspaces.close().await?;
        }
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
