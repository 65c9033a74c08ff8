//! What the tests need from the machine: each thing is prepared once, several concurrently.
//!
//! A variable that is already set is used as it is: `FERROFLOW_BIN=… cargo xtask schema` builds nothing.

mod builds;
mod pythons;
mod tools;
pub(crate) mod variables;

use std::{
    collections::BTreeMap,
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
};

use anyhow::{Context, Error, Result, bail};

pub(crate) use self::builds::{Profile, program};
use self::variables::{AZURITE, CHROMIUM, HAPROXY, OIDC, OTEL_JS, PGBOUNCER, POSTGRES, VALGRIND};
use crate::{chromium, postgres::Cluster};

/// Nine tenths of the files that Azurite would install: telemetry, and drivers of databases that the tests do not use.
const AZURITE_OMITTED: [&str; 3] = ["applicationinsights", "mysql2", "tedious"];

/// What PostgreSQL does on commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Flushes to disk, as in production.
    Full,
    /// Does not flush: tests kill servers, never the machine.
    Relaxed,
}

/// A dependency of tests besides the program under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// The program of the version before.
    Previous,
    /// A running PostgreSQL.
    Postgres(Durability),
    /// The programs of PostgreSQL.
    PostgresPrograms,
    /// The connection pooler PgBouncer.
    Pgbouncer,
    /// promtool of Prometheus.
    Promtool,
    /// The load balancer `HAProxy`.
    Haproxy,
    /// The library libfaketime.
    Faketime,
    /// Valgrind with Callgrind.
    Valgrind,
    /// The reference server with the newest SDK, and the files of the web UI.
    Reference,
    /// The two older SDKs.
    Sdks,
    /// Old releases that create databases: those of the sample, or all of them.
    Releases,
    /// The package of a newer release whose databases are served.
    Newer,
    /// The Python environment of the chart's tests.
    Chart,
    /// Helm 3 and 4, and kubectl.
    Helm,
    /// Barman, which backs up PostgreSQL to a bucket.
    Barman,
    /// The browser.
    Chromium,
    /// An S3 server that keeps objects in files.
    S3s(Profile),
    /// An emulator of Azure Blob Storage.
    Azurite,
    /// An `OpenID` Connect provider.
    OidcProvider,
    /// OpenTelemetry's SDK for JavaScript with its exporters.
    OtelJs,
    /// What makes packages, and what installs them.
    Packaging,
}

/// The workspace and what has been prepared so far.
pub(crate) struct Environment {
    /// The root of the repository.
    pub(crate) root: PathBuf,
    variables: Mutex<BTreeMap<&'static str, String>>,
    /// Runs until the environment is dropped.
    cluster: Mutex<Option<Cluster>>,
    /// The old releases and SDKs that are needed; `None` for all of them.
    sampled: Mutex<Option<Vec<String>>>,
    /// The commit from which servers are upgraded; `None` for that of the newest release.
    previous: Mutex<Option<String>>,
}

impl Environment {
    pub(crate) fn new() -> Result<Self> {
        let variables = variables::ALL
            .into_iter()
            .filter_map(|name| Some((name, env::var(name).ok().filter(|value| !value.is_empty())?)))
            .collect();
        Ok(Self {
            root: root()?,
            variables: Mutex::new(variables),
            cluster: Mutex::default(),
            sampled: Mutex::default(),
            previous: Mutex::default(),
        })
    }

