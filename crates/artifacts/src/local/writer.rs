//! Writes a file from a client's body. Blocking threads are used for disk I/O only, never while waiting for the client:
//! their number is limited, and a client may be idle for long.

use std::{
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use cap_std::{ambient_authority, fs::Dir};
use ferroflow_model::{Error, Result};
use futures_util::StreamExt as _;
use tokio::{
    runtime::Handle,
    time::{Instant, timeout_at},
};

use super::{LocalRepository, TEMPORARY, fault::Fault};
use crate::{ArtifactPath, repository::ByteStream};

/// Maximum bytes per write.
const PIECE: usize = 1024 * 1024;

/// How long received bytes wait for more before they are written.
const GATHER_WAIT: Duration = Duration::from_millis(100);

impl LocalRepository {
    pub(crate) async fn write(&self, path: &ArtifactPath, body: ByteStream) -> Result<()> {
        let mut pending = self.blocking(path, |this, target| Pending::create(&this.root, target)).await?;
        if let Err(error) = self.fill(path, &pending.file, body).await {
            if let Some(temporary) = pending.temporary.take() {
                self.blocking(path, |_, _| {
                    drop(temporary);
                    Ok(())
                })
                .await?;
            }
            return Err(error);
        }
        self.blocking(path, |_, _| pending.finish().map_err(Fault::Path)).await
    }

    /// Receives the next chunk while one is being written.
    async fn fill(&self, path: &ArtifactPath, file: &Arc<File>, mut body: ByteStream) -> Result<()> {
        let mut spare = Vec::new();
        let (mut piece, mut last) = gather(&mut body, Vec::new()).await?;
        loop {
            let file = Arc::clone(file);
            let write = self.blocking(path, move |_, _| {
                (&*file).write_all(&piece)?;
                Ok(piece)
            });
            if last {
                return write.await.map(drop);
            }
            (spare, (piece, last)) = tokio::try_join!(write, gather(&mut body, std::mem::take(&mut spare)))?;
        }
    }
}

/// Receives the next chunk to write, and returns whether it is the last. Data is copied to a reused buffer, so that the
/// connection's own buffer is free at once.
async fn gather(body: &mut ByteStream, mut piece: Vec<u8>) -> Result<(Vec<u8>, bool)> {
    let ended = |error| Error::bad_request(format!("The upload ended before it was complete: {error}"));
    if piece.len() < PIECE {
        // A slow client holds no more memory than it has sent.
        piece = Vec::new();
    }
    piece.clear();
    let Some(first) = body.next().await.transpose().map_err(ended)? else { return Ok((piece, true)) };
    piece.extend_from_slice(&first);
    drop(first);
    let deadline = Instant::now() + GATHER_WAIT;
    while piece.len() < PIECE {
        match timeout_at(deadline, body.next()).await {
            Ok(Some(chunk)) => piece.extend_from_slice(&chunk.map_err(ended)?),
            Ok(None) => return Ok((piece, true)),
            Err(_) => break,
        }
    }
    Ok((piece, false))
}

/// A file that is being written. It is removed on drop unless finished.
struct Pending {
    file: Arc<File>,
    temporary: Option<Temporary>,
}

/// Its temporary name, in the directory of its target. The file is removed on drop.
struct Temporary {
    dir: Dir,
    name: PathBuf,
    target: PathBuf,
    renamed: bool,
}

impl Pending {
    fn create(root: &Path, target: PathBuf) -> Result<Self, Fault> {
        let dir = create_root(root).map_err(Fault::Root)?;
        let name = target.with_file_name(format!("{TEMPORARY}{:032x}", rand::random::<u128>()));
        let file = match dir.create(&name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create_dirs(&dir, target.parent().unwrap_or(Path::new("")))?;
                dir.create(&name)?
            }
            created => created?,
        };
        let temporary = Temporary { dir, name, target, renamed: false };
        Ok(Self { file: Arc::new(file.into_std()), temporary: Some(temporary) })
    }

    /// Makes the file durable under its name before it returns.
    fn finish(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        let Some(mut temporary) = self.temporary.take() else { return Ok(()) };
        let Temporary { dir, name, target, .. } = &temporary;
        dir.rename(name, dir, target).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => io::Error::other("the temporary file of the upload was removed"),
            _ => error,
        })?;
        sync_dir(dir, target.parent().unwrap_or(Path::new("")))?;
        temporary.renamed = true;
        Ok(())
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // The client has disconnected. Removing a large file takes a while.
        if let Some(temporary) = self.temporary.take()
            && let Ok(runtime) = Handle::try_current()
        {
            let file = Arc::clone(&self.file);
            runtime.spawn_blocking(move || drop((temporary, file)));
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.renamed {
            // The directory may be removed as well.
            let _ = self.dir.remove_file(&self.name);
        }
    }
}

/// Opens the root, which is created if missing.
fn create_root(root: &Path) -> io::Result<Dir> {
    match Dir::open_ambient_dir(root, ambient_authority()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        opened => return opened,
    }
    let missing: Vec<_> = root.ancestors().take_while(|path| !path.exists()).collect();
    Dir::create_ambient_dir_all(root, ambient_authority())?;
    for parent in missing.iter().rev().filter_map(|made| made.parent()).filter(|path| *path != Path::new("")) {
        sync(File::open(parent).and_then(|parent| parent.sync_all()))?;
    }
    Dir::open_ambient_dir(root, ambient_authority())
}

/// Creates a directory and its missing parents.
fn create_dirs(dir: &Dir, path: &Path) -> io::Result<()> {
    let mut made = PathBuf::new();
    for component in path {
        let parent = made.clone();
        made.push(component);
        match dir.create_dir(&made) {
            Ok(()) => sync_dir(dir, &parent)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Directory entries are durable only after the directory itself is synced.
fn sync_dir(dir: &Dir, path: &Path) -> io::Result<()> {
    let path = if path == Path::new("") { Path::new(".") } else { path };
    sync(dir.open(path).and_then(|dir| dir.sync_all()))
}

/// Some file systems do not support this, and a directory that is only writable cannot be opened.
fn sync(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied
            ) =>
        {
            Ok(())
        }
        outcome => outcome,
    }
}
