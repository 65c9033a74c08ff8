//! The audit log: one line of JSON for every change by a user, and for everything that was refused.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use ferroflow_model::wire::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use super::Named;

/// What of a request says what it was about.
const SUBJECTS: [&str; 24] = [
    "experiment_id",
    "experiment_ids",
    "run_id",
    "run_uuid",
    "run_ids",
    "model_id",
    "trace_id",
    "request_id",
    "name",
    "new_name",
    "version",
    "alias",
    "stage",
    "key",
    "artifact_path",
    "path",
    "webhook_id",
    "username",
    "is_admin",
    "role_id",
    "role_permission_id",
    "resource_type",
    "resource_id",
    "permission",
];

/// Where the lines go. A line is written when its change is committed, so one that can not be written fails no request:
/// it is an error in the log and counts in `/metrics`.
pub struct Audit {
    out: Mutex<Box<dyn Write + Send>>,
    lost: AtomicU64,
}

/// One line.
#[derive(Debug, Serialize)]
pub(crate) struct Entry<'a> {
    pub(crate) time: String,
    /// Who: `None` before a login.
    pub(crate) user: Option<&'a str>,
    /// The name that a login was tried with.
    pub(crate) claimed: Option<&'a str>,
    /// The address of the other end of the connection.
    pub(crate) from: Option<String>,
    /// What a proxy, or the client itself, says about where the request comes from.
    pub(crate) forwarded_for: Option<&'a str>,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    /// What the request was about.
    pub(crate) subject: Option<&'a Map<String, Value>>,
    pub(crate) status: u16,
    /// `changed`, `refused`, `unauthenticated` or `limited`.
    pub(crate) result: &'static str,
    pub(crate) request_id: Option<&'a str>,
}

/// What a request was about, on its answer.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    /// Ids and names.
    pub(crate) named: Map<String, Value>,
    /// Whether it was to change something.
    pub(crate) is_change: bool,
}

impl Subject {
    pub(crate) fn of(named: &Named, is_change: bool) -> Self {
        let of = |name: &&str| named.shown(name).map(|value| ((*name).to_owned(), value));
        Self { named: SUBJECTS.iter().filter_map(of).collect(), is_change }
    }
}

impl Audit {
    /// Appends to a file; `-` is the standard output.
    ///
    /// # Errors
    /// The file can not be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        if path.as_os_str() == "-" {
            return Ok(Self::to(Box::new(io::stdout())));
        }
        let file: File = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self::to(Box::new(file)))
    }

    fn to(out: Box<dyn Write + Send>) -> Self {
        Self { out: Mutex::new(out), lost: AtomicU64::new(0) }
    }

    /// Lines that were not written since the start.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    pub(crate) fn write(&self, entry: &Entry<'_>) {
        let Ok(mut line) = serde_json::to_vec(entry) else { return };
        line.push(b'\n');
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        // One write for each line, so that those of several servers do not mix in one file.
        if let Err(error) = out.write_all(&line).and_then(|()| out.flush()) {
            self.lost.fetch_add(1, Ordering::Relaxed);
            tracing::error!(%error, "a line of the audit log was not written");
        }
    }
}

/// The time of a line.
pub(crate) fn now() -> String {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)).to_string()
}
