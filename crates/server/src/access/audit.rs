//! The audit log: one line of JSON for every login, every change by a user, every artifact read and every refused
//! request.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use ferroflow_model::{clock, wire::Timestamp};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    Refs,
    chain::{Link, hash},
};

/// Maximum characters of a text, and items of a list, in a line.
const MAX_CHARS: usize = 256;
const MAX_ITEMS: usize = 20;

/// The parameters that say what a request to manage users, roles and permissions is about. The others are never logged:
/// there are passwords among them.
const PARAMS: [&str; 10] = [
    "experiment_id",
    "name",
    "username",
    "is_admin",
    "role_id",
    "role_permission_id",
    "resource_type",
    "resource_id",
    "permission",
    "workspace",
];

/// How many bytes at the end of a file are searched for its last line. A line is far shorter.
const TAIL: u64 = 256 * 1024;

/// The writer of the audit log. A line is written after its change is committed, so a failed write fails no request: it
/// is logged as an error and counted in `/metrics`.
pub struct Audit {
    chain: Mutex<Chain>,
    lost: AtomicU64,
}

/// The chain of this process.
struct Chain {
    out: Box<dyn Write + Send>,
    next: Link,
    /// The last line of the file lacks its line break: a write was interrupted.
    is_torn: bool,
}

/// One line of the log.
#[derive(Debug, Serialize)]
pub(crate) struct Entry<'a> {
    pub(crate) time: String,
    /// The authenticated user; `None` without one.
    pub(crate) user: Option<&'a str>,
    /// The user name in the credentials, if no user was authenticated.
    pub(crate) claimed: Option<&'a str>,
    /// The client's address: the peer of the connection, or what a trusted proxy reports.
    pub(crate) from: Option<String>,
    /// What proxies, and the client itself, claim to be the origin of the request.
    pub(crate) forwarded_for: Option<&'a str>,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    /// The workspace of the request, on a server with workspaces; a name that a client sent, if the request was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) workspace: Option<&'a str>,
    /// What the request was about.
    pub(crate) subject: Option<&'a Map<String, Value>>,
    pub(crate) status: u16,
    /// `login`, `changed`, `read`, `refused`, `unauthenticated` or `limited`.
    pub(crate) result: &'static str,
    pub(crate) request_id: Option<&'a str>,
    /// The request id set by the client or a proxy.
    pub(crate) client_request_id: Option<&'a str>,
}

/// A line and its place in the chain.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    entry: &'a Entry<'a>,
    #[serde(flatten)]
    link: &'a Link,
}

/// What a request was about, attached to its response.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    /// The workspace; `None` on a server without workspaces.
    pub(crate) workspace: Option<Box<str>>,
    /// Ids and names.
    pub(crate) refs: Map<String, Value>,
    /// Whether the request was to change something.
    pub(crate) is_change: bool,
}

impl Subject {
    /// What the fields of the message and the parameters of the URL name; references of nested messages are left out.
    pub(crate) fn of(refs: &Refs<'_>, is_change: bool) -> Self {
        let mut subject = Map::new();
        for found in refs.in_message().iter().filter(|found| !found.is_nested) {
            if !found.is_listed {
                subject.insert(found.field.to_owned(), short(found.text));
            } else if let Value::Array(items) = subject.entry(found.field).or_insert_with(|| Value::Array(Vec::new()))
                && items.len() < MAX_ITEMS
            {
                items.push(short(found.text));
            }
        }
        for found in refs.in_url() {
            // `assessment.trace_id` is a field of a nested message.
            let name = found.name.rsplit('.').next().unwrap_or_default();
            subject.entry(name).or_insert_with(|| short(&found.text));
        }
        if let Some(params) = refs.params() {
            let of = |name: &&str| Some(((*name).to_owned(), logged(params.get(name)?)?));
            subject.extend(PARAMS.iter().filter_map(of));
        }
        Self { workspace: None, refs: subject, is_change }
    }
}

