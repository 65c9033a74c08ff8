//! Programs of others: those of the system, and those that are downloaded or built.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use super::{
    Environment, Profile, complete,
    variables::{BARMAN, FAKETIME, HELM_3_BIN, HELM_4_BIN, KUBECTL, POSTGRES_BIN, PROMTOOL, S3S, UV, XTASK},
};
use crate::{
    apt,
    helm::{HELM_3, HELM_4},
    postgres, process, python,
};

impl Environment {
    /// Finds the programs of PostgreSQL.
    pub(super) fn postgres_programs(&self) -> Result<()> {
        let find = || Ok(postgres::programs()?.to_str().context("the path is not UTF-8")?.to_owned());
        self.once(POSTGRES_BIN, find).map(drop)
    }

    /// Prepares Helm 3 and 4 and kubectl.
    pub(super) fn helm(&self) -> Result<()> {
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
    pub(super) fn system(&self, variable: &'static str, name: &str) -> Result<()> {
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
    pub(super) fn promtool(&self) -> Result<()> {
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
    pub(super) fn faketime(&self) -> Result<()> {
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

    pub(super) fn barman(&self) -> Result<()> {
        self.postgres_programs()?;
        self.once(BARMAN, || {
            let list = self.root.join("tests/requirements/barman.txt");
            let python = python::environment(&self.venvs().join("barman"), &[list], None)?;
            Ok(python.trim_end_matches("/python").to_owned())
        })
        .map(drop)
    }

    pub(super) fn packaging(&self) -> Result<()> {
        let text = |path: PathBuf| path.to_str().map(str::to_owned).context("the path is not UTF-8");
        self.once(XTASK, || text(env::current_exe()?))?;
        self.once(UV, || text(python::uv()?)).map(drop)
    }

    /// Builds the S3 server s3s-fs outside of the workspace: ferroflow does not depend on it. Benchmarks use a release
    /// build; tests use one that takes a fifth of the time.
    pub(super) fn s3s(&self, profile: Profile) -> Result<()> {
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
    pub(super) fn npm(
        &self,
        variable: &'static str,
        package: &str,
        version: &str,
        path: &str,
        without: &[&str],
    ) -> Result<()> {
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
}
