//! Creates the first admin, and replaces the publicly known default password.

use std::sync::atomic::Ordering;

use ferroflow_model::{Error, ErrorCode};

use crate::login::Auth;

/// The default admin password of older versions of the reference (<https://github.com/advisories/GHSA-gq3w-7jj3-x7gr>).
/// Admins can no longer log in with it.
pub(crate) const LEGACY_PASSWORD: &str = "password1234";

/// The default admin name of those versions.
const LEGACY_USERNAME: &str = "admin";

/// How to set the name or the password, for error messages.
const USERNAME_SETTING: &str = "Set the MLFLOW_AUTH_ADMIN_USERNAME environment variable, or set `admin_username` in \
                                the configuration file referenced by MLFLOW_AUTH_CONFIG_PATH, and restart the server.";
const PASSWORD_SETTING: &str = "Set the MLFLOW_AUTH_ADMIN_PASSWORD environment variable, or set `admin_password` in \
                                the configuration file referenced by MLFLOW_AUTH_CONFIG_PATH, and restart the server.";

/// Why the admin could not be created.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The configured name or password is missing or not allowed.
    #[error("{0}")]
    Refused(String),
    /// The database failed.
    #[error("{0}")]
    Failed(String),
}

impl From<Error> for BootstrapError {
    fn from(error: Error) -> Self {
        Self::Failed(error.message)
    }
}

impl Auth {
    /// Creates the configured admin if no user has its name, and replaces the default password of older versions.
    ///
    /// # Errors
    /// The settings have no name or no valid password for a new admin, or the database failed.
    pub async fn bootstrap(&self) -> Result<(), BootstrapError> {
        if let Err(error) = self.users().prepare_logins().await {
            tracing::warn!(
                message = error.message,
                "failed logins are not counted, and a restore does not end sessions: the server's user of the users \
                 database may not create the tables"
            );
            self.is_epoch_unavailable.store(true, Ordering::Relaxed);
        }
        let config = self.config();
        let Some(username) = config.admin_username.as_deref() else {
            return Err(BootstrapError::Refused(format!(
                "MLflow Authentication needs a username for the admin user, but none is configured (or it is empty). \
                 {USERNAME_SETTING}"
            )));
        };
        let password = config.admin_password.as_deref();
        if self.users().find_user(username).await?.is_none() {
            let hash = self.hash(checked(username, password)?).await?;
            match self.users().create_user(username, &hash, true).await {
                Ok(_) => tracing::info!(username, "created the admin user"),
                // Another replica that starts at the same time has created it.
                Err(error) if error.code == ErrorCode::ResourceAlreadyExists => {}
                Err(error) => return Err(error.into()),
            }
        } else if self.has_legacy_password(username).await? {
            match password {
                Some(password) if password != LEGACY_PASSWORD => {
                    let hash = self.hash(checked(username, Some(password))?).await?;
                    self.users().set_password(username, &hash).await?;
                    tracing::warn!(
                        username,
                        "replaced the insecure default password of the admin user with the configured one: unset \
                         MLFLOW_AUTH_ADMIN_PASSWORD (or remove `admin_password` from the configuration file) now"
                    );
                }
                _ => warn_of_legacy_password(username),
            }
        }
        if username != LEGACY_USERNAME && self.has_legacy_password(LEGACY_USERNAME).await? {
            warn_of_legacy_password(LEGACY_USERNAME);
        }
        Ok(())
    }

    async fn has_legacy_password(&self, username: &str) -> Result<bool, Error> {
        // Neither timing nor guessing matters here, so this skips the checks of a login.
        Ok(self.users().find_user(username).await?.is_some() && self.is_password(username, LEGACY_PASSWORD).await?)
    }
}

fn warn_of_legacy_password(username: &str) {
    tracing::warn!(
        username,
        "the user still has the insecure default password of older MLflow versions \
         (https://github.com/advisories/GHSA-gq3w-7jj3-x7gr); no admin can log in with it"
    );
}

/// The configured password, if it is allowed for a new admin.
fn checked<'a>(username: &str, password: Option<&'a str>) -> Result<&'a str, BootstrapError> {
    let Some(password) = password else {
        return Err(BootstrapError::Refused(format!(
            "MLflow Authentication needs a password to create the admin user '{username}', but none is configured (or it \
             is empty). There is no default admin password. {PASSWORD_SETTING}"
        )));
    };
    if password == LEGACY_PASSWORD {
        return Err(BootstrapError::Refused(format!(
            "Refusing to use the insecure default password that older MLflow versions shipped in basic_auth.ini for the \
             admin user '{username}' (https://github.com/advisories/GHSA-gq3w-7jj3-x7gr). {PASSWORD_SETTING}"
        )));
    }
    ferroflow_model::validation::password(password).map_err(|error| {
        BootstrapError::Refused(format!(
            "The configured password for the admin user '{username}' is invalid: {} {PASSWORD_SETTING}",
            error.message
        ))
    })?;
    Ok(password)
}

/// Logs why an admin with the correct password is refused.
pub(crate) fn warn_of_refused_login(username: &str) {
    tracing::warn!(
        username,
        "refused a login of an admin with the insecure default password of older MLflow versions \
         (https://github.com/advisories/GHSA-gq3w-7jj3-x7gr): set MLFLOW_AUTH_ADMIN_PASSWORD (or `admin_password` in the \
         configuration file) to a new one and restart the server"
    );
}
