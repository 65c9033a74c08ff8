//! The output of commands on standard output and standard error. A failed write must not fail the operation that it
//! reports: a database that was upgraded is upgraded, whether or not a full disk accepts the message.

use std::{
    fmt,
    io::{self, Write as _},
    sync::atomic::{AtomicBool, Ordering},
};

use anyhow::{Result, ensure};

/// Whether a write to standard output has failed.
static INCOMPLETE: AtomicBool = AtomicBool::new(false);

/// Writes a line to standard output, like `println!`, but without its panic if that fails.
macro_rules! out {
    ($($text:tt)*) => { $crate::report::line_out(format_args!($($text)*)) };
}

/// Writes a line to standard error, like `eprintln!`, but without its panic if that fails.
macro_rules! err {
    ($($text:tt)*) => { $crate::report::line_err(format_args!($($text)*)) };
}

pub(crate) use {err, out};

pub(crate) fn line_out(line: fmt::Arguments<'_>) {
    let mut stream = io::stdout().lock();
    if writeln!(stream, "{line}").and_then(|()| stream.flush()).is_err() {
        INCOMPLETE.store(true, Ordering::Relaxed);
    }
}

pub(crate) fn line_err(line: fmt::Arguments<'_>) {
    // Earlier log lines come first; a lost line cannot be reported anywhere else.
    crate::logging::flush();
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Checks the output of a command whose purpose is its output, such as a list; called after the last line.
///
/// # Errors
/// A line could not be written.
pub(crate) fn complete() -> Result<()> {
    ensure!(!INCOMPLETE.load(Ordering::Relaxed), "the standard output is closed or full: the output is incomplete");
    Ok(())
}
