//! Jobs that share the processors: the longest first, as many at once as there are places.

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

/// How long a job may take. The longest takes eight minutes on two processors.
const LIMIT: Duration = Duration::from_secs(40 * 60);

/// A command that is a part of the tests, or a share of a part.
pub(super) struct Job {
    /// The part that it belongs to.
    pub(super) part: String,
    /// Its name, which its log has too.
    pub(super) name: String,
    /// About how many seconds it takes beside others on two processors: the longest begin first.
    pub(super) seconds: u32,
    /// How many places it takes: the number of its processes that compute at the same time.
    pub(super) places: usize,
    pub(super) command: Command,
}

/// Runs all jobs. A suite computes for about half of its time: with two places for each processor these are busy.
pub(super) fn run(mut jobs: Vec<Job>, logs: &Path, report: &mut Report) -> Result<()> {
    let places = 2 * thread::available_parallelism().map_or(2, usize::from);
    jobs.sort_by_key(|job| std::cmp::Reverse(job.seconds));
    let (sender, receiver) = mpsc::channel();
    let (mut taken, mut running) = (0, 0);
    thread::scope(|scope| {
        while !jobs.is_empty() || running > 0 {
            let fits = |job: &Job| taken == 0 || taken + job.places <= places;
            if let Some(next) = jobs.iter().position(fits) {
                let job = jobs.remove(next);
                taken += job.places;
                running += 1;
                let (sender, log) = (sender.clone(), log_of(logs, &job.name));
                scope.spawn(move || {
                    let Job { part, name, places, mut command, .. } = job;
                    let start = Instant::now();
                    let ended = process::logged(&mut command, &log, LIMIT);
                    let line = ended.map(|ended| Line::new(&part, &name, &ended, start.elapsed(), log));
                    // The receiver lives as long as this scope.
                    let _ = sender.send((places, line));
                });
                continue;
            }
            let Ok((places, line)) = receiver.recv() else { break };
            taken -= places;
            running -= 1;
            report.ended(&line?);
        }
        Ok(())
    })
}

fn log_of(logs: &Path, name: &str) -> PathBuf {
    logs.join(format!("{}.log", name.replace(['/', ' '], "-")))
}
