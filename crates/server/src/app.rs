//! What every handler can reach.

use std::{sync::Arc, time::Duration};

use ferroflow_artifacts::Locations;
use ferroflow_auth::Caller;
use ferroflow_model::{host_policy::HostPolicy, trace_archival::TraceArchival};
use ferroflow_store::Store;
use regex::Regex;

use crate::{
    access::Access,
    body::Bodies,
    middleware::{client::TrustedProxies, hosts::Hosts, origins::Origins},
    telemetry::Telemetry,
    ui::Ui,
    webhooks::Webhooks,
};

/// The parts of a running server.
pub struct App {
    /// The tracking store.
    pub store: Store,
    /// Where artifacts are.
    pub locations: Locations,
    /// The official web UI.
    pub ui: Ui,
    /// What sends messages to webhooks.
    pub webhooks: Webhooks,
    /// Users and what they may do, with `--app-name basic-auth`.
    pub access: Option<Access>,
    /// The memory that bodies are read into.
    pub bodies: Bodies,
    /// Counters.
    pub telemetry: Telemetry,
    /// Settings.
    pub config: Config,
}

/// Settings of the HTTP side.
#[derive(Debug, Clone)]
pub struct Config {
    /// Such as `/mlflow`; empty without a prefix.
    pub static_prefix: String,
    /// A path below which a proxy serves everything, whether it takes it away from the path of a request or not; empty
    /// without one.
    pub url_prefix: String,
    /// How long a connection without a request is kept.
    pub keep_alive: Duration,
    /// Only this machine reaches the server, and it has no users: it is its user's own.
    pub is_own: bool,
    /// Only artifacts are served (`--artifacts-only`).
    pub artifacts_only: bool,
    /// Host and origin checks.
    pub security: Security,
    /// Limits of GraphQL queries.
    pub graphql: GraphqlLimits,
    /// The hosts that locations of clients may name.
    pub hosts: HostPolicy,
    /// What must be found in the source of a new model version.
    pub source_pattern: Option<Regex>,
    /// Transfers between clients and the bucket.
    pub transfers: Transfers,
    /// How traces are archived, if they are.
    pub trace_archival: Option<TraceArchival>,
    /// The proxies that are believed about whom a request comes from.
    pub trusted_proxies: TrustedProxies,
    /// Whether this server does now and then what is to be done in the background, such as archiving traces.
    pub runs_jobs: bool,
}

impl Config {
    /// Longer than the 60 seconds of the usual load balancer, so that it is the one who ends a connection.
    pub const KEEP_ALIVE: Duration = Duration::from_secs(75);

    /// What the addresses of this server's own pages begin with.
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
            is_own: false,
            artifacts_only: false,
            security: Security::default(),
            graphql: GraphqlLimits::default(),
            hosts: HostPolicy::default(),
            source_pattern: None,
            transfers: Transfers::default(),
            trace_archival: None,
            trusted_proxies: TrustedProxies::default(),
            runs_jobs: false,
        }
    }
}

/// Transfers that clients do with the bucket themselves.
#[derive(Debug, Clone)]
pub struct Transfers {
    /// Whether clients are told of them. Without, everything goes through the server.
    pub enabled: bool,
    /// Seconds that an address for a download is good.
    pub download_expiration: i64,
}

impl Transfers {
    /// Seconds that any store signs for, at the most.
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
    /// What the `Host` header may say.
    pub allowed_hosts: Hosts,
    /// Origins besides localhost that may change something.
    pub allowed_origins: Origins,
    /// The value of `X-Frame-Options`; `NONE` leaves it out.
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

/// What a handler is given besides the request.
#[derive(Clone)]
pub(crate) struct Cx {
    /// The server.
    pub(crate) app: Arc<App>,
    /// The parameters in the path.
    pub(crate) path: Vec<(String, String)>,
    /// The query of the URL, still encoded.
    pub(crate) query: Option<String>,
    /// Who sends the request, when the server has users.
    pub(crate) caller: Option<Arc<Caller>>,
}

impl Cx {
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
