//! What the tests need from the machine, each prepared when it is first asked for.
//!
//! A variable that is already set is taken as it is: `FERROFLOW_BIN=… cargo xtask schema` builds nothing.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    apt, chromium,
    helm::{HELM_3, HELM_4},
    postgres::{self, Cluster},
    process, python,
};

/// The `ferroflow` binary under test.
pub(crate) const BIN: &str = "FERROFLOW_BIN";
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
/// The browser's program.
pub(crate) const CHROMIUM: &str = "FERROFLOW_CHROMIUM";
/// An S3 server that keeps objects in files.
pub(crate) const S3S: &str = "FERROFLOW_S3S_FS";
/// The program of an emulator of Azure Blob Storage.
pub(crate) const AZURITE: &str = "FERROFLOW_AZURITE";
/// The folder of a server of `OpenID` Connect.
pub(crate) const OIDC: &str = "FERROFLOW_OIDC_PROVIDER";
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
/// The folder with the programs of barman, and an S3 server for them.
pub(crate) const BARMAN: &str = "FERROFLOW_BARMAN";
/// The files of the web UI, so that no test fetches them.
pub(crate) const UI: &str = "FERROFLOW_UI_DIR";

/// The Python that every release runs on whose list is in `tests/requirements/releases`.
const RELEASES_PYTHON: &str = "3.11";

/// How the workspace is built.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    Dev,
    Release,
}

/// How PostgreSQL treats a commit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Flushed to the disk, as in production.
    Full,
    /// Left to the operating system: tests kill servers, never the machine.
    Relaxed,
}

/// The workspace and what was prepared so far.
pub(crate) struct Environment {
    /// The root of the repository.
    pub(crate) root: PathBuf,
    variables: BTreeMap<&'static str, String>,
    /// Runs until the environment is dropped.
    cluster: Option<Cluster>,
}