/// A parameter as it is logged; `None` if it is not.
fn logged(value: &Value) -> Option<Value> {
    match value {
        Value::String(text) if !text.is_empty() => Some(short(text)),
        Value::Array(items) if !items.is_empty() => {
            Some(items.iter().filter_map(Value::as_str).take(MAX_ITEMS).map(short).collect())
        }
        Value::Bool(_) | Value::Number(_) => Some(value.clone()),
        _ => None,
    }
}

fn short(text: &str) -> Value {
    Value::String(text.chars().take(MAX_CHARS).collect())
}

impl Audit {
    /// Appends to a file, created with mode 0600 if missing; `-` is standard output.
    ///
    /// # Errors
    /// The file can not be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let chain = uuid::Uuid::new_v4().simple().to_string();
        let next = |prev| Link { chain, seq: 0, prev };
        if path.as_os_str() == "-" {
            return Ok(Self::to(Chain { out: Box::new(io::stdout()), next: next(String::new()), is_torn: false }));
        }
        let file: File = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        // A pipe can not be read from its end.
        let tail = if file.metadata()?.is_file() { tail(path)? } else { Vec::new() };
        let is_torn = !tail.is_empty() && !tail.ends_with(b"\n");
        let last = tail.strip_suffix(b"\n").unwrap_or(&tail).rsplit(|byte| *byte == b'\n').next();
        let prev = last.filter(|line| !line.is_empty()).map(hash).unwrap_or_default();
        Ok(Self::to(Chain { out: Box::new(file), next: next(prev), is_torn }))
    }

    fn to(chain: Chain) -> Self {
        Self { chain: Mutex::new(chain), lost: AtomicU64::new(0) }
    }

    /// Number of lines that failed to be written since the start.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    pub(crate) fn write(&self, entry: &Entry<'_>) {
        let mut chain = self.chain.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(mut line) = serde_json::to_vec(&Line { entry, link: &chain.next }) else { return };
        let prev = hash(&line);
        line.push(b'\n');
        if chain.is_torn {
            line.insert(0, b'\n');
        }
        // One write per line: lines of several servers do not interleave in one file.
        let written = chain.out.write_all(&line).and_then(|()| chain.out.flush());
        chain.is_torn = written.is_err();
        match written {
            Ok(()) => {
                chain.next.seq += 1;
                chain.next.prev = prev;
            }
            Err(error) => {
                self.lost.fetch_add(1, Ordering::Relaxed);
                tracing::error!(%error, "a line of the audit log was not written");
            }
        }
    }
}

