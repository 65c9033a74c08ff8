//! Restores a backup. Everything is assembled and verified beside its target, then renamed into place, the tracking
//! database last. An interruption before that leaves no database that could be served.

use std::{
    ffi::OsString,
    fs::{File, FileTimes},
    io::Write as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, bail, ensure};
use ferroflow_store::{
    accounts::{login_epoch, roster},
    db::BackendUri,
    upkeep::snapshot::{self, SnapshotError},
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use rustix::fs::FlockOperation;

use super::{
    Event, OnEvent, Role,
    manifest::{Database, FileEntry, Hash, LinkEntry, Manifest},
    vault::{Vault, sync_all},
    walk,
};
use crate::clock;

/// Suffix of targets that are not complete yet.
const PARTIAL_SUFFIX: &str = ".restoring";

/// Suffixes of the files that SQLite keeps beside a database.
const SIDECAR_SUFFIXES: [&str; 3] = ["-wal", "-shm", "-journal"];

/// The targets of a restore.
#[derive(Debug, Clone)]
pub struct Targets {
    /// The tracking database.
    pub tracking: PathBuf,
    /// The users database; `None` omits it.
    pub users: Option<PathBuf>,
    /// The artifact directory; `None` omits the artifacts.
    pub artifacts: Option<PathBuf>,
    /// Move existing targets aside.
    pub force: bool,
    /// Keep the existing users instead of those in the backup.
    pub keep_users: bool,
}

/// The side effects of a restore.
#[derive(Debug, Clone, Default)]
pub struct RestoreOutcome {
    /// How the restored users differ from the existing ones, one line each; `None` if there is nothing to compare.
    pub users: Option<Vec<String>>,
    /// Experiments and models that kept users had grants on, and that are not in the backup.
    pub dropped: Vec<String>,
}

/// Restores a backup, and invalidates all browser sessions.
///
/// # Errors
/// A target exists and `force` is not set, a server has it open, or a block is missing or damaged.
pub async fn restore(
    vault: &Vault,
    manifest: &Manifest,
    targets: &Targets,
    on_event: &OnEvent,
) -> Result<RestoreOutcome> {
    let mut places = vec![(Role::Tracking, &targets.tracking)];
    let kept = targets.users.as_ref().filter(|_| targets.keep_users);
    places.extend(targets.users.as_ref().filter(|_| kept.is_none()).map(|path| (Role::Users, path)));
    let mut databases = Vec::new();
    for (role, path) in places {
        let found = manifest.databases.iter().find(|database| database.role == role);
        let database = found.with_context(|| format!("the backup {} has no {role} database", manifest.id))?;
        databases.push((database, path));
    }
    let artifacts = targets.artifacts.as_ref();
    ensure!(artifacts.is_none() || manifest.artifacts.is_some(), "the backup {} has no artifacts", manifest.id);
    let mut files: Vec<&PathBuf> = databases.iter().map(|(_, path)| *path).collect();
    files.extend(kept);
    if let Some(first) = existing_targets(&files, artifacts)?.first()
        && !targets.force
    {
        bail!("{} exists already: restore to another path, or move it aside with --force", first.display());
    }
    if let Some(path) = kept {
        ensure!(path.exists(), "{} does not exist: there are no users to keep", path.display());
    }
    for path in &files {
        checkpoint(path, on_event).await?;
    }

    let mut locks = Vec::new();
    for (database, path) in &databases {
        locks.push(put_database(vault, database, &with_suffix(path, PARTIAL_SUFFIX), on_event).await?);
    }
    if let Some(root) = artifacts {
        put_artifacts(vault, manifest, &with_suffix(root, PARTIAL_SUFFIX), on_event).await?;
    }
    let mut restored = RestoreOutcome::default();
    if let Some(path) = kept {
        let copy = with_suffix(path, PARTIAL_SUFFIX);
        remove(&copy);
        snapshot::copy(path, &copy, &mut |_, _| ()).await?;
        restored.dropped = roster::drop_orphaned_grants(&copy, &with_suffix(&targets.tracking, PARTIAL_SUFFIX)).await?;
    }
    for path in &files {
        end_sessions(path, &mut restored.users, on_event).await?;
    }
    for path in files.iter().copied().chain(artifacts) {
        sync_all(folder(path))?;
    }

    // The old database must never be served with the new artifacts: it is moved away first, and the new one comes last.
    let time = clock::now().strftime("%Y%m%dT%H%M%S%.3fZ").to_string();
    for path in existing_targets(&files, artifacts)? {
        let aside = free_name(&path, &time)?;
        on_event(Event::Note(format!("moving {} to {}", path.display(), aside.display())));
        std::fs::rename(&path, &aside).with_context(|| format!("{} cannot be moved aside", path.display()))?;
    }
    let ready = artifacts.into_iter().chain(files.iter().rev().copied());
    for path in ready {
        let from = with_suffix(path, PARTIAL_SUFFIX);
        std::fs::rename(&from, path).with_context(|| format!("{} cannot be put in place", path.display()))?;
        sync_all(folder(path))?;
    }
    Ok(restored)
}

/// Invalidates the sessions in a restored database, if it has users, and records how they differ from the existing
/// ones.
async fn end_sessions(path: &Path, differences: &mut Option<Vec<String>>, on_event: &OnEvent) -> Result<()> {
    let copy = with_suffix(path, PARTIAL_SUFFIX);
    let uri = |path: &Path| BackendUri::Sqlite(path.to_owned());
    let compared = async {
        let Some(old) = roster::roster(&uri(&copy)).await? else { return Ok(false) };
        if path.exists()
            && let Some(newer) = roster::roster(&uri(path)).await?
        {
            differences.get_or_insert_default().extend(old.differences(&newer));
        }
        anyhow::Ok(true)
    };
    let has_users = compared.await.unwrap_or_else(|error| {
        on_event(Event::Note(format!("the users of {} cannot be compared: {error:#}", path.display())));
        true
    });
    if has_users {
        let ended = async {
            login_epoch::end_sessions_of(&copy).await?;
            snapshot::checkpoint(&copy).await?;
            File::open(&copy)?.sync_all()?;
            anyhow::Ok(())
        };
        ended.await.with_context(|| format!("the sessions of {} cannot be ended", copy.display()))?;
    }
    Ok(())
}

/// Existing targets, the tracking database first.
fn existing_targets(files: &[&PathBuf], artifacts: Option<&PathBuf>) -> Result<Vec<PathBuf>> {
    let mut existing = Vec::new();
    for path in files {
        let all =
            std::iter::once((*path).clone()).chain(SIDECAR_SUFFIXES.iter().map(|suffix| with_suffix(path, suffix)));
        existing.extend(all.filter(|path| path.symlink_metadata().is_ok()));
    }
    if let Some(root) = artifacts
        && root.symlink_metadata().is_ok()
    {
        let is_empty = root.is_dir() && std::fs::read_dir(root)?.next().is_none();
        if !is_empty {
            existing.push(root.clone());
        }
    }
    Ok(existing)
}

/// Checkpoints a database that is to be moved aside into a single file, and checks that it is not in use.
async fn checkpoint(path: &Path, on_event: &OnEvent) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    match snapshot::checkpoint(path).await {
        Ok(()) => Ok(()),
        Err(error @ SnapshotError::InUse(_)) => Err(error.into()),
        Err(error) => {
            on_event(Event::Note(format!("{} is moved aside without a checkpoint: {error}", path.display())));
            Ok(())
        }
    }
}