    /// A command in the root of the repository, with the variables of what has been prepared.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root).envs(locked(&self.variables).iter()).stdin(Stdio::null());
        // Python's bytecode is cached, outside of the tree. Some images switch it off, and then every process compiles
        // all that it imports: of the reference, for 9 seconds.
        command.env("PYTHONPYCACHEPREFIX", self.folder().join("pycache")).env_remove("PYTHONDONTWRITEBYTECODE");
        command
    }

    /// The directory of xtask's own files.
    pub(crate) fn folder(&self) -> PathBuf {
        folder(&self.root)
    }

    /// Restricts the old releases and SDKs to these, such as `1.30.1` and `sdk-3.5.0`.
    pub(crate) fn sample(&self, names: Vec<String>) {
        *locked(&self.sampled) = Some(names);
    }

    /// Upgrades servers from the program of this commit.
    pub(crate) fn upgrade_from(&self, commit: String) {
        *locked(&self.previous) = Some(commit);
    }

    fn is_sampled(&self, name: &str) -> bool {
        locked(&self.sampled).as_ref().is_none_or(|sampled| sampled.iter().any(|taken| taken == name))
    }

    /// Prepares all needs. All are tried; the first error is returned.
    pub(crate) fn prepare(&self, needs: &[Need]) -> Result<()> {
        self.prepare_each(needs).into_iter().next().map_or(Ok(()), |(_, error)| Err(error))
    }

    /// Prepares all needs, each in a thread of its own, and returns those that failed.
    pub(crate) fn prepare_each(&self, needs: &[Need]) -> Vec<(Need, Error)> {
        let mut once: Vec<Need> = Vec::new();
        for need in needs {
            if !once.contains(need) {
                once.push(*need);
            }
        }
        thread::scope(|scope| {
            let threads: Vec<_> = once.iter().map(|need| (*need, scope.spawn(|| self.prepare_one(*need)))).collect();
            let ended = threads.into_iter().map(|(need, thread)| (need, thread.join()));
            ended
                .filter_map(|(need, end)| Some((need, end.unwrap_or_else(|_| bail!("a thread panicked")).err()?)))
                .collect()
        })
    }

    fn prepare_one(&self, need: Need) -> Result<()> {
        match need {
            Need::Previous => self.previous(),
            Need::Postgres(durability) => self.postgres(durability),
            Need::Pgbouncer => self.system(PGBOUNCER, "pgbouncer"),
            Need::PostgresPrograms => self.postgres_programs(),
            Need::Haproxy => self.system(HAPROXY, "haproxy"),
            Need::Faketime => self.faketime(),
            Need::Promtool => self.promtool(),
            Need::Valgrind => self.system(VALGRIND, "valgrind"),
            Need::Reference => self.reference().map(drop),
            Need::Sdks => self.sdks(),
            Need::Releases => self.releases(),
            Need::Newer => self.newer(),
            Need::Chart => self.chart().map(drop),
            Need::Helm => self.helm(),
            Need::Barman => self.barman(),
            Need::Chromium => self.once(CHROMIUM, chromium::find).map(drop),
            Need::S3s(profile) => self.s3s(profile),
            Need::Azurite => self.npm(AZURITE, "azurite", "3.37.0", "node_modules/.bin/azurite-blob", &AZURITE_OMITTED),
            Need::OidcProvider => self.npm(OIDC, "oidc-provider", "9.13.3", "node_modules", &[]),
            Need::OtelJs => self.npm(OTEL_JS, "@opentelemetry/sdk-node", "0.208.0", "node_modules", &[]),
            Need::Packaging => self.packaging(),
        }
        .with_context(|| format!("{need:?} cannot be prepared"))
    }

    /// Whether a variable is already set.
    pub(crate) fn is_set(&self, variable: &str) -> bool {
        locked(&self.variables).contains_key(variable)
    }

    /// The value of a variable that is set.
    pub(crate) fn get(&self, variable: &str) -> Option<String> {
        locked(&self.variables).get(variable).cloned()
    }

    pub(crate) fn set(&self, variable: &'static str, value: String) {
        locked(&self.variables).insert(variable, value);
    }

    /// The value of a variable, computed by `find` unless it is set.
    fn once(&self, variable: &'static str, find: impl FnOnce() -> Result<String>) -> Result<String> {
        if let Some(value) = self.get(variable) {
            return Ok(value);
        }
        let value = find()?;
        self.set(variable, value.clone());
        Ok(value)
    }

    /// Starts PostgreSQL.
    pub(crate) fn postgres(&self, durability: Durability) -> Result<()> {
        let mut cluster = locked(&self.cluster);
        self.once(POSTGRES, || {
            let started = Cluster::start(durability)?;
            let url = started.url();
            *cluster = Some(started);
            Ok(url)
        })
        .map(drop)
    }
}

/// The directory of xtask's own files for the repository at `root`.
pub(crate) fn folder(root: &Path) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from).join("xtask")
}

/// Creates a directory that gets its name only once complete, so that an interrupted one is not used.
pub(crate) fn complete(folder: &Path, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let mut begun = folder.as_os_str().to_owned();
    begun.push(".begun");
    let begun = PathBuf::from(begun);
    if begun.exists() {
        fs::remove_dir_all(&begun)?;
    }
    fs::create_dir_all(&begun)?;
    make(&begun)?;
    fs::rename(begun, folder).with_context(|| folder.display().to_string())
}

/// The root of the repository.
pub(crate) fn root() -> Result<PathBuf> {
    Ok(Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask is a folder of the repository")?.to_owned())
}

/// Locks a mutex. A thread that panicked while holding it has already failed the run.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
