//! The backup of a SQLite file before its first change.

use std::path::{Path, PathBuf};

use super::{
    Chain, MigrationError,
    events::{Event, Progress},
    plan,
};
use crate::{
    db::Direct,
    upkeep::snapshot::{self, SnapshotError},
};

/// Space for SQLite's journals of small changes, beyond the computed need, in bytes.
const MARGIN: u64 = 16 << 20;

/// Copies the file and checks the copy. The open transaction on `direct` blocks other writers.
pub(super) async fn create(
    direct: &Direct,
    revision: Option<&str>,
    progress: &mut Progress<'_>,
) -> Result<PathBuf, MigrationError> {
    let Some(file) = direct.file() else {
        return Err(MigrationError::Backup("only a SQLite file is copied".to_owned()));
    };
    let time = direct.texts("SELECT strftime('%Y%m%dT%H%M%SZ', 'now')").await?.concat();
    let stem = format!("{}.before-{}-{time}", file.display(), revision.unwrap_or("first"));
    let names = std::iter::once(format!("{stem}.db")).chain((2..).map(|number| format!("{stem}-{number}.db")));
    let free = names.map(PathBuf::from).find(|path| !path.exists());
    let path = free.ok_or_else(|| MigrationError::Backup(format!("all names like {stem}.db are taken")))?;
    // An incomplete backup of a killed process must not look like a complete one.
    let part = PathBuf::from(format!("{}.part", path.display()));
    let refused = |reason: String| MigrationError::Backup(format!("{}: {reason}", path.display()));
    let made = snapshot::copy(file, &part, &mut |done, total| progress.report(Event::Backup { done, total })).await;
    let made = made.map_err(|error| match error {
        SnapshotError::Damaged(_) => {
            MigrationError::Backup(format!("{error}. Nothing was changed; repair it, or restore a backup"))
        }
        error => refused(error.to_string()),
    });
    let made = made.and_then(|()| std::fs::rename(&part, &path).map_err(|error| refused(error.to_string())));
    if made.is_err() {
        let _ = std::fs::remove_file(&part);
    }
    made.map(|()| path.clone())
}

/// Fails if the disk would become full during the upgrade.
pub(super) async fn check_disk_space(
    direct: &Direct,
    chain: &'static Chain,
    from: usize,
    to: usize,
    with_backup: bool,
) -> Result<(), MigrationError> {
    let Some(file) = direct.file() else { return Ok(()) };
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(stat) = rustix::fs::statvfs(folder) else { return Ok(()) };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let pages = direct.number("PRAGMA page_count").await?;
    let page = direct.number("PRAGMA page_size").await?;
    let size = u64::try_from(pages.saturating_mul(page)).unwrap_or_default();
    // A copied table exists twice, and a third time in the journal.
    let copies = plan::copies(chain, from, to).await?;
    let needed = if with_backup { size } else { 0 } + if copies { size.saturating_mul(2) } else { size / 4 } + MARGIN;
    if free >= needed {
        return Ok(());
    }
    Err(MigrationError::DiskSpace(format!(
        "the disk of {} has {} MiB free, and the upgrade may need {} MiB{}. Nothing was changed",
        folder.display(),
        free >> 20,
        needed >> 20,
        if with_backup {
            " including the backup: free space, or keep a backup elsewhere and pass --no-backup"
        } else {
            ""
        }
    )))
}
