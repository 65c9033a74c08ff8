//! `cargo xtask …`: development tasks. CI and a laptop run the same ones.

#![allow(clippy::disallowed_macros, reason = "output is lost only if standard output is closed")]
#![allow(clippy::disallowed_methods, reason = "a build tool, which has no settings but the variables of its caller")]

mod apt;
mod bench;
mod chromium;
mod deny;
mod dist;
mod environment;
mod generate;
mod helm;
mod msrv;
mod ports;
mod postgres;
mod previous;
mod process;
mod python;
mod ruff;
mod suite;
mod tally;
mod test;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{environment::Environment, tally::Tally};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Development tasks", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run all checks and tests, those that fail soonest first
    Test(test::Options),
    /// Compare the schema with that of the reference
    Schema(suite::Options),
    /// Replay recorded requests to the reference and to ferroflow, and compare the responses
    Diff(suite::Options),
    /// Run the permission matrix of basic-auth on the reference and on ferroflow
    Auth(suite::Options),
    /// Run the official SDKs against ferroflow
    Conformance(suite::Options),
    /// Kill the server under load and verify the writes that it had acknowledged
    Durability(suite::Options),
    /// Make servers and databases fail under load, and check what several servers answer meanwhile
    Cluster(previous::Upgrade),
    /// Count the instructions of hot paths, and compare them with those that are recorded
    Instructions(suite::Options),
    /// Store artifacts in buckets of real servers, with injected failures
    Artifacts(suite::Options),
    /// Back up a server with SQLite, kill it, and restore it
    Backup(suite::Options),
    /// Use the official web UI in a real browser
    Browser(suite::Options),
    /// Render the Helm chart and check the result
    Chart(suite::Options),
    /// Restore backups and upgrade databases as a cluster would, without a cluster
    Drill(suite::Options),
    /// Run the runbooks of `ferroflow ops` on a fake cluster
    Ops(suite::Options),
    /// Make the packages of a release, and install and run them
    Packages(suite::Options),
    /// Make the files of a release: wheel, archive, chart, SBOM, checksums
    Dist(dist::Options),
    /// Check the dependencies against the policy, for advisories, and against the minimum Rust version
    Deny,
    /// Lint the Python of the tests, benchmarks and chores
    Ruff(ruff::Options),
    /// Benchmark ferroflow against the reference
    Bench(bench::Options),
    /// Send a mix of reads and writes for hours, and watch latencies, memory, files and disk
    Soak(bench::Soak),
    /// Write all generated files, or compare them
    Generate(generate::Options),
}

fn main() -> ExitCode {
    match run(&Cli::parse().task) {
        Ok(tally) if tally.failed == 0 => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: &Task) -> Result<Tally> {
    let environment = &Environment::new()?;
    match task {
        Task::Test(options) => test::run(environment, options),
        Task::Schema(options) => suite::SCHEMA.run(environment, options),
        Task::Diff(options) => suite::DIFF.run(environment, options),
        Task::Auth(options) => suite::AUTH.run(environment, options),
        Task::Conformance(options) => suite::CONFORMANCE.run(environment, options),
        Task::Durability(options) => suite::DURABILITY.run(environment, options),
        Task::Cluster(options) => previous::run(environment, options),
        Task::Instructions(options) => suite::INSTRUCTIONS.run(environment, options),
        Task::Artifacts(options) => suite::ARTIFACTS.run(environment, options),
        Task::Backup(options) => suite::BACKUP.run(environment, options),
        Task::Browser(options) => suite::BROWSER.run(environment, options),
        Task::Chart(options) => suite::CHART.run(environment, options),
        Task::Drill(options) => suite::DRILL.run(environment, options),
        Task::Ops(options) => suite::OPS.run(environment, options),
        Task::Packages(options) => suite::PACKAGES.run(environment, options),
        Task::Dist(options) => dist::run(environment, options),
        Task::Bench(options) => bench::run(environment, options),
        Task::Soak(options) => bench::soak(environment, options),
        Task::Deny => deny::run(environment),
        Task::Ruff(options) => ruff::run(environment, options),
        Task::Generate(options) => generate::run(environment, options),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Cli;

    #[test]
    fn every_task_has_arguments_that_fit_together() {
        Cli::command().debug_assert();
    }
}
