//! The storage of backups: a directory, or a prefix in a bucket.
//!
//! ```text
//! ferroflow-backup        what this is
//! backups/<id>.jsonl      one list for each backup, written last
//! blocks/ab/abcd…         the bytes, each block under its SHA-256
//! ```

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io::Write as _,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::{Bytes, BytesMut};
use ferroflow_artifacts::{ArtifactPath, ArtifactRepository};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use rustix::fs::FlockOperation;

use super::{
    create::Sources,
    manifest::{Hash, Manifest},
};

const MARKER: &str = "ferroflow-backup";
const MARKER_TEXT: &[u8] = b"Backups of ferroflow, form 1. Use `ferroflow restore`.\n";
const BACKUPS: &str = "backups";
const BLOCKS: &str = "blocks";
const SUFFIX: &str = ".jsonl";
/// The directory for database copies before they are split into blocks.
const STAGING: &str = "staging";

/// Selects a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackupSelector {
    /// The newest.
    Newest,
    /// The newest one taken at or before this time.
    At(Timestamp),
    /// The one with this id.
    Id(String),
}

impl BackupSelector {
    /// Parses `latest`, the id of a backup, or a time with its zone, such as `2026-01-02T03:04:05Z`.
    ///
    /// # Errors
    /// A time without a zone, or any other text.
    pub fn parse(text: &str) -> Result<Self> {
        if text == "latest" {
            return Ok(Self::Newest);
        }
        if text.get(8..9) == Some("T") && text.len() >= 16 && !text.contains(':') {
            return Ok(Self::Id(text.to_owned()));
        }
        text.parse().map(Self::At).map_err(|_| {
            anyhow::anyhow!("'{text}' is neither the name of a backup nor a time with its zone (2026-01-02T03:04:05Z)")
        })
    }
}

/// The storage of backups.
pub struct Vault {
    repository: ArtifactRepository,
    directory: Option<PathBuf>,
    name: String,
    /// Released when the process exits.
    lock: Option<File>,
}

