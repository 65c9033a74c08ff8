//! The jobs of a run.

use std::{env, process::Command};

use anyhow::{Result, ensure};
use clap::ValueEnum;

use super::pool::Job;
use crate::{
    environment::{Durability, Environment, Need, Profile},
    suite::{self, Suite},
};

/// The extent of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// Every test.
    All,
    /// What fits into the budget. The number selects the sample of the large families.
    Sample(u32),
}

/// A part that can be selected by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Part {
    Format,
    /// Lints of the Python
    Ruff,
    /// Generated files are up to date
    Generate,
    /// Licenses, sources, duplicates, advisories and the minimum Rust version of the dependencies
    Deny,
    /// The workspace builds with Clippy's lints as errors
    Lint,
    /// Unit, store and HTTP tests
    Rust,
    Schema,
    Diff,
    Auth,
    Conformance,
    Durability,
    Cluster,
    Instructions,
    Artifacts,
    Backup,
    Browser,
    Chart,
    Ops,
    Packages,
    /// Only with `--all`
    Drill,
}

impl Part {
    pub(super) fn all() -> impl Iterator<Item = Self> {
        Self::value_variants().iter().copied()
    }

    pub(super) fn is_in(self, level: Level) -> bool {
        self != Self::Drill || level == Level::All
    }

    /// Whether it needs a build of the program under test, or of Rust tests.
    pub(super) fn is_built(self) -> bool {
        !matches!(self, Self::Format | Self::Ruff | Self::Generate | Self::Deny | Self::Chart)
    }

    pub(super) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    fn suite(self) -> Option<&'static Suite> {
        Some(match self {
            Self::Format | Self::Ruff | Self::Generate | Self::Deny | Self::Lint | Self::Rust => return None,
            Self::Schema => &suite::SCHEMA,
            Self::Diff => &suite::DIFF,
            Self::Auth => &suite::AUTH,
            Self::Conformance => &suite::CONFORMANCE,
            Self::Durability => &suite::DURABILITY,
            Self::Cluster => &suite::CLUSTER,
            Self::Instructions => &suite::INSTRUCTIONS,
            Self::Artifacts => &suite::ARTIFACTS,
            Self::Backup => &suite::BACKUP,
            Self::Browser => &suite::BROWSER,
            Self::Chart => &suite::CHART,
            Self::Ops => &suite::OPS,
            Self::Packages => &suite::PACKAGES,
            Self::Drill => &suite::DRILL,
        })
    }
}

/// The needs of a part.
pub(super) fn needs(part: Part, level: Level) -> Vec<Need> {
    let mut needs = match part {
        Part::Generate => vec![Need::Reference],
        Part::Rust => vec![Need::Postgres(Durability::Relaxed), Need::Pgbouncer],
        _ => part.suite().map(Suite::all_needs).unwrap_or_default(),
    };
    // What is built for minutes: s3s-fs has two hundred dependencies of its own, and the version before as many.
    needs.retain(|need| level == Level::All || !matches!(need, Need::S3s(Profile::Dev) | Need::Previous));
    needs
}

/// The jobs of these parts.
pub(super) fn jobs(environment: &Environment, parts: &[Part], level: Level) -> Result<Vec<Job>> {
    let mut jobs = Vec::new();
    for part in parts {
        jobs.extend(jobs_of(environment, *part, level, parts.contains(&Part::Lint))?);
    }
    Ok(jobs)
}

/// A cargo command that reuses the build; `with_lints` must be the same as there.
pub(super) fn cargo(environment: &Environment, with_lints: bool) -> Command {
    let mut command = environment.command("cargo");
    if with_lints {
        // Clippy compiles like rustc and lints in the same pass. A separate check would read every dependency again.
        command.env("RUSTC_WORKSPACE_WRAPPER", "clippy-driver").env("CLIPPY_ARGS", "-D__CLIPPY_HACKERY__warnings");
    }
    command
}

