//! Downloads the wheel of the reference and extracts the built UI.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt as _, sync::watch};

use super::{
    State, UiConfig, Wheel,
    files::{Files, blocking, hex},
    index, path,
    progress::Progress,
    sources,
};

/// The path of the built UI in the wheel.
const BUILD: &str = "mlflow/server/js/build/";

/// The path of the catalogue of models in the wheel.
const CATALOGUE: &str = "mlflow/utils/model_catalog/";

/// Maximum size of the wheel in bytes, about ten times its actual size.
const MAX_WHEEL: u64 = 128 * 1024 * 1024;

/// Why the download failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("the address of the package index is not a URL")]
    Address,
    #[error(transparent)]
    Http(reqwest::Error),
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    #[error("the package index at {index} does not list {name}")]
    NotListed { index: String, name: String },
    #[error("the response of the package index is too large")]
    TooLarge,
    #[error("{name} has the SHA-256 {found} instead of {expected}, so it is not used")]
    Hash { name: String, found: String, expected: String },
    #[error("the wheel cannot be read")]
    Wheel(#[from] zip::result::ZipError),
    #[error("the wheel has a file with the name {0:?}")]
    Name(String),
    #[error("the files cannot be stored")]
    Cache(#[source] io::Error),
}

impl From<reqwest::Error> for FetchError {
    /// Credentials are redacted: visitors see the error.
    fn from(mut error: reqwest::Error) -> Self {
        if let Some(url) = error.url_mut() {
            *url = index::public(url);
        }
        Self::Http(error)
    }
}

pub(super) type Result<T, E = FetchError> = std::result::Result<T, E>;

/// Downloads the wheel, verifies it, and extracts the UI into the cache; if that is not writable, into a temporary
/// directory of this process.
pub(super) async fn fetch(config: &UiConfig, state: &watch::Sender<State>) -> Result<Files> {
    let cache = sources::cached(config);
    let (temporary, cache) = blocking(move || create_temporary_dir(cache)).await.map_err(FetchError::Cache)?;
    let client = index::client(&config.environment).await?;
    let response = index::wheel(&client, config).await?;
    let wheel = download(response, &config.wheel, temporary.path(), state).await?;
    let version = config.wheel.version.clone();
    let files = tokio::task::spawn_blocking(move || install(wheel, temporary, cache.as_deref(), &version))
        .await
        .map_err(|error| FetchError::Cache(io::Error::other(error)))??;
    tracing::info!("the web UI is ready");
    Ok(files)
}

/// A temporary directory on the file system of the cache, and the target in the cache.
fn create_temporary_dir(cache: Option<PathBuf>) -> io::Result<(TempDir, Option<PathBuf>)> {
    let in_cache = cache.and_then(|cache| {
        let parent = cache.parent()?;
        fs::create_dir_all(parent).ok()?;
        let temporary = tempfile::Builder::new().prefix(".ui-").tempdir_in(parent).ok()?;
        Some((temporary, Some(cache)))
    });
    match in_cache {
        Some(found) => Ok(found),
        None => Ok((tempfile::Builder::new().prefix("ferroflow-ui-").tempdir()?, None)),
    }
}

/// Writes a response to a file and verifies its hash.
async fn download(
    mut response: reqwest::Response,
    wheel: &Wheel,
    dir: &Path,
    state: &watch::Sender<State>,
) -> Result<File> {
    let path = dir.join("wheel");
    let mut file = tokio::fs::File::create_new(&path).await.map_err(FetchError::Cache)?;
    let mut progress = Progress::new(state, response.content_length());
    let mut digest = Sha256::new();
    let mut size = 0;
    while let Some(chunk) = response.chunk().await? {
        size += chunk.len() as u64;
        if size > MAX_WHEEL {
            return Err(FetchError::TooLarge);
        }
        digest.update(&chunk);
        file.write_all(&chunk).await.map_err(FetchError::Cache)?;
        progress.add(chunk.len() as u64);
    }
    file.flush().await.map_err(FetchError::Cache)?;
    let found = hex(&digest.finalize());
    if found != wheel.sha256 {
        return Err(FetchError::Hash { name: wheel.file_name(), found, expected: wheel.sha256.clone() });
    }
    blocking(move || File::open(path)).await.map_err(FetchError::Cache)
}

/// Extracts the UI and renames it atomically to its target. If another process was faster, its files are used.
fn install(wheel: File, temporary: TempDir, cache: Option<&Path>, version: &str) -> Result<Files> {
    let [unpacked, catalogue] = ["ui", "catalogue"].map(|name| temporary.path().join(name));
    fs::create_dir(&unpacked).map_err(FetchError::Cache)?;
    let mut archive = zip::ZipArchive::new(wheel)?;
    unpack(&mut archive, BUILD, &unpacked)?;
    unpack(&mut archive, CATALOGUE, &catalogue)?;
    if let Some(cache) = cache {
        // Another process may have been faster. Without a cache there are no prices.
        let _ = fs::rename(&catalogue, sources::catalogue_beside(cache, version));
    }
    let Some(cache) = cache else {
        return Files::open_temporary(&unpacked, temporary).map_err(FetchError::Cache);
    };
    match fs::rename(&unpacked, cache) {
        Ok(()) => Files::open(cache).map_err(FetchError::Cache),
        Err(error) => Files::open(cache).map_err(|_| FetchError::Cache(error)),
    }
}

/// Extracts the files below a path. They are synced to disk when this returns, so that a directory in the cache is
/// always complete.
fn unpack(archive: &mut zip::ZipArchive<File>, below: &str, into: &Path) -> Result<()> {
    for number in 0..archive.len() {
        let mut entry = archive.by_index(number)?;
        if entry.is_dir() {
            continue;
        }
        let full = entry.name()?.into_owned();
        let Some(name) = full.strip_prefix(below) else { continue };
        if !path::is_plain(name) {
            return Err(FetchError::Name(full));
        }
        let target = into.join(name);
        let mut write = || {
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent)?;
            }
            let mut file = File::create_new(&target)?;
            io::copy(&mut entry, &mut file)?;
            file.sync_all()
        };
        write().map_err(FetchError::Cache)?;
    }
    Ok(())
}
