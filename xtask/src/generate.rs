//! `cargo xtask generate`: writes all generated files in the repository.
//!
//! The version of the reference in `tests/requirements/reference.txt` comes first, then what is generated from the
//! reference's wheel, from the chart's values, from recordings and from xtask itself. Everything is generated in
//! memory, then written, or compared with `--check`.

mod chart;
mod differences;
mod files;
mod messages;
mod results;
mod variables;
mod version;

use std::{
    io::Write,
    iter,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::{environment::Environment, tally::Tally};
use files::Files;

/// What to do with the generated files.
#[derive(Args, Default)]
pub(crate) struct Options {
    /// Only compare: print the differences, and fail if there are any
    #[arg(long)]
    pub(crate) check: bool,
}

/// Generates all files, and writes or compares them. An up-to-date file counts as passed, a different one as failed.
///
/// # Errors
///
/// A source cannot be parsed, or a Python environment cannot be created.
pub(crate) fn run(environment: &Environment, options: &Options) -> Result<Tally> {
    let python = environment.reference()?;
    let mut files = Files::new(environment.root.clone());
    let version = version::add(&mut files)?;
    messages::add(&mut files, &version, &output(environment.command(&python).arg(messages::DESCRIPTORS), "")?)?;
    chart::add(&mut files, |values| output(environment.command(&python).arg(chart::DESCRIPTIONS), values))?;
    differences::add(&mut files, &output(&mut differences::table(environment, &python), "")?)?;
    results::add(&mut files, &output(environment.command(&python).arg(results::SCRIPT), "")?)?;
    variables::add(&mut files)?;
    files.attributes()?;

    let differences = files.differences()?;
    let failed = u64::try_from(differences.len())?;
    let count = u64::try_from(files.count())?;
    if options.check {
        for difference in &differences {
            println!("{difference}");
        }
        if failed > 0 {
            println!("{failed} of {count} generated files are out of date: run `cargo xtask generate`");
        }
        let tally = Tally { passed: count.saturating_sub(failed), failed };
        println!("checks: {} passed, {} failed", tally.passed, tally.failed);
        return Ok(tally);
    }
    files.write(&differences)?;
    for difference in &differences {
        println!("{}", difference.path);
    }
    println!("{failed} of {count} generated files changed");
    Ok(Tally { passed: count, failed: 0 })
}

/// The output of a command for an input.
fn output(command: &mut Command, input: &str) -> Result<Vec<u8>> {
    let words = iter::once(command.get_program()).chain(command.get_args());
    let name = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().with_context(|| format!("cannot run {name}"))?;
    // No deadlock: it reads all input before it prints. The pipe is closed after the text.
    child.stdin.take().context("the input is a pipe")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{name} failed");
    Ok(output.stdout)
}
