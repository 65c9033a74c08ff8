//! The program of the version before, from which `tests/cluster` upgrades servers one after another. It is built once for
//! each commit.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::{
    environment::{self, Environment, complete},
    suite::{self, CLUSTER},
    tally::Tally,
};

/// What `cargo xtask cluster` runs.
#[derive(Args)]
pub(crate) struct Upgrade {
    /// Upgrade servers from the program of this commit, instead of that of the newest release before this one
    #[arg(long, value_name = "COMMIT")]
    previous: Option<String>,

    #[command(flatten)]
    suite: suite::Options,
}

/// Runs the suite.
///
/// # Errors
///
/// The commit is unknown or does not build, or something else that the suite needs cannot be prepared.
pub(crate) fn run(environment: &Environment, options: &Upgrade) -> Result<Tally> {
    if let Some(commit) = &options.previous {
        environment.upgrade_from(commit.clone());
    }
    CLUSTER.run(environment, &options.suite)
}

/// Builds the program of a commit, or of the newest release before this one, and returns its path. `None`: there is no
/// release.
pub(crate) fn build(environment: &Environment, commit: Option<&str>) -> Result<Option<String>> {
    let root = &environment.root;
    let commit = match commit {
        Some(commit) => {
            let found = git(root, &["rev-parse", "--verify", "--end-of-options", &format!("{commit}^{{commit}}")])?;
            Some(found.with_context(|| format!("{commit} is no commit of this repository"))?)
        }
        None => newest_release(root)?,
    };
    let Some(commit) = commit else {
        println!("there is no release before this one: servers are upgraded to their own version");
        return Ok(None);
    };
    let all = environment.folder().join("previous");
    let folder = all.join(&commit);
    if !folder.exists() {
        println!("building ferroflow at {commit}");
        complete(&folder, |begun| {
            let source = begun.join("source");
            unpack(root, &commit, &source)?;
            let mut cargo = environment.command("cargo");
            cargo.args(["build", "--locked", "--package", "ferroflow", "--message-format=json-render-diagnostics"]);
            cargo.arg("--target-dir").arg(all.join("target")).env("CARGO_PROFILE_DEV_DEBUG", "none");
            let output = cargo.current_dir(&source).stderr(Stdio::inherit()).output()?;
            ensure!(output.status.success(), "ferroflow at {commit} does not build");
            let program = environment::program(&output.stdout, "ferroflow").context("the build produced no program")?;
            fs::copy(program, begun.join("ferroflow"))?;
            Ok(fs::remove_dir_all(source)?)
        })?;
    }
    Ok(Some(folder.join("ferroflow").to_str().context("the path is not UTF-8")?.to_owned()))
}

/// The commit of the newest release that the parent of this commit has.
fn newest_release(root: &Path) -> Result<Option<String>> {
    let Some(tag) = git(root, &["describe", "--tags", "--abbrev=0", "--match", "v[0-9]*", "HEAD^"])? else {
        return Ok(None);
    };
    git(root, &["rev-parse", "--verify", &format!("{tag}^{{commit}}")])
}

/// The output of git; `None` if it refuses.
fn git(root: &Path, arguments: &[&str]) -> Result<Option<String>> {
    let output = Command::new("git").args(arguments).current_dir(root).output().context("git is needed")?;
    Ok(output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned()))
}

/// Writes the files of a commit into a new folder.
fn unpack(root: &Path, commit: &str, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let mut archive = Command::new("git").args(["archive", commit]).current_dir(root).stdout(Stdio::piped()).spawn()?;
    let pipe = archive.stdout.take().context("git has no output")?;
    let unpacked = Command::new("tar").args(["-x", "-C"]).arg(folder).stdin(pipe).status()?;
    ensure!(archive.wait()?.success() && unpacked.success(), "the files of {commit} cannot be read");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_before_a_release_is_the_newest_one_that_it_comes_after() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let run = |arguments: &[&str]| git(root, arguments).unwrap().unwrap();
        run(&["init", "--quiet"]);
        for (number, tag) in ["v0.9.0", "", "v0.10.0", "v0.11.0"].iter().enumerate() {
            let author = ["-c", "user.name=tests", "-c", "user.email=tests@localhost"];
            let commit = ["commit", "--quiet", "--allow-empty", "--message", &number.to_string()];
            run(&[author.as_slice(), &commit].concat());
            if !tag.is_empty() {
                run(&["tag", tag]);
            }
        }
        let of = |tag: &str| Some(run(&["rev-parse", tag]));
        assert_eq!(newest_release(root).unwrap(), of("v0.10.0"));
        run(&["checkout", "--quiet", "v0.10.0"]);
        assert_eq!(newest_release(root).unwrap(), of("v0.9.0"));
        run(&["checkout", "--quiet", "v0.9.0"]);
        assert_eq!(newest_release(root).unwrap(), None, "the first one");
        assert_eq!(git(root, &["rev-parse", "--verify", "v0.12.0^{commit}"]).unwrap(), None);
    }
}
