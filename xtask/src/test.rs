//! `cargo xtask test`: all checks and tests.
//!
//! The workspace is built once, while the environments are prepared; then all parts share the processors as jobs of one
//! pool. Each job's output goes to a file of its own; the output of failed ones is printed again at the end.

mod plan;
mod pool;
mod report;

use std::{
    fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use clap::Args;

use self::{
    plan::{Level, Part},
    report::{Line, Report},
};
use crate::{
    environment::{self, Environment, Need, variables::BIN},
    process,
    tally::Tally,
};

/// Timeout of the build. A cold build takes minutes on two processors.
const BUILD_LIMIT: Duration = Duration::from_secs(45 * 60);

/// What to run.
#[derive(Args)]
pub(crate) struct Options {
    /// Run only this part; may be given several times
    #[arg(long)]
    only: Vec<Part>,

    /// Run everything: the live reference, every SDK on every database, every upgrade, the drills, a second S3 server
    #[arg(long)]
    all: bool,

    /// The number that selects the sample, instead of one derived from the commit's hash
    #[arg(long, conflicts_with = "all")]
    sample: Option<u32>,
}

/// Runs the parts, all of them even if one fails, and sums up.
pub(crate) fn run(environment: &Environment, options: &Options) -> Result<Tally> {
    let level = if options.all {
        Level::All
    } else {
        Level::Sample(options.sample.unwrap_or_else(|| sample_of_commit(&environment.root)))
    };
    let wanted = |part: Part| (options.only.is_empty() || options.only.contains(&part)) && part.is_in(level);
    let parts: Vec<Part> = Part::all().filter(|part| wanted(*part)).collect();
    let logs = environment.folder().join("test");
    fs::create_dir_all(&logs)?;
    let mut report = Report::new(&logs);
    match level {
        Level::All => println!("every test; logs are in {}", logs.display()),
        Level::Sample(number) => println!("sample {number} (--sample {number}); logs are in {}", logs.display()),
    }

    if let Level::Sample(number) = level {
        environment.sample(plan::versions(environment, number)?);
    }
    let (built, missing) = thread::scope(|scope| {
        let building = scope.spawn(|| build(environment, &parts, &logs));
        let start = Instant::now();
        let needs: Vec<Need> = parts.iter().flat_map(|part| plan::needs(*part, level)).collect();
        let missing = environment.prepare_each(&needs);
        report.prepared(start.elapsed(), missing.len());
        (building.join().unwrap_or_else(|_| bail!("a thread panicked")), missing)
    });
    if let Some(built) = built? {
        report.ended(&built);
    }
    if report.total().failed == 0 {
        let mut ready = Vec::new();
        for part in parts {
            let needs = plan::needs(part, level);
            match missing.iter().find(|(need, _)| needs.contains(need)) {
                None => ready.push(part),
                Some((_, error)) => report.ended(&Line::not_run(&part.name(), &logs, error)?),
            }
        }
        pool::run(plan::jobs(environment, &ready, level)?, &logs, &mut report)?;
    }
    Ok(report.close(level))
}

/// Builds everything that is tested at once: the program and all Rust tests, with the same features, and with lints as
/// errors if the lint part is selected.
fn build(environment: &Environment, parts: &[Part], logs: &Path) -> Result<Option<Line>> {
    if parts.iter().all(|part| !part.is_built()) || environment.is_set(BIN) && !parts.contains(&Part::Rust) {
        return Ok(None);
    }
    let start = Instant::now();
    let mut cargo = plan::cargo(environment, parts.contains(&Part::Lint));
    cargo.args(["test", "--workspace", "--no-run", "--message-format=json-render-diagnostics"]);
    let log = logs.join("build.log");
    let ended = process::logged(&mut cargo, &log, BUILD_LIMIT)?;
    if ended.tally.failed == 0 && !environment.is_set(BIN) {
        match environment::program(&fs::read(&log)?, "ferroflow") {
            Some(path) => environment.set(BIN, path),
            None => bail!("the build produced no program"),
        }
    }
    Ok(Some(Line::new("build", "build", &ended, start.elapsed(), log)))
}

/// A number derived from the commit's hash, so that what one sample omits is covered by later commits.
fn sample_of_commit(root: &Path) -> u32 {
    let output = Command::new("git").args(["rev-parse", "HEAD"]).current_dir(root).output();
    let hash = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    hash.get(..7).and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or_default()
}
