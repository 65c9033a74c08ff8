//! Writing a file that somebody at the other end of the network sends. A thread is taken for as long as the disk works,
//! never to wait for the client: there are only so many, and clients may send nothing for hours.

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

/// Bytes that are written at once, where the client is fast enough.
const PIECE: usize = 1024 * 1024;

/// How long what has come waits for more.
const PATIENCE: Duration = Duration::from_millis(100);

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

    /// While a piece is being written the next one is gathered.
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

/// What comes next, as much of it as is worth a write, and whether it is the end. It is copied into memory that is used
/// again, so that the connection has its own back at once.
async fn gather(body: &mut ByteStream, mut piece: Vec<u8>) -> Result<(Vec<u8>, bool)> {
    let ended = |error| Error::bad_request(format!("The upload ended before it was complete: {error}"));
    if piece.len() < PIECE {
        // A client that is slow holds no more than it has sent.
        piece = Vec::new();
    }
    piece.clear();
    let Some(first) = body.next().await.transpose().map_err(ended)? else { return Ok((piece, true)) };
    piece.extend_from_slice(&first);
    drop(first);
    let deadline = Instant::now() + PATIENCE;
    while piece.len() < PIECE {
        match timeout_at(deadline, body.next()).await {
            Ok(Some(chunk)) => piece.extend_from_slice(&chunk.map_err(ended)?),
            Ok(None) => return Ok((piece, true)),
            Err(_) => break,
        }
    }
    Ok((piece, false))
}

/// A file that is being written. Dropped unfinished, it is gone.
struct Pending {
    file: Arc<File>,
    temporary: Option<Temporary>,
}

/// Its name, beside its target. Dropped, the file is removed.
struct Temporary {
    dir: Dir,
    name: PathBuf,
    target: PathBuf,
    renamed: bool,
}

impl Pending {
    fn create(root: &Path, target: PathBuf) -> Result<Self, Fault> {
        let dir = make_root(root).map_err(Fault::Root)?;
        let name = target.with_file_name(format!("{TEMPORARY}{:032x}", rand::random::<u128>()));
        let file = match dir.create(&name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_dirs(&dir, target.parent().unwrap_or(Path::new("")))?;
                dir.create(&name)?
            }
            created => created?,
        };
        let temporary = Temporary { dir, name, target, renamed: false };
        Ok(Self { file: Arc::new(file.into_std()), temporary: Some(temporary) })
    }

    /// When this returns, a loss of power takes nothing back.
    fn finish(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        let Some(mut temporary) = self.temporary.take() else { return Ok(()) };
        let Temporary { dir, name, target, .. } = &temporary;
        dir.rename(name, dir, target).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => io::Error::other("what was uploaded so far has been removed"),
            _ => error,
        })?;
        sync_dir(dir, target.parent().unwrap_or(Path::new("")))?;
        temporary.renamed = true;
        Ok(())
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // The client is gone. What it sent may be large, and takes the disk a while.
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
            // The directory may be gone as well.
            let _ = self.dir.remove_file(&self.name);
        }
    }
}

/// The root, which is made where it is not there.
fn make_root(root: &Path) -> io::Result<Dir> {
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

/// Makes a directory with those that it lies in.
fn make_dirs(dir: &Dir, path: &Path) -> io::Result<()> {
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

/// Names in a directory outlast a loss of power when the directory itself is on the disk.
fn sync_dir(dir: &Dir, path: &Path) -> io::Result<()> {
    let path = if path == Path::new("") { Path::new(".") } else { path };
    sync(dir.open(path).and_then(|dir| dir.sync_all()))
}

/// Some file systems know no such thing, and who may only write into a directory can not open it.
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