impl Vault {
    /// Opens a vault to create or delete backups, and initializes an empty one. A lock excludes other writers in a
    /// directory; in a bucket the operator must do so.
    ///
    /// # Errors
    /// It contains something else or overlaps with the sources, is locked, or is not writable.
    pub async fn open_to_write(
        repository: ArtifactRepository,
        directory: Option<PathBuf>,
        sources: &Sources,
    ) -> Result<Self> {
        if let Some(directory) = &directory {
            sources.paths().try_for_each(|source| check_disjoint(directory, source))?;
            // It will contain users and their password hashes.
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory)
                .with_context(|| format!("{} cannot be created", directory.display()))?;
        }
        let mut vault = Self::new(repository, directory);
        let there = vault.repository.list(&ArtifactPath::root()).await.map_err(plain)?;
        if !there.iter().any(|entry| entry.name == MARKER) {
            if let Some(other) = there.first() {
                bail!(
                    "{} contains something else ({}): give backups a directory or prefix of their own",
                    vault.name,
                    other.name
                );
            }
            if vault.directory.is_none() {
                vault.put(MARKER, Bytes::from_static(MARKER_TEXT)).await?;
            }
        }
        vault.mark_and_lock()?;
        if let Some(staging) = vault.staging()
            && staging.exists()
        {
            std::fs::remove_dir_all(&staging).with_context(|| format!("{} cannot be emptied", staging.display()))?;
        }
        Ok(vault)
    }

    /// Opens an existing vault to read backups.
    ///
    /// # Errors
    /// There are no backups.
    pub async fn open_to_read(repository: ArtifactRepository, directory: Option<PathBuf>) -> Result<Self> {
        let mut vault = Self::new(repository, directory);
        let there = vault.repository.list(&ArtifactPath::root()).await.map_err(plain)?;
        ensure!(there.iter().any(|entry| entry.name == MARKER), "there are no backups in {}", vault.name);
        // Excludes running backups, which may delete old ones. There is no lock if the marker cannot be opened.
        if let Some(file) = vault.directory.as_ref().and_then(|directory| File::open(directory.join(MARKER)).ok()) {
            let held = "a backup is running there, which may delete old ones";
            vault.lock(file, FlockOperation::NonBlockingLockShared, held)?;
        }
        Ok(vault)
    }

    fn new(repository: ArtifactRepository, directory: Option<PathBuf>) -> Self {
        let name = repository.name();
        Self { repository, directory, name, lock: None }
    }

    /// Locks a directory exclusively. The marker is written under the lock, so that of several processes that find an
    /// empty directory only one goes on, and none takes the files of another for foreign ones.
    fn mark_and_lock(&mut self) -> Result<()> {
        let Some(directory) = &self.directory else { return Ok(()) };
        let path = directory.join(MARKER);
        // Open for writing: network file systems require it for an exclusive lock.
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = file.with_context(|| format!("{} cannot be written", path.display()))?;
        self.lock(file.try_clone()?, FlockOperation::NonBlockingLockExclusive, "another backup is running there")?;
        if file.metadata()?.len() < MARKER_TEXT.len() as u64 {
            file.write_all(MARKER_TEXT)?;
            file.sync_all()?;
        }
        Ok(())
    }

    fn lock(&mut self, file: File, operation: FlockOperation, held: &'static str) -> Result<()> {
        match rustix::fs::flock(&file, operation) {
            Ok(()) => self.lock = Some(file),
            Err(rustix::io::Errno::WOULDBLOCK) => bail!("{}: {held}", self.name),
            // Some network file systems do not support locks.
            Err(rustix::io::Errno::NOTSUP | rustix::io::Errno::NOSYS | rustix::io::Errno::NOLCK) => {}
            Err(error) => bail!("{} cannot be locked: {error}", self.name),
        }
        Ok(())
    }

    /// The name for operators.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The directory for database copies; it is emptied when the vault is opened.
    pub(super) fn staging(&self) -> Option<PathBuf> {
        self.directory.as_ref().map(|directory| directory.join(STAGING))
    }

    /// All backups, the oldest first. Unreadable ones are reported and omitted.
    ///
    /// # Errors
    /// The vault cannot be read.
    pub async fn manifests(&self, broken: &mut dyn FnMut(String)) -> Result<Vec<Manifest>> {
        let mut manifests = Vec::new();
        for id in self.ids().await? {
            match self.manifest(&id).await {
                Ok(manifest) => manifests.push(manifest),
                Err(error) => broken(format!("{error:#}")),
            }
        }
        manifests.sort_by(|a, b| (a.time, &a.id).cmp(&(b.time, &b.id)));
        Ok(manifests)
    }

    /// The ids of all backups.
    pub(super) async fn ids(&self) -> Result<Vec<String>> {
        let listed = self.repository.list(&path(BACKUPS)?).await.map_err(plain)?;
        Ok(listed.iter().filter_map(|entry| entry.name.strip_suffix(SUFFIX).map(str::to_owned)).collect())
    }

    /// The selected backup.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub async fn find(&self, wanted: &BackupSelector) -> Result<Manifest> {
        let mut broken = Vec::new();
        let manifests = match wanted {
            BackupSelector::Id(id) if self.ids().await?.contains(id) => return self.manifest(id).await,
            _ => self.manifests(&mut |reason| broken.push(reason)).await?,
        };
        // An older backup must not silently replace a damaged one.
        ensure!(broken.is_empty(), "{}; select a backup by its name", broken.join("; "));
        let found = match wanted {
            BackupSelector::Newest => manifests.last(),
            BackupSelector::At(time) => manifests.iter().rfind(|manifest| manifest.time <= *time),
            BackupSelector::Id(_) => None,
        };
        found.cloned().with_context(|| {
            let (Some(first), Some(last)) = (manifests.first(), manifests.last()) else {
                return format!("there are no backups in {}", self.name);
            };
            format!(
                "no such backup in {}: the oldest is {} ({}), the newest {} ({})",
                self.name, first.id, first.time, last.id, last.time
            )
        })
    }

    async fn manifest(&self, id: &str) -> Result<Manifest> {
        let bytes = self.get(&format!("{BACKUPS}/{id}{SUFFIX}")).await?;
        let manifest = Manifest::parse(&bytes).with_context(|| format!("the backup {id} cannot be used"))?;
        ensure!(manifest.id == id, "the backup {id} says that it is {}", manifest.id);
        Ok(manifest)
    }

    /// Adds a backup; all of its blocks must have been written.
    pub(super) async fn put_manifest(&self, manifest: &Manifest) -> Result<()> {
        self.sync()?;
        self.put(&format!("{BACKUPS}/{}{SUFFIX}", manifest.id), manifest.to_bytes()?.into()).await?;
        self.sync()
    }

    pub(super) async fn delete_manifest(&self, id: &str) -> Result<()> {
        self.repository.delete(&path(&format!("{BACKUPS}/{id}{SUFFIX}"))?).await.map_err(plain)?;
        self.sync()
    }

    /// Syncs all writes, including directory entries, to disk.
    fn sync(&self) -> Result<()> {
        match &self.directory {
            Some(directory) => sync_all(directory),
            None => Ok(()),
        }
    }

    pub(super) async fn put_block(&self, hash: Hash, bytes: Bytes) -> Result<()> {
        self.put(&block_path(hash), bytes).await
    }

    /// A block, with its checksum verified.
    pub(super) async fn block(&self, hash: Hash) -> Result<Bytes> {
        let bytes =
            self.get(&block_path(hash)).await.with_context(|| format!("a block of {} is missing", self.name))?;
        ensure!(Hash::of(&bytes) == hash, "the block {} of {} is damaged", block_path(hash), self.name);
        Ok(bytes)
    }

    /// The existing blocks, with their lengths in bytes if the listing has them.
    pub(super) async fn blocks(&self) -> Result<HashMap<Hash, Option<u64>>> {
        let folders = self.repository.list(&path(BLOCKS)?).await.map_err(plain)?;
        let listed = stream::iter(folders).map(|folder| async move {
            let folder = path(&format!("{BLOCKS}/{}", folder.name))?;
            self.repository.list(&folder).await.map_err(plain)
        });
        let listed: Vec<_> = listed.buffer_unordered(8).try_collect().await?;
        Ok(listed.into_iter().flatten().filter_map(|block| Some((block.name.parse().ok()?, block.size))).collect())
    }

    /// Deletes all blocks except these; returns their number and size in bytes.
    pub(super) async fn sweep(&self, keep: &HashSet<Hash>) -> Result<(u64, u64)> {
        let unused = self.blocks().await?.into_iter().filter(|(hash, _)| !keep.contains(hash));
        let deleted = stream::iter(unused).map(|(hash, size)| async move {
            self.repository.delete(&path(&block_path(hash))?).await.map_err(plain)?;
            anyhow::Ok(size.unwrap_or_default())
        });
        let sizes: Vec<u64> = deleted.buffer_unordered(8).try_collect().await?;
        self.sweep_unfinished()?;
        Ok((sizes.len() as u64, sizes.iter().sum::<u64>()))
    }

    /// Removes temporary files of killed backups, blocks and manifests: listings omit them, so the directory itself is read.
    fn sweep_unfinished(&self) -> Result<()> {
        let Some(directory) = &self.directory else { return Ok(()) };
        let mut folders = vec![directory.join(BACKUPS)];
        for folder in std::fs::read_dir(directory.join(BLOCKS)).into_iter().flatten() {
            folders.push(folder?.path());
        }
        for folder in folders {
            for file in std::fs::read_dir(folder)? {
                let file = file?;
                if file.file_name().to_string_lossy().starts_with(".mlflow-tmp-") {
                    std::fs::remove_file(file.path())?;
                }
            }
        }
        Ok(())
    }

    async fn put(&self, name: &str, bytes: Bytes) -> Result<()> {
        let length = bytes.len() as u64;
        let body = Box::pin(stream::once(async move { Ok(bytes) }));
        let written = self.repository.write(&path(name)?, body, Some(length)).await;
        written.map_err(plain).with_context(|| format!("{} does not take {name}", self.name))
    }

    async fn get(&self, name: &str) -> Result<Bytes> {
        let opened = self.repository.open(&path(name)?, None, None).await.map_err(plain)?;
        let mut bytes = BytesMut::with_capacity(usize::try_from(opened.stat.size)?);
        let mut body = opened.body;
        while let Some(chunk) = body.next().await {
            bytes.extend_from_slice(&chunk.with_context(|| format!("{name} of {} cannot be read", self.name))?);
        }
        Ok(bytes.freeze())
    }
}

