//! The settings of webhooks, from the reference's environment variables.

use std::time::Duration;

use anyhow::{Result, bail};
use ferroflow_jobs::WebhookOptions;
use ferroflow_model::Environment;
use ferroflow_store::{KEY_VARIABLE, events::fernet::FernetKey};

use crate::variables::{flag, number};

/// Reads the settings.
pub(super) fn options(environment: &Environment) -> Result<WebhookOptions> {
    let mut options = WebhookOptions::default();
    if let Some(schemes) = environment.get("MLFLOW_WEBHOOK_ALLOWED_SCHEMES") {
        options.schemes = schemes.split(',').map(|scheme| scheme.trim().to_ascii_lowercase()).collect();
    }
    options.allow_private = flag(environment, "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS")?.unwrap_or_default();
    if let Some(seconds) = number(environment, "MLFLOW_WEBHOOK_REQUEST_TIMEOUT")? {
        if !(1..=600).contains(&seconds) {
            bail!("MLFLOW_WEBHOOK_REQUEST_TIMEOUT={seconds} is not in the range of 1 to 600 seconds");
        }
        options.timeout = Duration::from_secs(seconds);
    }
    if let Some(retries) = number(environment, "MLFLOW_WEBHOOK_REQUEST_MAX_RETRIES")? {
        options.max_retries = retries;
    }
    if let Some(workers) = number::<usize>(environment, "MLFLOW_WEBHOOK_DELIVERY_MAX_WORKERS")? {
        options.workers = workers.clamp(1, 1000);
    }
    if options.allow_private {
        tracing::warn!(
            "webhooks may use private addresses: users who manage webhooks can reach every host that this server can reach"
        );
    }
    Ok(options)
}

/// The encryption key of webhook secrets. An invalid one is an error: secrets would be lost.
pub(super) fn key(environment: &Environment) -> Result<Option<FernetKey>> {
    let Some(text) = environment.get(KEY_VARIABLE) else { return Ok(None) };
    match FernetKey::parse(text) {
        Some(key) => Ok(Some(key)),
        None => bail!("{KEY_VARIABLE} is not a key: it must be 32 bytes in URL-safe base64"),
    }
}
