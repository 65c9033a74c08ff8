//! The path of a SQLite file: why it cannot be opened, whether the open file is still there, whether its disk has room.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use rustix::fs::{Access, access, statvfs};

use crate::db::DbError;

/// Minimum free space on the disk, in bytes.
const MIN_FREE_SPACE: u64 = 1 << 20;

/// The identity of an open file. SQLite keeps using a file that was unlinked, and what it commits then is lost when the
/// process ends.
#[derive(Debug)]
pub(super) struct FileIdentity {
    path: PathBuf,
    file: OnceLock<Id>,
    /// The write-ahead log, once it exists. SQLite deletes it when the last connection closes, not earlier.
    log: OnceLock<Id>,
}

/// Identifies a file regardless of its name: device and inode.
type Id = (u64, u64);

impl FileIdentity {
    /// Records the identity of a file that was just opened.
    pub(super) fn of(path: &Path) -> Self {
        let identity = Self { path: path.to_owned(), file: OnceLock::new(), log: OnceLock::new() };
        if let Ok(file) = id(path) {
            let _ = identity.file.set(file);
        }
        identity
    }

    /// Checks that the open file is the one at its path. Called after a commit, before it is acknowledged.
    ///
    /// # Errors
    /// It is not: the commit will be lost.
    pub(super) fn check(&self) -> Result<(), DbError> {
        let mut log = OsString::from(&self.path);
        log.push("-wal");
        let is_log = match id(Path::new(&log)) {
            Ok(found) => *self.log.get_or_init(|| found) == found,
            Err(_) => self.log.get().is_none(),
        };
        let is_file = id(&self.path).is_ok_and(|found| self.file.get() == Some(&found));
        if is_file && is_log {
            return Ok(());
        }
        Err(DbError::Unavailable(format!(
            "the database file {}{} was removed or replaced while the server ran: put it back, or restart the server with \
             the file that is there now",
            self.path.display(),
            if is_file { "-wal" } else { "" }
        )))
    }

    /// Checks that the file can be written and that its disk has room.
    ///
    /// # Errors
    /// The file or its folder is not writable, or the disk has less than 1 MiB free.
    pub(super) fn check_free_space(&self) -> Result<(), DbError> {
        if let Err(error) =
            access(&self.path, Access::WRITE_OK).and_then(|()| access(folder(&self.path), Access::WRITE_OK))
        {
            let reason = io::Error::from(error);
            return Err(DbError::Unavailable(format!("{} cannot be written to: {reason}", self.path.display())));
        }
        match statvfs(folder(&self.path)) {
            Ok(disk) if disk.f_bavail.saturating_mul(disk.f_frsize) < MIN_FREE_SPACE => {
                Err(DbError::Unavailable(format!("the disk of the database file {} is full", self.path.display())))
            }
            _ => Ok(()),
        }
    }
}

/// Creates the folder of a file that is about to be created.
///
/// # Errors
/// The folder cannot be created.
pub(super) fn create_folder(path: &Path) -> Result<(), DbError> {
    let folder = folder(path);
    fs::create_dir_all(folder)
        // If a file is in the way, opening the database reports it.
        .or_else(|error| if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) })
        .map_err(|error| DbError::Unavailable(format!("the folder {} cannot be created: {error}", folder.display())))
}

/// Replaces SQLite's generic error for a file that cannot be opened with the operating system's.
pub(super) fn explain(path: &Path, error: DbError) -> DbError {
    let DbError::Unavailable(text) = error else { return error };
    let reason = |what: &Path, error: io::Error| DbError::Unavailable(format!("{}: {error}", what.display()));
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => return reason(path, io::ErrorKind::IsADirectory.into()),
        Ok(_) => {}
        Err(error) if error.kind() != io::ErrorKind::NotFound => return reason(path, error),
        // It is about to be created, or is missing.
        Err(error) => return reason(path, writable(folder(path)).err().unwrap_or(error)),
    }
    if let Err(error) = fs::OpenOptions::new().read(true).write(true).open(path) {
        return reason(path, error);
    }
    // The write-ahead log is in the same folder.
    match writable(folder(path)) {
        Err(error) => reason(folder(path), error),
        Ok(()) => DbError::Unavailable(text),
    }
}

fn writable(folder: &Path) -> io::Result<()> {
    fs::metadata(folder)?;
    access(folder, Access::WRITE_OK | Access::EXEC_OK)?;
    let disk = statvfs(folder)?;
    if disk.f_bavail == 0 {
        return Err(io::ErrorKind::StorageFull.into());
    }
    Ok(())
}

/// The folder of a file.
fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

fn id(path: &Path) -> io::Result<Id> {
    fs::metadata(path).map(|found| (found.dev(), found.ino()))
}
