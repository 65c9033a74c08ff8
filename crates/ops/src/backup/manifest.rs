//! The manifest of a backup, as lines of JSON. The first is a header, the last has the number of lines and their
//! checksum, so that truncation is detected.

use std::{collections::BTreeMap, fmt, str::FromStr};

use anyhow::{Context as _, Result, bail, ensure};
use ferroflow_store::migrations::{AUTH, Chain, TRACKING};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::blocks::{OF_ARTIFACT, OF_DATABASE};

/// The format version that this version reads and writes.
pub(super) const FORMAT: u32 = 1;

/// The id of a block: the SHA-256 of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(super) struct Hash([u8; 32]);

impl Hash {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Hash {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        ensure!(text.len() == 64 && text.is_ascii(), "'{text}' is not a SHA-256");
        let mut hash = [0; 32];
        for (byte, place) in hash.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&text[place..place + 2], 16)?;
        }
        Ok(Self(hash))
    }
}

impl From<Hash> for String {
    fn from(hash: Hash) -> Self {
        hash.to_string()
    }
}

impl TryFrom<String> for Hash {
    type Error = anyhow::Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

/// The role of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Experiments, runs and models.
    Tracking,
    /// Users and permissions.
    Users,
}

impl Role {
    /// The revisions of such a database.
    #[must_use]
    pub fn chain(self) -> &'static Chain {
        match self {
            Self::Tracking => &TRACKING,
            Self::Users => &AUTH,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tracking => "tracking",
            Self::Users => "users",
        })
    }
}

/// A database in a backup.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Database {
    /// Its role.
    pub role: Role,
    /// The schema revision.
    pub revision: Option<String>,
    /// The number of rows per table.
    pub rows: BTreeMap<String, i64>,
    /// Size in bytes.
    pub size: u64,
    pub(super) blocks: Vec<Hash>,
}

/// A file in a backup.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct FileEntry {
    /// Relative to the directory, escaped if it is not valid UTF-8.
    pub(super) path: String,
    pub(super) size: u64,
    /// The modification time, in nanoseconds since the Unix epoch.
    pub(super) modified: i64,
    pub(super) blocks: Vec<Hash>,
}

/// A symbolic link in a backup.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct LinkEntry {
    pub(super) path: String,
    /// The target, escaped like a path.
    pub(super) target: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Head {
    format: u32,
    id: String,
    time: Timestamp,
    version: String,
    databases: Vec<Database>,
    artifacts: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct End {
    lines: usize,
    sha256: Hash,
    added: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Backup(Head),
    File(FileEntry),
    Link(LinkEntry),
    End(End),
}

/// A complete backup.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// Its id.
    pub id: String,
    /// All writes acknowledged before this time are included.
    pub time: Timestamp,
    /// The version of ferroflow that took it.
    pub version: String,
    /// The tracking database, and the users database if it was given.
    pub databases: Vec<Database>,
    /// The source directory of the artifacts, if they are included.
    pub artifacts: Option<String>,
    /// Size in bytes of the blocks that were new.
    pub added: u64,
    pub(super) files: Vec<FileEntry>,
    pub(super) links: Vec<LinkEntry>,
}

impl Manifest {
    /// The number of artifacts.
    #[must_use]
    pub fn files(&self) -> usize {
        self.files.len()
    }

