//! `ferroflow server`: the flags of `mlflow server`, and the construction of a server from them.

mod archival;
mod args;
mod auth;
mod check;
mod listen;
mod process_opts;
pub(crate) mod rollups;
mod storage;
mod traces;
mod webhooks;

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use ferroflow_artifacts::{ArtifactRepository, Buckets, LocalRepository, Locations, location::resolve_if_local};
use ferroflow_jobs::{QuotaSettings, Webhooks};
use ferroflow_model::{
    Environment, evaluation::scorers::SourceCode, host_policy::HostPolicy, quotas::Quotas, uri, validation::Limits,
};
use ferroflow_server::{App, Bodies, Config, Hosts, Origins, Security, StoreAccess, TrustedProxies, ui};
use ferroflow_store::{
    Store, StoreOptions,
    db::{BackendUri, DbOptions, ResultBudget, Synchronous},
    fairness::Callers,
};

pub(crate) use self::args::ServerArgs;
use crate::{
    db, logging,
    variables::{flag, number},
};

/// The default artifact root of a server that serves artifacts.
const PROXIED_ROOT: &str = "mlflow-artifacts:/";

/// Runs the server until it is signalled to stop.
pub(crate) fn run(mut args: ServerArgs, environment: &Environment) -> Result<()> {
    let start = Instant::now();
    logging::init(args.log_format, environment);
    args.read_workspaces(environment)?;
    check::check(&args)?;
    let threads = args.workers.clamp(1, 512);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .context("the runtime does not start")?;
    let outcome = runtime.block_on(serve(args, environment, start));
    // Blocking file I/O that is left belongs to an aborted request.
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

async fn serve(args: ServerArgs, environment: &Environment, start: Instant) -> Result<()> {
    let limits = limits(environment)?;
    let transfers = transfers(environment)?;
    let trusted_proxies = TrustedProxies::parse(args.trusted_proxies.iter().map(String::as_str));
    let trusted_proxies = trusted_proxies.map_err(|reason| anyhow::anyhow!("--trusted-proxies: {reason}"))?;
    // Before clients can see that the server is up, and stop it.
    let stop = stop_signal()?;
    let port = listen::open(&args, environment).await?;
    let (scheme, address) = (port.scheme(), port.address);
    // With users, a login from this machine does not make its user the owner.
    let is_local_only = port.is_local() && args.app_name.is_none();

    let buckets = Buckets::new(environment);
    let serves_artifacts = args.serve_artifacts(environment);
    let destination = serves_artifacts.then(|| destination(&args.artifacts_destination, &buckets)).transpose()?;
    let root = artifact_root(&args, serves_artifacts)?;
    buckets.check_settings(&root).map_err(|error| anyhow::anyhow!(error.message))?;
    let archival = args.trace_archival_config.as_deref().map(|file| archival::settings(file, &buckets)).transpose()?;
    let archive = archival.as_ref().map(|settings| settings.location.as_str());
    let runs_jobs = archival::runs_jobs(environment);
    archival::log_settings(archival.as_ref(), runs_jobs);
    let trace_rollups = rollups::settings(environment)?;
    rollups::log_settings(trace_rollups.as_ref(), runs_jobs);
    let abandoned_trace_age = rollups::abandoned_age(environment)?;
    let quotas = quotas(&args);
    let custom_scorers = custom_scorers(environment)?;
    let local_roots = local_roots(&args, &[Some(root.as_str()), archive], destination.as_ref(), is_local_only);
    let mut locations = Locations { local_roots, destination, buckets, direct: None };
    locations.direct = storage::direct(&root, &locations);
    let upload_sweep_age = storage::sweep_age(environment)?;
    let auth = auth::settings(args.app_name.as_deref(), environment)?;
    auth::check_proxies(auth.as_ref(), &trusted_proxies)?;
    let hosts = host_policy(&args, &root, environment);
    let telemetry = traces::telemetry(&args, environment)?;
    let backend = BackendUri::parse(&args.backend_store_uri(), environment)?;
    let workspace_store = check::workspace_store(&args, &backend, environment)?;
    let remote_workspaces = check::remote_workspaces(&args, environment)?;
    if remote_workspaces.is_some() && auth.as_ref().is_some_and(|(config, ..)| config.workspaces_are_namespaces()) {
        bail!("workspaces = namespaces in [kubernetes] and a server as --workspace-store-uri exclude each other");
    }
    let read_replica = check::read_replica(&args, &backend, environment)?;
    let (webhooks, webhook_key) = (webhooks::options(environment)?, webhooks::key(environment)?);
    if args.auto_migrate {
        db::migrate_at_start(&backend)
            .await
            .with_context(|| format!("the backend store {backend} cannot be upgraded"))?;
        if let Some(other) = &workspace_store {
            db::migrate_at_start(other)
                .await
                .with_context(|| format!("the workspace store {other} cannot be upgraded"))?;
        }
    }
    if let Some(other) = &workspace_store {
        tracing::info!(workspaces = %other, "the workspaces are in a database of their own");
    }
    let mut db = db_options(args.database_connections, environment)?;
    db.statement_timeout = (args.statement_timeout > 0).then(|| Duration::from_secs(args.statement_timeout.into()));
    let options = StoreOptions {
        artifact_root: root,
        limits,
        db: db.clone(),
        rollups: trace_rollups.is_some(),
        read_replica,
        workspaces: args.has_workspaces(),
        workspace_store,
    };
    let store = Store::open(&backend, options)
        .await
        .with_context(|| format!("the backend store {backend} cannot be opened"))?
        .with_webhook_key(webhook_key);
    if trace_rollups.is_none() {
        rollups::check_unused(&store, &backend).await?;
    }
    let access = match auth {
        Some(auth) => Some(auth::open(auth, &args, environment, &backend, &store, db).await?),
        None => None,
    };
    storage::check(&locations);
    let prefix = args.static_prefix.clone().unwrap_or_default();
    let app = App {
        store: StoreAccess::from(store).with_remote_workspaces(remote_workspaces),
        locations,
        ui: ui::Ui::open(ui_config(&args, environment)),
        webhooks: Arc::new(Webhooks::new(webhooks)),
        access,
        callers: Callers::default(),
        bodies: Bodies::default(),
        results: ResultBudget::default(),
        telemetry,
        config: Config {
            static_prefix: prefix.trim_end_matches('/').to_owned(),
            url_prefix: port.url_prefix.clone(),
            keep_alive: port.keep_alive,
            is_local_only,
            artifacts_only: args.artifacts_only,
            security: security(&args, environment)?,
            graphql: graphql_limits(environment)?,
            hosts,
            source_pattern: source_pattern(environment)?,
            transfers,
            trusted_proxies,
            custom_scorers,
            trace_archival: archival.filter(|settings| settings.enabled),
            trace_rollups,
            quotas,
            abandoned_trace_age,
            runs_jobs,
            upload_sweep_age,
        },
    };
    tracing::info!(
        backend = %backend,
        started_in_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
        "listening on {scheme}://{address}{prefix}"
    );
    ferroflow_server::serve(port.listening, app, stop).await.context("the server failed")?;
    tracing::info!("stopped");
    Ok(())
}

/// Whether scorers with source code may be registered.
fn custom_scorers(environment: &Environment) -> Result<SourceCode> {
    let are_enabled = flag(environment, "MLFLOW_SERVER_ENABLE_CUSTOM_SCORERS")?.unwrap_or_default();
    Ok(if are_enabled { SourceCode::Accepted } else { SourceCode::Refused })
}

/// The quotas, if there are some.
fn quotas(args: &ServerArgs) -> Option<QuotaSettings> {
    let quotas = Quotas { soft: args.soft_quotas.clone(), hard: args.hard_quotas.clone() };
    (!quotas.are_none()).then(|| QuotaSettings::new(quotas))
}

/// The limits of values.
fn limits(environment: &Environment) -> Result<Limits> {
    let defaults = Limits::default();
    let location = number(environment, "MLFLOW_ARTIFACT_LOCATION_MAX_LENGTH")?;
    let truncates = environment.get("MLFLOW_TRUNCATE_LONG_VALUES");
    Ok(Limits {
        truncates: truncates.is_none_or(|value| !value.eq_ignore_ascii_case("false")),
        artifact_location: location.unwrap_or(defaults.artifact_location),
    })
}

fn ui_config(args: &ServerArgs, environment: &Environment) -> ui::UiConfig {
    ui::UiConfig { dir: args.ui_dir.clone(), environment: environment.clone(), ..ui::UiConfig::default() }
}

/// The repository of `--artifacts-destination`.
pub(crate) fn destination(text: &str, buckets: &Buckets) -> Result<ArtifactRepository> {
    match uri::scheme(text).as_deref() {
        None | Some("file") => {
            let resolved = resolve_if_local(text).map_err(|error| anyhow::anyhow!(error.message))?;
            let path = resolved.strip_prefix("file:").map_or(resolved.as_str(), |rest| rest.trim_start_matches("//"));
            Ok(ArtifactRepository::Local(LocalRepository::new(path)))
        }
        Some(scheme) if Buckets::have(scheme) => {
            let found = buckets.check_settings(text).and_then(|()| buckets.repository(text));
            found.map(ArtifactRepository::Bucket).map_err(|error| anyhow::anyhow!(error.message))
        }
        Some(scheme) => {
            bail!(
                "--artifacts-destination {scheme}: is not supported by this version: use a local directory, s3:, gs: or wasbs:"
            )
        }
    }
}

/// The artifact root of new experiments.
fn artifact_root(args: &ServerArgs, serves_artifacts: bool) -> Result<String> {
    match &args.default_artifact_root {
        Some(root) => resolve_if_local(root).map_err(|error| anyhow::anyhow!(error.message)),
        None if serves_artifacts => Ok(PROXIED_ROOT.to_owned()),
        None => resolve_if_local("./mlruns").map_err(|error| anyhow::anyhow!(error.message)),
    }
}

/// The directories that stored locations may be in, including the server's own settings in `own`. A server without
/// users that only this machine reaches belongs to its local user and reads what that user may read, as the reference
/// does.
fn local_roots(
    args: &ServerArgs,
    own: &[Option<&str>],
    destination: Option<&ArtifactRepository>,
    is_local_only: bool,
) -> Option<Vec<PathBuf>> {
    if is_local_only && args.allowed_local_artifact_roots.is_empty() {
        return None;
    }
    let mut roots = args.allowed_local_artifact_roots.clone();
    if let Some(ArtifactRepository::Local(local)) = destination {
        roots.push(local.root().to_owned());
    }
    for location in own.iter().flatten() {
        match uri::scheme(location).as_deref() {
            None => roots.push(PathBuf::from(location)),
            Some("file") => roots.push(PathBuf::from(location["file:".len()..].trim_start_matches("//"))),
            Some(_) => {}
        }
    }
    Some(roots)
}

/// Artifact locations of clients may name the hosts of the server's own stores, and those that the operator allows.
fn host_policy(args: &ServerArgs, root: &str, environment: &Environment) -> HostPolicy {
    let allowed = environment.get("MLFLOW_ALLOWED_HOST_ADDRESSED_ARTIFACT_SCHEMES").unwrap_or_default();
    HostPolicy::new(&[root, &args.artifacts_destination], allowed)
}

/// The operator's pattern for the sources of model versions.
fn source_pattern(environment: &Environment) -> Result<Option<regex::Regex>> {
    const NAME: &str = "MLFLOW_CREATE_MODEL_VERSION_SOURCE_VALIDATION_REGEX";
    let Some(pattern) = environment.get(NAME) else { return Ok(None) };
    // An invalid pattern must not accept everything.
    regex::Regex::new(pattern).map(Some).with_context(|| format!("{NAME} is not a regular expression"))
}

fn security(args: &ServerArgs, environment: &Environment) -> Result<Security> {
    let mut hosts = match &args.allowed_hosts {
        Some(list) => Hosts::parse(list).map_err(|reason| anyhow::anyhow!("--allowed-hosts: {reason}"))?,
        None => Hosts::default(),
    };
    for variable in ["POD_IP", "POD_IPS"] {
        // From the downward API: Kubernetes' own requests use the pod's IP address as the host.
        let addresses = environment.get(variable).unwrap_or_default();
        for address in addresses.split(',').map(str::trim).filter(|address| !address.is_empty()) {
            if let Ok(address) = address.parse() {
                hosts = hosts.with_address(address);
            } else {
                tracing::warn!("{variable} has '{address}', which is not an address: ignored");
            }
        }
    }
    Ok(Security {
        enabled: !args.disable_security_middleware,
        allowed_hosts: hosts,
        allowed_origins: args.cors_allowed_origins.as_deref().map(Origins::parse).unwrap_or_default(),
        frame_options: args.x_frame_options.clone(),
    })
}

/// Database options: `connections` from `--database-connections`, the rest from the environment.
pub(crate) fn db_options(connections: Option<u16>, environment: &Environment) -> Result<DbOptions> {
    let mut options = DbOptions::default();
    if let Some(connections) = connections {
        options.pool_size = connections.into();
    } else if let Some(size) =
        number::<usize>(environment, "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE")?.filter(|size| *size > 0)
    {
        let overflow = number::<usize>(environment, "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW")?.unwrap_or_default();
        options.pool_size = size + overflow;
    }
    match environment.get("FERROFLOW_SQLITE_SYNCHRONOUS").unwrap_or_default().to_ascii_lowercase().as_str() {
        "" | "full" => {}
        "normal" => options.synchronous = Synchronous::Normal,
        other => bail!("FERROFLOW_SQLITE_SYNCHRONOUS={other} is not one of full, normal"),
    }
    Ok(options)
}

fn graphql_limits(environment: &Environment) -> Result<ferroflow_server::GraphqlLimits> {
    let mut limits = ferroflow_server::GraphqlLimits::default();
    if let Some(limit) = number(environment, "MLFLOW_SERVER_GRAPHQL_MAX_ROOT_FIELDS")? {
        limits.root_fields = limit;
    }
    if let Some(limit) = number(environment, "MLFLOW_SERVER_GRAPHQL_MAX_ALIASES")? {
        limits.aliases = limit;
    }
    Ok(limits)
}

fn transfers(environment: &Environment) -> Result<ferroflow_server::Transfers> {
    const TTL: &str = "MLFLOW_PRESIGNED_DOWNLOAD_URL_TTL_SECONDS";
    let mut transfers =
        ferroflow_server::Transfers { enabled: presigns(environment)?, ..ferroflow_server::Transfers::default() };
    if let Some(seconds) = number(environment, TTL)? {
        let most = ferroflow_server::Transfers::MAX_EXPIRATION;
        anyhow::ensure!((1..=most).contains(&seconds), "{TTL}={seconds} is not between 1 and {most}");
        transfers.download_expiration = seconds;
    }
    Ok(transfers)
}

/// Whether clients get presigned URLs of the bucket.
///
/// # Errors
/// The variable is not a boolean.
pub(crate) fn presigns(environment: &Environment) -> Result<bool> {
    Ok(flag(environment, "FERROFLOW_PRESIGNED_TRANSFERS")?.unwrap_or(true))
}

/// Handles SIGTERM and SIGINT from now on; the returned future completes with the first. A second one exits at once.
fn stop_signal() -> Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be received")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be received")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::warn!("received a second signal: exiting immediately");
            logging::flush();
            std::process::exit(130);
        });
    })
}
