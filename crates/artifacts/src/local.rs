//! A directory of this machine. Every file is opened beneath a handle of the root, component by
//! component, so that neither a path nor a symbolic link leads out of it.

mod reader;

use std::{
    io::{self, Write as _},
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::SystemTime,
};

use bytes::Bytes;
use cap_std::{ambient_authority, fs::Dir};
use ferroflow_model::{Error, Result};
use futures_util::StreamExt as _;
use tokio::{sync::mpsc, task::spawn_blocking};

use crate::{
    ArtifactPath,
    repository::{ByteStream, FileInfo, OpenedArtifact, Stat},
};

/// Chunks on their way from the network to the disk.
const IN_FLIGHT: usize = 4;

/// The start of the name of a file that is being written. The reference hides such names too.
const TEMPORARY: &str = ".mlflow-tmp-";

/// Artifacts below a directory, which is made when the first one is written.
#[derive(Debug, Clone)]
pub struct LocalRepository {
    root: PathBuf,
    handle: Arc<OnceLock<Dir>>,
}

impl LocalRepository {
    /// Artifacts below `root`.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), handle: Arc::default() }
    }

    /// The handle of the root, or `None` as long as it does not exist.
    fn dir(&self) -> io::Result<Option<&Dir>> {
        if let Some(dir) = self.handle.get() {
            return Ok(Some(dir));
        }
        match Dir::open_ambient_dir(&self.root, ambient_authority()) {
            Ok(dir) => Ok(Some(self.handle.get_or_init(|| dir))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn make_dir(&self) -> io::Result<&Dir> {
        if let Some(dir) = self.handle.get() {
            return Ok(dir);
        }
        Dir::create_ambient_dir_all(&self.root, ambient_authority())?;
        self.dir()?.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Runs file work on a thread that may block.
    async fn blocking<T: Send + 'static>(
        &self,
        path: &ArtifactPath,
        work: impl FnOnce(Self, PathBuf) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (this, relative) = (self.clone(), relative(path));
        spawn_blocking(move || work(this, relative))
            .await
            .map_err(|error| Error::internal(error.to_string()))?
            .map_err(|error| explain(&error, path))
    }

    /// The directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn name(&self) -> String {
        self.root.display().to_string()
    }

    pub(crate) async fn stat(&self, path: &ArtifactPath) -> Result<Stat> {
        let (_, size, modified) = self.file(path).await?;
        Ok(Stat { size, modified, etag: None })
    }

    async fn file(&self, path: &ArtifactPath) -> Result<(std::fs::File, u64, Option<SystemTime>)> {
        let name = path.to_string();
        let opened = self
            .blocking(path, |this, path| {
                let dir = this.dir()?.ok_or(io::ErrorKind::NotFound)?;
                let file = dir.open(&path)?;
                let metadata = file.metadata()?;
                let modified = metadata.modified().ok().map(cap_std::time::SystemTime::into_std);
                Ok((file.into_std(), metadata.len(), modified, metadata.is_dir()))
            })
            .await?;
        match opened {
            (_, _, _, true) => {
                Err(Error::invalid(format!("Artifact path refers to a directory, not a file: '{name}'")))
            }
            (file, size, modified, false) => Ok((file, size, modified)),
        }
    }

    pub(crate) async fn open(&self, path: &ArtifactPath, range: Option<Range<u64>>) -> Result<OpenedArtifact> {
        let (file, size, modified) = self.file(path).await?;
        let body = reader::read(file, range.unwrap_or(0..size));
        Ok(OpenedArtifact { body: Box::pin(body), stat: Stat { size, modified, etag: None } })
    }

    pub(crate) async fn write(&self, path: &ArtifactPath, mut body: ByteStream) -> Result<()> {
        let (sender, mut receiver) = mpsc::channel::<Bytes>(IN_FLIGHT);
        let (this, target) = (self.clone(), relative(path));
        let writer = spawn_blocking(move || -> io::Result<Pending> {
            let dir = this.make_dir()?;
            if let Some(parent) = target.parent().filter(|parent| *parent != Path::new("")) {
                dir.create_dir_all(parent)?;
            }
            let mut pending = Pending::create(dir.try_clone()?, &target)?;
            while let Some(chunk) = receiver.blocking_recv() {
                pending.file.write_all(&chunk)?;
            }
            Ok(pending)
        });
        let mut broken = None;
        while let Some(chunk) = body.next().await {
            match chunk {
                Ok(chunk) => {
                    // The writer has failed when nobody receives; its own error says how.
                    if sender.send(chunk).await.is_err() {
                        break;
                    }
                }
                Err(error) => {
                    broken = Some(error);
                    break;
                }
            }
        }
        drop(sender);
        let pending =
            writer.await.map_err(|error| Error::internal(error.to_string()))?.map_err(|error| explain(&error, path))?;
        if let Some(error) = broken {
            return Err(Error::bad_request(format!("The upload ended before it was complete: {error}")));
        }
        spawn_blocking(move || pending.finish())
            .await
            .map_err(|error| Error::internal(error.to_string()))?
            .map_err(|error| explain(&error, path))
    }

    pub(crate) async fn list(&self, path: &ArtifactPath) -> Result<Vec<FileInfo>> {
        self.blocking(path, |this, path| {
            let Some(dir) = this.dir()? else { return Ok(Vec::new()) };
            let entries = if path.as_os_str().is_empty() { dir.entries() } else { dir.read_dir(&path) };
            let entries = match entries {
                Ok(entries) => entries,
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                    return Ok(Vec::new());
                }
                Err(error) => return Err(error),
            };
            let mut files = Vec::new();
            for entry in entries {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.starts_with(TEMPORARY) {
                    continue;
                }
                // A link is shown as what it leads to; one that leads out of the root is not shown.
                let Ok(metadata) = dir.metadata(path.join(&name)) else { continue };
                let is_dir = metadata.is_dir();
                files.push(FileInfo { name, is_dir, size: (!is_dir).then(|| metadata.len()) });
            }
            files.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(files)
        })
        .await
    }

    pub(crate) async fn delete(&self, path: &ArtifactPath) -> Result<()> {
        self.blocking(path, |this, path| {
            let Some(dir) = this.dir()? else { return Ok(()) };
            if path.as_os_str().is_empty() {
                for entry in dir.entries()? {
                    remove(dir, Path::new(&entry?.file_name()))?;
                }
                return Ok(());
            }
            remove(dir, &path)
        })
        .await
    }

    pub(crate) async fn check(&self) -> Result<()> {
        self.blocking(&ArtifactPath::root(), |this, _| this.dir().map(drop)).await
    }
}