    /// The total size in bytes, without deduplication.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.databases.iter().map(|database| database.size).chain(self.files.iter().map(|file| file.size)).sum()
    }

    pub(super) fn blocks(&self) -> impl Iterator<Item = Hash> {
        let databases = self.databases.iter().flat_map(|database| &database.blocks);
        databases.chain(self.files.iter().flat_map(|file| &file.blocks)).copied()
    }

    /// Its blocks with their lengths in bytes.
    pub(super) fn lengths(&self) -> impl Iterator<Item = (Hash, u64)> {
        let databases = self.databases.iter().map(|database| (&database.blocks, database.size, OF_DATABASE));
        let files = self.files.iter().map(|file| (&file.blocks, file.size, OF_ARTIFACT));
        databases.chain(files).flat_map(|(blocks, size, whole)| {
            let starts = (0..).step_by(whole);
            blocks.iter().zip(starts).map(move |(hash, start)| (*hash, size.saturating_sub(start).min(whole as u64)))
        })
    }

    pub(super) fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut lines = 0;
        let mut put = |bytes: &mut Vec<u8>, line: &Line| -> Result<()> {
            serde_json::to_writer(&mut *bytes, line)?;
            bytes.push(b'\n');
            lines += 1;
            Ok(())
        };
        let head = Head {
            format: FORMAT,
            id: self.id.clone(),
            time: self.time,
            version: self.version.clone(),
            databases: self.databases.clone(),
            artifacts: self.artifacts.clone(),
        };
        put(&mut bytes, &Line::Backup(head))?;
        for file in &self.files {
            put(&mut bytes, &Line::File(file.clone()))?;
        }
        for link in &self.links {
            put(&mut bytes, &Line::Link(link.clone()))?;
        }
        let end = End { lines, sha256: Hash::of(&bytes), added: self.added };
        serde_json::to_writer(&mut bytes, &Line::End(end))?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        let body = bytes.strip_suffix(b"\n").context("it has no end")?;
        let last = body.iter().rposition(|byte| *byte == b'\n').map_or(0, |place| place + 1);
        let Ok(Line::End(end)) = serde_json::from_slice(&body[last..]) else { bail!("it has no end") };
        ensure!(Hash::of(&bytes[..last]) == end.sha256, "its checksum is wrong");
        let mut rest = bytes[..last].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let first: serde_json::Value = serde_json::from_slice(rest.next().context("it is empty")?)?;
        let format = first["backup"]["format"].as_u64().context("it has no format number")?;
        ensure!(
            format == u64::from(FORMAT),
            "it has format {format}, which this version does not know: it knows {FORMAT}"
        );
        let Line::Backup(head) = serde_json::from_value(first)? else { bail!("it does not begin with a header line") };
        let (mut files, mut links, mut count) = (Vec::new(), Vec::new(), 1);
        for line in rest {
            match serde_json::from_slice(line)? {
                Line::File(file) => files.push(file),
                Line::Link(link) => links.push(link),
                Line::Backup(_) | Line::End(_) => bail!("a line is out of place"),
            }
            count += 1;
        }
        ensure!(count == end.lines, "it has {count} lines and should have {}", end.lines);
        let Head { id, time, version, databases, artifacts, .. } = head;
        Ok(Self { id, time, version, databases, artifacts, added: end.added, files, links })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let blocks = vec![Hash::of(b"block")];
        let rows = BTreeMap::from([("runs".to_owned(), 3)]);
        Manifest {
            id: "20260102T030405Z".into(),
            time: "2026-01-02T03:04:05.5Z".parse().unwrap(),
            version: "0".into(),
            databases: vec![Database { role: Role::Tracking, revision: None, rows, size: 5, blocks: blocks.clone() }],
            artifacts: Some("/srv".into()),
            added: 5,
            files: vec![FileEntry { path: "0/a".into(), size: 5, modified: -1, blocks }],
            links: vec![LinkEntry { path: "0/b".into(), target: "a".into() }],
        }
    }

    #[test]
    fn it_comes_back_as_it_was_written() {
        let bytes = manifest().to_bytes().unwrap();
        let read = Manifest::parse(&bytes).unwrap();
        assert_eq!(read.to_bytes().unwrap(), bytes);
        assert_eq!((read.files(), read.size(), read.added), (1, 10, 5));
    }

    #[test]
    fn every_block_is_full_but_the_last() {
        let mut manifest = manifest();
        let whole = OF_ARTIFACT as u64;
        manifest.files[0].blocks = [b"a", b"b", b"c"].map(|bytes| Hash::of(bytes)).to_vec();
        manifest.files[0].size = 2 * whole + 1;
        let lengths: Vec<_> = manifest.lengths().map(|(_, length)| length).collect();
        assert_eq!(lengths, [5, whole, whole, 1]);
    }

    #[test]
    fn no_beginning_of_it_and_no_changed_byte_is_taken_for_it() {
        let bytes = manifest().to_bytes().unwrap();
        for end in 0..bytes.len() {
            assert!(Manifest::parse(&bytes[..end]).is_err(), "{end} bytes");
        }
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            let same = Manifest::parse(&changed).is_ok_and(|read| read.to_bytes().unwrap() == bytes);
            assert!(!same, "byte {place}");
        }
    }

    #[test]
    fn a_later_format_is_named() {
        let mut head = String::from(r#"{"backup":{"format":2,"shape":"unknown"}}"#);
        head.push('\n');
        let end = End { lines: 1, sha256: Hash::of(head.as_bytes()), added: 0 };
        let bytes = format!("{head}{}\n", serde_json::to_string(&Line::End(end)).unwrap());
        assert!(Manifest::parse(bytes.as_bytes()).unwrap_err().to_string().contains("format 2"));
    }
}