/// The end of a file, which includes its last line.
fn tail(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The timestamp of a line.
pub(crate) fn now() -> String {
    Timestamp::from_millis(clock::unix_millis()).to_string()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use ferroflow_model::{
        messages::{
            model_registry::SetModelVersionTag,
            service::{
                CreateExperiment, FinalizeLoggedModel, GetMetricHistoryBulkInterval, LogBatch, UpdateExperiment,
            },
        },
        request,
        wire::Rpc,
    };
    use serde_json::json;

    use super::{super::chain::verify_audit, *};

    /// The subject of a call with this message.
    fn subject<T: Rpc>(message: &Value) -> Value {
        let message: T = request::parse_json(message.to_string()).unwrap();
        Value::Object(Subject::of(&Refs::from_message(&[], &message), true).refs)
    }

    #[test]
    fn a_line_has_the_ids_and_names_of_the_call() {
        let made = json!({ "name": "n", "artifact_location": "s3://a", "tags": [{ "key": "k", "value": "v" }] });
        assert_eq!(subject::<CreateExperiment>(&made), json!({ "name": "n" }));
        let renamed = json!({ "experiment_id": "7", "new_name": "x".repeat(300) });
        let expected = json!({ "experiment_id": "7", "new_name": "x".repeat(256) });
        assert_eq!(subject::<UpdateExperiment>(&renamed), expected);
        let tag = json!({ "name": "n", "version": "3", "key": "k", "value": "secret" });
        let expected = json!({ "name": "n", "version": "3", "key": "k" });
        assert_eq!(subject::<SetModelVersionTag>(&tag), expected);
        let batch =
            json!({ "run_id": "r", "metrics": [{ "key": "a", "value": 1, "timestamp": 0, "model_id": "m-1" }] });
        assert_eq!(subject::<LogBatch>(&batch), json!({ "run_id": "r" }));
        let runs: Vec<String> = (0..30).map(|number| format!("r{number}")).collect();
        let read = json!({ "run_ids": runs, "metric_key": "loss" });
        assert_eq!(subject::<GetMetricHistoryBulkInterval>(&read), json!({ "run_ids": runs[..20] }));
        let path = [("model_id".to_owned(), "m-1".to_owned())];
        let finalized = FinalizeLoggedModel::default();
        let refs = Refs::from_message(&path, &finalized);
        assert_eq!(Value::Object(Subject::of(&refs, true).refs), json!({ "model_id": "m-1" }));
    }

    #[test]
    fn a_line_has_the_parameters_of_a_url() {
        let path = [("artifact_path".to_owned(), "a/b".to_owned())];
        let refs = Refs::from_url(&path, Some("run_id=r1&run_id=r2&metric_key=loss&password=p"));
        assert_eq!(Value::Object(Subject::of(&refs, false).refs), json!({ "artifact_path": "a/b", "run_id": "r1" }));
    }

    fn write(audit: &Audit, user: &str) {
        audit.write(&Entry {
            time: now(),
            user: Some(user),
            claimed: None,
            from: None,
            forwarded_for: None,
            method: "GET",
            path: "/",
            workspace: None,
            subject: None,
            status: 200,
            result: "login",
            request_id: None,
            client_request_id: None,
        });
    }

    fn faults(text: &str) -> Vec<String> {
        verify_audit([("log".to_owned(), text.as_bytes())]).unwrap().faults
    }

    #[test]
    fn changed_removed_and_inserted_lines_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit");
        // Two servers that write to one file, one of them after a restart.
        let one = Audit::open(&path).unwrap();
        for user in ["a", "b", "c"] {
            write(&one, user);
        }
        let two = Audit::open(&path).unwrap();
        for user in ["d", "e"] {
            write(&two, user);
            write(&one, user);
        }
        drop((one, two));
        let three = Audit::open(&path).unwrap();
        write(&three, "f");
        let text = fs::read_to_string(&path).unwrap();
        let report = verify_audit([("log".to_owned(), text.as_bytes())]).unwrap();
        assert_eq!((report.lines, report.chains, report.faults, report.notes), (8, 3, vec![], vec![]));
        assert_eq!(report.last, hash(text.lines().last().unwrap().as_bytes()));

        let lines: Vec<&str> = text.lines().collect();
        for number in 0..7 {
            let mut changed: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
            changed[number] = changed[number].replace("\"user\":\"", "\"user\":\"x");
            let found = faults(&(changed.join("\n") + "\n"));
            // Nothing refers to the last line of a chain that no other chain follows.
            assert_eq!(found.is_empty(), number == 5, "{number}: {found:?}");
        }
        for number in 1..7 {
            let mut cut = lines.clone();
            cut.remove(number);
            assert_eq!(faults(&(cut.join("\n") + "\n")).is_empty(), number == 5, "{number}");
        }
        let mut more = lines.clone();
        more.insert(2, "{\"user\":\"x\"}");
        assert_eq!(faults(&(more.join("\n") + "\n")).len(), 1);

        // After rotation, the second file alone begins in the middle of the chains.
        let (first, second) = (lines[..4].join("\n") + "\n", lines[4..].join("\n") + "\n");
        let files = || [("1".to_owned(), first.as_bytes()), ("2".to_owned(), second.as_bytes())];
        assert!(verify_audit(files()).unwrap().notes.is_empty());
        let rest = verify_audit(files().into_iter().skip(1)).unwrap();
        assert!(rest.faults.is_empty() && !rest.notes.is_empty(), "{rest:?}");
    }

    #[test]
    fn an_incomplete_line_is_not_continued() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit");
        write(&Audit::open(&path).unwrap(), "a");
        let whole = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{whole}{{\"time\":")).unwrap();
        write(&Audit::open(&path).unwrap(), "b");
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 3, "{text}");
        assert_eq!(faults(&text), ["log:2: is not a line of a chain"]);
    }

    #[test]
    fn a_new_log_is_readable_by_its_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit");
        write(&Audit::open(&path).unwrap(), "a");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
