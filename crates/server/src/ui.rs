//! The official web UI: where its files come from, and how they are sent.
//!
//! The files are those of the reference's wheel, unchanged. They are taken from a directory the user
//! names, an installed `mlflow` package or the user's cache; where none of them has the files, the
//! wheel is fetched once from the Python package index while the API already answers.

mod encoding;
mod fetch;
mod files;
mod index;
mod pages;
mod path;
mod progress;
mod respond;
mod sources;

use std::{path::PathBuf, sync::Arc, time::Duration};

use axum::response::Response;
use ferroflow_model::error::with_causes;
use http::{HeaderMap, Method, StatusCode};
use tokio::sync::watch;

use files::Files;

/// The longest pause between two attempts to fetch the files.
const MAX_PAUSE: Duration = Duration::from_secs(30 * 60);

/// Where the files may come from.
#[derive(Debug, Clone)]
pub struct UiConfig {
    /// A directory with the built UI (`--ui-dir`). When it is set, no other source is asked.
    pub dir: Option<PathBuf>,
    /// The simple API of a Python package index; without it `PIP_INDEX_URL`, `UV_INDEX_URL` and
    /// `https://pypi.org/simple` are taken, in this order.
    pub index_url: Option<String>,
    /// Where fetched files are kept; without it `ferroflow` in the user's cache directory.
    pub cache_dir: Option<PathBuf>,
    /// Whether the wheel may be fetched.
    pub fetch: bool,
    /// The release that is looked for.
    pub wheel: Wheel,
    /// The pause after a first failed fetch. It doubles with each further one, up to half an hour.
    pub retry: Duration,
}

impl Default for UiConfig {
    fn default() -> Self {
        Self {
            dir: None,
            index_url: None,
            cache_dir: None,
            fetch: true,
            wheel: Wheel::default(),
            retry: Duration::from_secs(30),
        }
    }
}

/// A release of the reference that brings the UI.
#[derive(Debug, Clone)]
pub struct Wheel {
    /// Its version.
    pub version: String,
    /// The SHA-256 of its file, in lower-case hexadecimal digits.
    pub sha256: String,
}

impl Wheel {
    /// The name of its file in a package index.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("mlflow-{}-py3-none-any.whl", self.version)
    }
}

/// The release whose protocol this server speaks.
impl Default for Wheel {
    fn default() -> Self {
        Self {
            version: ferroflow_model::messages::REFERENCE.into(),
            sha256: "4e44c03791beb518d8b0a40b0982d958c2634d902f46d67d7907c82107f21fac".into(),
        }
    }
}

/// What there is to show.
#[derive(Clone)]
enum State {
    /// The files are there.
    Ready(Arc<Files>),
    /// They are not there yet, or cannot be had.
    Pending(Pending),
}

/// Why there are no files.
#[derive(Clone, Default)]
struct Pending {
    /// How much of the wheel is here, while it is being fetched.
    percent: Option<u8>,
    /// Why the last attempt failed.
    failure: Option<Arc<str>>,
}

/// The web UI of a server.
pub struct Ui {
    state: watch::Receiver<State>,
}

impl Ui {
    /// Looks for the files, and starts to fetch them if they are nowhere. It never waits for the
    /// network.
    ///
    /// # Panics
    /// Outside of a tokio runtime, when something has to be fetched.
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
        let fetch = matches!(&state, State::Pending(Pending { percent: Some(_), .. }));
        let (sender, receiver) = watch::channel(state);
        if fetch {
            tokio::spawn(async move {
                // Nobody listens any more when the server is gone.
                tokio::select! {
                    () = sender.closed() => {}
                    () = keep_fetching(&config, &sender) => {}
                }
            });
        }
        Self { state: receiver }
    }

    /// Waits until the files are there, or until a first attempt to get them has failed.
    ///
    /// # Errors
    /// Why there are no files. A server goes on trying.
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

    /// Answers a request for a file: `index.html`, or a path below `static-files`, percent-encoded
    /// as it came.
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

/// A state without files and without an attempt that runs.
fn failed(reason: &str) -> State {
    State::Pending(Pending { percent: None, failure: Some(reason.into()) })
}

/// Tries until the files are there.
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
        // Meanwhile the package may have been installed, or another process was luckier.
        if let Ok(Some(files)) = sources::find(config) {
            state.send_replace(State::Ready(Arc::new(files)));
            return;
        }
        report(state, 0);
    }
}

/// Notes how far an attempt is; the failure of the one before stays visible.
fn report(state: &watch::Sender<State>, percent: u8) {
    state.send_if_modified(|state| match state {
        State::Pending(pending) if pending.percent != Some(percent) => {
            pending.percent = Some(percent);
            true
        }
        _ => false,
    });
}