fn jobs_of(environment: &Environment, part: Part, level: Level, with_lints: bool) -> Result<Vec<Job>> {
    let mut shares = Shares { environment, part, level, jobs: Vec::new() };
    match part {
        Part::Format => {
            let mut command = environment.command("cargo");
            command.args(["fmt", "--all", "--check"]);
            shares.add("", 2, 1, command);
        }
        // The build has already linted.
        Part::Lint => {}
        Part::Rust => {
            let nextest = Command::new("cargo").args(["nextest", "--version"]).output();
            let mut command = cargo(environment, with_lints);
            if nextest.is_ok_and(|output| output.status.success()) {
                command.args(["nextest", "run", "--workspace", "--profile", "ci"]);
            } else {
                command.args(["test", "--workspace"]);
            }
            shares.add("", 240, 2, command);
        }
        Part::Ruff => shares.task(3, &["ruff"])?,
        Part::Generate => shares.task(10, &["generate", "--check"])?,
        Part::Deny => shares.task(10, &["deny"])?,
        Part::Schema => {
            shares.suite("fresh", 120, 1, &["schema"], &[])?;
            shares.suite("migrations", 300, 2, &["migrations"], &[])?;
        }
        Part::Diff => shares.suite("", 80, 1, &[], &recorded(environment, level, "differential")?)?,
        Part::Auth => shares.suite("", 300, 1, &[], &recorded(environment, level, "auth")?)?,
        Part::Conformance => {
            for pair in pairs(environment, level)? {
                shares.suite(&pair, 140, 1, &[], &["--pair", &pair])?;
            }
        }
        Part::Artifacts => shares.shards(3, 200, &recorded(environment, level, "artifacts")?)?,
        Part::Browser => shares.shards(2, 200, &[])?,
        Part::Ops => shares.suite("", 280, suite::OPS.workers, &[], &[])?,
        _ => shares.suite("", 100, part.suite().map_or(1, |suite| suite.workers), &[], &[])?,
    }
    Ok(shares.jobs)
}

/// The jobs of a part.
struct Shares<'a> {
    environment: &'a Environment,
    part: Part,
    level: Level,
    jobs: Vec<Job>,
}

impl Shares<'_> {
    fn add(&mut self, share: &str, seconds: u32, slots: usize, command: Command) {
        let part = self.part.name();
        let name = if share.is_empty() { part.clone() } else { format!("{part} {share}") };
        self.jobs.push(Job { part, name, seconds, slots, command });
    }

    /// Another task of this program.
    fn task(&mut self, seconds: u32, arguments: &[&str]) -> Result<()> {
        let mut command = self.environment.command(env::current_exe()?);
        command.args(arguments);
        self.add("", seconds, 1, command);
        Ok(())
    }

    /// The part's suite in shards of about the same duration.
    fn shards(&mut self, count: usize, seconds: u32, arguments: &[&str]) -> Result<()> {
        for number in 1..=count {
            let shard = format!("{number}/{count}");
            self.suite(&shard, seconds, 1, &[], &[&["--shard", &shard], arguments].concat())?;
        }
        Ok(())
    }

    /// Files of the part's suite (none: all of it), with a number of workers.
    fn suite(&mut self, share: &str, seconds: u32, workers: usize, files: &[&str], arguments: &[&str]) -> Result<()> {
        let Some(suite) = self.part.suite() else { return Ok(()) };
        let mut arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        if let Level::Sample(number) = self.level {
            arguments.extend(["--sample".to_owned(), number.to_string()]);
        }
        let command = suite.command(self.environment, files, &arguments, workers)?;
        self.add(share, seconds, workers, command);
        Ok(())
    }
}

/// The old releases in a sample of the upgrades, and the SDKs of its pairs.
pub(super) fn versions(environment: &Environment, sample: u32) -> Result<Vec<String>> {
    let mut versions = lines(environment, "tests/migrations/sample.py", &[&sample.to_string()])?;
    let pairs = pairs(environment, Level::Sample(sample))?;
    versions.extend(pairs.iter().filter_map(|pair| Some(format!("sdk-{}", pair.split_once('-')?.0))));
    Ok(versions)
}

/// The SDKs and databases of a run of the conformance suite, such as `3.17.2-sqlite`, with the workspace if there is one.
fn pairs(environment: &Environment, level: Level) -> Result<Vec<String>> {
    match level {
        Level::All => lines(environment, "tests/conformance/pairs.py", &[]),
        Level::Sample(number) => lines(environment, "tests/conformance/pairs.py", &[&number.to_string()]),
    }
}

/// The arguments of a suite with recorded responses of the reference: it uses them, unless everything is to be run or
/// requests or recordings have changed.
fn recorded(environment: &Environment, level: Level, suite: &str) -> Result<Vec<&'static str>> {
    let current = lines(environment, "tests/support/recordings.py", &[suite])? == ["recorded"];
    Ok(if level != Level::All && current { vec!["--recorded"] } else { Vec::new() })
}

/// The output lines of a script in the tests. It needs only the standard library.
fn lines(environment: &Environment, script: &str, arguments: &[&str]) -> Result<Vec<String>> {
    let output = environment.command("python3").arg(script).args(arguments).output()?;
    ensure!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect())
}
