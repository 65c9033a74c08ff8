//! State shared by all handlers.

use std::{sync::Arc, time::Duration};

use ferroflow_artifacts::Locations;
use ferroflow_auth::Caller;
use ferroflow_jobs::{QuotaSettings, RollupSettings, Webhooks};
use ferroflow_model::{
    Result, evaluation::scorers::SourceCode, host_policy::HostPolicy, trace_archival::TraceArchival,
};
use ferroflow_store::{
    CustomLocation, Scoped, Store, Workspace, WorkspaceRoots,
    db::{Db, ResultBudget, Upkeep},
    fairness::{Budget, Callers},
    tracking::batch::Batcher,
};
use regex::Regex;

use crate::{
    access::Access,
    body::Bodies,
    middleware::{client::TrustedProxies, hosts::Hosts, origins::Origins},
    telemetry::Telemetry,
    ui::Ui,
    workspace::remote::RemoteWorkspaces,
    workspace_places::WorkspacePlaces,
};

/// The components of a running server.
pub struct App {
    /// The tracking store.
    pub store: StoreAccess,
    /// Where artifacts are.
    pub locations: Locations,
    /// The official web UI.
    pub ui: Ui,
    /// The sender of messages to webhooks.
    pub webhooks: Arc<Webhooks>,
    /// Users and their permissions, with `--app-name basic-auth`.
    pub access: Option<Access>,
    /// The callers with their running requests.
    pub callers: Callers,
    /// The memory budget for request bodies.
    pub bodies: Bodies,
    /// The memory budget for query results and large responses.
    pub results: ResultBudget,
    /// Counters.
    pub telemetry: Telemetry,
    /// Settings.
    pub config: Config,
}

/// The tracking store. Handlers reach its data by [`Cx::store`] only, which knows the workspace of the request.
pub struct StoreAccess(Arc<Store>, Option<WorkspacePlaces>, Option<Arc<RemoteWorkspaces>>);

impl From<Store> for StoreAccess {
    fn from(store: Store) -> Self {
        let places = store.has_workspaces().then(WorkspacePlaces::default);
        Self(Arc::new(store), places, None)
    }
}

impl StoreAccess {
    /// The same, with the workspaces of another server.
    #[must_use]
    pub fn with_remote_workspaces(self, remote: Option<RemoteWorkspaces>) -> Self {
        Self(self.0, self.1, remote.map(Arc::new))
    }

    /// The other server whose workspaces this one has.
    pub(crate) fn remote_workspaces(&self) -> Option<&Arc<RemoteWorkspaces>> {
        self.2.as_ref()
    }

    /// The store for background jobs, which do their work without a workspace.
    pub(crate) fn for_jobs(&self) -> &Arc<Store> {
        &self.0
    }

    /// The default location of the experiment `0`, and the locations of experiments with another one, by id. A path in the
    /// served store may belong to an experiment of any workspace.
    pub(crate) async fn experiment_locations(&self) -> Result<(String, Vec<CustomLocation>)> {
        let store = self.0.unscoped(Upkeep::Locations);
        Ok((store.default_location("0")?, store.custom_locations().await?))
    }

    /// Those, and the roots of workspaces with their own.
    pub(crate) async fn all_locations(&self) -> Result<(String, Vec<CustomLocation>, Vec<WorkspaceRoots>)> {
        let (default, experiments) = self.experiment_locations().await?;
        Ok((default, experiments, self.0.unscoped(Upkeep::Locations).workspace_roots().await?))
    }

    /// The workspace of an experiment: a path names experiments of any workspace.
    pub(crate) async fn workspace_of_experiment(&self, id: i64) -> Result<Option<String>> {
        self.0.unscoped(Upkeep::Locations).workspace_of_experiment(id).await
    }

    /// Whose places in artifact stores are, on a server with workspaces.
    pub(crate) fn places(&self) -> Option<&WorkspacePlaces> {
        self.1.as_ref()
    }

    /// The workspaces themselves, which are in none.
    pub(crate) fn workspaces(&self) -> &Store {
        &self.0
    }

    /// The workspace that a request names, or the default one.
    pub(crate) async fn workspace(&self, name: Option<&str>) -> Result<Workspace> {
        match name {
            None => Ok(self.0.default_workspace().clone()),
            Some(name) => self.0.workspace(name).await,
        }
    }

    /// [`Store::has_workspaces`].
    pub(crate) fn has_workspaces(&self) -> bool {
        self.0.has_workspaces()
    }

    /// [`Store::ping`].
    pub(crate) async fn ping(&self) -> Result<()> {
        self.0.ping().await
    }

    /// [`Store::close`].
    pub(crate) async fn close(&self) -> Result<()> {
        self.0.close().await
    }

    /// The database, for metrics.
    pub(crate) fn db(&self) -> &Db {
        self.0.db()
    }

    /// [`Store::budgets`].
    pub(crate) fn budgets(&self) -> impl Iterator<Item = &Budget> {
        self.0.budgets()
    }

    /// The batching writer, for metrics.
    pub(crate) fn batch(&self) -> &Batcher {
        self.0.batch()
    }
}

