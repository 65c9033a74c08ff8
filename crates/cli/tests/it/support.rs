//! The program under test: it sees nothing of the machine's environment, and is killed when it takes too long.

use std::{
    io::Read,
    net::TcpListener,
    path::Path,
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// How long a program may take to end or to listen: far longer than any takes, and shorter than the test runner waits,
/// which knows neither the case nor what was printed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// The program, started in a folder and without any variable of the environment.
pub(crate) fn ferroflow(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ferroflow"));
    command.current_dir(folder).env_clear();
    command
}

/// Runs a command to its end.
///
/// # Panics
/// It does not end in time.
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

/// How a program ended; one that does not end in time is killed.
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

/// The address of a server that closes every connection at once. No port is certain to have no server.
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
