//! The official web UI: where its files come from, and how they are served.
//!
//! The files are those of the reference's wheel, unchanged. They come from a directory that the user names, the package
//! that this program was installed with, an installed `mlflow` package or the user's cache; if none has them, the wheel is
//! downloaded once from the Python package index, while the API already works.

mod encoding;
mod fetch;
mod files;
mod index;
mod pages;
mod path;
mod prices;
mod progress;
mod respond;
mod sources;

use std::{path::PathBuf, sync::Arc, time::Duration};

use axum::response::Response;
use ferroflow_model::{Environment, error::with_causes};
use ferroflow_otlp::Prices;
use http::{HeaderMap, Method, StatusCode};
use tokio::sync::watch;

use files::Files;
use prices::Catalogue;

/// Maximum backoff between two downloads.
const MAX_PAUSE: Duration = Duration::from_secs(30 * 60);

/// The sources of the files.
#[derive(Debug, Clone)]
pub struct UiConfig {
    /// A directory with the built UI (`--ui-dir`). It excludes all other sources.
    pub dir: Option<PathBuf>,
    /// The variables of the process: of Python environments, the package index and the cache.
    pub environment: Environment,
    /// The simple API of a Python package index; `None` takes the first of `PIP_INDEX_URL`, `UV_INDEX_URL` and
    /// `https://pypi.org/simple`.
    pub index_url: Option<String>,
    /// The directory for downloaded files; `None` is `ferroflow` in the user's cache directory.
    pub cache_dir: Option<PathBuf>,
    /// Whether the wheel may be downloaded.
    pub fetch: bool,
    /// The release to use.
    pub wheel: Wheel,
    /// The delay after a first failed download. It doubles with each further one, up to half an hour.
    pub retry: Duration,
}

impl Default for UiConfig {
    fn default() -> Self {
        Self {
            dir: None,
            environment: Environment::default(),
            index_url: None,
            cache_dir: None,
            fetch: true,
            wheel: Wheel::default(),
            retry: Duration::from_secs(30),
        }
    }
}

/// A release of the reference that contains the UI.
#[derive(Debug, Clone)]
pub struct Wheel {
    /// Its version.
    pub version: String,
    /// The SHA-256 of its file, in lower-case hexadecimal.
    pub sha256: String,
}

impl Wheel {
    /// The name of its file in a package index.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("mlflow-{}-py3-none-any.whl", self.version)
    }
}

/// The release whose protocol this server implements.
impl Default for Wheel {
    fn default() -> Self {
        Self {
            version: ferroflow_model::messages::REFERENCE.into(),
            sha256: "4e44c03791beb518d8b0a40b0982d958c2634d902f46d67d7907c82107f21fac".into(),
        }
    }
}

/// The state of the UI.
#[derive(Clone)]
enum State {
    /// The files are available.
    Ready(Arc<Files>),
    /// They are not available yet, or at all.
    Pending(Pending),
}

/// Why there are no files.
#[derive(Clone, Default)]
struct Pending {
    /// The progress of the download, while one runs.
    percent: Option<u8>,
    /// The error of the last attempt.
    failure: Option<Arc<str>>,
}

/// The web UI of a server.
pub struct Ui {
    state: watch::Receiver<State>,
    catalogue: Catalogue,
}

impl Ui {
    /// Looks for the files, and starts a download in the background if they are not found.
    ///
    /// # Panics
    /// Outside of a tokio runtime, if a download is needed.
    #[must_use]
    pub fn open(config: UiConfig) -> Self {
        let state = match sources::find(&config) {
            Ok(Some(files)) => State::Ready(Arc::new(files)),
            Ok(None) if config.fetch => State::Pending(Pending { percent: Some(0), failure: None }),
            Ok(None) => failed("fetching them is switched off, and no installed mlflow package has them"),
            Err(reason) => {
                tracing::warn!(reason, "the web UI cannot be served");
                failed(&reason)
            }
        };
        let catalogue = Catalogue::new(config.clone());
        let fetch = matches!(&state, State::Pending(Pending { percent: Some(_), .. }));
        let (sender, receiver) = watch::channel(state);
        if fetch {
            tokio::spawn(async move {
                // The channel is closed when the server is gone.
                tokio::select! {
                    () = sender.closed() => {}
                    () = keep_fetching(&config, &sender) => {}
                }
            });
        }
        Self { state: receiver, catalogue }
    }

    /// The prices of models, which come with the files; none while they are not available.
    pub async fn prices(&self) -> Arc<Prices> {
        self.catalogue.prices().await
    }

    /// Waits until the files are available, or until a first attempt to download them has failed.
    ///
    /// # Errors
    /// Why there are no files. The server keeps retrying.
    pub async fn settled(&self) -> Result<(), String> {
        let mut state = self.state.clone();
        let settled = state
            .wait_for(|state| match state {
                State::Ready(_) => true,
                State::Pending(pending) => pending.percent.is_none(),
            })
            .await;
        match settled.as_deref() {
            Ok(State::Ready(_)) => Ok(()),
            Ok(State::Pending(pending)) => Err(pending.failure.as_deref().unwrap_or_default().to_owned()),
            Err(_) => Err("the fetch was interrupted".into()),
        }
    }

    /// Responds to a request for a file: `index.html`, or a path below `static-files`, still percent-encoded.
    pub async fn serve(&self, path: &str, method: &Method, headers: &HeaderMap) -> Response {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return pages::method_not_allowed();
        }
        let Some(path) = path::decode(path) else {
            return pages::not_found(method);
        };
        let state = self.state.borrow().clone();
        match state {
            State::Ready(files) => match respond::file(&files, &path, method, headers).await {
                Ok(response) => response,
                Err(error) if files::is_absent(&error) => pages::not_found(method),
                Err(error) => {
                    tracing::error!(%error, path, "a file of the web UI cannot be read");
                    pages::error(StatusCode::INTERNAL_SERVER_ERROR, method)
                }
            },
            State::Pending(pending) if path == "index.html" => pages::pending(&pending, method),
            State::Pending(_) => pages::not_found(method),
        }
    }
}

/// A state without files and without a running download.
fn failed(reason: &str) -> State {
    State::Pending(Pending { percent: None, failure: Some(reason.into()) })
}

/// Retries the download until it succeeds.
async fn keep_fetching(config: &UiConfig, state: &watch::Sender<State>) {
    let mut pause = config.retry;
    loop {
        match fetch::fetch(config, state).await {
            Ok(files) => {
                state.send_replace(State::Ready(Arc::new(files)));
                return;
            }
            Err(error) => {
                let reason = with_causes(&error);
                tracing::warn!(reason, retry_seconds = pause.as_secs(), "the web UI could not be fetched");
                state.send_replace(failed(&reason));
            }
        }
        tokio::time::sleep(pause).await;
        pause = pause.saturating_mul(2).min(MAX_PAUSE);
        // Meanwhile the package may have been installed, or another process has downloaded it.
        if let Ok(Some(files)) = sources::find(config) {
            state.send_replace(State::Ready(Arc::new(files)));
            return;
        }
        report(state, 0);
    }
}

/// Records the progress of a download; the error of the previous one stays visible.
fn report(state: &watch::Sender<State>, percent: u8) {
    state.send_if_modified(|state| match state {
        State::Pending(pending) if pending.percent != Some(percent) => {
            pending.percent = Some(percent);
            true
        }
        _ => false,
    });
}
