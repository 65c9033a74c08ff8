//! The flags and environment variables of `mlflow server`, and those that only ferroflow has.

use std::path::PathBuf;

use anyhow::Result;
use clap::{ArgAction, Args, builder::BoolishValueParser};

use ferroflow_model::{Environment, quotas::QuotaLimits};

use crate::{logging::LogFormat, variables::flag};

/// Flags of `ferroflow server`.
#[derive(Debug, Clone, Args)]
#[allow(clippy::struct_excessive_bools, reason = "a flag is a bool")]
pub(crate) struct ServerArgs {
    /// The database of experiments and runs, as a SQLAlchemy URI: `sqlite:///mlflow.db` (the default),
    /// `sqlite:////absolute/path.db` or `postgresql://user:password@host:5432/database`
    #[arg(long, env = "MLFLOW_BACKEND_STORE_URI", value_name = "URI", hide_env_values = true)]
    pub(crate) backend_store_uri: Option<String>,

    /// Maximum number of connections to each database. Default: the sum of `MLFLOW_SQLALCHEMYSTORE_POOL_SIZE` and
    /// `MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW`, else 16
    #[arg(long, env = "FERROFLOW_DATABASE_CONNECTIONS", value_name = "INTEGER", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) database_connections: Option<u16>,

    /// Statement timeout of requests in seconds, after which the response is 504; 0 for none. Migrations and `gc` have
    /// none
    #[arg(long, env = "FERROFLOW_STATEMENT_TIMEOUT", value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(0..=86_400))]
    pub(crate) statement_timeout: u32,

    /// Log statements that take longer than this, in seconds, with their text and without their values; 0 for none
    #[arg(long, env = "FERROFLOW_SLOW_STATEMENT", value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub(crate) slow_statement: f64,

    /// Upgrade an older database at start, instead of refusing it
    #[arg(long, env = "FERROFLOW_AUTO_MIGRATE", value_parser = BoolishValueParser::new(), action = ArgAction::SetTrue)]
    pub(crate) auto_migrate: bool,

    /// A streaming replica of the PostgreSQL database, which answers searches, metric histories and other reads that take
    /// long, as long as it is current
    #[arg(long, env = "MLFLOW_READ_REPLICA_BACKEND_STORE_URI", value_name = "URI", hide_env_values = true)]
    pub(crate) read_replica_backend_store_uri: Option<String>,

    /// Must be the backend store: a separate database for registered models is not supported
    #[arg(long, env = "MLFLOW_REGISTRY_STORE_URI", value_name = "URI", hide_env_values = true)]
    pub(crate) registry_store_uri: Option<String>,

    /// The artifact root of new experiments. Default: mlflow-artifacts:/ if artifacts are served, else ./mlruns
    #[arg(long, env = "MLFLOW_DEFAULT_ARTIFACT_ROOT", value_name = "URI")]
    pub(crate) default_artifact_root: Option<String>,

    /// Serve artifacts through this server (the default)
    #[arg(long, overrides_with = "no_serve_artifacts", action = ArgAction::SetTrue)]
    pub(crate) serve_artifacts: bool,

    /// Do not serve artifacts: clients access the store directly
    #[arg(long, overrides_with = "serve_artifacts", action = ArgAction::SetTrue)]
    pub(crate) no_serve_artifacts: bool,

    /// Serve artifacts and nothing else
    #[arg(long, env = "MLFLOW_ARTIFACTS_ONLY", value_parser = BoolishValueParser::new(), action = ArgAction::SetTrue)]
    pub(crate) artifacts_only: bool,

    /// The store of served artifacts
    #[arg(long, env = "MLFLOW_ARTIFACTS_DESTINATION", value_name = "URI", default_value = "./mlartifacts")]
    pub(crate) artifacts_destination: String,

    /// Further local directories from which artifacts may be read, if a stored location is in one. A server on a
    /// loopback address reads every location unless one is given
    #[arg(long, env = "FERROFLOW_ALLOWED_LOCAL_ARTIFACT_ROOTS", value_name = "DIR", value_delimiter = ',')]
    pub(crate) allowed_local_artifact_roots: Vec<PathBuf>,

    /// The address to listen on
    #[arg(short = 'h', long, env = "MLFLOW_HOST", value_name = "HOST", default_value = "127.0.0.1")]
    pub(crate) host: String,

    /// The port to listen on
    #[arg(short, long, env = "MLFLOW_PORT", value_name = "INTEGER", default_value = "5000", value_parser = port)]
    pub(crate) port: u16,

    /// A port for OTLP/gRPC, by which OpenTelemetry's clients send traces; 4317 is theirs by default. Not served unless
    /// set
    #[arg(long, env = "FERROFLOW_OTLP_GRPC_PORT", value_name = "INTEGER")]
    pub(crate) otlp_grpc_port: Option<u16>,

