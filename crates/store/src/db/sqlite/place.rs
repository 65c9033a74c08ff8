//! Where a SQLite file lies: why it can not be opened, whether it is still there, whether its disk has room.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use rustix::fs::{Access, access, statvfs};

use crate::db::DbError;

/// Bytes that a disk must have free for the next transactions.
const LEAST_ROOM: u64 = 1 << 20;

/// A file that is open. SQLite goes on with a file whose name is gone, and what it commits then is gone with the
/// process.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    file: OnceLock<Id>,
    /// The write-ahead log, once there is one. SQLite deletes it with the last connection, and not before.
    log: OnceLock<Id>,
}

/// What tells a file from another one of the same name: its device and its number there.
type Id = (u64, u64);

impl Place {
    /// The place of a file that was opened a moment ago.
    pub(super) fn of(path: &Path) -> Self {
        let place = Self { path: path.to_owned(), file: OnceLock::new(), log: OnceLock::new() };
        if let Ok(file) = id(path) {
            let _ = place.file.set(file);
        }
        place
    }

    /// Whether the open file is the one that its path leads to. Asked after a commit, before it is acknowledged.
    ///
    /// # Errors
    /// It is not: what was committed will not be found again.
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
            "the database file {}{} was removed or replaced while the server ran: put it back, or restart the server on \
             what is there now",
            self.path.display(),
            if is_file { "-wal" } else { "" }
        )))
    }

    /// Whether the file can be written to, and its disk has room.
    ///
    /// # Errors
    /// It can not, or the disk is as good as full.
    pub(super) fn room(&self) -> Result<(), DbError> {
        if let Err(error) =
            access(&self.path, Access::WRITE_OK).and_then(|()| access(folder(&self.path), Access::WRITE_OK))
        {
            let reason = io::Error::from(error);
            return Err(DbError::Unavailable(format!("{} can not be written to: {reason}", self.path.display())));
        }
        match statvfs(folder(&self.path)) {
            Ok(disk) if disk.f_bavail.saturating_mul(disk.f_frsize) < LEAST_ROOM => {
                Err(DbError::Unavailable(format!("the disk of the database file {} is full", self.path.display())))
            }
            _ => Ok(()),
        }
    }
}

/// Makes the folder of a file that is to be made.
///
/// # Errors
/// It can not be made.
pub(super) fn make_folder(path: &Path) -> Result<(), DbError> {
    let folder = folder(path);
    fs::create_dir_all(folder)
        // A file that is in the way is found where it is opened.
        .or_else(|error| if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) })
        .map_err(|error| DbError::Unavailable(format!("the folder {} can not be made: {error}", folder.display())))
}

/// The reason of the system why a file can not be opened, in place of SQLite's words, which are the same for all.
pub(super) fn explain(path: &Path, error: DbError) -> DbError {
    let DbError::Unavailable(text) = error else { return error };
    let reason = |what: &Path, error: io::Error| DbError::Unavailable(format!("{}: {error}", what.display()));
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => return reason(path, io::ErrorKind::IsADirectory.into()),
        Ok(_) => {}
        Err(error) if error.kind() != io::ErrorKind::NotFound => return reason(path, error),
        // To be made, or missing.
        Err(error) => return reason(path, writable(folder(path)).err().unwrap_or(error)),
    }
    if let Err(error) = fs::OpenOptions::new().read(true).write(true).open(path) {
        return reason(path, error);
    }
    // The write-ahead log lies beside the file.
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
