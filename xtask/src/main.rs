//! `cargo xtask …`: the chores of a contributor. CI and a laptop run the same ones.

#![allow(clippy::disallowed_macros, reason = "a chore whose output is closed has no reader")]

mod apt;
mod artifacts;
mod auth;
mod backup;
mod bench;
mod browser;
mod chart;
mod chromium;
mod conformance;
mod diff;
mod drill;
mod durability;
mod environment;
mod helm;
mod messages;
mod ops;
mod postgres;
mod process;
mod python;
mod schema;
mod suite;
mod tally;
mod test;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{environment::Environment, tally::Tally};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The chores of a contributor", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Every check and every test, in the order of what fails soonest
    Test(test::Options),
    /// Compare the tables with those that the reference makes
    Schema(suite::Options),
    /// Replay recorded requests to the reference and to ferroflow, and compare the answers
    Diff(suite::Options),
    /// Everybody tries everything with basic-auth, on the reference and on ferroflow
    Auth(suite::Options),
    /// Run the official SDKs against ferroflow
    Conformance(suite::Options),
    /// Kill the server under load and look for what it had acknowledged
    Durability(suite::Options),
    /// Keep artifacts in buckets of real servers, and make them fail
    Artifacts(suite::Options),
    /// Back up a server on SQLite, kill it, and restore it
    Backup(suite::Options),
    /// Use the official web UI in a real browser
    Browser(suite::Options),
    /// Render the Helm chart and check what it makes
    Chart(suite::Options),
    /// Restore backups and upgrade databases as a cluster would, without a cluster
    Drill(suite::Options),
    /// Run the runbooks of `ferroflow ops` on what stands in for a cluster
    Ops(suite::Options),
    /// Measure ferroflow beside the reference
    Bench(bench::Options),
    /// Generate the messages of the API from the reference's descriptors
    Messages,
}

fn main() -> ExitCode {
    match run(&Cli::parse().chore) {
        Ok(tally) if tally.failed == 0 => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(chore: &Chore) -> Result<Tally> {
    let mut environment = Environment::new()?;
    match chore {
        Chore::Test(options) => Ok(test::run(&mut environment, options)),
        Chore::Schema(options) => schema::run(&mut environment, options),
        Chore::Diff(options) => diff::run(&mut environment, options),
        Chore::Auth(options) => auth::run(&mut environment, options),
        Chore::Conformance(options) => conformance::run(&mut environment, options),
        Chore::Durability(options) => durability::run(&mut environment, options),
        Chore::Artifacts(options) => artifacts::run(&mut environment, options),
        Chore::Backup(options) => backup::run(&mut environment, options),
        Chore::Browser(options) => browser::run(&mut environment, options),
        Chore::Chart(options) => chart::run(&mut environment, options),
        Chore::Drill(options) => drill::run(&mut environment, options),
        Chore::Ops(options) => ops::run(&mut environment, options),
        Chore::Bench(options) => bench::run(&mut environment, options),
        Chore::Messages => messages::run(&environment.reference()?).map(|()| Tally::default()),
    }
}
