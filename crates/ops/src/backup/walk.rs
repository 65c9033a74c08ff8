//! Walks a directory, and escapes file names as text without loss.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Component, Path, PathBuf},
    time::UNIX_EPOCH,
};

use anyhow::{Context as _, Result, ensure};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, percent_encode};

const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');

/// Prefix of temporary files of a server.
const UNFINISHED: &str = ".mlflow-tmp-";

/// A directory entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    File(FileMeta),
    /// A symbolic link and its target. It is not followed: the target may be anywhere.
    Link(String, String),
}

/// The metadata of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileMeta {
    pub(super) path: String,
    pub(super) size: u64,
    pub(super) modified: i64,
}

/// All entries below a directory, except temporary files. A missing directory has none.
pub(super) fn walk(root: &Path, found: &dyn Fn(u64)) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let listed = match std::fs::read_dir(root.join(&folder)) {
            Ok(listed) => listed,
            // Deleted meanwhile, or never created.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error).with_context(|| root.join(&folder).display().to_string()),
        };
        for entry in listed {
            let entry = entry.with_context(|| root.join(&folder).display().to_string())?;
            let below = folder.join(entry.file_name());
            let meta = match entry.metadata() {
                Ok(meta) => meta,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error).with_context(|| root.join(&below).display().to_string()),
            };
            if meta.is_dir() {
                folders.push(below);
            } else if meta.is_symlink() {
                let Ok(target) = std::fs::read_link(root.join(&below)) else { continue };
                entries.push(Entry::Link(escape(below.as_os_str()), escape(target.as_os_str())));
            } else if meta.is_file() && !entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                entries.push(Entry::File(file_meta(&below, &meta)));
            }
        }
        found(entries.len() as u64);
    }
    Ok(entries)
}

pub(super) fn file_meta(below: &Path, meta: &std::fs::Metadata) -> FileMeta {
    FileMeta { path: escape(below.as_os_str()), size: meta.len(), modified: modified(meta) }
}

/// Nanoseconds since the Unix epoch.
pub(super) fn modified(meta: &std::fs::Metadata) -> i64 {
    let Ok(time) = meta.modified() else { return 0 };
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, i64::wrapping_neg),
    }
}

fn escape(name: &OsStr) -> String {
    match name.to_str() {
        // Readable if it is UTF-8; JSON escapes the rest.
        Some(text) => text.replace('%', "%25"),
        None => percent_encode(name.as_bytes(), ESCAPED).to_string(),
    }
}

/// Reverses `escape`.
pub(super) fn unescape(text: &str) -> OsString {
    OsString::from_vec(percent_decode_str(text).collect())
}

/// A relative path of a backup, which must not lead outside of its target.
pub(super) fn below(text: &str) -> Result<PathBuf> {
    let path = PathBuf::from(unescape(text));
    let plain = path.components().all(|component| matches!(component, Component::Normal(_)));
    ensure!(plain && path.components().next().is_some(), "the backup has a file at {}", path.display());
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_comes_back_as_it_was() {
        for name in [&b"plain.txt"[..], "schön/日本".as_bytes(), b"100%", b"%41", b"\xff\xfe", b"a\nb\\#?"] {
            let name = OsStr::from_bytes(name);
            assert_eq!(unescape(&escape(name)), name);
        }
    }

    #[test]
    fn no_path_leads_out() {
        assert_eq!(below("0/abc/model").unwrap(), Path::new("0/abc/model"));
        for text in ["..", "a/../../b", "/etc/passwd", "%2e%2e/x", "", "%2Fetc"] {
            assert!(below(text).is_err(), "{text}");
        }
    }
}