    /// Number of threads that serve requests
    #[arg(short, long, env = "MLFLOW_WORKERS", value_name = "INTEGER", default_value_t = 4)]
    pub(crate) workers: usize,

    /// A path prefix of all URLs, such as /mlflow
    #[arg(long, env = "MLFLOW_STATIC_PREFIX", value_name = "TEXT")]
    pub(crate) static_prefix: Option<String>,

    /// Allowed Host headers, with * for any text, separated by commas. Default: localhost and private addresses
    #[arg(long, env = "MLFLOW_SERVER_ALLOWED_HOSTS", value_name = "TEXT")]
    pub(crate) allowed_hosts: Option<String>,

    /// Origins besides localhost that may send requests that change state, separated by commas
    #[arg(long, env = "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS", value_name = "TEXT")]
    pub(crate) cors_allowed_origins: Option<String>,

    /// DANGEROUS: accept every host and origin
    #[arg(
        long,
        env = "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE",
        value_parser = BoolishValueParser::new(),
        action = ArgAction::SetTrue
    )]
    pub(crate) disable_security_middleware: bool,

    /// X-Frame-Options of responses: SAMEORIGIN, DENY or NONE
    #[arg(long, env = "MLFLOW_SERVER_X_FRAME_OPTIONS", value_name = "TEXT", default_value = "SAMEORIGIN")]
    pub(crate) x_frame_options: String,

    /// Serve TLS with this certificate: a PEM file with the certificate and its intermediate certificates. It is
    /// reloaded when it changes
    #[arg(long, env = "FERROFLOW_TLS_CERT", value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// The unencrypted private key of --tls-cert, in PEM. Default: the file of the certificate
    #[arg(long, env = "FERROFLOW_TLS_KEY", value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,

    /// Require client certificates issued by a CA in this PEM file
    #[arg(long, env = "FERROFLOW_TLS_CLIENT_CA", value_name = "FILE")]
    pub(crate) tls_client_ca: Option<PathBuf>,

    /// Keep-alive timeout: how long an idle connection stays open
    #[arg(
        long,
        env = "FERROFLOW_KEEP_ALIVE_TIMEOUT",
        value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(1..=86_400)
    )]
    pub(crate) keep_alive_timeout: Option<u64>,

    /// Options of gunicorn: TLS, --bind and --keep-alive are used; unsupported security options are refused
    #[arg(long, env = "MLFLOW_GUNICORN_OPTS", value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) gunicorn_opts: Option<String>,

    /// Options of waitress: --listen and --url-prefix are used; unsupported security options are refused
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) waitress_opts: Option<String>,

    /// Options of uvicorn: TLS, --root-path and --timeout-keep-alive are used; unsupported security options are refused
    #[arg(long, env = "MLFLOW_UVICORN_OPTS", value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) uvicorn_opts: Option<String>,

    /// Accepted and ignored: there is no Python to reload
    #[arg(long)]
    pub(crate) dev: bool,

    /// Accepted and ignored: /metrics needs no directory and is always served
    #[arg(long, env = "MLFLOW_EXPOSE_PROMETHEUS", value_name = "TEXT")]
    pub(crate) expose_prometheus: Option<String>,

    /// With basic-auth, users log in with a name and a password, and need permissions
    #[arg(long, value_name = "basic-auth")]
    pub(crate) app_name: Option<String>,

    /// With users: a file for the audit log, one line of JSON per login, change, artifact read and refused request; -
    /// is standard output
    #[arg(long, env = "FERROFLOW_AUDIT_LOG", value_name = "FILE")]
    pub(crate) audit_log: Option<PathBuf>,

    /// Addresses and networks of trusted reverse proxies, separated by commas, such as 10.0.0.0/8: their
    /// X-Forwarded-For and Forwarded headers are trusted. Otherwise the peer of a connection is the client
    #[arg(long, env = "FERROFLOW_TRUSTED_PROXIES", value_name = "CIDR", value_delimiter = ',')]
    pub(crate) trusted_proxies: Vec<String>,

    /// A YAML file with the retention of traces in the database, and the location of their archive
    #[arg(long, env = "MLFLOW_TRACE_ARCHIVAL_CONFIG", value_name = "PATH")]
    pub(crate) trace_archival_config: Option<PathBuf>,

    /// Export traces of the server itself to this collector of OpenTelemetry by HTTP, such as
    /// `http://collector:4318/v1/traces`
    #[arg(long, env = "FERROFLOW_OTEL_TRACES_ENDPOINT", value_name = "URL", hide_env_values = true)]
    pub(crate) otel_traces_endpoint: Option<String>,

    /// Quotas above which requests are refused: `experiment.runs`, `experiment.points`, `experiment.traces` and the same
    /// of a `workspace`, such as experiment.runs=100000,workspace.points=500000000
    #[arg(long, env = "FERROFLOW_HARD_QUOTAS", value_name = "LIST", default_value = "", hide_default_value = true, value_parser = QuotaLimits::parse)]
    pub(crate) hard_quotas: QuotaLimits,

    /// The same, for quotas that are only reported, by a metric and in the log
    #[arg(long, env = "FERROFLOW_SOFT_QUOTAS", value_name = "LIST", default_value = "", hide_default_value = true, value_parser = QuotaLimits::parse)]
    pub(crate) soft_quotas: QuotaLimits,

    /// Accepted and ignored: secrets are not cached
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(10..=300))]
    pub(crate) secrets_cache_ttl: u32,

    /// Accepted and ignored: secrets are not cached
    #[arg(long, value_name = "ENTRIES", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10000))]
    pub(crate) secrets_cache_max_size: u32,

    /// The database with the table of workspaces, or the tracking server (https://…) whose workspaces they are, if it is not
    /// the backend store; with --artifacts-only it is the database of the tracking server
    #[arg(long, env = "MLFLOW_WORKSPACE_STORE_URI", value_name = "URI", hide_env_values = true)]
    pub(crate) workspace_store_uri: Option<String>,

    /// Workspaces: each has its own experiments, models, prompts, datasets, webhooks and artifacts
    /// (`MLFLOW_ENABLE_WORKSPACES`)
    #[arg(long, overrides_with = "disable_workspaces", action = ArgAction::SetTrue)]
    pub(crate) enable_workspaces: bool,

    /// No workspaces (the default), whatever the environment says
    #[arg(long, overrides_with = "enable_workspaces", action = ArgAction::SetTrue)]
    pub(crate) disable_workspaces: bool,

    /// A directory with the built files of the web UI
    #[arg(long, env = "FERROFLOW_UI_DIR", value_name = "DIR")]
    pub(crate) ui_dir: Option<PathBuf>,

    /// Print help
    #[arg(long, action = ArgAction::Help)]
    pub(crate) help: Option<bool>,

    /// The format of log lines
    #[arg(long, env = "FERROFLOW_LOG_FORMAT", value_enum, default_value = "text")]
    pub(crate) log_format: LogFormat,
}

