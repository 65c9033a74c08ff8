//! Python environments, made once and again whenever their list of requirements changes.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{apt, process};

/// Makes the environment in `folder` with the requirements of `lists`, unless it is there. Returns its Python,
/// which is of `version` if that is to be had.
pub(crate) fn environment(folder: &Path, lists: &[PathBuf], version: Option<&str>) -> Result<String> {
    let python = folder.join("bin/python").to_str().context("the path is not UTF-8")?.to_owned();
    let mut wanted = BTreeSet::new();
    for list in lists {
        let text = fs::read_to_string(list).with_context(|| list.display().to_string())?;
        wanted.extend(text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')).map(str::to_owned));
    }
    let wanted = Vec::from_iter(wanted);
    // What was installed is noted beside it.
    let stamp = folder.join("requirements.txt");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted.join("\n")) {
        return Ok(python);
    }
    println!("installing {} into {}", wanted.join(" "), folder.display());
    let uv = process::find("uv");
    if !folder.join("bin/python").exists() {
        make(folder, uv.as_deref(), version)?;
    }
    let mut install = installer(uv.as_deref(), &python);
    ensure!(install.args(&wanted).status()?.success(), "cannot install {}", wanted.join(" "));
    fs::write(stamp, wanted.join("\n"))?;
    Ok(python)
}

/// Puts a package into a folder of its own, without what it depends on.
pub(crate) fn download(python: &str, package: &str, folder: &Path) -> Result<()> {
    let mut install = installer(process::find("uv").as_deref(), python);
    let installed = install.args(["--no-deps", "--target"]).arg(folder).arg(package).status()?;
    ensure!(installed.success(), "cannot install {package}");
    Ok(())
}

/// A command that installs what its further arguments name.
fn installer(uv: Option<&Path>, python: &str) -> Command {
    if let Some(uv) = uv {
        let mut command = Command::new(uv);
        command.args(["pip", "install", "--quiet", "--python", python]);
        command
    } else {
        let mut command = Command::new(python);
        command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        command
    }
}

/// Runs a line of Python and returns what it printed.
pub(crate) fn run(python: &str, code: &str) -> Result<String> {
    let output = Command::new(python).args(["-c", code]).output().with_context(|| format!("cannot run {python}"))?;
    ensure!(output.status.success(), "{python}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn make(folder: &Path, uv: Option<&Path>, version: Option<&str>) -> Result<()> {
    if let Some(uv) = uv {
        let mut venv = Command::new(uv);
        venv.args(["venv", "--quiet"]).args(version.iter().flat_map(|version| ["--python", version])).arg(folder);
        ensure!(venv.status()?.success(), "uv cannot make a venv");
        return Ok(());
    }
    let named = version.map(|version| format!("python{version}"));
    if let Some(python) = named.and_then(|name| process::find(&name))
        && Command::new(python).args(["-m", "venv"]).arg(folder).output()?.status.success()
    {
        return Ok(());
    }
    let ready = || run("python3", "import ensurepip, sys; assert sys.version_info >= (3, 10)");
    if let Err(error) = ready() {
        if !apt::install("python3-venv")? {
            bail!("Python 3.10 or newer with venv is needed (or uv): {error:#}");
        }
        ready()?;
    }
    ensure!(Command::new("python3").args(["-m", "venv"]).arg(folder).status()?.success(), "python3 cannot make a venv");
    Ok(())
}
