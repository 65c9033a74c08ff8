//! `ferroflow audit`: verifies an audit log.

use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use clap::Subcommand;
use ferroflow_server::verify_audit;

use crate::report::{self, err, out};

#[derive(Subcommand)]
pub(crate) enum AuditCommand {
    /// Verify that no line of an audit log was changed, removed or inserted. Exit code 1 if one was
    Verify {
        /// The log file; if it was rotated, all its files, the oldest first
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

/// Runs a command.
pub(crate) fn run(command: AuditCommand) -> ExitCode {
    let AuditCommand::Verify { files } = command;
    match verify(&files) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            err!("Error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn verify(files: &[PathBuf]) -> Result<bool> {
    let open = |path: &PathBuf| {
        let file = File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
        Ok((name(path), BufReader::new(file)))
    };
    let files = files.iter().map(open).collect::<Result<Vec<_>>>()?;
    let found = verify_audit(files).context("the audit log cannot be read")?;
    for note in &found.notes {
        out!("note: {note}");
    }
    for fault in &found.faults {
        out!("FAULT: {fault}");
    }
    out!("{} lines, {} chains, {} faults", found.lines, found.chains, found.faults.len());
    // Truncation at the end leaves no gap: it is only detected by comparing the last hash with a stored one.
    out!("last line: {}", if found.last.is_empty() { "none" } else { &found.last });
    report::complete()?;
    Ok(found.faults.is_empty())
}

fn name(path: &Path) -> String {
    path.display().to_string()
}
