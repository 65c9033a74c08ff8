//! Lines of the audit log hold together: each has the hash of the one before it, so that a line that was changed, taken
//! out or put in is found. What was cut off at the end is found by keeping the last hash elsewhere.
//!
//! Each process has a chain of its own, because several may write to one file. The first line of a chain has the hash of
//! the line that was the last of the file.

use std::{
    collections::{HashMap, HashSet},
    io::{self, BufRead},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The place of a line in its chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Link {
    /// The chain: that of one process.
    pub(crate) chain: String,
    /// The number of the line in its chain, from 0.
    pub(crate) seq: u64,
    /// SHA-256 of the line before, without its line break, in hexadecimal; empty before the first line of a file.
    pub(crate) prev: String,
}

/// What was found in audit logs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditReport {
    /// Lines that were read.
    pub lines: u64,
    /// Chains that they belong to.
    pub chains: usize,
    /// The hash of the last line, for who keeps it elsewhere.
    pub last: String,
    /// What is no fault and no proof either: where a log begins in the middle.
    pub notes: Vec<String>,
    /// What was changed, taken out or put in.
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

/// Follows the chains through files that come one after the other, the oldest first.
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
                            report.faults.push(format!("{at}: the line before its chain was changed or is gone"));
                        }
                        (None, _) if is_from_start => {
                            report.faults.push(format!("{at}: the first lines of its chain are gone"));
                        }
                        (None, seq) => {
                            report.notes.push(format!("{at}: its chain begins {seq} lines before these files"));
                        }
                    }
                    chains.insert(link.chain, (link.seq, digest.clone()));
                }
                Err(_) if is_chained => report.faults.push(format!("{at}: is no line of a chain")),
                Err(_) => report.notes.push(format!("{at}: was written before lines were chained")),
            }
            if !is_whole {
                report.notes.push(format!("{at}: the line has no end"));
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
