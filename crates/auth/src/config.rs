//! The settings of basic-auth: the reference's ini file and its environment variables.

use std::{fmt, path::PathBuf, time::Duration};

use ferroflow_model::permission::Permission;

use crate::{
    ini::Section,
    tokens::{KubernetesConfig, OidcConfig},
};

/// The variable that names the file.
const PATH: &str = "MLFLOW_AUTH_CONFIG_PATH";

/// The one way to authenticate that there is.
const BASIC: &str = "mlflow.server.auth:authenticate_request_basic_auth";

/// How long a password that was checked needs no checking when nothing is set. The stored hash is compared at every
/// use, so a changed password is out at once.
const CACHE_TIME: Duration = Duration::from_secs(600);

/// Passwords that are remembered at the most when nothing is set.
const CACHE_SIZE: usize = 10_000;

/// The settings.
#[derive(Clone)]
pub struct AuthConfig {
    /// What a user may do with a resource that nothing was granted on.
    pub default_permission: Permission,
    /// The users database, as SQLAlchemy writes it.
    pub database_uri: String,
    /// The name of the admin that is made when there is none.
    pub admin_username: Option<String>,
    /// The password of that admin.
    pub admin_password: Option<String>,
    /// How long a password that was checked needs no checking; zero means that each is checked every time.
    pub cache_time: Duration,
    /// Passwords that are remembered at the most.
    pub cache_size: usize,
    /// Whose tokens count, beside passwords.
    pub oidc: Option<OidcConfig>,
    /// How tokens of service accounts are checked.
    pub kubernetes: Option<KubernetesConfig>,
}

impl fmt::Debug for AuthConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither a password nor a URI with one gets into a log.
        f.debug_struct("AuthConfig").field("default_permission", &self.default_permission).finish_non_exhaustive()
    }
}

/// Why the settings can not be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can not be read.
    #[error("{PATH}={path} can not be read: {error}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file says something that means nothing.
    #[error("{path} is not a configuration of basic-auth: {reason}", path = path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// What it says of tokens can not be done.
    #[error("the configuration of basic-auth: {0}")]
    Tokens(String),
}

impl AuthConfig {
    /// Reads the file that the environment names, or takes the reference's defaults, and then the environment.
    ///
    /// # Errors
    /// The file can not be read, or a setting can not be used.
    pub fn from_environment() -> Result<Self, ConfigError> {
        let variable = |name: &str| std::env::var(name).ok();
        let Some(path) = variable(PATH).filter(|path| !path.is_empty()).map(PathBuf::from) else {
            let text = "[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///basic_auth.db\n\
                        admin_username = admin\n";
            return Self::parse(text, variable)
                .map_err(|reason| ConfigError::Invalid { path: PathBuf::from("the environment"), reason });
        };
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text, variable).map_err(|reason| ConfigError::Invalid { path, reason }),
            Err(error) => Err(ConfigError::Unreadable { path, error }),
        }
    }

    fn parse(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let section = Section::parse(text, "mlflow")?.ok_or("it has no section [mlflow]")?;
        let required = |key: &str| section.get(key)?.ok_or_else(|| format!("it has no {key} in [mlflow]"));
        // A variable that is set counts even if it is empty: an injected secret that is empty must not let a stale one
        // of the file through.
        let overridden = |key: &str, name: &str| -> Result<Option<String>, String> {
            let value = match variable(name) {
                Some(value) => Some(value),
                None => section.get(key)?,
            };
            Ok(value.filter(|value| !value.is_empty()))
        };
        let number = |key: &str| -> Result<Option<u64>, String> {
            let parse = |text: String| {
                text.trim().parse().map_err(|_| format!("{key} = {text} is not a number that is not negative"))
            };
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
        if let Some(text) = section.get("grant_default_workspace_access")?
            && !matches!(text.to_lowercase().as_str(), "1" | "yes" | "true" | "on" | "0" | "no" | "false" | "off")
        {
            return Err(format!("grant_default_workspace_access = {text} is neither true nor false"));
        }
        if section.get("read_database_uri")?.is_some() {
            tracing::warn!("read_database_uri is ignored: everything is read from database_uri");
        }
        // Of workspaces there is one, and nothing about it is cached.
        number("workspace_cache_max_size")?;
        number("workspace_cache_ttl_seconds")?;
        let size = number("auth_cache_max_size")?;
        Ok(Self {
            default_permission,
            database_uri: required("database_uri")?,
            admin_username: overridden("admin_username", "MLFLOW_AUTH_ADMIN_USERNAME")?,
            admin_password: overridden("admin_password", "MLFLOW_AUTH_ADMIN_PASSWORD")?,
            cache_time: number("auth_cache_ttl_seconds")?.map_or(CACHE_TIME, Duration::from_secs),
            cache_size: size.map_or(CACHE_SIZE, |size| usize::try_from(size).unwrap_or(usize::MAX)),
            oidc: Section::parse(text, "oidc")?.map(|own| OidcConfig::parse(&own, &variable)).transpose()?,
            kubernetes: Section::parse(text, "kubernetes")?
                .map(|own| KubernetesConfig::parse(&own, &variable))
                .transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "[mlflow]\ndefault_permission = EDIT\ndatabase_uri = postgresql://u:p%%40@h/d\n\
                        admin_username = root\nadmin_password = from the file\n";

    fn parse(text: &str) -> Result<AuthConfig, String> {
        AuthConfig::parse(text, |_| None)
    }

    #[test]
    fn every_key_of_the_file_is_understood() {
        let more = "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n\
                    grant_default_workspace_access = false\nworkspace_cache_max_size = 1\n\
                    workspace_cache_ttl_seconds = 2\nauth_cache_max_size = 3\nauth_cache_ttl_seconds = 4\n\
                    read_database_uri = x\n";
        let config = parse(&format!("{FILE}{more}")).unwrap();
        assert_eq!(config.default_permission, Permission::Edit);
        assert_eq!(config.database_uri, "postgresql://u:p%40@h/d");
        assert_eq!(config.admin_username.as_deref(), Some("root"));
        assert_eq!((config.cache_size, config.cache_time), (3, Duration::from_secs(4)));
        assert!(!format!("{config:?}").contains("from the file"));
    }

    #[test]
    fn a_variable_counts_even_if_it_is_empty() {
        let set = |value: &'static str| move |name: &str| (name == "MLFLOW_AUTH_ADMIN_PASSWORD").then(|| value.into());
        assert_eq!(AuthConfig::parse(FILE, set("other")).unwrap().admin_password.as_deref(), Some("other"));
        assert_eq!(AuthConfig::parse(FILE, set("")).unwrap().admin_password, None);
        assert_eq!(parse(FILE).unwrap().admin_password.as_deref(), Some("from the file"));
    }

    #[test]
    fn what_would_let_everybody_in_is_refused() {
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
