//! Google Cloud Storage: credentials of a service account or a user in a file, or of the instance.

mod session;

use std::sync::Arc;

use ferroflow_model::{Environment, Error, Result};
use object_store::{
    StaticCredentialProvider,
    client::{HttpConnector as _, ReqwestConnector},
    gcp::{GcpCredential, GoogleCloudStorageBuilder},
};

pub(crate) use self::session::{Session, Writer};

use crate::{
    bucket::Bucket,
    client::{address, is_name, options, retries},
};

/// Opens a bucket with the settings in the environment.
///
/// # Errors
/// The name is not a valid bucket name, or the credentials file cannot be used.
pub(crate) fn bucket(name: &str, environment: &Environment) -> Result<Bucket> {
    if !is_name(name) {
        return Err(Error::invalid(format!("'{name}' is not the name of a bucket.")));
    }
    let emulator = environment.get("STORAGE_EMULATOR_HOST").map(|host| {
        let url = if host.contains("://") { host.to_owned() } else { format!("http://{host}") };
        address("STORAGE_EMULATOR_HOST", &url)
    });
    let emulator = emulator.transpose()?;
    let client = options(emulator.as_deref());
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(name)
        .with_retry(retries())
        .with_client_options(client.clone());
    let file = environment.get("GOOGLE_APPLICATION_CREDENTIALS");
    // An instance can request signatures from an API; an emulator cannot.
    let signs = emulator.is_none() || file.is_some();
    if let Some(url) = &emulator {
        // An emulator does not authenticate requests.
        let anonymous = GcpCredential { bearer: "nobody".to_owned() };
        builder = builder.with_base_url(url).with_credentials(Arc::new(StaticCredentialProvider::new(anonymous)));
        if let Some(file) = file {
            builder = builder.with_service_account_path(file);
        }
    } else if let Some(file) = file {
        builder = builder.with_application_credentials(file);
    }
    let store = builder.build().map_err(|error| unusable(&crate::bucket::reason(&error)))?;
    let client = ReqwestConnector::default().connect(&client).map_err(|error| unusable(&error.to_string()))?;
    let asks = client.clone();
    let credentials = emulator.is_none().then(|| Arc::clone(store.credentials()));
    let base = emulator.unwrap_or_else(|| "https://storage.googleapis.com".to_owned());
    let writer = Writer { client, credentials, base, bucket: name.to_owned() };
    let store = Arc::new(store);
    let bucket =
        Bucket::new(format!("gs://{name}"), Arc::clone(&store), Arc::clone(&store), store).with_sessions(writer);
    Ok(if signs { bucket.with_parts(asks) } else { bucket })
}

fn unusable(why: &str) -> Error {
    Error::invalid(format!("The settings of Google Cloud Storage are not usable: {why}"))
}
