//! A bucket of an object store. There are no directories in it: what looks like one is the common
//! beginning of names, so nothing has to be made before a file is written, or deleted after one.

mod blocks;
mod download;
mod explain;
mod room;
mod session;
mod sweep;
mod transfer;
mod trial;
mod upload;

use std::{
    fmt,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use ferroflow_model::{Error, Result};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::HeaderMap;
use object_store::{
    Attributes, ObjectStore, ObjectStoreExt as _, TagSet,
    client::HttpClient,
    list::{PaginatedListOptions, PaginatedListResult, PaginatedListStore},
    multipart::MultipartStore,
    path::Path,
    signer::Signer,
};
use tokio::sync::Semaphore;

pub(crate) use self::explain::reason;
pub use self::transfer::{PresignedUrl, StartedUpload};
use self::{explain::explain, room::UploadRoom};
use crate::{
    ArtifactPath, gcs,
    repository::{ByteStream, FileInfo, OpenedArtifact, Stat},
};

/// How long an answer of the store is good for probes: each asks the store for money.
const CHECKED_FOR: Duration = Duration::from_secs(15);

/// What a store has to do. Every store of `object_store` does.
pub(crate) trait Provider: ObjectStore + MultipartStore + PaginatedListStore + Signer {}

impl<T: ObjectStore + MultipartStore + PaginatedListStore + Signer> Provider for T {}

/// What an upload is made of that clients do with the store themselves.
#[derive(Clone)]
enum Transfers {
    /// Parts of an upload that was begun, each with the tag that the store gave it. What the store has
    /// of them is asked with this, as `object_store` does not know the questions.
    Parts(HttpClient),
    /// Blocks that have a name of ours. The store forgets by itself those that nobody puts together.
    Blocks,
    /// Nothing can be signed.
    None,
}

/// What transfers may take of the memory.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    uploads: UploadRoom,
    downloads: Arc<Semaphore>,
}

impl Default for Room {
    fn default() -> Self {
        Self { uploads: UploadRoom::default(), downloads: download::room() }
    }
}

/// A bucket and how it is talked to.
pub(crate) struct Bucket {
    /// Its URI, such as `s3://bucket`.
    uri: String,
    reads: Arc<dyn Provider>,
    /// The same bucket, with the headers that uploads carry.
    writes: Arc<dyn Provider>,
    /// The same bucket, at the address that clients know.
    signs: Arc<dyn Provider>,
    transfers: Transfers,
    attributes: Attributes,
    tags: TagSet,
    signed_headers: HeaderMap,
    /// How it is written to, where not by parts.
    sessions: Option<Arc<gcs::Writer>>,
    room: Room,
    /// When it last answered.
    checked: Mutex<Option<Instant>>,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bucket").field(&self.uri).finish()
    }
}

impl Bucket {
    pub(crate) fn new<T: Provider>(uri: String, reads: Arc<T>, writes: Arc<T>, signs: Arc<T>) -> Self {
        Self {
            uri,
            reads,
            writes,
            signs,
            transfers: Transfers::None,
            attributes: Attributes::new(),
            tags: TagSet::default(),
            signed_headers: HeaderMap::new(),
            sessions: None,
            room: Room::default(),
            checked: Mutex::default(),
        }
    }

    /// Clients send it parts of uploads; what it is asked of them is sent with this.
    pub(crate) fn with_parts(self, asks: HttpClient) -> Self {
        Self { transfers: Transfers::Parts(asks), ..self }
    }

    /// Clients send it blocks.
    pub(crate) fn with_blocks(self) -> Self {
        Self { transfers: Transfers::Blocks, ..self }
    }

    /// It is written to in a protocol of its own.
    pub(crate) fn with_sessions(self, sessions: gcs::Writer) -> Self {
        Self { sessions: Some(Arc::new(sessions)), ..self }
    }

    /// What the transfers of all buckets may take of the memory.
    pub(crate) fn with_room(self, room: Room) -> Self {
        Self { room, ..self }
    }

    /// What every object is written with.
    pub(crate) fn with_options(self, attributes: Attributes, tags: TagSet, signed_headers: HeaderMap) -> Self {
        Self { attributes, tags, signed_headers, ..self }
    }
}

/// Artifacts whose names begin with a prefix, in a bucket.
#[derive(Debug, Clone)]
pub struct BucketRepository {
    bucket: Arc<Bucket>,
    /// Without slashes around it; empty for all of the bucket.
    prefix: String,
}

impl BucketRepository {
    /// # Errors
    /// The prefix holds an empty component, `.`, `..` or a control character.
    pub(crate) fn new(bucket: Arc<Bucket>, prefix: &str) -> Result<Self> {
        let prefix = prefix.strip_prefix('/').unwrap_or(prefix);
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        Path::parse(prefix)
            .map_err(|_| Error::invalid(format!("'{prefix}' can not be the prefix of an artifact location.")))?;
        Ok(Self { bucket, prefix: prefix.to_owned() })
    }

    /// The name of the object of a path.
    fn key(&self, path: &ArtifactPath) -> Result<Path> {
        let text = match (self.prefix.is_empty(), path.is_root()) {
            (true, _) => path.to_string(),
            (false, true) => self.prefix.clone(),
            (false, false) => format!("{}/{path}", self.prefix),
        };
        Path::parse(text).map_err(|_| Error::invalid("Invalid path"))
    }

    /// What the names of the objects below a path begin with.
    fn below(&self, path: &ArtifactPath) -> Result<String> {
        let key = self.key(path)?;
        Ok(if key.as_ref().is_empty() { String::new() } else { format!("{key}/") })
    }

