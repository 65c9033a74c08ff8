//! `cargo xtask test`: every check and every test, and what the README promises of it.

use std::{process::Command, time::Instant};

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::{
    artifacts, auth, backup, browser, chart, conformance, diff, durability,
    environment::{Durability, Environment, Profile},
    ops, process, schema, suite,
    tally::Tally,
};

/// What to run.
#[derive(Args)]
pub(crate) struct Options {
    /// Run this part alone; may be given several times
    #[arg(long)]
    only: Vec<Part>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Format,
    Lint,
    /// Unit, store and HTTP tests
    Rust,
    Schema,
    Diff,
    Auth,
    Conformance,
    Durability,
    Artifacts,
    Backup,
    Browser,
    Chart,
    Ops,
}

/// Runs the parts in their order, all of them even when one fails, and sums up.
pub(crate) fn run(environment: &mut Environment, options: &Options) -> Tally {
    let mut total = Tally::default();
    let mut lines = Vec::new();
    for part in Part::value_variants() {
        if !options.only.is_empty() && !options.only.contains(part) {
            continue;
        }
        let name = part.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        println!("\n── {name}");
        let start = Instant::now();
        let tally = part.run(environment).unwrap_or_else(|error| {
            eprintln!("error: {error:#}");
            Tally { passed: 0, failed: 1 }
        });
        let outcome = if tally.failed == 0 { "ok" } else { "FAILED" };
        let seconds = start.elapsed().as_secs_f64();
        lines.push(format!(
            "{name:<12} {outcome:<6} {:>5} passed {:>4} failed {seconds:>8.1} s",
            tally.passed, tally.failed
        ));
        total = total + tally;
    }
    println!("\n{}\n\n{} passed, {} failed", lines.join("\n"), total.passed, total.failed);
    total
}

impl Part {
    fn run(self, environment: &mut Environment) -> Result<Tally> {
        let all = suite::Options::default();
        match self {
            Self::Format => check(environment, &["fmt", "--all", "--check"]),
            Self::Lint => lint(environment),
            Self::Rust => rust(environment),
            // Of the hundreds of upgrades a sample; `cargo xtask schema` takes every one.
            Self::Schema => schema::run(environment, &suite::Options::of(&["--every", "9"])),
            Self::Diff => diff::run(environment, &all),
            // What the reference lets in was recorded; `cargo xtask auth` asks it.
            Self::Auth => auth::run(environment, &suite::Options::of(&["--recorded"])),
            Self::Conformance => conformance::run(environment, &all),
            Self::Durability => durability::run(environment, &all),
            Self::Artifacts => artifacts::run(environment, &all),
            Self::Backup => backup::run(environment, &all),
            Self::Browser => browser::run(environment, &all),
            Self::Chart => chart::run(environment, &all),
            Self::Ops => ops::run(environment, &all),
        }
    }
}

fn lint(environment: &Environment) -> Result<Tally> {
    let mut tally = check(environment, &["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"])?;
    if process::find("cargo-deny").is_some() {
        tally = tally + check(environment, &["deny", "--log-level", "error", "check", "bans", "licenses", "sources"])?;
    }
    Ok(tally)
}

fn rust(environment: &mut Environment) -> Result<Tally> {
    environment.binary(Profile::Dev)?;
    environment.postgres(Durability::Relaxed)?;
    environment.pgbouncer()?;
    let nextest = Command::new("cargo").args(["nextest", "--version"]).output().is_ok_and(|o| o.status.success());
    if !nextest {
        return check(environment, &["test", "--workspace"]);
    }
    let tests = check(environment, &["nextest", "run", "--workspace", "--no-fail-fast", "--status-level", "fail"])?;
    // nextest leaves the examples in the documentation to cargo.
    Ok(tests + check(environment, &["test", "--workspace", "--doc", "--quiet"])?)
}

/// Runs cargo; its exit code counts as one failure, its tests one by one.
fn check(environment: &Environment, arguments: &[&str]) -> Result<Tally> {
    process::tests(environment.command("cargo").args(arguments))
}