impl Environment {
    pub(crate) fn new() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask is a folder of the repository")?;
        let variables = [
            BIN,
            POSTGRES,
            REFERENCE,
            SDK_3_5,
            SDK_2_22,
            RELEASES,
            CHROMIUM,
            S3S,
            AZURITE,
            OIDC,
            CHART,
            HELM_4_BIN,
            HELM_3_BIN,
            KUBECTL,
            POSTGRES_BIN,
            BARMAN,
            PGBOUNCER,
            UI,
        ]
        .into_iter()
        .filter_map(|name| Some((name, env::var(name).ok().filter(|value| !value.is_empty())?)))
        .collect();
        Ok(Self { root: root.to_owned(), variables, cluster: None })
    }

    /// A command in the root of the repository that sees what was prepared.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root).envs(&self.variables).stdin(Stdio::null());
        command
    }

    /// Where xtask keeps what it makes.
    pub(crate) fn folder(&self) -> PathBuf {
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| self.root.join("target"), PathBuf::from).join("xtask")
    }

    /// Builds the server.
    pub(crate) fn binary(&mut self, profile: Profile) -> Result<()> {
        if !self.variables.contains_key(BIN) {
            let path = self.build("ferroflow", profile)?;
            self.variables.insert(BIN, path);
        }
        Ok(())
    }

    /// Builds a package and returns the path of its program.
    pub(crate) fn build(&self, package: &str, profile: Profile) -> Result<String> {
        println!("building {package}");
        let mut cargo = self.command("cargo");
        cargo.args(["build", "--package", package, "--message-format=json-render-diagnostics"]);
        if profile == Profile::Release {
            cargo.arg("--release");
        }
        let output = cargo.stderr(Stdio::inherit()).output()?;
        ensure!(output.status.success(), "{package} does not build");
        String::from_utf8(output.stdout)?
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .find_map(|message| message["executable"].as_str().map(str::to_owned))
            .with_context(|| format!("{package} has no program"))
    }

    /// Starts PostgreSQL.
    pub(crate) fn postgres(&mut self, durability: Durability) -> Result<()> {
        if !self.variables.contains_key(POSTGRES) {
            let cluster = Cluster::start(durability)?;
            self.variables.insert(POSTGRES, cluster.url());
            self.cluster = Some(cluster);
        }
        Ok(())
    }

    /// Prepares the reference, and what the suites need beside it. Returns its Python.
    pub(crate) fn reference(&mut self) -> Result<String> {
        let mut suites = self.root.join("tests").read_dir()?.map(|e| Ok(e?.path())).collect::<Result<Vec<_>>>()?;
        suites.sort();
        let lists = suites.iter().map(|suite| suite.join("requirements.txt")).collect();
        let python = self.python(REFERENCE, "reference", lists)?;
        if !self.variables.contains_key(UI) {
            let files = python::run(&python, "import importlib.util as u; print(u.find_spec('mlflow').origin)")?;
            self.variables.insert(UI, files.replace("__init__.py", "server/js/build"));
        }
        Ok(python)
    }

    /// Prepares the older SDKs, and what the conformance suite needs beside them.
    pub(crate) fn sdks(&mut self) -> Result<()> {
        let list = self.root.join("tests/conformance/requirements.txt");
        self.python(SDK_3_5, "sdk-3.5.0", vec![list.clone()])?;
        self.python(SDK_2_22, "sdk-2.22.5", vec![list])?;
        Ok(())
    }

    /// Prepares the old releases of `tests/requirements/releases`, a few at once.
    pub(crate) fn releases(&mut self) -> Result<()> {
        if self.variables.contains_key(RELEASES) {
            return Ok(());
        }
        let lists = self.root.join("tests/requirements/releases").read_dir()?;
        let mut lists = lists.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        lists.sort();
        let folder = self.venvs().join("releases");
        for some in lists.chunks(4) {
            let made: Vec<Result<String>> = thread::scope(|scope| {
                let makers: Vec<_> = some
                    .iter()
                    .map(|list| {
                        let folder = folder.join(list.file_stem().unwrap_or_default());
                        scope.spawn(move || {
                            python::environment(&folder, std::slice::from_ref(list), Some(RELEASES_PYTHON))
                        })
                    })
                    .collect();
                makers.into_iter().map(|maker| maker.join().unwrap_or_else(|_| bail!("a thread panicked"))).collect()
            });
            made.into_iter().collect::<Result<Vec<_>>>()?;
        }
        let folder = folder.to_str().context("the path is not UTF-8")?.to_owned();
        self.variables.insert(RELEASES, folder);
        Ok(())
    }

    /// Prepares Helm, kubectl and the Python of the chart's tests. Returns that Python.
    pub(crate) fn chart(&mut self) -> Result<String> {
        let python = self.python(CHART, "chart", Vec::new())?;
        for (variable, helm) in [(HELM_4_BIN, HELM_4), (HELM_3_BIN, HELM_3)] {
            if !self.variables.contains_key(variable) {
                let [program, kubectl] = helm.programs(&self.venvs().join("helm"), &python)?;
                self.variables.insert(variable, program);
                self.variables.entry(KUBECTL).or_insert(kubectl);
            }
        }
        ensure!(self.variables.contains_key(KUBECTL), "kubectl is needed: its path in {KUBECTL}");
        Ok(python)
    }

    /// Prepares a pooler that stands before PostgreSQL.
    pub(crate) fn pgbouncer(&mut self) -> Result<()> {
        if !self.variables.contains_key(PGBOUNCER) {
            let installed = || {
                let places = [process::find("pgbouncer"), Some("/usr/sbin/pgbouncer".into())];
                places.into_iter().flatten().find(|path| path.is_file())
            };
            if installed().is_none() {
                apt::install("pgbouncer")?;
            }
            let path = installed().with_context(|| format!("PgBouncer is needed: its path in {PGBOUNCER}"))?;
            self.variables.insert(PGBOUNCER, path.to_str().context("the path is not UTF-8")?.to_owned());
        }
        Ok(())
    }

    /// Prepares what takes backups of PostgreSQL into a bucket.
    pub(crate) fn barman(&mut self) -> Result<()> {
        if !self.variables.contains_key(POSTGRES_BIN) {
            let folder = postgres::programs()?.to_str().context("the path is not UTF-8")?.to_owned();
            self.variables.insert(POSTGRES_BIN, folder);
        }
        if !self.variables.contains_key(BARMAN) {
            let list = self.root.join("tests/requirements/barman.txt");
            let python = python::environment(&self.venvs().join("barman"), &[list], None)?;
            self.variables.insert(BARMAN, python.trim_end_matches("/python").to_owned());
        }
        Ok(())
    }

    /// Finds the browser.
    pub(crate) fn chromium(&mut self) -> Result<()> {
        if !self.variables.contains_key(CHROMIUM) {
            self.variables.insert(CHROMIUM, chromium::find()?);
        }
        Ok(())
    }

    /// Builds the S3 server that is a crate, outside of the workspace: nothing of ours depends on it. It is
    /// measured with when it is built for release; for tests a build that takes a fifth of the time does.
    pub(crate) fn s3s(&mut self, profile: Profile) -> Result<()> {
        const VERSION: &str = "0.14.1";
        if self.variables.contains_key(S3S) {
            return Ok(());
        }
        let name = if profile == Profile::Release { "s3s-fs" } else { "s3s-fs-dev" };
        let root = self.folder().join("tools").join(format!("{name}-{VERSION}"));
        let program = root.join("bin/s3s-fs");
        if !program.exists() {
            println!("building s3s-fs {VERSION}");
            let mut cargo = self.command("cargo");
            cargo.args(["install", "s3s-fs", "--version", VERSION, "--locked", "--features", "binary", "--quiet"]);
            if profile == Profile::Dev {
                // Digests of what is sent take too long where nothing is optimized.
                cargo.arg("--debug").env("CARGO_PROFILE_DEV_OPT_LEVEL", "1").env("CARGO_PROFILE_DEV_DEBUG", "false");
            }
            cargo.arg("--root").arg(&root).arg("--target-dir").arg(self.folder().join("build"));
            ensure!(cargo.status()?.success(), "s3s-fs does not build");
        }
        self.variables.insert(S3S, program.to_str().context("the path is not UTF-8")?.to_owned());
        Ok(())
    }

    /// Installs the emulator of Azure Blob Storage.
    pub(crate) fn azurite(&mut self) -> Result<()> {
        self.npm(AZURITE, "azurite", "3.37.0", "node_modules/.bin/azurite-blob")
    }

    /// Installs a server of `OpenID` Connect.
    pub(crate) fn oidc_provider(&mut self) -> Result<()> {
        self.npm(OIDC, "oidc-provider", "9.13.3", "node_modules")
    }

    /// Installs a package for Node.js and sets a variable to the path of something in its folder.
    fn npm(&mut self, variable: &'static str, package: &str, version: &str, path: &str) -> Result<()> {
        if self.variables.contains_key(variable) {
            return Ok(());
        }
        let tools = self.folder().join("tools");
        let folder = tools.join(format!("{package}-{version}"));
        let path = folder.join(path);
        if !path.exists() {
            if process::find("npm").is_none() && !apt::install("npm")? {
                bail!("npm is needed for {package}");
            }
            println!("installing {package} {version}");
            // Under its name only when it is complete: one that was cut off is not taken for it.
            let begun = tools.join(format!("{package}-{version}.begun"));
            fs::create_dir_all(&begun)?;
            let mut npm = Command::new("npm");
            npm.args(["install", "--silent", "--no-fund", "--no-audit", &format!("{package}@{version}")]);
            ensure!(npm.current_dir(&begun).stdin(Stdio::null()).status()?.success(), "{package} does not install");
            fs::rename(begun, &folder)?;
        }
        self.variables.insert(variable, path.to_str().context("the path is not UTF-8")?.to_owned());
        Ok(())
    }

    /// The Python of a variable, else of the environment that `tests/requirements/<name>.txt` and `lists` describe.
    fn python(&mut self, variable: &'static str, name: &str, mut lists: Vec<PathBuf>) -> Result<String> {
        if let Some(python) = self.variables.get(variable) {
            return Ok(python.clone());
        }
        lists.push(self.root.join(format!("tests/requirements/{name}.txt")));
        lists.retain(|list| list.exists());
        let python = python::environment(&self.venvs().join(name), &lists, None)?;
        self.variables.insert(variable, python.clone());
        Ok(python)
    }

    /// Where the Python environments are.
    fn venvs(&self) -> PathBuf {
        env::var_os("XTASK_VENVS").map_or_else(|| self.folder().join("venvs"), PathBuf::from)
    }
}
