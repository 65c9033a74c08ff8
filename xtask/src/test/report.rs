//! The output of a run: a line as each job ends, then the failures, and the share of the budget of each part.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Error, Result};

use super::plan::Level;
use crate::{process::CommandOutcome, tally::Tally};

/// The budget of a run on two processors, from a clean clone without a build, in minutes. Exceeding it prints a notice.
const BUDGET: f64 = 20.0;

/// Number of lines of a failed job's log that are printed again.
const MAX_FAILURE_LINES: usize = 120;

/// The outcome of a job.
pub(super) struct Line {
    part: String,
    name: String,
    tally: Tally,
    seconds: f64,
    cpu: f64,
    log: PathBuf,
}

impl Line {
    pub(super) fn new(part: &str, name: &str, ended: &CommandOutcome, took: Duration, log: PathBuf) -> Self {
        Self {
            part: part.to_owned(),
            name: name.to_owned(),
            tally: ended.tally,
            seconds: took.as_secs_f64(),
            cpu: ended.cpu,
            log,
        }
    }

    /// A part that was not run because one of its needs could not be prepared.
    pub(super) fn not_run(part: &str, logs: &Path, error: &Error) -> Result<Self> {
        let log = logs.join(format!("{part}.log"));
        fs::write(&log, format!("error: {error:#}\n"))?;
        let ended = CommandOutcome { tally: Tally { passed: 0, failed: 1 }, cpu: 0.0 };
        Ok(Self::new(part, part, &ended, Duration::ZERO, log))
    }
}

/// The totals of a part so far.
struct Sum {
    part: String,
    tally: Tally,
    cpu: f64,
}

/// The state of a run.
pub(super) struct Report {
    start: Instant,
    parts: Vec<Sum>,
    failures: Vec<(String, PathBuf)>,
    notices: Vec<String>,
    seconds_file: PathBuf,
}

impl Report {
    pub(super) fn new(logs: &Path) -> Self {
        Self {
            start: Instant::now(),
            parts: Vec::new(),
            failures: Vec::new(),
            notices: Vec::new(),
            seconds_file: logs.join("seconds.txt"),
        }
    }

    /// Prints the line of a job, and collects what is printed at the end.
    pub(super) fn ended(&mut self, line: &Line) {
        let outcome = if line.tally.failed == 0 { "ok" } else { "FAILED" };
        println!(
            "{:>6.0} s  {:<28} {outcome:<6} {:>5} passed {:>4} failed {:>7.1} s {:>7.1} s of CPU",
            self.start.elapsed().as_secs_f64(),
            line.name,
            line.tally.passed,
            line.tally.failed,
            line.seconds,
            line.cpu
        );
        if line.tally.failed > 0 {
            self.failures.push((line.name.clone(), line.log.clone()));
        }
        let text = fs::read_to_string(&line.log).unwrap_or_default();
        self.notices.extend(text.lines().filter_map(|line| line.strip_prefix("notice: ")).map(str::to_owned));
        if let Some(sum) = self.parts.iter_mut().find(|sum| sum.part == line.part) {
            sum.tally = sum.tally + line.tally;
            sum.cpu += line.cpu;
        } else {
            self.parts.push(Sum { part: line.part.clone(), tally: line.tally, cpu: line.cpu });
        }
    }

    /// Prints how long the environments took, which were prepared during the build.
    pub(super) fn prepared(&self, took: Duration, missing: usize) {
        let elapsed = self.start.elapsed().as_secs_f64();
        let outcome = if missing == 0 { "ok" } else { "FAILED" };
        println!("{elapsed:>6.0} s  {:<28} {outcome:<6} {:>31.1} s", "environments", took.as_secs_f64());
    }

    /// The totals of all parts so far.
    pub(super) fn total(&self) -> Tally {
        self.parts.iter().map(|sum| sum.tally).sum()
    }

    /// Prints the failures, the parts with their share of the budget, and the total.
    pub(super) fn close(self, level: Level) -> Tally {
        for (name, log) in &self.failures {
            println!(
                "\n── {name} failed: {}\n{}",
                log.display(),
                failure(&fs::read_to_string(log).unwrap_or_default())
            );
        }
        let minutes = self.start.elapsed().as_secs_f64() / 60.0;
        let processors = thread::available_parallelism().map_or(2, usize::from);
        #[expect(clippy::cast_precision_loss, reason = "a machine has few processors")]
        let budget = BUDGET * 60.0 * processors.min(2) as f64;
        let mut lines = Vec::new();
        for Sum { part, tally, cpu } in &self.parts {
            let outcome = if tally.failed == 0 { "ok" } else { "FAILED" };
            lines.push(format!(
                "{part:<12} {outcome:<6} {:>5} passed {:>4} failed {cpu:>7.1} s of CPU {:>3.0} % of the budget",
                tally.passed,
                tally.failed,
                100.0 * cpu / budget
            ));
        }
        let table = lines.join("\n");
        println!("\n{table}");
        let sum = format!("{minutes:.1} minutes on {processors} processors; the budget is {BUDGET} on 2");
        // For comparing runs; a failure to write it is ignored.
        let _ = fs::write(&self.seconds_file, format!("{table}\n{sum}\n"));
        println!("{sum}");
        for notice in &self.notices {
            println!("notice: {notice}");
        }
        if matches!(level, Level::Sample(_)) {
            println!("notice: this was a sample; `cargo xtask test --all` runs all tests");
            if minutes > BUDGET {
                println!("notice: this run took {:.1} minutes more than the budget", minutes - BUDGET);
            }
        }
        let total = self.total();
        println!("\n{} passed, {} failed", total.passed, total.failed);
        total
    }
}

/// The part of a log that explains a failure: the final report of pytest or nextest, else its last lines.
fn failure(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let from = lines
        .iter()
        .rposition(|line| line.contains("= FAILURES =") || line.contains("= ERRORS =") || line.starts_with("error: "))
        .unwrap_or(0)
        .max(lines.len().saturating_sub(MAX_FAILURE_LINES));
    lines[from..].join("\n")
}
