//! What a command says on its standard output and standard error. Neither can fail what it is said about: a database
//! that was upgraded is upgraded, whether or not a full disk takes the line that says so.

use std::{
    fmt,
    io::{self, Write as _},
    sync::atomic::{AtomicBool, Ordering},
};

use anyhow::{Result, ensure};

/// Whether something that was said on the standard output did not get there.
static INCOMPLETE: AtomicBool = AtomicBool::new(false);

/// Writes a line to the standard output, as `println!` does, which ends the process where that fails.
macro_rules! out {
    ($($text:tt)*) => { $crate::report::line_out(format_args!($($text)*)) };
}

/// Writes a line to the standard error, as `eprintln!` does, which ends the process where that fails.
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
    // What was logged before comes before; there is no other place left to say that a line was lost.
    crate::logging::flush();
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// For a command whose output is what it was run for, such as a list, after the last line.
///
/// # Errors
/// A line was not written.
pub(crate) fn complete() -> Result<()> {
    ensure!(!INCOMPLETE.load(Ordering::Relaxed), "the standard output did not take everything: it is closed or full");
    Ok(())
}