/// Settings of the HTTP side.
#[derive(Debug, Clone)]
pub struct Config {
    /// Such as `/mlflow`; empty without a prefix.
    pub static_prefix: String,
    /// A path prefix of a reverse proxy, whether the proxy strips it from request paths or not; empty without one.
    pub url_prefix: String,
    /// Keep-alive timeout: how long an idle connection stays open.
    pub keep_alive: Duration,
    /// Whether the server is reachable from this machine only and has no users: it belongs to the local user.
    pub is_local_only: bool,
    /// Only artifacts are served (`--artifacts-only`).
    pub artifacts_only: bool,
    /// Host and origin checks.
    pub security: Security,
    /// Limits of GraphQL queries.
    pub graphql: GraphqlLimits,
    /// The hosts that artifact locations sent by clients may name.
    pub hosts: HostPolicy,
    /// A pattern that must match in the source of a new model version.
    pub source_pattern: Option<Regex>,
    /// Direct transfers between clients and the bucket.
    pub transfers: Transfers,
    /// How traces are archived, if they are.
    pub trace_archival: Option<TraceArchival>,
    /// When rollups of traces are built, if they are in use.
    pub trace_rollups: Option<RollupSettings>,
    /// How much experiments and workspaces may hold, if that is limited.
    pub quotas: Option<QuotaSettings>,
    /// How long ago an unfinished trace began, and its last span, when it is closed; `None` if it never is.
    pub abandoned_trace_age: Option<Duration>,
    /// The proxies whose forwarding headers are trusted.
    pub trusted_proxies: TrustedProxies,
    /// Whether scorers with source code may be registered.
    pub custom_scorers: SourceCode,
    /// Whether this server runs periodic background jobs, such as archiving traces.
    pub runs_jobs: bool,
    /// Idle time after which an upload in the server's stores is abandoned and swept; `None` if it never is.
    pub upload_sweep_age: Option<Duration>,
}

impl Config {
    /// Longer than the 60 seconds of most load balancers, so that the load balancer closes an idle connection first.
    pub const KEEP_ALIVE: Duration = Duration::from_secs(75);

    /// The prefix of the URLs of this server's own pages.
    pub(crate) fn base(&self) -> String {
        format!("{}{}", self.url_prefix, self.static_prefix)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            static_prefix: String::new(),
            url_prefix: String::new(),
            keep_alive: Self::KEEP_ALIVE,
            is_local_only: false,
            artifacts_only: false,
            security: Security::default(),
            graphql: GraphqlLimits::default(),
            hosts: HostPolicy::default(),
            source_pattern: None,
            transfers: Transfers::default(),
            trace_archival: None,
            trace_rollups: None,
            quotas: None,
            abandoned_trace_age: None,
            trusted_proxies: TrustedProxies::default(),
            custom_scorers: SourceCode::default(),
            runs_jobs: false,
            upload_sweep_age: None,
        }
    }
}

/// Direct transfers between clients and the bucket.
#[derive(Debug, Clone)]
pub struct Transfers {
    /// Whether they are offered to clients. If not, all artifacts go through the server.
    pub enabled: bool,
    /// Lifetime of a signed download URL, in seconds.
    pub download_expiration: i64,
}

impl Transfers {
    /// Maximum lifetime of a signed URL that every store accepts, in seconds (7 days).
    pub const MAX_EXPIRATION: i64 = 604_800;
}

impl Default for Transfers {
    fn default() -> Self {
        Self { enabled: true, download_expiration: 300 }
    }
}

/// Host and origin checks, as the reference has them.
#[derive(Debug, Clone)]
pub struct Security {
    /// `--disable-security-middleware` switches everything here off.
    pub enabled: bool,
    /// Allowed values of the `Host` header.
    pub allowed_hosts: Hosts,
    /// Origins besides localhost that may send requests that change state.
    pub allowed_origins: Origins,
    /// The value of `X-Frame-Options`; `NONE` omits the header.
    pub frame_options: String,
}

impl Default for Security {
    fn default() -> Self {
        Self {
            enabled: true,
            allowed_hosts: Hosts::default(),
            allowed_origins: Origins::default(),
            frame_options: "SAMEORIGIN".into(),
        }
    }
}

pub use crate::graphql::Limits as GraphqlLimits;

/// The context of a request, passed to its handler.
#[derive(Clone)]
pub(crate) struct Cx {
    /// The server.
    pub(crate) app: Arc<App>,
    /// The workspace of the request.
    pub(crate) workspace: Workspace,
    /// The parameters in the path.
    pub(crate) path: Vec<(String, String)>,
    /// The query string of the URL, still percent-encoded.
    pub(crate) query: Option<String>,
    /// The authenticated user, when the server has users.
    pub(crate) caller: Option<Arc<Caller>>,
}

impl Cx {
    /// The tracking store in the workspace of the request.
    pub(crate) fn store(&self) -> Scoped<'_> {
        self.app.store.0.within(&self.workspace)
    }

    /// A parameter in the path. The router has matched it, so it is there.
    pub(crate) fn path(&self, name: &str) -> &str {
        self.path.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value)
    }

    /// All values of a parameter in the query.
    pub(crate) fn query_all(&self, name: &str) -> Vec<String> {
        let query = self.query.as_deref().unwrap_or_default();
        form_urlencoded::parse(query.as_bytes())
            .filter(|(found, _)| found == name)
            .map(|(_, value)| value.into_owned())
            .collect()
    }

    /// The first value of a parameter in the query.
    pub(crate) fn query(&self, name: &str) -> Option<String> {
        self.query_all(name).into_iter().next()
    }
}