fn remove(dir: &Dir, path: &Path) -> io::Result<()> {
    // A link itself is removed, never what it leads to.
    match dir.symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => dir.remove_dir_all(path),
        Ok(_) => dir.remove_file(path),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(()),
        Err(error) => Err(error),
    }
}

/// A file under a temporary name beside its target. Dropped unfinished, it is gone.
struct Pending {
    dir: Dir,
    file: cap_std::fs::File,
    temporary: PathBuf,
    target: PathBuf,
    finished: bool,
}

impl Pending {
    fn create(dir: Dir, target: &Path) -> io::Result<Self> {
        let name = format!("{TEMPORARY}{:032x}", rand::random::<u128>());
        let temporary = target.with_file_name(name);
        let file = dir.create(&temporary)?;
        Ok(Self { dir, file, temporary, target: target.to_owned(), finished: false })
    }

    fn finish(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        self.dir.rename(&self.temporary, &self.dir, &self.target)?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.finished {
            // The directory may be gone as well.
            let _ = self.dir.remove_file(&self.temporary);
        }
    }
}

fn relative(path: &ArtifactPath) -> PathBuf {
    path.components().iter().collect()
}

/// An error of the file system for the client: no path of this machine in it.
fn explain(error: &io::Error, path: &ArtifactPath) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            Error::not_found(format!("No such artifact: '{path}'"))
        }
        io::ErrorKind::IsADirectory | io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty => {
            Error::invalid(format!("Artifact path refers to a directory, not a file: '{path}'"))
        }
        io::ErrorKind::InvalidFilename | io::ErrorKind::InvalidInput => Error::invalid("Invalid path"),
        // What cap-std says of a link or path that leads out of the root.
        io::ErrorKind::PermissionDenied => {
            Error::invalid("Invalid path: resolved path is outside the artifact directory, or may not be accessed")
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::ReadOnlyFilesystem => {
            tracing::error!(%error, "the artifact storage does not take the file");
            Error::unavailable("The artifact storage can not take the file now.")
        }
        _ => {
            tracing::error!(%error, %path, "the artifact storage failed");
            Error::internal("The artifact storage failed. The server's log has the details.")
        }
    }
}
