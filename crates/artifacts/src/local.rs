//! A local directory. Every file is opened relative to a handle of the root, component by component, so that neither a
//! path nor a symbolic link leads outside.

mod fault;
mod reader;
mod sweep;
mod writer;

use std::{
    fs::File,
    io,
    ops::Range,
    path::{Path, PathBuf},
};

use cap_std::{ambient_authority, fs::Dir};
use ferroflow_model::{Error, Result};
use tokio::task::spawn_blocking;

use self::fault::{Fault, relative};
pub(crate) use self::sweep::Walk;
use crate::{
    ArtifactPath,
    repository::{FileInfo, OpenedArtifact, Stat},
};

/// Prefix of temporary files; 32 hexadecimal digits follow.
const TEMPORARY: &str = ".mlflow-tmp-";

/// Artifacts below a local directory, which is created by the first write.
#[derive(Debug, Clone)]
pub struct LocalRepository {
    root: PathBuf,
}

impl LocalRepository {
    /// Artifacts below `root`.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// A handle of the root, or `None` while it does not exist. It is opened each time: a directory that is removed or
    /// mounted while the server runs is noticed.
    fn dir(&self) -> Result<Option<Dir>, Fault> {
        match Dir::open_ambient_dir(&self.root, ambient_authority()) {
            Ok(dir) => Ok(Some(dir)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Fault::Root(error)),
        }
    }

    /// Runs file system operations on a blocking thread.
    async fn blocking<T: Send + 'static>(
        &self,
        path: &ArtifactPath,
        work: impl FnOnce(Self, PathBuf) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T> {
        let (this, relative) = (self.clone(), relative(path));
        spawn_blocking(move || work(this, relative))
            .await
            .map_err(|error| Error::internal(error.to_string()))?
            .map_err(|fault| fault.explain(&self.root, path))
    }

    /// The root directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn name(&self) -> String {
        self.root.display().to_string()
    }

    pub(crate) async fn stat(&self, path: &ArtifactPath) -> Result<Stat> {
        self.find(path).await.map(|(_, stat)| stat)
    }

    /// Opens a file and returns its metadata.
    async fn find(&self, path: &ArtifactPath) -> Result<(File, Stat)> {
        let opened = self
            .blocking(path, |this, path| {
                let dir = this.dir()?.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
                let file = dir.open(&path)?;
                let metadata = file.metadata()?;
                let modified = metadata.modified().ok().map(cap_std::time::SystemTime::into_std);
                let mut stat = Stat { size: metadata.len(), modified, etag: None };
                stat.etag = Some(stat.tag());
                Ok((!metadata.is_dir()).then(|| (file.into_std(), stat)))
            })
            .await?;
        opened.ok_or_else(|| Error::invalid(format!("Artifact path refers to a directory, not a file: '{path}'")))
    }

    /// Opens a range of a file or all of it; with an entity tag, only that version.
    pub(crate) async fn open(
        &self,
        path: &ArtifactPath,
        range: Option<Range<u64>>,
        etag: Option<&str>,
    ) -> Result<OpenedArtifact> {
        let (file, stat) = self.find(path).await?;
        if etag.is_some_and(|etag| etag != stat.tag()) {
            return Err(Error::unavailable(format!("'{path}' is being replaced: try again.")));
        }
        let body = reader::read(file, range.unwrap_or(0..stat.size));
        Ok(OpenedArtifact { body: Box::pin(body), stat })
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
                Err(error) => return Err(error.into()),
            };
            let mut files = Vec::new();
            for entry in entries {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.starts_with(TEMPORARY) {
                    continue;
                }
                // A link is listed as its target; one that leads outside is not listed.
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
                    remove(&dir, Path::new(&entry?.file_name()))?;
                }
                return Ok(());
            }
            Ok(remove(&dir, &path)?)
        })
        .await
    }

    /// Removes a directory if it is empty.
    pub(crate) async fn delete_empty(&self, path: &ArtifactPath) -> Result<()> {
        self.blocking(path, |this, path| {
            if let Some(dir) = this.dir()?
                && !path.as_os_str().is_empty()
            {
                // It may not be empty, not exist, or belong to another user.
                let _ = dir.remove_dir(&path);
            }
            Ok(())
        })
        .await
    }

    /// Checks that the root is readable and, with `writes`, writable.
    pub(crate) async fn check(&self, writes: bool) -> Result<()> {
        let root = self.root.clone();
        spawn_blocking(move || fault::check(&root, writes))
            .await
            .map_err(|error| Error::internal(error.to_string()))?
            .map_err(|wrong| Error::unavailable(format!("{} {wrong}", self.name())))
    }
}

fn remove(dir: &Dir, path: &Path) -> io::Result<()> {
    // A link itself is removed, never its target.
    match dir.symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => dir.remove_dir_all(path),
        Ok(_) => dir.remove_file(path),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(()),
        Err(error) => Err(error),
    }
}
