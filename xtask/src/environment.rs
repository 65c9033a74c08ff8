//! What the tests need from the machine: each thing is prepared once, several concurrently.
//!
//! A variable that is already set is used as it is: `FERROFLOW_BIN=… cargo xtask schema` builds nothing.

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

use anyhow::{Context, Error, Result, bail, ensure};

use serde_json::json;

use crate::{
    apt, chromium,
    helm::{HELM_3, HELM_4},
    postgres::{self, Cluster},
    previous, process, python,
};

/// The `ferroflow` binary under test.
pub(crate) const BIN: &str = "FERROFLOW_BIN";
/// The program of the version before. Without it, servers are upgraded to their own version.
pub(crate) const PREVIOUS: &str = "FERROFLOW_PREVIOUS_BIN";
/// A superuser's URL of the PostgreSQL server.
pub(crate) const POSTGRES: &str = "FERROFLOW_TEST_POSTGRES_URL";
/// A Python with the reference server and the newest SDK.
pub(crate) const REFERENCE: &str = "FERROFLOW_REFERENCE_PYTHON";
/// A Python with SDK 3.5.0.
pub(crate) const SDK_3_5: &str = "FERROFLOW_SDK_PYTHON_3_5";
/// A Python with SDK 2.22.5.
pub(crate) const SDK_2_22: &str = "FERROFLOW_SDK_PYTHON_2_22";
/// A folder with a Python environment of each old release that makes databases.
pub(crate) const RELEASES: &str = "FERROFLOW_RELEASES";
/// The package of a newer MLflow, which runs on the reference's dependencies.
pub(crate) const NEWER: &str = "FERROFLOW_NEWER";
/// The browser's program.
pub(crate) const CHROMIUM: &str = "FERROFLOW_CHROMIUM";
/// An S3 server that keeps objects in files.
pub(crate) const S3S: &str = "FERROFLOW_S3S_FS";
/// The program of an emulator of Azure Blob Storage.
pub(crate) const AZURITE: &str = "FERROFLOW_AZURITE";
/// The folder of a server of `OpenID` Connect.
pub(crate) const OIDC: &str = "FERROFLOW_OIDC_PROVIDER";
/// The folder of OpenTelemetry's packages for JavaScript.
pub(crate) const OTEL_JS: &str = "FERROFLOW_OTEL_JS";
/// A Python with what the chart's tests need.
pub(crate) const CHART: &str = "FERROFLOW_CHART_PYTHON";
/// Helm 4.
pub(crate) const HELM_4_BIN: &str = "FERROFLOW_HELM_4";
/// Helm 3.
pub(crate) const HELM_3_BIN: &str = "FERROFLOW_HELM_3";
/// kubectl.
pub(crate) const KUBECTL: &str = "FERROFLOW_KUBECTL";
/// The folder with the programs of PostgreSQL.
pub(crate) const POSTGRES_BIN: &str = "FERROFLOW_POSTGRES_BIN";
/// The program of PgBouncer.
pub(crate) const PGBOUNCER: &str = "FERROFLOW_PGBOUNCER";
/// promtool of Prometheus, which evaluates alerts.
pub(crate) const PROMTOOL: &str = "FERROFLOW_PROMTOOL";
/// The load balancer `HAProxy`.
pub(crate) const HAPROXY: &str = "FERROFLOW_HAPROXY";
/// The library that gives a process another clock.
pub(crate) const FAKETIME: &str = "FERROFLOW_FAKETIME";
/// Valgrind, which counts instructions.
pub(crate) const VALGRIND: &str = "FERROFLOW_VALGRIND";
/// The folder with the programs of barman, and an S3 server for them.
pub(crate) const BARMAN: &str = "FERROFLOW_BARMAN";
/// The files of the web UI, so that no test fetches them.
pub(crate) const UI: &str = "FERROFLOW_UI_DIR";
/// The program of `cargo xtask`, which makes packages.
pub(crate) const XTASK: &str = "FERROFLOW_XTASK";
/// uv, which installs packages.
pub(crate) const UV: &str = "FERROFLOW_UV";

