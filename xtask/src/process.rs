//! External programs: their paths, their users, and their output.

use std::{
    env,
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use crate::tally::Tally;

/// The path of a program: an absolute path itself, else the one found on `PATH`.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|candidate| candidate.is_file())
}

/// Whether the process runs as root.
pub(crate) fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output();
    output.is_ok_and(|output| output.stdout == b"0\n")
}

/// The id of a user (`-u`) or of its group (`-g`), if the user exists.
pub(crate) fn id(what: &str, user: &str) -> Option<u32> {
    let output = Command::new("id").args([what, user]).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

/// Runs a command, shows its output, and counts the tests that it reports.
///
/// A command that fails without reporting a failed test counts as one failure.
pub(crate) fn tests(command: &mut Command) -> Result<Tally> {
    let mut child = piped(command)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let tally = thread::scope(|scope| {
        let output = scope.spawn(|| stdout.map(|pipe| copy(pipe, std::io::stdout())));
        let errors = scope.spawn(|| stderr.map(|pipe| copy(pipe, std::io::stderr())));
        [output, errors].into_iter().filter_map(|reader| reader.join().ok().flatten()).sum::<Tally>()
    });
    Ok(tally.of(child.wait()?.success()))
}

/// The outcome of a command whose output went to a file.
pub(crate) struct CommandOutcome {
    /// The tests that it reported.
    pub(crate) tally: Tally,
    /// CPU time of the command and of the children it waited for, in seconds; 0 if unknown.
    pub(crate) cpu: f64,
}

/// Runs a command with its output in the file `log`, counts the tests, and kills it after `limit`.
pub(crate) fn logged(command: &mut Command, log: &Path, limit: Duration) -> Result<CommandOutcome> {
    let file = File::create(log).with_context(|| log.display().to_string())?;
    let deadline = Instant::now() + limit;
    let mut child = piped(command)?;
    let readers = [
        child.stdout.take().map(|pipe| reader(pipe, &file)).transpose()?,
        child.stderr.take().map(|pipe| reader(pipe, &file)).transpose()?,
    ];
    let mut late = false;
    let mut cpu = None;
    let success = loop {
        // The CPU time of a process that has exited is available until it is reaped.
        if let Some(seconds) = cpu_of_ended(child.id()) {
            cpu = Some(seconds);
            break child.wait()?.success();
        }
        if let Some(status) = child.try_wait()? {
            break status.success();
        }
        if Instant::now() > deadline && !late {
            late = true;
            child.kill()?;
        }
        thread::sleep(Duration::from_millis(50));
    };
    if late {
        writeln!(&file, "\nerror: killed, because it did not end within {} s", limit.as_secs())?;
        // Its children may hold the pipes for as long as they live.
        return Ok(CommandOutcome { tally: Tally { passed: 0, failed: 1 }, cpu: cpu.unwrap_or_default() });
    }
    let tally: Tally = readers.into_iter().flatten().filter_map(|reader| reader.join().ok()).sum();
    Ok(CommandOutcome { tally: tally.of(success), cpu: cpu.unwrap_or_default() })
}

fn piped(command: &mut Command) -> Result<Child> {
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {}", command.get_program().display()))
}

fn reader(pipe: impl Read + Send + 'static, file: &File) -> Result<JoinHandle<Tally>> {
    let file = file.try_clone()?;
    Ok(thread::spawn(move || copy(pipe, file)))
}

/// Copies line by line, and counts the tests.
fn copy(from: impl Read, mut to: impl Write) -> Tally {
    let mut tally = Tally::default();
    for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        tally = tally + Tally::of_line(&line);
        // The output may be closed: the tests still count.
        let _ = writeln!(to, "{line}");
    }
    tally
}

/// CPU time, in seconds, of a process that has exited and was not reaped yet, and of the children that it waited for.
/// From `/proc/<pid>/stat` (proc(5)): the state, and fields 14 to 17 in ticks of 1/100 s.
fn cpu_of_ended(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    if *fields.first()? != "Z" {
        return None;
    }
    let ticks: u32 = fields.get(11..15)?.iter().filter_map(|field| field.parse::<u32>().ok()).sum();
    Some(f64::from(ticks) / 100.0)
}
