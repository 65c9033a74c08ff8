//! Programs of this repository: builds of the packages, and that of the version before.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use super::{
    Environment, locked,
    variables::{BIN, PREVIOUS},
};
use crate::previous;

/// The Cargo profile of the build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    Dev,
    /// What is published, and measured.
    Dist,
}

impl Environment {
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
    pub(super) fn previous(&self) -> Result<()> {
        let commit = locked(&self.previous).clone();
        if (commit.is_some() || !self.is_set(PREVIOUS))
            && let Some(program) = previous::build(self, commit.as_deref())?
        {
            self.set(PREVIOUS, program);
        }
        Ok(())
    }
}

/// The path of a package's executable in cargo's JSON messages.
pub(crate) fn program(messages: &[u8], package: &str) -> Option<String> {
    String::from_utf8_lossy(messages)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == package && message["profile"]["test"] == false)
        .find_map(|message| message["executable"].as_str().map(str::to_owned))
}
