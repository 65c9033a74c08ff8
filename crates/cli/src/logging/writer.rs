//! Writes log lines to standard error, in a thread of its own. A full disk or a blocked reader loses log lines, and
//! affects nothing else.

use std::{
    io::{self, Write},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::Duration,
};

use tracing_subscriber::fmt::MakeWriter;

/// Capacity of the queue, in lines. Further ones are dropped while it is full.
const QUEUE: usize = 4096;

/// How long the exit of the process waits for queued lines.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The queue of this process, started by the first line.
static LINES: OnceLock<Lines> = OnceLock::new();

struct Lines {
    queue: SyncSender<Message>,
    lost: Arc<AtomicU64>,
}

enum Message {
    Line(Vec<u8>),
    /// Flushes the lines before it; then the sender is dropped.
    Flush(SyncSender<()>),
}

/// Makes the writer of a log line.
#[derive(Clone, Copy)]
pub(super) struct Log;

/// Writes one line.
pub(super) struct Line;

impl<'a> MakeWriter<'a> for Log {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line
    }
}

impl Write for Line {
    /// Takes a whole line: the subscriber formats an event before it writes it.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let lines = LINES.get_or_init(start);
        if let Err(TrySendError::Full(_)) = lines.queue.try_send(Message::Line(line.to_vec())) {
            lines.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn start() -> Lines {
    let (queue, lines) = sync_channel(QUEUE);
    let lost = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&lost);
    // If the thread cannot be started the queue is closed, and nothing is logged.
    let _ = thread::Builder::new().name("log".into()).spawn(move || write(&lines, &counted));
    Lines { queue, lost }
}

fn write(lines: &Receiver<Message>, lost: &AtomicU64) {
    while let Ok(message) = lines.recv() {
        let line = match message {
            Message::Line(line) => line,
            Message::Flush(done) => {
                drop(done);
                continue;
            }
        };
        let mut stream = io::stderr().lock();
        let is_written = stream.write_all(&line).is_ok();
        if !is_written {
            lost.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let count = lost.swap(0, Ordering::Relaxed);
        if count > 0 {
            let _ = writeln!(stream, "{count} log lines were dropped: the standard error was blocked or closed");
        }
    }
}

/// Waits until the queued lines are written, at most [`FLUSH_TIMEOUT`].
pub(crate) fn flush() {
    let Some(lines) = LINES.get() else { return };
    let (done, written) = sync_channel(0);
    if lines.queue.try_send(Message::Flush(done)).is_ok() {
        // `recv` fails when the other end is dropped, which is the signal.
        let _ = written.recv_timeout(FLUSH_TIMEOUT);
    }
}
