//! The copy of a SQLite file that is taken before its first change.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    Chain, MigrationError,
    events::{Event, Progress},
    plan,
};
use crate::db::{Access, BackendUri, DbError, Direct};

/// What SQLite writes beside what is computed: journals of small changes.
const MARGIN: u64 = 16 << 20;

/// Copies the file and checks the copy. The transaction that is open on `direct` keeps others from writing.
pub(super) async fn make(
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
    let path = free.ok_or_else(|| MigrationError::Backup(format!("there is no name left like {stem}.db")))?;
    // What is not a backup, because the process was killed, must not look like one.
    let part = PathBuf::from(format!("{}.part", path.display()));
    let refused = |reason: String| MigrationError::Backup(format!("{}: {reason}", path.display()));
    let made = match copy(file, &part, progress).await {
        Ok(()) => verify(&part).await,
        Err(error) => Err(refused(error.to_string())),
    };
    let made = made.and_then(|()| std::fs::rename(&part, &path).map_err(|error| refused(error.to_string())));
    if made.is_err() {
        let _ = std::fs::remove_file(&part);
    }
    made.map(|()| path.clone())
}

async fn copy(file: &Path, path: &Path, progress: &mut Progress<'_>) -> Result<(), DbError> {
    // Made first, to have the permissions of the original before it has its contents.
    let unreadable = |error: std::io::Error| DbError::Unavailable(error.to_string());
    std::fs::File::create_new(path).map_err(unreadable)?;
    std::fs::metadata(file).and_then(|meta| std::fs::set_permissions(path, meta.permissions())).map_err(unreadable)?;
    let at = Arc::new((AtomicU64::new(0), AtomicU64::new(0)));
    let seen = Arc::clone(&at);
    let copying = Direct::back_up(file, path, move |done, total| {
        seen.0.store(done, Ordering::Relaxed);
        seen.1.store(total, Ordering::Relaxed);
    });
    tokio::pin!(copying);
    loop {
        tokio::select! {
            done = &mut copying => return done,
            () = tokio::time::sleep(Duration::from_millis(250)) => {
                let (done, total) = (at.0.load(Ordering::Relaxed), at.1.load(Ordering::Relaxed));
                progress.tell(Event::Backup { done, total });
            }
        }
    }
}

async fn verify(path: &Path) -> Result<(), MigrationError> {
    let copy = Direct::open(&BackendUri::Sqlite(path.to_owned()), Access::Look).await?;
    let problems = copy.texts("PRAGMA integrity_check(3)").await?;
    if problems == ["ok"] {
        return Ok(());
    }
    Err(MigrationError::Backup(format!(
        "the database is damaged, SQLite says: {}. Nothing was changed; repair it, or restore a backup",
        problems.join("; ")
    )))
}

/// Refuses to begin where the disk would be full before the end.
pub(super) async fn room(
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
    // A table that is copied is there twice, and once more in the journal.
    let copies = plan::copies(chain, from, to).await?;
    let needed = if with_backup { size } else { 0 } + if copies { size.saturating_mul(2) } else { size / 4 } + MARGIN;
    if free >= needed {
        return Ok(());
    }
    Err(MigrationError::Room(format!(
        "the disk of {} has {} MiB free, and the upgrade may need {} MiB{}. Nothing was changed",
        folder.display(),
        free >> 20,
        needed >> 20,
        if with_backup {
            ", the backup among it: make room, or keep a backup elsewhere and pass --no-backup"
        } else {
            ""
        }
    )))
}
