//! The place where backups are kept: a directory, or a prefix of a bucket.
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
const MARKED: &[u8] = b"Backups of ferroflow, form 1. Use `ferroflow restore`.\n";
const BACKUPS: &str = "backups";
const BLOCKS: &str = "blocks";
const SUFFIX: &str = ".jsonl";
/// Where databases are copied to before they are cut into blocks.
const STAGING: &str = "staging";

/// Which backup is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The newest.
    Newest,
    /// The newest that was taken at this time or before.
    At(Timestamp),
    /// The one of this name.
    Id(String),
}

impl Wanted {
    /// `latest`, the name of a backup, or a time with its zone, as `2026-01-02T03:04:05Z`.
    ///
    /// # Errors
    /// A time without a zone, or anything else.
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

/// The place of the backups.
pub struct Vault {
    repository: ArtifactRepository,
    directory: Option<PathBuf>,
    name: String,
    /// Released with the process, however it ends.
    lock: Option<File>,
}

impl Vault {
    /// Opens a place to add a backup or to take one away, and makes it where there is nothing yet. Nobody else does
    /// either meanwhile, in a directory; in a bucket it is for the operator to see to that.
    ///
    /// # Errors
    /// It holds something else, or is within what is backed up; somebody else works on it, or it can not be written.
    pub async fn open_to_write(
        repository: ArtifactRepository,
        directory: Option<PathBuf>,
        sources: &Sources,
    ) -> Result<Self> {
        if let Some(directory) = &directory {
            sources.paths().try_for_each(|source| apart(directory, source))?;
            // Users and their password hashes will be in it.
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory)
                .with_context(|| format!("{} can not be made", directory.display()))?;
        }
        let mut vault = Self::new(repository, directory);
        let there = vault.repository.list(&ArtifactPath::root()).await.map_err(plain)?;
        if !there.iter().any(|entry| entry.name == MARKER) {
            if let Some(other) = there.first() {
                bail!("{} holds something else ({}): give a place of its own", vault.name, other.name);
            }
            if vault.directory.is_none() {
                vault.put(MARKER, Bytes::from_static(MARKED)).await?;
            }
        }
        vault.mark_and_lock()?;
        if let Some(staging) = vault.staging()
            && staging.exists()
        {
            std::fs::remove_dir_all(&staging).with_context(|| format!("{} can not be emptied", staging.display()))?;
        }
        Ok(vault)
    }

    /// Opens a place that has backups to read them.
    ///
    /// # Errors
    /// There are none.
    pub async fn open_to_read(repository: ArtifactRepository, directory: Option<PathBuf>) -> Result<Self> {
        let mut vault = Self::new(repository, directory);
        let there = vault.repository.list(&ArtifactPath::root()).await.map_err(plain)?;
        ensure!(there.iter().any(|entry| entry.name == MARKER), "there are no backups in {}", vault.name);
        // A running backup adds only; one that takes away is kept off. A place that can not be read needs no lock.
        if let Some(file) = vault.directory.as_ref().and_then(|directory| File::open(directory.join(MARKER)).ok()) {
            let held = "a backup is running there, which may remove old ones";
            vault.lock(file, FlockOperation::NonBlockingLockShared, held)?;
        }
        Ok(vault)
    }

    fn new(repository: ArtifactRepository, directory: Option<PathBuf>) -> Self {
        let name = repository.name();
        Self { repository, directory, name, lock: None }
    }

    /// Keeps others off a directory. The one who has the lock marks it, so that of several who find it empty at the same
    /// time one goes on, and none takes what another one puts there for somebody else's.
    fn mark_and_lock(&mut self) -> Result<()> {
        let Some(directory) = &self.directory else { return Ok(()) };
        let path = directory.join(MARKER);
        // Open for writing: network file systems give an exclusive lock on nothing else.
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = file.with_context(|| format!("{} can not be written", path.display()))?;
        self.lock(file.try_clone()?, FlockOperation::NonBlockingLockExclusive, "another backup is running there")?;
        if file.metadata()?.len() < MARKED.len() as u64 {
            file.write_all(MARKED)?;
            file.sync_all()?;
        }
        Ok(())
    }

    fn lock(&mut self, file: File, operation: FlockOperation, held: &'static str) -> Result<()> {
        match rustix::fs::flock(&file, operation) {
            Ok(()) => self.lock = Some(file),
            Err(rustix::io::Errno::WOULDBLOCK) => bail!("{}: {held}", self.name),
            // Some network file systems have no locks.
            Err(rustix::io::Errno::NOTSUP | rustix::io::Errno::NOSYS | rustix::io::Errno::NOLCK) => {}
            Err(error) => bail!("{} can not be locked: {error}", self.name),
        }
        Ok(())
    }

    /// What an operator calls it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where copies of databases are made, emptied when the place is opened.
    pub(super) fn staging(&self) -> Option<PathBuf> {
        self.directory.as_ref().map(|directory| directory.join(STAGING))
    }

    /// Every backup, the oldest first. What can not be read is told and left out.
    ///
    /// # Errors
    /// The place can not be read.
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

