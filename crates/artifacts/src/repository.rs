//! What every kind of repository can do. Bodies are streams in both directions: no file is held in
//! memory, and nothing assumes that it is a file.

use std::{
    ops::Range,
    pin::Pin,
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use ferroflow_model::{Error, Result};
use futures_util::Stream;

use crate::{ArtifactPath, BucketRepository, LocalRepository};

/// The bytes of an artifact as they come.
pub type ByteStream = Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send>>;

/// An entry of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileInfo {
    /// Its name in the directory.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Bytes, of a file.
    pub size: Option<u64>,
}

/// What is known of a file without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// Bytes.
    pub size: u64,
    /// When it was last written.
    pub modified: Option<SystemTime>,
    /// What the store calls these very bytes, quoted as in a header, where it does.
    pub etag: Option<String>,
}

impl Stat {
    /// What the bytes are called: as the store does, or after their age and number.
    #[must_use]
    pub fn tag(&self) -> String {
        self.etag.clone().unwrap_or_else(|| {
            let age = self.modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
            format!("\"{:x}-{:x}\"", age.as_nanos(), self.size)
        })
    }
}

/// An artifact opened for reading.
pub struct OpenedArtifact {
    /// All of its bytes, or the range that was asked for.
    pub body: ByteStream,
    /// What is known of the file that was opened, in all.
    pub stat: Stat,
}

/// A repository of any kind. A further kind is a further variant, and the compiler names every place
/// that has to know it.
#[derive(Debug, Clone)]
pub enum ArtifactRepository {
    /// A directory of this machine.
    Local(LocalRepository),
    /// A bucket of an object store, or a part of one.
    Bucket(BucketRepository),
}

impl ArtifactRepository {
    /// Size, time and version of a file, without opening a stream.
    ///
    /// # Errors
    /// Nothing is there, or a directory is.
    pub async fn stat(&self, path: &ArtifactPath) -> Result<Stat> {
        match self {
            Self::Local(local) => local.stat(path).await,
            Self::Bucket(bucket) => bucket.stat(path).await,
        }
    }

    /// Opens a file, or a range of its bytes, which must lie inside it. With the tag that [`stat`](Self::stat)
    /// gave it, those bytes are given and no newer ones.
    ///
    /// # Errors
    /// Nothing is there, or a directory is, or it was replaced meanwhile.
    pub async fn open(
        &self,
        path: &ArtifactPath,
        range: Option<Range<u64>>,
        etag: Option<&str>,
    ) -> Result<OpenedArtifact> {
        match self {
            Self::Local(local) => local.open(path, range, etag).await,
            Self::Bucket(bucket) => bucket.open(path, range, etag).await,
        }
    }

    /// Writes a file from a stream. It appears under its name when it is complete; when the stream
    /// ends with an error, nothing is left. `length` is what the client announced, where it did.
    ///
    /// # Errors
    /// The stream or the storage failed, or the path can not be a file.
    pub async fn write(&self, path: &ArtifactPath, body: ByteStream, length: Option<u64>) -> Result<()> {
        if path.is_root() {
            return Err(Error::invalid("Artifact path must include a filename (cannot end with '/')."));
        }
        match self {
            Self::Local(local) => local.write(path, body).await,
            Self::Bucket(bucket) => bucket.write(path, body, length).await,
        }
    }

    /// The entries of a directory by name. What is no directory has none.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn list(&self, path: &ArtifactPath) -> Result<Vec<FileInfo>> {
        match self {
            Self::Local(local) => local.list(path).await,
            Self::Bucket(bucket) => bucket.list(path).await,
        }
    }

    /// Deletes a file or a directory with all that is in it. What is not there is deleted already.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn delete(&self, path: &ArtifactPath) -> Result<()> {
        match self {
            Self::Local(local) => local.delete(path).await,
            Self::Bucket(bucket) => bucket.delete(path).await,
        }
    }

    /// Removes a directory in which nothing is; any other stays. Buckets have none.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn delete_empty(&self, path: &ArtifactPath) -> Result<()> {
        match self {
            Self::Local(local) => local.delete_empty(path).await,
            Self::Bucket(_) => Ok(()),
        }
    }

    /// Whether it can be used: it can be read, and a directory can be written to. A bucket is not asked for that.
    ///
    /// # Errors
    /// It can not; why.
    pub async fn check(&self) -> Result<()> {
        match self {
            Self::Local(local) => local.check(true).await,
            Self::Bucket(bucket) => bucket.check().await,
        }
    }

    /// Whether it can be read.
    ///
    /// # Errors
    /// It can not; why.
    pub async fn check_reading(&self) -> Result<()> {
        match self {
            Self::Local(local) => local.check(false).await,
            Self::Bucket(bucket) => bucket.check().await,
        }
    }

    /// The bucket, where it is one: clients can be sent to it.
    #[must_use]
    pub fn bucket(&self) -> Option<&BucketRepository> {
        match self {
            Self::Local(_) => None,
            Self::Bucket(bucket) => Some(bucket),
        }
    }

    /// What an operator calls it: a directory, or a URI such as `s3://bucket/prefix`.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Local(local) => local.name(),
            Self::Bucket(bucket) => bucket.name(),
        }
    }
}
