//! `--app-name basic-auth`: users, configured by the reference's settings.

use anyhow::{Context as _, Result, bail};
use ferroflow_auth::{Auth, AuthConfig, SignupKey, Tokens};
use ferroflow_model::Environment;
use ferroflow_server::{Access, Audit, TrustedProxies};
use ferroflow_store::{
    Store, UserStore,
    db::{BackendUri, DbOptions},
};

use super::ServerArgs;

/// The only supported app.
const BASIC_AUTH: &str = "basic-auth";

/// The settings, with the keys and token providers created from them.
pub(crate) type Settings = (AuthConfig, SignupKey, Tokens);

/// The variable with the secret key of the sign-up form and of sessions.
const SECRET: &str = "MLFLOW_FLASK_SERVER_SECRET_KEY";

/// The settings of `--app-name`, if it is given; validated before anything is opened.
///
/// # Errors
/// The app is not supported, or a setting is invalid: the server would not be protected.
pub(crate) fn settings(app_name: Option<&str>, environment: &Environment) -> Result<Option<Settings>> {
    match app_name {
        None => return Ok(None),
        Some(BASIC_AUTH) => {}
        Some(other) => bail!("--app-name {other} is not supported: only {BASIC_AUTH} is"),
    }
    let Some(secret) = environment.get(SECRET) else {
        bail!(
            "A static secret key needs to be set for CSRF protection. Please set the `{SECRET}` environment variable \
             before starting the server, to the same value for all servers of one database"
        );
    };
    let config = AuthConfig::from_environment(environment)?;
    let tokens = Tokens::open(&config, secret)?;
    Ok(Some((config, SignupKey::new(secret), tokens)))
}

/// Refuses headers that name callers, unless they are those of proxies that the operator trusts.
///
/// # Errors
/// No proxy is trusted, or every client is.
pub(crate) fn check_proxies(settings: Option<&Settings>, proxies: &TrustedProxies) -> Result<()> {
    let names_callers = settings.is_some_and(|(config, ..)| config.trusts_remote_headers());
    if names_callers && (proxies.are_none() || proxies.are_all()) {
        bail!(
            "authorization_mode = subject_access_review in [kubernetes] needs --trusted-proxies with the addresses of the \
             proxies that name the callers, and of nothing else: a client at one of them can be anyone"
        );
    }
    Ok(())
}

/// Opens the users database and creates the first admin.
///
/// # Errors
/// The database cannot be opened, or there is no admin and none can be created.
pub(crate) async fn open(
    (config, signup, tokens): Settings,
    args: &ServerArgs,
    environment: &Environment,
    backend: &BackendUri,
    store: &Store,
    options: DbOptions,
) -> Result<Access> {
    if config.workspaces_are_namespaces() && !store.has_workspaces() {
        bail!(
            "workspaces = namespaces in [kubernetes] needs a server with workspaces: start it with --enable-workspaces"
        );
    }
    let audit = match &args.audit_log {
        Some(path) => {
            let audit = Audit::open(path);
            Some(audit.with_context(|| format!("the audit log {} cannot be opened", path.display()))?)
        }
        None => None,
    };
    let uri = BackendUri::parse(&config.database_uri, environment);
    let uri = uri.context("database_uri of the authentication configuration")?;
    // If experiments and users are in one database, they share its connection pool.
    let shared = (uri == *backend).then(|| store.db().clone());
    let users = UserStore::open(&uri, shared, options, args.auto_migrate)
        .await
        .with_context(|| format!("the users database {uri} cannot be opened"))?;
    let auth = Auth::new(users, config, tokens, store.has_workspaces());
    auth.bootstrap().await?;
    Ok(Access::new(auth, signup, audit))
}
