//! The operations of every kind of repository. Bodies are streams in both directions: no file is buffered as a whole.

use std::{
    ops::Range,
    pin::Pin,
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use ferroflow_model::{Error, Result};
use ferroflow_telemetry::{ActiveSpan, Kind};
use futures_util::Stream;

use crate::{ArtifactPath, BucketRepository, LocalRepository};

/// The bytes of an artifact, as a stream.
pub type ByteStream = Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send>>;

/// An entry of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileInfo {
    /// Its name in the directory.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Size of a file in bytes.
    pub size: Option<u64>,
}

/// The metadata of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// Size in bytes.
    pub size: u64,
    /// Time of the last modification.
    pub modified: Option<SystemTime>,
    /// The entity tag that the store assigns, quoted as in the header, if any.
    pub etag: Option<String>,
}

impl Stat {
    /// The entity tag: the store's, or one from modification time and size.
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
    /// All of its bytes, or the requested range.
    pub body: ByteStream,
    /// The metadata of the whole file.
    pub stat: Stat,
}

/// A repository of any kind. A new kind is a new variant, and the compiler finds all code that must handle it.
#[derive(Debug, Clone)]
pub enum ArtifactRepository {
    /// A local directory.
    Local(LocalRepository),
    /// A bucket of an object store, or a prefix in one.
    Bucket(BucketRepository),
}

impl ArtifactRepository {
    /// The metadata of a file, without opening it.
    ///
    /// # Errors
    /// There is no such path, or it is a directory.
    pub async fn stat(&self, path: &ArtifactPath) -> Result<Stat> {
        let work = async {
            match self {
                Self::Local(local) => local.stat(path).await,
                Self::Bucket(bucket) => bucket.stat(path).await,
            }
        };
        self.observed("artifact stat", work).await
    }

    /// Opens a file, or a byte range, which must be inside it. With an entity tag from [`stat`](Self::stat), only that
    /// version is returned.
    ///
    /// # Errors
    /// There is no such path, it is a directory, or the version was replaced.
    pub async fn open(
        &self,
        path: &ArtifactPath,
        range: Option<Range<u64>>,
        etag: Option<&str>,
    ) -> Result<OpenedArtifact> {
        let work = async {
            match self {
                Self::Local(local) => local.open(path, range, etag).await,
                Self::Bucket(bucket) => bucket.open(path, range, etag).await,
            }
        };
        self.observed("artifact open", work).await
    }

    /// Writes a file from a stream. It appears under its name once complete; if the stream fails, nothing remains.
    /// `length` is the announced size in bytes, if known.
    ///
    /// # Errors
    /// The stream or the store failed, or the path cannot be a file.
    pub async fn write(&self, path: &ArtifactPath, body: ByteStream, length: Option<u64>) -> Result<()> {
        if path.is_root() {
            return Err(Error::invalid("Artifact path must include a filename (cannot end with '/')."));
        }
        let work = async {
            match self {
                Self::Local(local) => local.write(path, body).await,
                Self::Bucket(bucket) => bucket.write(path, body, length).await,
            }
        };
        self.observed("artifact write", work).await
    }

    /// The entries of a directory, sorted by name; none if it is not a directory.
    ///
    /// # Errors
    /// The store failed.
    pub async fn list(&self, path: &ArtifactPath) -> Result<Vec<FileInfo>> {
        let work = async {
            match self {
                Self::Local(local) => local.list(path).await,
                Self::Bucket(bucket) => bucket.list(path).await,
            }
        };
        self.observed("artifact list", work).await
    }

    /// Deletes a file, or a directory recursively. It is not an error if it does not exist.
    ///
    /// # Errors
    /// The store failed.
    pub async fn delete(&self, path: &ArtifactPath) -> Result<()> {
        let work = async {
            match self {
                Self::Local(local) => local.delete(path).await,
                Self::Bucket(bucket) => bucket.delete(path).await,
            }
        };
        self.observed("artifact delete", work).await
    }

    /// Removes a directory if it is empty. Does nothing in a bucket, which has no directories.
    ///
    /// # Errors
    /// The store failed.
    pub async fn delete_empty(&self, path: &ArtifactPath) -> Result<()> {
        match self {
            Self::Local(local) => local.delete_empty(path).await,
            Self::Bucket(_) => Ok(()),
        }
    }

    /// Checks that the store is readable and, for a directory, writable.
    ///
    /// # Errors
    /// It is not; the message is the reason.
    pub async fn check(&self) -> Result<()> {
        match self {
            Self::Local(local) => local.check(true).await,
            Self::Bucket(bucket) => bucket.check().await,
        }
    }

    /// Checks that the store is readable.
    ///
    /// # Errors
    /// It is not; the message is the reason.
    pub async fn check_reading(&self) -> Result<()> {
        match self {
            Self::Local(local) => local.check(false).await,
            Self::Bucket(bucket) => bucket.check().await,
        }
    }

    /// Runs a call as a span of its request. Paths and names are not in it.
    async fn observed<T>(&self, name: &'static str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut span = ActiveSpan::start(name, Kind::Client);
        let outcome = work.await;
        let kind = match self {
            Self::Local(_) => "directory",
            Self::Bucket(_) => "bucket",
        };
        span.set("ferroflow.artifact_store", kind);
        if outcome.as_ref().is_err_and(|error| error.code.http_status() >= 500) {
            span.fail();
        }
        outcome
    }

    /// The bucket, if it is one: clients can access it directly.
    #[must_use]
    pub fn bucket(&self) -> Option<&BucketRepository> {
        match self {
            Self::Local(_) => None,
            Self::Bucket(bucket) => Some(bucket),
        }
    }

    /// The name for operators: a directory, or a URI such as `s3://bucket/prefix`.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Local(local) => local.name(),
            Self::Bucket(bucket) => bucket.name(),
        }
    }
}