    async fn page(&self, prefix: &str, options: PaginatedListOptions) -> object_store::Result<PaginatedListResult> {
        self.bucket.reads.list_paginated(Some(prefix).filter(|prefix| !prefix.is_empty()), options).await
    }

    pub(crate) async fn stat(&self, path: &ArtifactPath) -> Result<Stat> {
        let key = self.key(path)?;
        let found = if path.is_root() { Err(missing(&key)) } else { self.bucket.reads.head(&key).await };
        self.found(path, found.map(download::stat)).await
    }

    /// What was found under a path, or the client's error: a directory is no file.
    async fn found<T>(&self, path: &ArtifactPath, found: object_store::Result<T>) -> Result<T> {
        match found {
            Err(object_store::Error::NotFound { .. }) if self.is_directory(path).await? => {
                Err(Error::invalid(format!("Artifact path refers to a directory, not a file: '{path}'")))
            }
            found => found.map_err(|error| explain(&error, path, &self.bucket.uri)),
        }
    }

    async fn is_directory(&self, path: &ArtifactPath) -> Result<bool> {
        let options = PaginatedListOptions { max_keys: Some(1), ..PaginatedListOptions::default() };
        let page = self.page(&self.below(path)?, options).await;
        let page = page.map_err(|error| explain(&error, path, &self.bucket.uri))?;
        Ok(!page.result.objects.is_empty())
    }

    pub(crate) async fn open(
        &self,
        path: &ArtifactPath,
        range: Option<Range<u64>>,
        etag: Option<&str>,
    ) -> Result<OpenedArtifact> {
        // No store has a way to ask for no bytes.
        if let Some(empty) = range.clone().filter(Range::is_empty) {
            let stat = Stat { size: empty.start, modified: None, etag: etag.map(str::to_owned) };
            return Ok(OpenedArtifact { body: stream::empty().boxed(), stat });
        }
        let key = self.key(path)?;
        let opened =
            if path.is_root() { Err(missing(&key)) } else { download::open(&self.bucket, key, range, etag).await };
        self.found(path, opened).await
    }

    pub(crate) async fn write(&self, path: &ArtifactPath, body: ByteStream, length: Option<u64>) -> Result<()> {
        upload::write(&self.bucket, &self.key(path)?, path, body, length).await
    }

    pub(crate) async fn list(&self, path: &ArtifactPath) -> Result<Vec<FileInfo>> {
        let prefix = self.below(path)?;
        let name = |location: &Path| location.as_ref().strip_prefix(&prefix).map(str::to_owned);
        let mut files = Vec::new();
        let mut page_token = None;
        loop {
            let options =
                PaginatedListOptions { delimiter: Some("/".into()), page_token, ..PaginatedListOptions::default() };
            let page = self.page(&prefix, options).await;
            let page = page.map_err(|error| explain(&error, path, &self.bucket.uri))?;
            // The object that stands for the directory itself, where a tool made one, has no name below it.
            files.extend(page.result.objects.iter().filter_map(|object| {
                Some(FileInfo { name: name(&object.location)?, is_dir: false, size: Some(object.size) })
            }));
            files.extend(
                page.result
                    .common_prefixes
                    .iter()
                    .filter_map(|directory| Some(FileInfo { name: name(directory)?, is_dir: true, size: None })),
            );
            page_token = page.page_token;
            if page_token.is_none() {
                break;
            }
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }

    /// A page of what is there is deleted before the next one is asked for, however much there is.
    pub(crate) async fn delete(&self, path: &ArtifactPath) -> Result<()> {
        let prefix = self.below(path)?;
        let explain = |error: object_store::Error| explain(&error, path, &self.bucket.uri);
        let mut keys = Vec::new();
        let mut page_token = None;
        let mut first = !path.is_root();
        loop {
            let options = PaginatedListOptions { page_token, ..PaginatedListOptions::default() };
            let page = self.page(&prefix, options).await.map_err(explain)?;
            keys.extend(page.result.objects.into_iter().map(|object| object.location));
            if std::mem::take(&mut first) {
                // A file, which is seldom there beside a directory of its name; some stores can not have both.
                let key = self.key(path)?;
                if keys.is_empty() || self.bucket.reads.head(&key).await.is_ok() {
                    keys.push(key);
                }
            }
            let doomed = stream::iter(std::mem::take(&mut keys).into_iter().map(Ok)).boxed();
            let deleted = self.bucket.reads.delete_stream(doomed).filter(|outcome| {
                // Gone meanwhile, or never there.
                std::future::ready(!matches!(outcome, Err(object_store::Error::NotFound { .. })))
            });
            deleted.try_for_each(|_| std::future::ready(Ok(()))).await.map_err(explain)?;
            page_token = page.page_token;
            if page_token.is_none() {
                return Ok(());
            }
        }
    }

    pub(crate) async fn check(&self) -> Result<()> {
        let last = *self.bucket.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| last.elapsed() < CHECKED_FOR) {
            return Ok(());
        }
        let options = PaginatedListOptions { max_keys: Some(1), ..PaginatedListOptions::default() };
        if let Err(error) = self.page(&self.below(&ArtifactPath::root())?, options).await {
            return Err(Error::unavailable(format!("{}: {}", self.name(), reason(&error))));
        }
        *self.bucket.checked.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        Ok(())
    }

    /// Such as `s3://bucket/prefix`.
    pub(crate) fn name(&self) -> String {
        if self.prefix.is_empty() { self.bucket.uri.clone() } else { format!("{}/{}", self.bucket.uri, self.prefix) }
    }
}

fn missing(key: &Path) -> object_store::Error {
    object_store::Error::NotFound { path: key.to_string(), source: "the root of a repository is no object".into() }
}