    /// The names of all backups.
    pub(super) async fn ids(&self) -> Result<Vec<String>> {
        let listed = self.repository.list(&path(BACKUPS)?).await.map_err(plain)?;
        Ok(listed.iter().filter_map(|entry| entry.name.strip_suffix(SUFFIX).map(str::to_owned)).collect())
    }

    /// The backup that is wanted.
    ///
    /// # Errors
    /// There is none, or it can not be read.
    pub async fn find(&self, wanted: &Wanted) -> Result<Manifest> {
        let mut broken = Vec::new();
        let manifests = match wanted {
            Wanted::Id(id) if self.ids().await?.contains(id) => return self.manifest(id).await,
            _ => self.manifests(&mut |reason| broken.push(reason)).await?,
        };
        // An older one in the place of a damaged one is not what was asked for.
        ensure!(broken.is_empty(), "{}; name the backup that is meant", broken.join("; "));
        let found = match wanted {
            Wanted::Newest => manifests.last(),
            Wanted::At(time) => manifests.iter().rfind(|manifest| manifest.time <= *time),
            Wanted::Id(_) => None,
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
        let manifest = Manifest::parse(&bytes).with_context(|| format!("the backup {id} can not be used"))?;
        ensure!(manifest.id == id, "the backup {id} says that it is {}", manifest.id);
        Ok(manifest)
    }

    /// Adds a backup, when all of its blocks are there.
    pub(super) async fn put_manifest(&self, manifest: &Manifest) -> Result<()> {
        self.sync()?;
        self.put(&format!("{BACKUPS}/{}{SUFFIX}", manifest.id), manifest.to_bytes()?.into()).await?;
        self.sync()
    }

    pub(super) async fn delete_manifest(&self, id: &str) -> Result<()> {
        self.repository.delete(&path(&format!("{BACKUPS}/{id}{SUFFIX}"))?).await.map_err(plain)?;
        self.sync()
    }

    /// Everything that was written has reached the disk, names and all.
    fn sync(&self) -> Result<()> {
        match &self.directory {
            Some(directory) => sync_all(directory),
            None => Ok(()),
        }
    }

    pub(super) async fn put_block(&self, hash: Hash, bytes: Bytes) -> Result<()> {
        self.put(&block_path(hash), bytes).await
    }

    /// A block, whose bytes are what its name says.
    pub(super) async fn block(&self, hash: Hash) -> Result<Bytes> {
        let bytes =
            self.get(&block_path(hash)).await.with_context(|| format!("a block of {} is not there", self.name))?;
        ensure!(Hash::of(&bytes) == hash, "the block {} of {} is damaged", block_path(hash), self.name);
        Ok(bytes)
    }

    /// The blocks that are there, and their lengths where listings have them.
    pub(super) async fn blocks(&self) -> Result<HashMap<Hash, Option<u64>>> {
        let folders = self.repository.list(&path(BLOCKS)?).await.map_err(plain)?;
        let listed = stream::iter(folders).map(|folder| async move {
            let folder = path(&format!("{BLOCKS}/{}", folder.name))?;
            self.repository.list(&folder).await.map_err(plain)
        });
        let listed: Vec<_> = listed.buffer_unordered(8).try_collect().await?;
        Ok(listed.into_iter().flatten().filter_map(|block| Some((block.name.parse().ok()?, block.size))).collect())
    }

    /// Deletes every block but these; how many, and their bytes.
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

    /// Deletes the unfinished blocks and manifests of killed backups. Listings hide them, so the directory is read.
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
            bytes.extend_from_slice(&chunk.with_context(|| format!("{name} of {} can not be read", self.name))?);
        }
        Ok(bytes.freeze())
    }
}

/// Backups of backups grow without end.
fn apart(place: &Path, source: &Path) -> Result<()> {
    let (place, source) = (real(place)?, real(source)?);
    if place.starts_with(&source) || (source.is_dir() && source.starts_with(&place)) {
        bail!(
            "{} and {} lie within each other: give the backups a place of their own",
            place.display(),
            source.display()
        );
    }
    Ok(())
}

/// Where a path leads, which may not be there yet, with some of the directories above it.
fn real(path: &Path) -> Result<PathBuf> {
    let path = std::path::absolute(path)?;
    let above = path.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    match above {
        Some((above, real)) => Ok(real.join(path.strip_prefix(above)?)),
        None => Ok(path),
    }
}

/// The file system of a directory has everything on disk.
pub(super) fn sync_all(directory: &Path) -> Result<()> {
    let opened = File::open(directory).with_context(|| format!("{} can not be opened", directory.display()))?;
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
        assert_eq!(Wanted::parse("latest").unwrap(), Wanted::Newest);
        assert_eq!(Wanted::parse("20260102T030405Z-2").unwrap(), Wanted::Id("20260102T030405Z-2".into()));
        let time = Wanted::At("2026-01-02T01:04:05Z".parse().unwrap());
        assert_eq!(Wanted::parse("2026-01-02T03:04:05+02:00").unwrap(), time);
        assert_eq!(Wanted::parse("2026-01-02 03:04:05+02:00").unwrap(), time);
        for text in ["2026-01-02T03:04:05", "2026-01-02", "yesterday", ""] {
            let refused = Wanted::parse(text).unwrap_err().to_string();
            assert!(refused.contains("with its zone"), "{text}: {refused}");
        }
    }
}
