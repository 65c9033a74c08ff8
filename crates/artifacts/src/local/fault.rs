//! Errors of a directory: the reason goes to the operator's log, not to clients.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use ferroflow_model::{Error, Result};
use rustix::{
    fs::{Access, access, statvfs},
    io::Errno,
};

use crate::ArtifactPath;

/// Minimum free space for new files, in bytes.
const MIN_FREE_SPACE: u64 = 1 << 20;

/// An I/O error, and what it concerns.
pub(super) enum Fault {
    /// The root directory cannot be used.
    Root(io::Error),
    /// The path.
    Path(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Path(error)
    }
}

impl Fault {
    /// The error for the client: without local paths. The details for the operator are logged.
    pub(super) fn explain(&self, root: &Path, path: &ArtifactPath) -> Error {
        let error = match self {
            Self::Root(error) => {
                let reason = check(root, true).err().unwrap_or_else(|| error.to_string());
                return failed(root, &reason, path);
            }
            Self::Path(error) => error,
        };
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                Error::not_found(format!("No such artifact: '{path}'"))
            }
            io::ErrorKind::IsADirectory | io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty => {
                Error::invalid(format!("Artifact path refers to a directory, not a file: '{path}'"))
            }
            io::ErrorKind::InvalidFilename | io::ErrorKind::InvalidInput => Error::invalid("Invalid path"),
            // cap-std has no OS error for a link or path that leads outside of the root.
            io::ErrorKind::PermissionDenied if error.raw_os_error().is_none() => {
                Error::invalid("Invalid path: resolved path is outside the artifact directory")
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::ReadOnlyFilesystem => {
                tracing::error!(store = %root.display(), reason = %error, %path, "the artifact storage cannot store the file");
                Error::unavailable("The artifact storage cannot store the file now. The server's log has the details.")
            }
            _ => failed(root, &error.to_string(), path),
        }
    }
}

fn failed(root: &Path, reason: &str, path: &ArtifactPath) -> Error {
    tracing::error!(store = %root.display(), reason, %path, "the artifact storage failed");
    Error::unavailable("The artifact storage failed. The server's log has the details.")
}

/// Checks that the directory is readable and, with `writes`, writable; the error says why it is not. A missing
/// directory is created by a write, so its nearest existing parent is checked instead.
pub(super) fn check(root: &Path, writes: bool) -> Result<(), String> {
    let mut place = root;
    let metadata = loop {
        match fs::metadata(place) {
            Ok(metadata) => break metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if fs::symlink_metadata(place).is_ok() {
                    return Err(format!("{} is a broken symbolic link", place.display()));
                }
                match place.parent() {
                    Some(parent) if parent != Path::new("") => place = parent,
                    _ => return Ok(()),
                }
            }
            Err(error) => return Err(format!("{} cannot be inspected: {error}", place.display())),
        }
    };
    let is = |what: &str, error: Option<Errno>| {
        let reason = error.map(|error| {
            let (owner, group, mode) = (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777);
            format!(": {} (owner {owner}, group {group}, mode {mode:04o})", io::Error::from(error))
        });
        let reason = reason.unwrap_or_default();
        if place == root {
            format!("is {what}{reason}")
        } else {
            format!("cannot be created: {} is {what}{reason}", place.display())
        }
    };
    if !metadata.is_dir() {
        return Err(is("not a directory", None));
    }
    if place == root {
        access(place, Access::READ_OK | Access::EXEC_OK).map_err(|error| is("not readable", Some(error)))?;
    }
    if writes {
        access(place, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| match error {
            Errno::ROFS => is("on a read-only file system", None),
            error => is("not writable", Some(error)),
        })?;
        if statvfs(place).is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < MIN_FREE_SPACE) {
            return Err(is("on a full disk", None));
        }
    }
    Ok(())
}

/// The path relative to the root, for the file system.
pub(super) fn relative(path: &ArtifactPath) -> PathBuf {
    path.components().iter().collect()
}
