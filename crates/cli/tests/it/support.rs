//! Runs the program under test: without the environment of this machine, and with a timeout.

use std::{
    io::Read,
    net::TcpListener,
    path::Path,
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Timeout for a program to exit or to listen: far longer than any needs, and shorter than the test runner's, which
/// knows neither the case nor the output.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// The program, run in a folder and with an empty environment.
pub(crate) fn ferroflow(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ferroflow"));
    command.current_dir(folder).env_clear();
    command
}

/// Runs a command to its end.
///
/// # Panics
/// It does not exit in time.
pub(crate) fn output(command: &mut Command) -> Output {
    let case = format!("{command:?}");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (stdout, stderr) = (read(child.stdout.take().unwrap()), read(child.stderr.take().unwrap()));
    let status = ended(&mut child);
    let (stdout, stderr) = (stdout.join().unwrap(), stderr.join().unwrap());
    let Some(status) = status else {
        let printed = [stdout, stderr].concat();
        panic!("{case} still ran after {DEADLINE:?}, having printed:\n{}", String::from_utf8_lossy(&printed));
    };
    Output { status, stdout, stderr }
}

/// The exit status of a program; it is killed if it does not exit in time.
pub(crate) fn ended(child: &mut Child) -> Option<ExitStatus> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            child.wait().unwrap();
            return None;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// The address of a server that closes every connection at once. No port is guaranteed to be unused.
pub(crate) fn closing() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || listener.incoming().for_each(drop));
    address
}

fn read(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut all = Vec::new();
        pipe.read_to_end(&mut all).unwrap();
        all
    })
}
