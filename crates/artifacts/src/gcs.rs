//! Google Cloud Storage, to read, list and delete: credentials of a service account or of a user in a file, or of the instance.

use std::sync::Arc;

use ferroflow_model::{Error, Result};
use object_store::gcp::GoogleCloudStorageBuilder;

use crate::{
    bucket::Bucket,
    client::{address, is_name, options, retries},
};

/// A bucket, as the environment of this process says.
///
/// # Errors
/// The name is not one of a bucket, or a file of credentials can not be used.
pub(crate) fn bucket(name: &str) -> Result<Bucket> {
    let get = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if !is_name(name) {
        return Err(Error::invalid(format!("'{name}' is not the name of a bucket.")));
    }
    let emulator = get("STORAGE_EMULATOR_HOST").map(|host| {
        let url = if host.contains("://") { host } else { format!("http://{host}") };
        address("STORAGE_EMULATOR_HOST", &url)
    });
    let emulator = emulator.transpose()?;
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(name)
        .with_retry(retries())
        .with_client_options(options(emulator.as_deref()));
    if let Some(url) = emulator {
        // An emulator knows nobody.
        let account = serde_json::json!({
            "gcs_base_url": url, "disable_oauth": true, "client_email": "", "private_key": "", "private_key_id": "",
        });
        builder = builder.with_service_account_key(account.to_string());
    } else if let Some(file) = get("GOOGLE_APPLICATION_CREDENTIALS") {
        builder = builder.with_application_credentials(file);
    }
    let store = builder.build().map_err(|error| {
        let why = crate::bucket::reason(&error);
        Error::invalid(format!("The settings of Google Cloud Storage are not usable: {why}"))
    })?;
    let store = Arc::new(store);
    Ok(Bucket::new(format!("gs://{name}"), Arc::clone(&store), Arc::clone(&store), store).read_only())
}
