//! Azure Blob Storage: authentication by a connection string, an account key, a shared access signature, or an
//! identity.

use std::{collections::BTreeMap, sync::Arc};

use ferroflow_model::{Environment, Error, Result};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};

use crate::{
    bucket::Bucket,
    client::{address, is_name, options, retries},
};

/// The domains of Azure Blob Storage. A location may not name another host.
const DOMAINS: &[&str] = &["blob.core.windows.net", "blob.core.chinacloudapi.cn", "blob.core.usgovcloudapi.net"];

/// Opens the container of a location such as `wasbs://container@account.blob.core.windows.net/path`, by its authority,
/// with the settings in the environment.
///
/// # Errors
/// The location does not name a container of an account, or the settings are for another account.
pub(crate) fn bucket(authority: &str, environment: &Environment) -> Result<Bucket> {
    let invalid = || {
        Error::invalid(format!(
            "'wasbs://{authority}' does not name a container: wasbs://container@account.blob.core.windows.net/path does."
        ))
    };
    let (container, host) = authority.split_once('@').ok_or_else(invalid)?;
    let (account, domain) = host.split_once('.').ok_or_else(invalid)?;
    if !is_name(container) || !is_name(account) || !DOMAINS.contains(&domain) {
        return Err(invalid());
    }
    let mut builder = MicrosoftAzureBuilder::new();
    for (name, value) in environment.iter().filter(|(name, _)| name.starts_with("AZURE_")) {
        // Endpoint, account and container come from the location.
        if let Ok(key) = name.to_ascii_lowercase().parse::<AzureConfigKey>()
            && !matches!(
                key,
                AzureConfigKey::Client(_)
                    | AzureConfigKey::AccountName
                    | AzureConfigKey::ContainerName
                    | AzureConfigKey::Endpoint
                    | AzureConfigKey::UseEmulator
            )
        {
            builder = builder.with_config(key, value);
        }
    }
    let mut endpoint = format!("https://{account}.{domain}");
    if let Some(text) = environment.get("AZURE_STORAGE_CONNECTION_STRING") {
        let parts: BTreeMap<String, &str> = text
            .split(';')
            .filter_map(|part| part.trim().split_once('='))
            .map(|(name, value)| (name.to_ascii_lowercase(), value))
            .collect();
        // A connection string with a shared access signature names its account only in the URL.
        let named = parts.get("accountname").copied().or_else(|| account_of(parts.get("blobendpoint")?));
        if named.is_some_and(|name| name != account) {
            return Err(Error::invalid(format!(
                "AZURE_STORAGE_CONNECTION_STRING is for another account than '{account}'."
            )));
        }
        if let Some(key) = parts.get("accountkey") {
            builder = builder.with_access_key(*key);
        }
        if let Some(signature) = parts.get("sharedaccesssignature") {
            builder = builder.with_config(AzureConfigKey::SasKey, *signature);
        }
        if let Some(url) = parts.get("blobendpoint") {
            endpoint = address("BlobEndpoint of AZURE_STORAGE_CONNECTION_STRING", url)?;
        }
    }
    let store = builder
        .with_account(account)
        .with_container_name(container)
        .with_retry(retries())
        .with_client_options(options(Some(&endpoint)))
        .with_endpoint(endpoint)
        .build()
        .map_err(|error| {
            Error::invalid(format!("The settings of Azure are not usable: {}", crate::bucket::reason(&error)))
        })?;
    let store = Arc::new(store);
    Ok(Bucket::new(format!("wasbs://{authority}"), Arc::clone(&store), Arc::clone(&store), store).with_blocks())
}

/// The account in a URL, if the host is one of Azure's.
fn account_of(url: &str) -> Option<&str> {
    let host = url.split_once("://")?.1.split(['/', ':']).next()?;
    host.split_once('.').filter(|(_, domain)| DOMAINS.contains(domain)).map(|(account, _)| account)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_container_of_azure_is_a_container() {
        let none = Environment::default();
        assert!(bucket("c-1@account.blob.core.windows.net", &none).is_ok());
        for bad in [
            "container",
            "c-1@account.blob.core.evil.example",
            "c-1@account.blob.core.windows.net.evil.example",
            "c-1@evil.example",
            "c-1@account.blob.core.windows.net:80",
            "c-1@x@account.blob.core.windows.net",
            "a/b@account.blob.core.windows.net",
        ] {
            assert!(bucket(bad, &none).is_err(), "{bad}");
        }
        let with = |string: &str| {
            let environment = Environment::new([("AZURE_STORAGE_CONNECTION_STRING", string)]);
            bucket("c-1@account.blob.core.windows.net", &environment).map(drop).map_err(|error| error.message)
        };
        for other in [
            "AccountName=other;AccountKey=a2V5",
            "BlobEndpoint=https://other.blob.core.windows.net/;SharedAccessSignature=sv=1&sig=a",
            "BlobEndpoint=https://other.blob.core.windows.net:443;SharedAccessSignature=sv=1&sig=a",
        ] {
            assert!(with(other).is_err_and(|message| message.contains("another account")), "{other}");
        }
        for own in [
            "AccountName=account;AccountKey=a2V5;BlobEndpoint=https://storage.example",
            "BlobEndpoint=https://account.blob.core.windows.net/;SharedAccessSignature=sv=1&sig=a",
            "BlobEndpoint=http://127.0.0.1:10000/account;SharedAccessSignature=sv=1&sig=a",
        ] {
            assert_eq!(with(own), Ok(()), "{own}");
        }
    }
}
