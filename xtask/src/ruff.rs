//! `cargo xtask ruff`: lints the Python of the tests, benchmarks and chores by `ruff.toml`.

use anyhow::Result;
use clap::Args;

use crate::{environment::Environment, python, tally::Tally};

/// The package of the Python package index with the ruff binary.
const PACKAGE: &str = "ruff==0.17.6";

/// What to do with the findings.
#[derive(Args)]
pub(crate) struct Options {
    /// Mend what can be mended safely
    #[arg(long)]
    fix: bool,
}

/// Prints all findings, or mends them. Counts one test.
///
/// # Errors
///
/// ruff is neither in the Python package index nor on `PATH`, or can not be run.
pub(crate) fn run(environment: &Environment, options: &Options) -> Result<Tally> {
    let mut ruff = environment.command(python::tool(environment, PACKAGE, "ruff")?);
    ruff.args(["check", "--no-cache", "--output-format", "concise"]);
    if options.fix {
        ruff.arg("--fix");
    }
    let passed = ruff.status()?.success();
    let tally = Tally { passed: u64::from(passed), failed: u64::from(!passed) };
    println!("checks: {} passed, {} failed", tally.passed, tally.failed);
    Ok(tally)
}
