//! Programs: where they are, who runs them, and what they print while they run.

use std::{
    env,
    io::{BufRead, BufReader, Read, Write},
    path::PathBuf,
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context, Result};

use crate::tally::Tally;

/// The path of a program: itself when absolute, else found on `PATH`.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|candidate| candidate.is_file())
}

/// Whether this process may do everything.
pub(crate) fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output();
    output.is_ok_and(|output| output.stdout == b"0\n")
}

/// The number of a user (`-u`) or of its group (`-g`), where there is such a user.
pub(crate) fn id(what: &str, user: &str) -> Option<u32> {
    let output = Command::new("id").args([what, user]).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

/// Runs a command, shows what it prints, and counts the tests that it says it ran.
///
/// A command that fails without saying that a test did counts as one failure.
pub(crate) fn tests(command: &mut Command) -> Result<Tally> {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let mut tally = thread::scope(|scope| {
        let output = scope.spawn(|| stdout.map(|pipe| copy(pipe, std::io::stdout())));
        let errors = scope.spawn(|| stderr.map(|pipe| copy(pipe, std::io::stderr())));
        [output, errors].into_iter().filter_map(|reader| reader.join().ok().flatten()).sum::<Tally>()
    });
    if !child.wait()?.success() && tally.failed == 0 {
        tally.failed = 1;
    }
    Ok(tally)
}

/// Copies line by line, and counts.
fn copy(from: impl Read, mut to: impl Write) -> Tally {
    let mut tally = Tally::default();
    for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        tally = tally + Tally::of_line(&line);
        // Nobody reads any more: the tests still count.
        let _ = writeln!(to, "{line}");
    }
    tally
}