async fn put_database(vault: &Vault, database: &Database, to: &Path, on_event: &OnEvent) -> Result<File> {
    let role = database.role;
    std::fs::create_dir_all(folder(to)).with_context(|| format!("{} cannot be created", folder(to).display()))?;
    let mut options = File::options();
    options.write(true).create(true).truncate(false);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(to).with_context(|| format!("{} cannot be written", to.display()))?;
    if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) == Err(rustix::io::Errno::WOULDBLOCK) {
        bail!("another restore is writing {}", to.display());
    }
    // A killed restore may have left data.
    file.set_len(0)?;
    remove_sidecars(to);
    write_blocks(vault, &file, &database.blocks, &|done, total| on_event(Event::Pages { role, done, total })).await?;
    ensure!(file.metadata()?.len() == database.size, "{} does not have the size recorded in the backup", to.display());
    file.sync_all()?;
    let rows = async {
        snapshot::verify(to).await?;
        snapshot::rows(&BackendUri::Sqlite(to.to_owned())).await
    };
    let rows = rows.await.with_context(|| format!("the restored {role} database"))?;
    ensure!(rows == database.rows, "the restored {role} database does not have the row counts recorded in the backup");
    Ok(file)
}

/// Removes what a killed restore may have left of a database.
fn remove(path: &Path) {
    let _ = std::fs::remove_file(path);
    remove_sidecars(path);
}