/// Nine tenths of the files that Azurite would install: telemetry, and drivers of databases that the tests do not use.
const AZURITE_OMITTED: [&str; 3] = ["applicationinsights", "mysql2", "tedious"];

/// The Python that runs every release listed in `tests/requirements/releases`.
const RELEASES_PYTHON: &str = "3.11";

/// The newer MLflow whose databases are served, without its dependencies.
const NEWER_PACKAGE: &str = "mlflow==3.18.0";

/// The Cargo profile of the build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    Dev,
    /// What is published, and measured.
    Dist,
}

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
        let variables = [
            BIN,
            PREVIOUS,
            POSTGRES,
            REFERENCE,
            SDK_3_5,
            SDK_2_22,
            RELEASES,
            NEWER,
            CHROMIUM,
            S3S,
            AZURITE,
            OIDC,
            OTEL_JS,
            CHART,
            HELM_4_BIN,
            HELM_3_BIN,
            KUBECTL,
            POSTGRES_BIN,
            BARMAN,
            PGBOUNCER,
            PROMTOOL,
            HAPROXY,
            FAKETIME,
            VALGRIND,
            UI,
            XTASK,
            UV,
        ]
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

    /// Builds the server, and returns the path of its program.
    pub(crate) fn binary(&self, profile: Profile) -> Result<String> {
        self.once(BIN, || self.build("ferroflow", profile))
    }

    /// Builds a package and returns the path of its program.
    pub(crate) fn build(&self, package: &str, profile: Profile) -> Result<String> {
        println!("building {package}");
        let mut cargo = self.command("cargo");
        cargo.args(["build", "--package", package, "--message-format=json-render-diagnostics"]);
        if profile == Profile::Dist {
            cargo.args(["--locked", "--profile", "dist"]);
        }
        let output = cargo.stderr(Stdio::inherit()).output()?;
        ensure!(output.status.success(), "{package} does not build");
        program(&output.stdout, package).with_context(|| format!("{package} has no program"))
    }

    /// Builds the program of the version before, if there is one.
    fn previous(&self) -> Result<()> {
        let commit = locked(&self.previous).clone();
        if (commit.is_some() || !self.is_set(PREVIOUS))
            && let Some(program) = previous::build(self, commit.as_deref())?
        {
            self.set(PREVIOUS, program);
        }
        Ok(())
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

    /// Finds the programs of PostgreSQL.
    fn postgres_programs(&self) -> Result<()> {
        let find = || Ok(postgres::programs()?.to_str().context("the path is not UTF-8")?.to_owned());
        self.once(POSTGRES_BIN, find).map(drop)
    }

    /// Prepares the reference with the requirements of the suites. Returns its Python.
    pub(crate) fn reference(&self) -> Result<String> {
        let mut suites = self.root.join("tests").read_dir()?.map(|e| Ok(e?.path())).collect::<Result<Vec<_>>>()?;
        suites.sort();
        let lists = suites.iter().map(|suite| suite.join("requirements.txt")).collect();
        let python = self.python(REFERENCE, "reference", lists)?;
        self.once(UI, || {
            let files = python::run(&python, "import importlib.util as u; print(u.find_spec('mlflow').origin)")?;
            Ok(files.replace("__init__.py", "server/js/build"))
        })?;
        Ok(python)
    }

    /// Prepares the older SDKs with the requirements of the conformance suite.
    fn sdks(&self) -> Result<()> {
        let list = self.root.join("tests/conformance/requirements.txt");
        for (variable, version) in [(SDK_3_5, "3.5.0"), (SDK_2_22, "2.22.5")] {
            let name = format!("sdk-{version}");
            if self.is_sampled(&name) {
                self.python(variable, &name, vec![list.clone()])?;
            }
        }
        Ok(())
    }

    /// Prepares old releases of `tests/requirements/releases` one at a time: each installation uses both processors.
    fn releases(&self) -> Result<()> {
        self.once(RELEASES, || {
            let lists = self.root.join("tests/requirements/releases").read_dir()?;
            let mut lists = lists.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
            lists.sort();
            let folder = self.venvs().join("releases");
            for list in lists {
                let name = list.file_stem().unwrap_or_default().to_string_lossy();
                if self.is_sampled(&name) {
                    python::environment(&folder.join(&*name), std::slice::from_ref(&list), Some(RELEASES_PYTHON))?;
                }
            }
            Ok(folder.to_str().context("the path is not UTF-8")?.to_owned())
        })
        .map(drop)
    }

    /// Downloads the package of the newer release.
    fn newer(&self) -> Result<()> {
        self.once(NEWER, || {
            let folder = self.venvs().join(NEWER_PACKAGE.replace("==", "-"));
            if !folder.exists() {
                println!("installing {NEWER_PACKAGE} into {}", folder.display());
                complete(&folder, |begun| python::download(NEWER_PACKAGE, begun))?;
            }
            Ok(folder.to_str().context("the path is not UTF-8")?.to_owned())
        })
        .map(drop)
    }

    /// Prepares the Python environment of the chart's tests and returns its Python.
    pub(crate) fn chart(&self) -> Result<String> {
        self.python(CHART, "chart", Vec::new())
    }

    /// Prepares Helm 3 and 4 and kubectl.
    fn helm(&self) -> Result<()> {
        for (variable, helm) in [(HELM_4_BIN, HELM_4), (HELM_3_BIN, HELM_3)] {
            self.once(variable, || {
                let [program, kubectl] = helm.programs(&self.venvs().join("helm"))?;
                self.once(KUBECTL, || Ok(kubectl))?;
                Ok(program)
            })?;
        }
        ensure!(self.get(KUBECTL).is_some(), "kubectl is needed: its path in {KUBECTL}");
        Ok(())
    }

    /// A program of the system: on `PATH`, or among those of daemons, installed with the package of its name if there
    /// is none.
    fn system(&self, variable: &'static str, name: &str) -> Result<()> {
        self.once(variable, || {
            let installed = || {
                let places = [process::find(name), Some(Path::new("/usr/sbin").join(name))];
                places.into_iter().flatten().find(|path| path.is_file())
            };
            if installed().is_none() {
                apt::install(name)?;
            }
            let path = installed().with_context(|| format!("{name} is needed: its path in {variable}"))?;
            Ok(path.to_str().context("the path is not UTF-8")?.to_owned())
        })
        .map(drop)
    }

    /// promtool, which is in the package of Prometheus.
    fn promtool(&self) -> Result<()> {
        self.once(PROMTOOL, || {
            if process::find("promtool").is_none() {
                apt::install("prometheus")?;
            }
            let path = process::find("promtool");
            let path = path.with_context(|| format!("promtool of Prometheus is needed: its path in {PROMTOOL}"))?;
            Ok(path.to_str().context("the path is not UTF-8")?.to_owned())
        })
        .map(drop)
    }

    /// Libfaketime for processes with threads: Debian keeps it in a folder of each architecture.
    fn faketime(&self) -> Result<()> {
        let installed = || {
            let folders = fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
            let nested = folders.chain([PathBuf::from("/usr/lib"), PathBuf::from("/usr/local/lib")]);
            nested.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|path| path.is_file())
        };
        self.once(FAKETIME, || {
            if installed().is_none() {
                apt::install("faketime")?;
            }
            let path = installed().with_context(|| format!("libfaketime is needed: its path in {FAKETIME}"))?;
            Ok(path.to_str().context("the path is not UTF-8")?.to_owned())
        })
        .map(drop)
    }

    fn barman(&self) -> Result<()> {
        self.postgres_programs()?;
        self.once(BARMAN, || {
            let list = self.root.join("tests/requirements/barman.txt");
            let python = python::environment(&self.venvs().join("barman"), &[list], None)?;
            Ok(python.trim_end_matches("/python").to_owned())
        })
        .map(drop)
    }

    fn packaging(&self) -> Result<()> {
        let text = |path: PathBuf| path.to_str().map(str::to_owned).context("the path is not UTF-8");
        self.once(XTASK, || text(env::current_exe()?))?;
        self.once(UV, || text(python::uv()?)).map(drop)
    }

    /// Builds the S3 server s3s-fs outside of the workspace: ferroflow does not depend on it. Benchmarks use a release
    /// build; tests use one that takes a fifth of the time.
    fn s3s(&self, profile: Profile) -> Result<()> {
        const VERSION: &str = "0.14.1";
        self.once(S3S, || {
            let name = if profile == Profile::Dist { "s3s-fs" } else { "s3s-fs-dev" };
            let root = self.folder().join("tools").join(format!("{name}-{VERSION}"));
            let program = root.join("bin/s3s-fs");
            if !program.exists() {
                println!("building s3s-fs {VERSION}");
                let mut cargo = self.command("cargo");
                cargo.args(["install", "s3s-fs", "--version", VERSION, "--locked", "--features", "binary", "--quiet"]);
                if profile == Profile::Dev {
                    // Digests of request bodies are too slow without optimization.
                    cargo
                        .arg("--debug")
                        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1")
                        .env("CARGO_PROFILE_DEV_DEBUG", "false");
                }
                cargo.arg("--root").arg(&root).arg("--target-dir").arg(self.folder().join("build"));
                ensure!(cargo.status()?.success(), "s3s-fs does not build");
            }
            Ok(program.to_str().context("the path is not UTF-8")?.to_owned())
        })
        .map(drop)
    }

    /// Installs a package for Node.js, with its dependencies in `without` replaced by empty packages, and sets a
    /// variable to a path in its directory.
    fn npm(&self, variable: &'static str, package: &str, version: &str, path: &str, without: &[&str]) -> Result<()> {
        self.once(variable, || {
            let folder = self.folder().join("tools").join(format!("{package}-{version}"));
            let path = folder.join(path);
            if !path.exists() {
                if process::find("npm").is_none() && !apt::install("npm")? {
                    bail!("npm is needed for {package}");
                }
                println!("installing {package} {version}");
                let empty: BTreeMap<_, _> =
                    without.iter().map(|package| (package, "npm:empty-npm-package@1.0.0")).collect();
                let list = json!({"private": true, "dependencies": {package: version}, "overrides": empty});
                complete(&folder, |begun| {
                    fs::write(begun.join("package.json"), list.to_string())?;
                    let mut npm = Command::new("npm");
                    npm.args(["install", "--no-fund", "--no-audit", "--no-package-lock", "--ignore-scripts"]);
                    let output = npm.current_dir(begun).stdin(Stdio::null()).output()?;
                    let stderr = String::from_utf8_lossy(&output.stderr);
                    ensure!(output.status.success(), "{package} does not install: {stderr}");
                    Ok(())
                })?;
            }
            Ok(path.to_str().context("the path is not UTF-8")?.to_owned())
        })
        .map(drop)
    }

    /// The Python in a variable, or that of the environment described by `tests/requirements/<name>.txt` and `lists`.
    fn python(&self, variable: &'static str, name: &str, mut lists: Vec<PathBuf>) -> Result<String> {
        self.once(variable, || {
            lists.push(self.root.join(format!("tests/requirements/{name}.txt")));
            lists.retain(|list| list.exists());
            python::environment(&self.venvs().join(name), &lists, None)
        })
    }

    /// The directory of the Python environments.
    fn venvs(&self) -> PathBuf {
        env::var_os("XTASK_VENVS").map_or_else(|| self.folder().join("venvs"), PathBuf::from)
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

/// The path of a package's executable in cargo's JSON messages.
pub(crate) fn program(messages: &[u8], package: &str) -> Option<String> {
    String::from_utf8_lossy(messages)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == package && message["profile"]["test"] == false)
        .find_map(|message| message["executable"].as_str().map(str::to_owned))
}

/// Locks a mutex. A thread that panicked while holding it has already failed the run.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
