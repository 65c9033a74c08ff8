//! Settings of basic-auth: the reference's INI file and its environment variables.

use std::{fmt, path::PathBuf, time::Duration};

use ferroflow_model::{Environment, permission::Permission};

use crate::{
    ini::Section,
    namespaces::NamespacesConfig,
    tokens::{KubernetesConfig, OidcConfig, flag},
};

/// The variable with the path of the file.
const PATH: &str = "MLFLOW_AUTH_CONFIG_PATH";

/// The variable that says whether new workspaces get roles.
const SEED_ROLES: &str = "MLFLOW_RBAC_SEED_DEFAULT_ROLES";

/// The only supported authentication function.
const BASIC: &str = "mlflow.server.auth:authenticate_request_basic_auth";

/// Default time for which a verified password is cached. The stored hash is compared at every use, so a changed
/// password is effective at once.
const CACHE_TIME: Duration = Duration::from_secs(600);

/// Default capacity of the password cache.
const CACHE_SIZE: usize = 10_000;

/// The settings.
#[derive(Clone)]
pub struct AuthConfig {
    /// The permission on resources without a grant.
    pub default_permission: Permission,
    /// Whether every user has the default permission in the default workspace, on a server with workspaces.
    pub grant_default_workspace_access: bool,
    /// Whether a new workspace gets a role for its managers and one for its members.
    pub seed_default_roles: bool,
    /// The URI of the users database, in the form of SQLAlchemy.
    pub database_uri: String,
    /// The name of the admin that is created if it does not exist.
    pub admin_username: Option<String>,
    /// The password of that admin.
    pub admin_password: Option<String>,
    /// Time for which a verified password is cached; zero disables the cache.
    pub cache_time: Duration,
    /// Capacity of the password cache.
    pub cache_size: usize,
    /// The `OpenID` Connect provider whose tokens are accepted.
    pub oidc: Option<OidcConfig>,
    /// Verification of Kubernetes service account tokens.
    pub kubernetes: Option<KubernetesConfig>,
}

impl fmt::Debug for AuthConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Redacted: neither a password nor a URI with one may get into a log.
        f.debug_struct("AuthConfig").field("default_permission", &self.default_permission).finish_non_exhaustive()
    }
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{PATH}={path} cannot be read: {error}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        error: std::io::Error,
    },
    /// The file has an invalid setting.
    #[error("{path} is not a configuration of basic-auth: {reason}", path = path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// The settings for tokens cannot be used.
    #[error("the configuration of basic-auth: {0}")]
    Tokens(String),
}