fn remove_sidecars(path: &Path) {
    for suffix in SIDECAR_SUFFIXES {
        let _ = std::fs::remove_file(with_suffix(path, suffix));
    }
}

async fn put_artifacts(vault: &Vault, manifest: &Manifest, to: &Path, on_event: &OnEvent) -> Result<()> {
    if to.exists() {
        std::fs::remove_dir_all(to).with_context(|| format!("{} cannot be removed", to.display()))?;
    }
    std::fs::create_dir_all(to).with_context(|| format!("{} cannot be created", to.display()))?;
    let (total, done) = (manifest.files() as u64, AtomicU64::new(0));
    let written = stream::iter(&manifest.files).map(|file| {
        let done = &done;
        async move {
            put_file(vault, file, to).await?;
            on_event(Event::Files { done: done.fetch_add(1, Ordering::Relaxed) + 1, total });
            anyhow::Ok(())
        }
    });
    written.buffer_unordered(4).try_collect::<()>().await?;
    // Last, so that no file is written through a link.
    manifest.links.iter().try_for_each(|link| put_link(link, to))
}

async fn put_file(vault: &Vault, entry: &FileEntry, root: &Path) -> Result<()> {
    let path = root.join(walk::below(&entry.path)?);
    let refused = || format!("{} cannot be written", path.display());
    std::fs::create_dir_all(folder(&path)).with_context(refused)?;
    let file = File::create_new(&path).with_context(refused)?;
    write_blocks(vault, &file, &entry.blocks, &|_, _| ()).await?;
    ensure!(file.metadata()?.len() == entry.size, "{} does not have the size recorded in the backup", path.display());
    // The next backup recognizes it as unchanged.
    file.set_times(FileTimes::new().set_modified(time(entry.modified))).with_context(refused)
}

fn put_link(link: &LinkEntry, root: &Path) -> Result<()> {
    let path = root.join(walk::below(&link.path)?);
    let refused = || format!("{} cannot be created", path.display());
    std::fs::create_dir_all(folder(&path)).with_context(refused)?;
    std::os::unix::fs::symlink(walk::unescape(&link.target), &path).with_context(refused)
}

async fn write_blocks(
    vault: &Vault,
    mut file: &File,
    blocks: &[Hash],
    on_event: &(dyn Fn(u64, u64) + Sync),
) -> Result<()> {
    for (number, hash) in (1..).zip(blocks) {
        file.write_all(&vault.block(*hash).await?)?;
        on_event(number, blocks.len() as u64);
    }
    Ok(())
}

fn time(nanoseconds: i64) -> SystemTime {
    let away = Duration::from_nanos(nanoseconds.unsigned_abs());
    if nanoseconds < 0 { UNIX_EPOCH - away } else { UNIX_EPOCH + away }
}

/// `mlflow.db` and `-wal` → `mlflow.db-wal`.
fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().map_or_else(OsString::new, OsString::from);
    name.push(suffix);
    path.with_file_name(name)
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The name that a target is moved to. Files of SQLite keep their suffix.
fn free_name(path: &Path, time: &str) -> Result<PathBuf> {
    let name = path.to_string_lossy();
    let (whole, suffix) = SIDECAR_SUFFIXES
        .iter()
        .find_map(|suffix| name.strip_suffix(suffix).map(|whole| (PathBuf::from(whole), *suffix)))
        .unwrap_or_else(|| (path.to_owned(), ""));
    let aside = with_suffix(&whole, &format!(".before-restore-{time}{suffix}"));
    ensure!(aside.symlink_metadata().is_err(), "{} exists already: try again in a second", aside.display());
    Ok(aside)
}
