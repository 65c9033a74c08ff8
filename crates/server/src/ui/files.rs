//! The files of the UI on disk, with cached hashes and compressed copies.

use std::{
    collections::HashMap,
    fmt::Write as _,
    fs::File,
    io::{self, ErrorKind, Read as _, Seek as _, SeekFrom},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use bytes::Bytes;
use cap_std::{ambient_authority, fs::Dir};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::{
    sync::{OnceCell, Semaphore},
    task::spawn_blocking,
};

use super::encoding::Encoding;

/// Maximum number of concurrent compressions: API requests come first.
const MAX_COMPRESSIONS: usize = 2;

/// A directory with the built UI.
pub(super) struct Files {
    dir: Arc<Dir>,
    known: Arc<Mutex<HashMap<String, Arc<Entry>>>>,
    compressing: Arc<Semaphore>,
    /// Removes a temporary directory on drop.
    _temporary: Option<TempDir>,
}

/// The cached metadata of a file.
pub(super) struct Entry {
    /// The beginning of the SHA-256 of its bytes, the same on every replica.
    pub(super) hash: String,
    /// Size in bytes.
    pub(super) size: u64,
    modified: Option<SystemTime>,
    brotli: OnceCell<Bytes>,
    gzip: OnceCell<Bytes>,
}

impl Files {
    /// Opens a directory that has an `index.html`.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let dir = Dir::open_ambient_dir(path, ambient_authority())?;
        if !dir.open("index.html")?.metadata()?.is_file() {
            return Err(ErrorKind::NotFound.into());
        }
        Ok(Self {
            dir: Arc::new(dir),
            known: Arc::default(),
            compressing: Arc::new(Semaphore::new(MAX_COMPRESSIONS)),
            _temporary: None,
        })
    }

    /// Opens a directory inside a temporary one.
    pub(super) fn open_temporary(path: &Path, temporary: TempDir) -> io::Result<Self> {
        Ok(Self { _temporary: Some(temporary), ..Self::open(path)? })
    }

    /// Opens a file and returns it with its metadata.
    pub(super) async fn file(&self, path: &str) -> io::Result<(File, Arc<Entry>)> {
        let (dir, known, path) = (self.dir.clone(), self.known.clone(), path.to_owned());
        blocking(move || {
            let mut file = dir.open(&path)?.into_std();
            let metadata = file.metadata()?;
            if !metadata.is_file() {
                return Err(ErrorKind::NotFound.into());
            }
            let (size, modified) = (metadata.len(), metadata.modified().ok());
            let entry = known.lock().unwrap_or_else(PoisonError::into_inner).get(&path).cloned();
            // The files may be replaced while the server runs.
            if let Some(entry) = entry.filter(|entry| entry.size == size && entry.modified == modified) {
                return Ok((file, entry));
            }
            let hash = hash(&mut file)?;
            file.seek(SeekFrom::Start(0))?;
            let entry = Arc::new(Entry { hash, size, modified, brotli: OnceCell::new(), gzip: OnceCell::new() });
            known.lock().unwrap_or_else(PoisonError::into_inner).insert(path, entry.clone());
            Ok((file, entry))
        })
        .await
    }

    /// The compressed bytes of a file, created on first use.
    pub(super) async fn encoded(&self, file: File, entry: &Entry, encoding: Encoding) -> io::Result<Bytes> {
        let cell = match encoding {
            Encoding::Brotli => &entry.brotli,
            Encoding::Gzip => &entry.gzip,
        };
        let size = usize::try_from(entry.size).map_err(io::Error::other)?;
        let make = async || {
            let permit = self.compressing.clone().acquire_owned().await.map_err(io::Error::other)?;
            blocking(move || {
                // The work continues if the client disconnects, and so must the permit.
                let _permit = permit;
                encoding.encode(file, size)
            })
            .await
        };
        cell.get_or_try_init(make).await.cloned()
    }
}

/// Whether an error means that there is no such file below the directory.
pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::PermissionDenied | ErrorKind::InvalidFilename
    )
}

/// The first 16 hexadecimal digits of the SHA-256.
fn hash(file: &mut File) -> io::Result<String> {
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        digest.update(&buffer[..read]);
    }
    Ok(hex(&digest.finalize()[..8]))
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Runs blocking I/O or computation outside of the async threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}
