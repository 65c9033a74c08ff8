//! Creates a backup.

use std::{
    collections::{HashMap, HashSet},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use ferroflow_store::{
    db::BackendUri,
    migrations::{self, State},
    upkeep::snapshot,
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use tokio::task::spawn_blocking;

use super::{
    Event, OnEvent, Role,
    blocks::{self, Blocks},
    manifest::{Database, FileEntry, Hash, LinkEntry, Manifest},
    vault::Vault,
    walk::{self, Entry, FileMeta},
};
use crate::clock;

/// Maximum number of files copied concurrently.
const CONCURRENT_FILES: usize = 4;

/// A file modified this shortly before the last backup is read again: a later write may have the same modification
/// time, because of the resolution of the file system.
const MTIME_MARGIN: Duration = Duration::from_secs(2);

/// How often a file is read if it changes meanwhile.
const ATTEMPTS: usize = 3;

/// The data to back up.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The tracking database.
    pub tracking: PathBuf,
    /// The users database, if it is a separate file.
    pub users: Option<PathBuf>,
    /// The artifact directory.
    pub artifacts: Option<PathBuf>,
    /// Read every artifact instead of trusting size and modification time.
    pub read_all: bool,
}

impl Sources {
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        let others = self.users.iter().chain(&self.artifacts);
        std::iter::once(&self.tracking).chain(others).map(PathBuf::as_path)
    }
}

/// A created backup.
#[derive(Debug, Clone)]
pub struct CreateOutcome {
    /// Its manifest.
    pub manifest: Manifest,
    /// Number of artifacts that were unchanged since an older backup.
    pub unchanged: usize,
}

/// Creates a backup. It is complete and durable when this returns.
///
/// # Errors
/// A database is damaged, or something cannot be read or written.
pub async fn create(vault: &Vault, sources: &Sources, on_event: &OnEvent) -> Result<CreateOutcome> {
    let older = vault.manifests(&mut |reason| on_event(Event::Note(format!("skipped: {reason}")))).await?;
    let existing = existing_blocks(vault, &older, on_event).await?;
    // A block that was damaged without changing its length is only detected by reading it, so all are written again.
    let known = if sources.read_all { HashSet::new() } else { existing.clone() };
    let blocks = Blocks::new(vault, known);
    let staging = Staging::new(vault)?;

    let time = clock::now();
    for ahead in older.iter().filter(|manifest| manifest.time > time) {
        on_event(Event::Note(format!(
            "the backup {} has a time in the future: a clock is or was wrong. `latest` selects it while it exists; \
             restore by name (--at), or delete its manifest",
            ahead.id
        )));
    }
    let mut databases = Vec::new();
    if let Some(users) = &sources.users {
        databases.push(database(Role::Users, users, &staging, &blocks, on_event).await?);
    }
    databases.push(database(Role::Tracking, &sources.tracking, &staging, &blocks, on_event).await?);
    drop(staging);

    let mut manifest = Manifest {
        id: free_id(vault, time).await?,
        time,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        databases,
        artifacts: sources.artifacts.as_ref().map(|path| path.display().to_string()),
        added: 0,
        files: Vec::new(),
        links: Vec::new(),
    };
    let mut unchanged = 0;
    if let Some(root) = &sources.artifacts {
        let trusted = if sources.read_all { HashMap::new() } else { trusted(older, root, &existing) };
        let (files, links, same) = artifacts(root, &trusted, &blocks, on_event).await?;
        (manifest.files, manifest.links, unchanged) = (files, links, same);
    }
    manifest.added = blocks.added();
    vault.put_manifest(&manifest).await?;
    Ok(CreateOutcome { manifest, unchanged })
}

/// The directory for database copies: in the vault, or a temporary one.
struct Staging {
    path: PathBuf,
    _temporary: Option<tempfile::TempDir>,
}