/// A vault inside its own source would grow without end.
fn check_disjoint(place: &Path, source: &Path) -> Result<()> {
    let (place, source) = (real(place)?, real(source)?);
    if place.starts_with(&source) || (source.is_dir() && source.starts_with(&place)) {
        bail!(
            "{} and {} lie within each other: give backups a directory of their own",
            place.display(),
            source.display()
        );
    }
    Ok(())
}

/// The canonical path, which may not exist yet, nor some of its parents.
fn real(path: &Path) -> Result<PathBuf> {
    let path = std::path::absolute(path)?;
    let above = path.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    match above {
        Some((above, real)) => Ok(real.join(path.strip_prefix(above)?)),
        None => Ok(path),
    }
}

/// Syncs the file system of a directory.
pub(super) fn sync_all(directory: &Path) -> Result<()> {
    let opened = File::open(directory).with_context(|| format!("{} cannot be opened", directory.display()))?;
    rustix::fs::syncfs(&opened).with_context(|| format!("the disk of {} failed", directory.display()))
}

fn block_path(hash: Hash) -> String {
    let hash = hash.to_string();
    format!("{BLOCKS}/{}/{hash}", &hash[..2])
}

fn path(name: &str) -> Result<ArtifactPath> {
    ArtifactPath::parse(name).map_err(plain)
}

fn plain(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow::anyhow!("{error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_is_named_by_its_name_or_by_a_time_with_its_zone() {
        assert_eq!(BackupSelector::parse("latest").unwrap(), BackupSelector::Newest);
        assert_eq!(
            BackupSelector::parse("20260102T030405Z-2").unwrap(),
            BackupSelector::Id("20260102T030405Z-2".into())
        );
        let time = BackupSelector::At("2026-01-02T01:04:05Z".parse().unwrap());
        assert_eq!(BackupSelector::parse("2026-01-02T03:04:05+02:00").unwrap(), time);
        assert_eq!(BackupSelector::parse("2026-01-02 03:04:05+02:00").unwrap(), time);
        for text in ["2026-01-02T03:04:05", "2026-01-02", "yesterday", ""] {
            let refused = BackupSelector::parse(text).unwrap_err().to_string();
            assert!(refused.contains("with its zone"), "{text}: {refused}");
        }
    }
}
