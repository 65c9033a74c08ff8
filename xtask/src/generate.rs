//! `cargo xtask generate`: writes everything in the repository that is made from something else.
//!
//! The version of the reference in `tests/requirements/reference.txt` comes first, then what is made from the
//! reference's wheel, from the chart's values, from recordings and from xtask itself. All of it is made in memory; then it
//! is written, or with `--check` compared.

mod chart;
mod differences;
mod files;
mod messages;
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

/// What becomes of what is generated.
#[derive(Args, Default)]
pub(crate) struct Options {
    /// Write nothing: show which files differ from what is generated, and fail when there are any
    #[arg(long)]
    pub(crate) check: bool,
}

/// Generates, and writes or compares. A file that is as it is generated has passed, one that differs has failed.
///
/// # Errors
///
/// When something can not be generated: a source is not understood, or a Python environment can not be made.
pub(crate) fn run(environment: &Environment, options: &Options) -> Result<Tally> {
    let python = environment.reference()?;
    let mut files = Files::new(environment.root.clone());
    let version = version::add(&mut files)?;
    messages::add(&mut files, &version, &output(environment.command(&python).arg(messages::DESCRIPTORS), "")?)?;
    chart::add(&mut files, |values| output(environment.command(&python).arg(chart::DESCRIPTIONS), values))?;
    differences::add(&mut files, &output(&mut differences::table(environment, &python), "")?)?;
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
            println!("{failed} of {count} generated files are not as they are generated: run `cargo xtask generate`");
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

/// What a command prints when it is given a text.
fn output(command: &mut Command, input: &str) -> Result<Vec<u8>> {
    let words = iter::once(command.get_program()).chain(command.get_args());
    let name = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().with_context(|| format!("cannot run {name}"))?;
    // It reads everything before it prints anything. The pipe is closed behind the text.
    child.stdin.take().context("the input is a pipe")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{name} failed");
    Ok(output.stdout)
}