impl AuthConfig {
    /// Reads the file that the environment names, or else the reference's defaults, and then the overriding environment
    /// variables.
    ///
    /// # Errors
    /// The file cannot be read, or a setting is not valid.
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        let Some(path) = environment.get(PATH).map(PathBuf::from) else {
            let text = "[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///basic_auth.db\n\
                        admin_username = admin\n";
            return Self::parse(text, environment)
                .map_err(|reason| ConfigError::Invalid { path: PathBuf::from("the environment"), reason });
        };
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text, environment).map_err(|reason| ConfigError::Invalid { path, reason }),
            Err(error) => Err(ConfigError::Unreadable { path, error }),
        }
    }

    /// Whether the workspaces of the server are the namespaces of a cluster.
    #[must_use]
    pub fn workspaces_are_namespaces(&self) -> bool {
        self.kubernetes.as_ref().is_some_and(|kubernetes| kubernetes.workspaces.is_some())
    }

    /// Whether a trusted proxy names callers by headers.
    #[must_use]
    pub fn trusts_remote_headers(&self) -> bool {
        let workspaces = self.kubernetes.as_ref().and_then(|kubernetes| kubernetes.workspaces.as_ref());
        workspaces.is_some_and(|workspaces| workspaces.remote.is_some())
    }

    fn parse(text: &str, environment: &Environment) -> Result<Self, String> {
        let section = Section::parse(text, "mlflow")?.ok_or("it has no section [mlflow]")?;
        let required = |key: &str| section.get(key)?.ok_or_else(|| format!("it has no {key} in [mlflow]"));
        // A variable that is set but empty overrides the file too: an empty injected secret must not activate a stale
        // one from the file.
        let overridden = |key: &str, name: &str| -> Result<Option<String>, String> {
            let value = match environment.raw(name) {
                Some(value) => Some(value.to_owned()),
                None => section.get(key)?,
            };
            Ok(value.filter(|value| !value.is_empty()))
        };
        let number = |key: &str| -> Result<Option<u64>, String> {
            let parse =
                |text: String| text.trim().parse().map_err(|_| format!("{key} = {text} is not a non-negative number"));
            section.get(key)?.map(parse).transpose()
        };
        let permission = required("default_permission")?;
        let default_permission =
            Permission::from_name(&permission).filter(|permission| *permission != Permission::Deny).ok_or_else(
                || format!("default_permission = {permission} is not one of READ, USE, EDIT, MANAGE, NO_PERMISSIONS"),
            )?;
        if let Some(function) = section.get("authorization_function")?
            && function != BASIC
        {
            return Err(format!(
                "authorization_function = {function} is Python, which this server does not run: only {BASIC} is \
                 supported"
            ));
        }
        if section.get("read_database_uri")?.is_some() {
            tracing::warn!("read_database_uri is ignored: this server reads from database_uri");
        }
        // Validated only: a user's grants are cached by workspace, with the user, and expire sooner.
        number("workspace_cache_max_size")?;
        number("workspace_cache_ttl_seconds")?;
        let kubernetes = Section::parse(text, "kubernetes")?;
        let kubernetes = kubernetes.map(|own| KubernetesConfig::parse(&own, environment)).transpose()?;
        if let Some(variable) = NamespacesConfig::variable(environment)
            && kubernetes.as_ref().is_none_or(|own| own.workspaces.is_none())
        {
            return Err(format!(
                "{variable} is set, but [kubernetes] has no workspaces = namespaces: the workspaces would be those of the \
                 database"
            ));
        }
        let size = number("auth_cache_max_size")?;
        Ok(Self {
            default_permission,
            grant_default_workspace_access: flag(&section, "grant_default_workspace_access")?,
            seed_default_roles: match environment.get(SEED_ROLES).map(str::to_lowercase).as_deref() {
                None | Some("true" | "1") => true,
                Some("false" | "0") => false,
                Some(other) => return Err(format!("{SEED_ROLES}={other} is neither true nor false")),
            },
            database_uri: required("database_uri")?,
            admin_username: overridden("admin_username", "MLFLOW_AUTH_ADMIN_USERNAME")?,
            admin_password: overridden("admin_password", "MLFLOW_AUTH_ADMIN_PASSWORD")?,
            cache_time: number("auth_cache_ttl_seconds")?.map_or(CACHE_TIME, Duration::from_secs),
            cache_size: size.map_or(CACHE_SIZE, |size| usize::try_from(size).unwrap_or(usize::MAX)),
            oidc: Section::parse(text, "oidc")?.map(|own| OidcConfig::parse(&own, environment)).transpose()?,
            kubernetes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "[mlflow]\ndefault_permission = EDIT\ndatabase_uri = postgresql://u:p%%40@h/d\n\
                        admin_username = root\nadmin_password = from the file\n";

    fn parse(text: &str) -> Result<AuthConfig, String> {
        AuthConfig::parse(text, &Environment::default())
    }

    #[test]
    fn every_key_of_the_file_is_understood() {
        let more = "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n\
                    grant_default_workspace_access = false\nworkspace_cache_max_size = 1\n\
                    workspace_cache_ttl_seconds = 2\nauth_cache_max_size = 3\nauth_cache_ttl_seconds = 4\n\
                    read_database_uri = x\n";
        let config = parse(&format!("{FILE}{more}")).unwrap();
        assert_eq!(config.default_permission, Permission::Edit);
        assert!(!config.grant_default_workspace_access);
        assert_eq!(config.database_uri, "postgresql://u:p%40@h/d");
        assert_eq!(config.admin_username.as_deref(), Some("root"));
        assert_eq!((config.cache_size, config.cache_time), (3, Duration::from_secs(4)));
        assert!(!format!("{config:?}").contains("from the file"));
    }

    #[test]
    fn an_empty_variable_overrides_the_file() {
        let set = |value| Environment::new([("MLFLOW_AUTH_ADMIN_PASSWORD", value)]);
        assert_eq!(AuthConfig::parse(FILE, &set("other")).unwrap().admin_password.as_deref(), Some("other"));
        assert_eq!(AuthConfig::parse(FILE, &set("")).unwrap().admin_password, None);
        assert_eq!(parse(FILE).unwrap().admin_password.as_deref(), Some("from the file"));
    }

    #[test]
    fn namespaces_are_workspaces_only_if_the_file_says_so() {
        let set = Environment::new([("MLFLOW_K8S_WORKSPACE_LABEL_SELECTOR", "a=b")]);
        let of = |more: &str| AuthConfig::parse(&format!("{FILE}[kubernetes]\napi_server = https://h\n{more}"), &set);
        assert!(AuthConfig::parse(FILE, &set).unwrap_err().contains("workspaces = namespaces"));
        assert!(of("namespaces = ml\n").unwrap_err().contains("workspaces = namespaces"));
        assert!(of("workspaces = namespaces\n").unwrap().kubernetes.unwrap().workspaces.is_some());
        let roles = of("workspaces = namespaces\ngroup_roles = a = b\n").unwrap_err();
        assert!(roles.contains("group_roles"), "{roles}");
    }

    #[test]
    fn settings_of_workspaces_are_read() {
        let more = "grant_default_workspace_access = Yes\n";
        assert!(parse(&format!("{FILE}{more}")).unwrap().grant_default_workspace_access);
        assert!(parse(&format!("{FILE}grant_default_workspace_access = perhaps\n")).is_err());
        let seeds =
            |value| AuthConfig::parse(FILE, &Environment::new([(SEED_ROLES, value)])).map(|it| it.seed_default_roles);
        assert_eq!(
            (seeds("False"), seeds("1"), parse(FILE).map(|it| it.seed_default_roles)),
            (Ok(false), Ok(true), Ok(true))
        );
        assert!(seeds("no").is_err());
    }

    #[test]
    fn unsafe_settings_are_refused() {
        for (text, word) in [
            ("", "[mlflow]"),
            ("[mlflow]\ndefault_permission = READ\n", "database_uri"),
            ("[mlflow]\ndatabase_uri = x\n", "default_permission"),
            ("[mlflow]\ndatabase_uri = x\ndefault_permission = ALL\n", "NO_PERMISSIONS"),
            ("[mlflow]\ndatabase_uri = x\ndefault_permission = READ\nauthorization_function = my.mod:f\n", "my.mod:f"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