impl ServerArgs {
    /// Whether artifacts are served: by the flags, else by the environment, else yes.
    pub(crate) fn serve_artifacts(&self, environment: &Environment) -> bool {
        if self.no_serve_artifacts || self.serve_artifacts {
            return !self.no_serve_artifacts;
        }
        !environment.get("MLFLOW_SERVE_ARTIFACTS").is_some_and(|value| {
            matches!(value.to_ascii_lowercase().as_str(), "false" | "0" | "no" | "off" | "f" | "n")
        })
    }

    /// Enables workspaces if the environment does, and no flag says otherwise. clap would not let a flag override a
    /// variable.
    ///
    /// # Errors
    /// The variable is neither true nor false.
    pub(crate) fn read_workspaces(&mut self, environment: &Environment) -> Result<()> {
        let by_default = flag(environment, "MLFLOW_ENABLE_WORKSPACES")?.unwrap_or_default();
        self.enable_workspaces |= by_default && !self.disable_workspaces;
        Ok(())
    }

    /// Whether the server has workspaces.
    pub(crate) fn has_workspaces(&self) -> bool {
        self.enable_workspaces && !self.disable_workspaces
    }

    /// The backend store, or the default SQLite file. A server of artifacts looks for workspaces in their store.
    pub(crate) fn backend_store_uri(&self) -> String {
        let given = match &self.workspace_store_uri {
            Some(uri) if self.artifacts_only && self.has_workspaces() => Some(uri.as_str()),
            _ => self.backend_store_uri.as_deref(),
        };
        match given {
            None | Some("") => "sqlite:///mlflow.db".to_owned(),
            Some(uri) => uri.to_owned(),
        }
    }
}

/// Parses a number of seconds of at most a day.
fn seconds(text: &str) -> std::result::Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.0..=86_400.0).contains(seconds));
    seconds.ok_or_else(|| format!("'{text}' is not a number of seconds (0 to 86400)"))
}

/// Parses a port. Kubernetes sets `MLFLOW_PORT=tcp://…` in every pod beside a service named mlflow: that is the address
/// of the service, and ignored.
fn port(text: &str) -> std::result::Result<u16, String> {
    if text.starts_with("tcp://") {
        return Ok(5000);
    }
    text.parse().map_err(|_| format!("'{text}' is not a port (0 to 65535)"))
}
