//! The Python package index: its URL, a client for it, and its list of files.
//!
//! The list is the HTML form of the simple repository API
//! (<https://packaging.python.org/en/latest/specifications/simple-repository-api/>), which every mirror supports.

use std::{path::PathBuf, time::Duration};

use ferroflow_model::Environment;
use percent_encoding::percent_decode_str;
use reqwest::{Client, Response, Url, header};
use rustls::RootCertStore;

use super::{
    UiConfig,
    fetch::{FetchError, Result},
    files::blocking,
};
use crate::http_client;

const DEFAULT_INDEX: &str = "https://pypi.org/simple";

/// The HTML form, by its own media type and by the one that old mirrors know.
const ACCEPT: &str = "application/vnd.pypi.simple.v1+html, text/html;q=0.2";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Read timeout: the longest wait for data from the server.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Maximum size of the list in bytes, about a hundred times that of the reference's.
const MAX_LIST: usize = 16 * 1024 * 1024;

/// A client that trusts the same certificates as pip, and uses the proxy from the environment.
pub(super) async fn client(environment: &Environment) -> Result<Client> {
    let bundle = environment.os("PIP_CERT").filter(|path| !path.is_empty()).map(PathBuf::from);
    let roots = blocking(move || Ok(roots(bundle))).await.map_err(FetchError::Cache)?;
    Ok(http_client::builder(roots)?.connect_timeout(CONNECT_TIMEOUT).read_timeout(READ_TIMEOUT).build()?)
}

/// The CA certificates in a file or directory, or those of the system (including `SSL_CERT_FILE` and `SSL_CERT_DIR`).
fn roots(bundle: Option<PathBuf>) -> RootCertStore {
    let loaded = match bundle {
        Some(path) if path.is_dir() => rustls_native_certs::load_certs_from_paths(None, Some(&path)),
        Some(path) => rustls_native_certs::load_certs_from_paths(Some(&path), None),
        None => rustls_native_certs::load_native_certs(),
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(loaded.certs);
    if roots.is_empty() {
        // A mirror with plain HTTP can still be reached.
        tracing::warn!(errors = ?loaded.errors, "no certificate authorities were found");
    }
    roots
}

/// The URL of the package in the index.
fn address(config: &UiConfig) -> Result<Url> {
    let set = |name| config.environment.get(name);
    let index = config
        .index_url
        .as_deref()
        .or_else(|| set("PIP_INDEX_URL"))
        .or_else(|| set("UV_INDEX_URL"))
        .unwrap_or(DEFAULT_INDEX);
    // The text may contain a password, so the error does not include it.
    let url = Url::parse(&format!("{}/mlflow/", index.trim_end_matches('/'))).map_err(|_| FetchError::Address)?;
    if url.has_host() { Ok(url) } else { Err(FetchError::Address) }
}

/// Looks up the wheel in the index, and begins the download.
pub(super) async fn wheel(client: &Client, config: &UiConfig) -> Result<Response> {
    let address = address(config)?;
    tracing::info!(index = %public(&address), "fetching the web UI from the Python package index");
    let mut response = client.get(address.clone()).header(header::ACCEPT, ACCEPT).send().await?.error_for_status()?;
    let base = response.url().clone();
    let mut list = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        list.extend_from_slice(&chunk);
        if list.len() > MAX_LIST {
            return Err(FetchError::TooLarge);
        }
    }
    let name = config.wheel.file_name();
    let link = find_link(&String::from_utf8_lossy(&list), &name);
    let Some(mut link) = link.and_then(|link| base.join(&link).ok()) else {
        return Err(FetchError::NotListed { index: public(&address).into(), name });
    };
    // Credentials for the list apply to files of the same origin.
    if link.origin() == address.origin() && link.username().is_empty() {
        // These only fail for URLs without a host, which has just been compared.
        let _ = link.set_username(address.username());
        let _ = link.set_password(address.password());
    }
    Ok(client.get(link).send().await?.error_for_status()?)
}

/// A URL with its secrets redacted: user, password and query, which may be a signature.
pub(super) fn public(url: &Url) -> Url {
    let mut url = url.clone();
    url.set_query(None);
    // These only fail for URLs that have neither.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}

/// The link to a file in the list of an index.
fn find_link(list: &str, name: &str) -> Option<String> {
    list.split("href=").skip(1).find_map(|rest| {
        let quote = rest.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
        let (link, _) = rest[1..].split_once(quote)?;
        let link = link.replace("&amp;", "&");
        let path = link.split(['#', '?']).next()?;
        let file = path.rsplit_once('/').map_or(path, |(_, file)| file);
        (percent_decode_str(file).decode_utf8().ok()? == name).then_some(link)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_found_by_the_name_of_its_file() {
        let list = r#"<a href="https://files/a/mlflow-1.0-py3-none-any.whl#sha256=0">mlflow-2.0-py3-none-any.whl</a>
            <a rel='x' href='../../b/mlflow-2.0-py3-none-any.whl?a=1&amp;b=2#sha256=1' data-x="&gt;=3">x</a>
            <a href=mlflow-3.0-py3-none-any.whl>unquoted</a>"#;
        let find = |name| find_link(list, name);
        assert_eq!(
            find("mlflow-1.0-py3-none-any.whl").unwrap(),
            "https://files/a/mlflow-1.0-py3-none-any.whl#sha256=0"
        );
        assert_eq!(
            find("mlflow-2.0-py3-none-any.whl").unwrap(),
            "../../b/mlflow-2.0-py3-none-any.whl?a=1&b=2#sha256=1"
        );
        assert_eq!(find("mlflow-4.0-py3-none-any.whl"), None);
        assert_eq!(find("0-py3-none-any.whl"), None);
    }

    #[test]
    fn an_address_needs_a_host() {
        for index in ["me:secret@host/simple", "/simple", ""] {
            let config = UiConfig { index_url: Some(index.into()), ..UiConfig::default() };
            let error = address(&config).unwrap_err();
            assert!(matches!(error, FetchError::Address), "{error}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let config = UiConfig { index_url: Some("https://me:secret@host/simple/".into()), ..UiConfig::default() };
        let address = address(&config).unwrap();
        assert_eq!(address.as_str(), "https://me:secret@host/simple/mlflow/");
        assert_eq!(public(&address).as_str(), "https://host/simple/mlflow/");
        let signed = Url::parse("https://host/file.whl?signature=secret").unwrap();
        assert_eq!(public(&signed).as_str(), "https://host/file.whl");
    }
}
