//! A private PostgreSQL server: in a temporary directory (in memory, if durability is relaxed), on a free port, for the
//! lifetime of xtask.

use std::{
    fs,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{apt, environment::Durability, ports::Port, process};

/// Starts the server given as arguments, waits until standard input closes, and stops it. Only xtask holds the other
/// end of that pipe, so however xtask exits, the server is stopped and the directory removed.
const WATCH: &str = r#"
trap '' INT TERM HUP
folder=$1; shift
"$@" >"$folder/log" 2>&1 &
cat >/dev/null
kill -INT $! 2>/dev/null
wait
rm -rf "$folder"
"#;

const START: Duration = Duration::from_secs(60);

/// Bytes needed for a cluster in memory: its WAL, and the databases that exist at the same time.
const MIN_MEMORY: u64 = 4 << 30;

/// A running server.
pub(crate) struct Cluster {
    port: Port,
    watch: Child,
    pipe: Option<ChildStdin>,
}

impl Cluster {
    /// Creates a cluster and starts it. It accepts connections when this returns.
    pub(crate) fn start(durability: Durability) -> Result<Self> {
        let programs = programs()?;
        let place = (durability == Durability::Relaxed).then(memory).flatten().unwrap_or_else(std::env::temp_dir);
        let folder = tempfile::Builder::new().prefix("ferroflow-postgres-").tempdir_in(place)?;
        let user = User::of_server()?;
        if let Some(user) = &user {
            chown(folder.path(), Some(user.id), Some(user.group))?;
        }
        let command = |program: &Path| {
            let mut command = Command::new(program);
            command.current_dir(folder.path());
            if let Some(user) = &user {
                command.uid(user.id).gid(user.group);
            }
            command
        };

        let data = folder.path().join("data");
        let locale = if cfg!(target_os = "macos") { "en_US.UTF-8" } else { "C.UTF-8" };
        let made = command(&programs.join("initdb"))
            .args([
                "--username=postgres",
                "--auth=trust",
                "--encoding=UTF8",
                "--no-sync",
                "--locale",
                locale,
                "--pgdata",
            ])
            .arg(&data)
            .output()?;
        ensure!(made.status.success(), "initdb failed: {}", String::from_utf8_lossy(&made.stderr));

        let claim = Port::claim()?;
        let port = claim.number;
        let mut server = command(Path::new("/bin/sh"));
        server.args(["-c", WATCH, "watch"]).arg(folder.path()).arg(programs.join("postgres"));
        server.arg("-D").arg(&data).args(["-p", &port.to_string()]);
        server.args([
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "unix_socket_directories=",
            "-c",
            "max_connections=400",
        ]);
        if durability == Durability::Relaxed {
            server.args(["-c", "fsync=off", "-c", "full_page_writes=off"]);
        }
        let mut watch = server.stdin(Stdio::piped()).spawn()?;
        let pipe = watch.stdin.take();
        let cluster = Self { port: claim, watch, pipe };
        // From here on the watch script removes the directory.
        let log = folder.keep().join("log");
        let deadline = Instant::now() + START;
        while !accepts_connections(&programs, port)? {
            if Instant::now() > deadline {
                bail!("PostgreSQL does not start:\n{}", fs::read_to_string(log).unwrap_or_default());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(cluster)
    }

    /// The URL of the superuser.
    pub(crate) fn url(&self) -> String {
        format!("postgresql://postgres@127.0.0.1:{}/postgres", self.port.number)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.pipe.take());
        // Failing to stop the server must not fail a finished run.
        let _ = self.watch.wait();
    }
}

/// A file system in memory with enough space for the tests' databases. Each has about 600 files: creating and deleting
/// them on disk takes five times as much CPU time.
fn memory() -> Option<PathBuf> {
    let place = Path::new("/dev/shm");
    let answer = Command::new("df").arg("-Pk").arg(place).output().ok()?;
    let text = String::from_utf8(answer.stdout).ok()?;
    // The columns are file system, blocks, used, available.
    let kib: u64 = text.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()?;
    (kib >= MIN_MEMORY / 1024).then(|| place.to_owned())
}

fn accepts_connections(programs: &Path, port: u16) -> Result<bool> {
    let mut command = Command::new(programs.join("pg_isready"));
    Ok(command.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]).status()?.success())
}

/// The directory of PostgreSQL's programs, which are installed first where possible.
pub(crate) fn programs() -> Result<PathBuf> {
    if let Some(folder) = installed() {
        return Ok(folder);
    }
    apt::install("postgresql")?;
    installed().context("PostgreSQL is needed: install it, or set FERROFLOW_TEST_POSTGRES_URL to a superuser's URL")
}

fn installed() -> Option<PathBuf> {
    let on_path = process::find("initdb").and_then(|path| Some(path.canonicalize().ok()?.parent()?.to_owned()));
    let newest = |root: &str, keep: fn(&str) -> bool| {
        let mut folders: Vec<PathBuf> = fs::read_dir(root)
            .ok()?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| {
                path.file_name().and_then(|n| n.to_str()).is_some_and(keep) && path.join("bin/initdb").exists()
            })
            .collect();
        folders.sort_by_key(|path| version(path));
        folders.pop().map(|path| path.join("bin"))
    };
    on_path
        .or_else(|| newest("/usr/lib/postgresql", |_| true))
        .or_else(|| newest("/opt/homebrew/opt", |name| name.starts_with("postgresql")))
        .or_else(|| newest("/usr/local/opt", |name| name.starts_with("postgresql")))
}

/// 15 for `/usr/lib/postgresql/15` and for `/opt/homebrew/opt/postgresql@15`.
fn version(folder: &Path) -> u32 {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.rsplit('@').next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// The user that runs the server, which refuses to run as root.
struct User {
    id: u32,
    group: u32,
}

impl User {
    fn of_server() -> Result<Option<Self>> {
        if !process::is_root() {
            return Ok(None);
        }
        for name in ["postgres", "nobody"] {
            if let (Some(id), Some(group)) = (process::id("-u", name), process::id("-g", name)) {
                return Ok(Some(Self { id, group }));
            }
        }
        bail!("PostgreSQL does not run as root, and there is no user postgres or nobody")
    }
}
