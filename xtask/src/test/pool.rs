//! A pool of jobs that share the processors: the longest first, as many concurrently as there are slots.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::report::{Line, Report};
use crate::process;

/// Timeout of a job. The longest takes eight minutes on two processors.
const LIMIT: Duration = Duration::from_secs(40 * 60);

/// A command for a part of the tests, or for a share of one.
pub(super) struct Job {
    /// The part that it belongs to.
    pub(super) part: String,
    /// Its name, also that of its log.
    pub(super) name: String,
    /// Estimated duration in seconds, beside others on two processors: the longest start first.
    pub(super) seconds: u32,
    /// Number of slots that it takes: its concurrently computing processes.
    pub(super) slots: usize,
    pub(super) command: Command,
}

/// Runs all jobs. A suite computes for less than half of its time, so there are two slots per processor and one more.
pub(super) fn run(mut jobs: Vec<Job>, logs: &Path, report: &mut Report) -> Result<()> {
    let slots = 2 * thread::available_parallelism().map_or(2, usize::from) + 1;
    jobs.sort_by_key(|job| std::cmp::Reverse(job.seconds));
    let (sender, receiver) = mpsc::channel();
    let (mut taken, mut running) = (0, 0);
    thread::scope(|scope| {
        while !jobs.is_empty() || running > 0 {
            let fits = |job: &Job| taken == 0 || taken + job.slots <= slots;
            if let Some(next) = jobs.iter().position(fits) {
                let job = jobs.remove(next);
                taken += job.slots;
                running += 1;
                let (sender, log) = (sender.clone(), log_of(logs, &job.name));
                scope.spawn(move || {
                    let Job { part, name, slots, mut command, .. } = job;
                    let start = Instant::now();
                    let ended = process::logged(&mut command, &log, LIMIT);
                    let line = ended.map(|ended| Line::new(&part, &name, &ended, start.elapsed(), log));
                    // The receiver lives as long as this scope.
                    let _ = sender.send((slots, line));
                });
                continue;
            }
            let Ok((slots, line)) = receiver.recv() else { break };
            taken -= slots;
            running -= 1;
            report.ended(&line?);
        }
        Ok(())
    })
}

fn log_of(logs: &Path, name: &str) -> PathBuf {
    logs.join(format!("{}.log", name.replace(['/', ' '], "-")))
}
