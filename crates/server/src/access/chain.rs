//! The hash chain of the audit log: each line has the hash of the line before it, so that a line that was changed,
//! removed or inserted is detected. Truncation at the end is detected by storing the last hash elsewhere.
//!
//! Each process has its own chain, because several may write to one file. The first line of a chain has the hash of the
//! file's last line at that time.

use std::{
    collections::{HashMap, HashSet},
    io::{self, BufRead},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The place of a line in its chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Link {
    /// The id of the chain: one per process.
    pub(crate) chain: String,
    /// The sequence number of the line in its chain, from 0.
    pub(crate) seq: u64,
    /// SHA-256 of the previous line, without its line break, in hexadecimal; empty for the first line of a file.
    pub(crate) prev: String,
}

/// The result of verifying audit logs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditReport {
    /// Number of lines read.
    pub lines: u64,
    /// Number of chains found.
    pub chains: usize,
    /// The hash of the last line, to be stored elsewhere.
    pub last: String,
    /// What is neither a fault nor verifiable, such as a log that begins in the middle of a chain.
    pub notes: Vec<String>,
    /// Lines that were changed, removed or inserted.
    pub faults: Vec<String>,
}

/// The hash of a line.
pub(crate) fn hash(line: &[u8]) -> String {
    let mut hex = String::new();
    for byte in Sha256::digest(line) {
        hex += &format!("{byte:02x}");
    }
    hex
}

/// Verifies the chains of consecutive files, the oldest first.
///
/// # Errors
/// A file can not be read.
pub fn verify_audit<R: BufRead>(files: impl IntoIterator<Item = (String, R)>) -> io::Result<AuditReport> {
    let mut report = AuditReport::default();
    let mut chains: HashMap<String, (u64, String)> = HashMap::new();
    let mut hashes = HashSet::new();
    let (mut is_chained, mut is_from_start) = (false, false);
    for (name, mut file) in files {
        let mut number = 0u64;
        let mut bytes = Vec::new();
        while file.read_until(b'\n', &mut bytes)? > 0 {
            number += 1;
            let at = format!("{name}:{number}");
            let is_whole = bytes.pop_if(|byte| *byte == b'\n').is_some();
            let digest = hash(&bytes);
            match serde_json::from_slice::<Link>(&bytes) {
                Ok(link) => {
                    if !is_chained {
                        is_from_start = report.lines == 0 && link.seq == 0 && link.prev.is_empty();
                    }
                    is_chained = true;
                    let before = chains.get(&link.chain);
                    match (before, link.seq) {
                        (Some((seq, hash)), _) => {
                            if link.seq != seq + 1 {
                                report.faults.push(format!("{at}: line {} follows line {seq} of its chain", link.seq));
                            } else if link.prev != *hash {
                                report.faults.push(format!("{at}: the line before it in its chain was changed"));
                            }
                        }
                        (None, 0) if link.prev.is_empty() || hashes.contains(&link.prev) => {}
                        (None, 0) if hashes.is_empty() => {
                            report.notes.push(format!("{at}: follows a line that is not in these files"));
                        }
                        (None, 0) => {
                            report.faults.push(format!("{at}: the line before its chain was changed or removed"));
                        }
                        (None, _) if is_from_start => {
                            report.faults.push(format!("{at}: the first lines of its chain are missing"));
                        }
                        (None, seq) => {
                            report.notes.push(format!("{at}: its chain begins {seq} lines before these files"));
                        }
                    }
                    chains.insert(link.chain, (link.seq, digest.clone()));
                }
                Err(_) if is_chained => report.faults.push(format!("{at}: is not a line of a chain")),
                Err(_) => report.notes.push(format!("{at}: was written before lines were chained")),
            }
            if !is_whole {
                report.notes.push(format!("{at}: the line is incomplete"));
            }
            report.lines += 1;
            report.last.clone_from(&digest);
            hashes.insert(digest);
            bytes.clear();
        }
    }
    report.chains = chains.len();
    Ok(report)
}