impl Staging {
    fn new(vault: &Vault) -> Result<Self> {
        let Some(path) = vault.staging() else {
            let temporary = tempfile::Builder::new().prefix("ferroflow-backup-").tempdir();
            let temporary = temporary.context("no temporary directory for a copy of the database")?;
            return Ok(Self { path: temporary.path().to_owned(), _temporary: Some(temporary) });
        };
        std::fs::create_dir(&path).with_context(|| format!("{} cannot be created", path.display()))?;
        Ok(Self { path, _temporary: None })
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // The next backup removes what remains.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

async fn database(
    role: Role,
    file: &Path,
    staging: &Staging,
    blocks: &Blocks<'_>,
    on_event: &OnEvent,
) -> Result<Database> {
    let copy = staging.path.join(format!("{role}.db"));
    let mut pages = |done, total| on_event(Event::Pages { role, done, total });
    let copied = snapshot::copy(file, &copy, &mut pages).await;
    copied.with_context(|| format!("the {role} database {} cannot be copied", file.display()))?;
    let uri = BackendUri::Sqlite(copy.clone());
    let revision = match migrations::state(&uri, role.chain()).await {
        Ok(State::At(revision)) => revision.map(str::to_owned),
        Ok(State::Empty) => bail!("the {role} database {} has no tables of MLflow", file.display()),
        // A newer revision is backed up like any other.
        Err(migrations::MigrationError::Unknown { found, .. }) => Some(found),
        Err(error) => return Err(error.into()),
    };
    if role == Role::Tracking {
        for location in snapshot::foreign_locations(&uri).await? {
            on_event(Event::Note(format!("experiments keep artifacts in {location}, which is not in the backup")));
        }
    }
    let rows = snapshot::rows(&uri).await?;
    let (hashes, size) = blocks.add(&copy, blocks::OF_DATABASE).await?;
    std::fs::remove_file(&copy)?;
    Ok(Database { role, revision, rows, size, blocks: hashes })
}

async fn free_id(vault: &Vault, time: Timestamp) -> Result<String> {
    let taken = vault.ids().await?;
    let name = time.strftime("%Y%m%dT%H%M%SZ").to_string();
    let names = std::iter::once(name.clone()).chain((2..).map(|number| format!("{name}-{number}")));
    names.into_iter().find(|name| !taken.contains(name)).context("all names are taken")
}

/// The blocks of older backups that still exist with the right length. A lifecycle rule of the bucket or a person may
/// have deleted some, and a backup must not rely on them.
async fn existing_blocks(vault: &Vault, older: &[Manifest], on_event: &OnEvent) -> Result<HashSet<Hash>> {
    let listed = vault.blocks().await?;
    let wanted: HashMap<_, _> = older.iter().flat_map(Manifest::lengths).collect();
    let is_intact =
        |hash: &Hash, length: u64| listed.get(hash).is_some_and(|listed| listed.is_none_or(|listed| listed == length));
    let existing: HashSet<_> =
        wanted.iter().filter(|(hash, length)| is_intact(hash, **length)).map(|(hash, _)| *hash).collect();
    let lost = wanted.len() - existing.len();
    if lost > 0 {
        on_event(Event::Note(format!(
            "{lost} blocks of older backups are missing or truncated: those that this backup needs are written again; \
             --check says which backups lack the others"
        )));
    }
    Ok(existing)
}

/// The files in the newest backup of this directory whose size and modification time can be trusted, and whose blocks
/// exist.
fn trusted(mut older: Vec<Manifest>, root: &Path, existing: &HashSet<Hash>) -> HashMap<String, FileEntry> {
    let root = root.display().to_string();
    let Some(place) = older.iter().rposition(|manifest| manifest.artifacts.as_deref() == Some(&root)) else {
        return HashMap::new();
    };
    let last = older.swap_remove(place);
    let limit = i64::try_from(last.time.as_nanosecond()).unwrap_or(i64::MAX);
    let limit = limit.saturating_sub(i64::try_from(MTIME_MARGIN.as_nanos()).unwrap_or_default());
    let candidates = last.files.into_iter().filter(|file| file.modified < limit);
    let candidates = candidates.filter(|file| file.blocks.iter().all(|hash| existing.contains(hash)));
    candidates.map(|file| (file.path.clone(), file)).collect()
}

type Artifacts = (Vec<FileEntry>, Vec<LinkEntry>, usize);

async fn artifacts(
    root: &Path,
    trusted: &HashMap<String, FileEntry>,
    blocks: &Blocks<'_>,
    on_event: &OnEvent,
) -> Result<Artifacts> {
    let (walked, progress) = (root.to_owned(), Arc::clone(on_event));
    let entries = spawn_blocking(move || walk::walk(&walked, &|found| progress(Event::Found(found)))).await??;
    let (mut seen, mut links) = (Vec::new(), Vec::new());
    for entry in entries {
        match entry {
            Entry::File(file) => seen.push(file),
            Entry::Link(path, target) => links.push(LinkEntry { path, target }),
        }
    }
    let (total, done) = (seen.len() as u64, AtomicU64::new(0));
    let copied = stream::iter(seen).map(|file| {
        let done = &done;
        async move {
            let same = trusted.get(&file.path).filter(|old| old.size == file.size && old.modified == file.modified);
            let entry = match same {
                Some(old) => Some((old.clone(), true)),
                None => copy_file(root, file, blocks, on_event).await?.map(|entry| (entry, false)),
            };
            on_event(Event::Files { done: done.fetch_add(1, Ordering::Relaxed) + 1, total });
            anyhow::Ok(entry)
        }
    });
    let copied: Vec<_> = copied.buffer_unordered(CONCURRENT_FILES).try_collect().await?;
    let unchanged = copied.iter().flatten().filter(|(_, same)| *same).count();
    let mut files: Vec<_> = copied.into_iter().flatten().map(|(file, _)| file).collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    links.sort_by(|a, b| a.path.cmp(&b.path));
    Ok((files, links, unchanged))
}

/// Copies one file; `None` if it was deleted meanwhile.
async fn copy_file(
    root: &Path,
    mut file: FileMeta,
    blocks: &Blocks<'_>,
    on_event: &OnEvent,
) -> Result<Option<FileEntry>> {
    let below = walk::below(&file.path)?;
    let path = root.join(&below);
    for attempt in 1.. {
        let is_missing = |error: &anyhow::Error| {
            error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
        };
        let (hashes, size) = match blocks.add(&path, blocks::OF_ARTIFACT).await {
            Ok(added) => added,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(error.context(path.display().to_string())),
        };
        let now = match std::fs::metadata(&path) {
            Ok(meta) => walk::file_meta(&below, &meta),
            // It was deleted after it was read: what was read is valid.
            Err(_) => file.clone(),
        };
        if now == file && size == file.size || attempt == ATTEMPTS {
            if now != file || size != file.size {
                // The server replaces files atomically; anything else that writes to them in place is caught in the
                // middle.
                on_event(Event::Note(format!(
                    "{} was changing while it was read; the last version read is in the backup",
                    path.display()
                )));
            }
            return Ok(Some(FileEntry { path: file.path, size, modified: file.modified, blocks: hashes }));
        }
        file = now;
    }
    Ok(None)
}
