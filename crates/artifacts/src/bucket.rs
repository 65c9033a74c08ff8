//! A bucket of an object store. It has no directories: what looks like one is a common prefix of names, so none has to
//! be created before a write or removed after a deletion.

mod blocks;
mod download;
mod explain;
mod memory_budget;
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
    list::{PaginatedListOptions, PaginatedListStore},
    multipart::MultipartStore,
    path::Path,
    signer::Signer,
};
use tokio::sync::Semaphore;

pub(crate) use self::explain::reason;
pub use self::transfer::{PresignedUrl, StartedUpload};
use self::{explain::explain, memory_budget::UploadBudget};
use crate::{
    ArtifactPath,
    client::{ATTEMPTS, pause},
    gcs,
    repository::{ByteStream, FileInfo, OpenedArtifact, Stat},
    s3::{Calls, ListPage},
};

/// How long a successful check is cached for probes: requests to the store are charged.
const CHECK_TTL: Duration = Duration::from_secs(15);

/// Maximum number of objects deleted at a time. Azure's pages are larger, and the last objects would time out.
const MAX_DELETED: usize = 1_000;

/// The traits that a store must implement. Every store of `object_store` does.
pub(crate) trait Provider: ObjectStore + MultipartStore + PaginatedListStore + Signer {}

impl<T: ObjectStore + MultipartStore + PaginatedListStore + Signer> Provider for T {}

/// How clients upload to the store directly.
#[derive(Clone)]
enum Transfers {
    /// Multipart uploads, whose parts get an entity tag. The client is for listing uploads and parts, which
    /// `object_store` does not support.
    Parts(HttpClient),
    /// Blocks with names chosen by the server. The store discards uncommitted blocks by itself.
    Blocks,
    /// Not at all: URLs cannot be signed.
    None,
}

/// The memory budget of transfers.
#[derive(Debug, Clone)]
pub(crate) struct TransferBudget {
    uploads: UploadBudget,
    downloads: Arc<Semaphore>,
}

impl Default for TransferBudget {
    fn default() -> Self {
        Self { uploads: UploadBudget::default(), downloads: download::permits() }
    }
}

/// A bucket and its clients.
pub(crate) struct Bucket {
    /// Its URI, such as `s3://bucket`.
    uri: String,
    reads: Arc<dyn Provider>,
    /// The same bucket, with the headers of uploads.
    writes: Arc<dyn Provider>,
    /// The same bucket, at the endpoint for clients.
    signs: Arc<dyn Provider>,
    transfers: Transfers,
    attributes: Attributes,
    tags: TagSet,
    signed_headers: HeaderMap,
    /// The client for resumable uploads, if the store does not use multipart uploads.
    sessions: Option<Arc<gcs::Writer>>,
    /// The client for listing and deleting exact names, if not through `object_store`.
    calls: Option<Calls>,
    budget: TransferBudget,
    /// The time of the last successful check.
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
            calls: None,
            budget: TransferBudget::default(),
            checked: Mutex::default(),
        }
    }

    /// With multipart uploads of clients; `list_client` is the client for listing them.
    pub(crate) fn with_parts(self, list_client: HttpClient) -> Self {
        Self { transfers: Transfers::Parts(list_client), ..self }
    }

    /// With block uploads of clients.
    pub(crate) fn with_blocks(self) -> Self {
        Self { transfers: Transfers::Blocks, ..self }
    }

    /// With resumable uploads.
    pub(crate) fn with_sessions(self, sessions: gcs::Writer) -> Self {
        Self { sessions: Some(Arc::new(sessions)), ..self }
    }

    /// With calls that list and delete exact names.
    pub(crate) fn with_calls(self, calls: Calls) -> Self {
        Self { calls: Some(calls), ..self }
    }

    /// With the memory budget shared by all buckets.
    pub(crate) fn with_budget(self, budget: TransferBudget) -> Self {
        Self { budget, ..self }
    }

    /// With the attributes and tags of all objects.
    pub(crate) fn with_options(self, attributes: Attributes, tags: TagSet, signed_headers: HeaderMap) -> Self {
        Self { attributes, tags, signed_headers, ..self }
    }
}

/// Artifacts below a prefix in a bucket.
#[derive(Debug, Clone)]
pub struct BucketRepository {
    bucket: Arc<Bucket>,
    /// Without leading and trailing slash; empty for the whole bucket.
    prefix: String,
}

impl BucketRepository {
    /// # Errors
    /// The prefix has an empty component, `.`, `..` or a control character.
    pub(crate) fn new(bucket: Arc<Bucket>, prefix: &str) -> Result<Self> {
        let prefix = prefix.strip_prefix('/').unwrap_or(prefix);
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        Path::parse(prefix)
            .map_err(|_| Error::invalid(format!("'{prefix}' cannot be the prefix of an artifact location.")))?;
        Ok(Self { bucket, prefix: prefix.to_owned() })
    }

    /// The object key of a path.
    fn key(&self, path: &ArtifactPath) -> Result<Path> {
        let text = match (self.prefix.is_empty(), path.is_root()) {
            (true, _) => path.to_string(),
            (false, true) => self.prefix.clone(),
            (false, false) => format!("{}/{path}", self.prefix),
        };
        Path::parse(text).map_err(|_| Error::invalid("Invalid path"))
    }

    /// The common prefix of the object keys below a path.
    fn below(&self, path: &ArtifactPath) -> Result<String> {
        let key = self.key(path)?;
        Ok(if key.as_ref().is_empty() { String::new() } else { format!("{key}/") })
    }

    /// A page of the names with a prefix; with `one_level`, names are grouped at the next slash.
    async fn page(
        &self,
        prefix: &str,
        one_level: bool,
        page_token: Option<String>,
        max_keys: Option<usize>,
    ) -> object_store::Result<ListPage> {
        if let Some(calls) = &self.bucket.calls {
            return calls.list(prefix, one_level, page_token.as_deref(), max_keys).await;
        }
        let delimiter = one_level.then_some("/".into());
        let options = PaginatedListOptions { delimiter, page_token, max_keys, ..PaginatedListOptions::default() };
        let prefix = Some(prefix).filter(|prefix| !prefix.is_empty());
        let page = self.bucket.reads.list_paginated(prefix, options).await?;
        let objects = page.result.objects.into_iter().map(|found| (found.location.into(), found.size));
        let directories = page.result.common_prefixes.into_iter().map(|found| format!("{found}/"));
        Ok(ListPage { objects: objects.collect(), directories: directories.collect(), next: page.page_token })
    }

    /// Whether no object has a prefix.
    async fn is_empty(&self, prefix: &str) -> object_store::Result<bool> {
        Ok(self.page(prefix, false, None, Some(1)).await?.objects.is_empty())
    }

    pub(crate) async fn stat(&self, path: &ArtifactPath) -> Result<Stat> {
        let key = self.key(path)?;
        let found = if path.is_root() { Err(missing(&key)) } else { self.bucket.reads.head(&key).await };
        self.found(path, found.map(download::stat)).await
    }

    /// Translates the result of a lookup for the client: a directory is not a file.
    async fn found<T>(&self, path: &ArtifactPath, found: object_store::Result<T>) -> Result<T> {
        match found {
            Err(object_store::Error::NotFound { .. }) if self.is_directory(path).await? => {
                Err(Error::invalid(format!("Artifact path refers to a directory, not a file: '{path}'")))
            }
            found => found.map_err(|error| explain(&error, path, &self.bucket.uri)),
        }
    }

    async fn is_directory(&self, path: &ArtifactPath) -> Result<bool> {
        let empty = self.is_empty(&self.below(path)?).await;
        empty.map(|empty| !empty).map_err(|error| explain(&error, path, &self.bucket.uri))
    }

    pub(crate) async fn open(
        &self,
        path: &ArtifactPath,
        range: Option<Range<u64>>,
        etag: Option<&str>,
    ) -> Result<OpenedArtifact> {
        // No store supports an empty range.
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
        // The object for the directory itself, which some tools create, has no name below it, and some names are not
        // valid in artifact paths.
        let name = |key: &str| {
            let name = key.strip_prefix(&prefix)?.trim_end_matches('/');
            Some(name.to_owned()).filter(|name| !matches!(name.as_str(), "" | "." | ".."))
        };
        let mut files = Vec::new();
        let mut page_token = None;
        loop {
            let page = self.page(&prefix, true, page_token, None).await;
            let page = page.map_err(|error| explain(&error, path, &self.bucket.uri))?;
            let objects = page.objects.iter().filter(|(key, _)| !key.ends_with('/'));
            files.extend(
                objects.filter_map(|(key, size)| Some(FileInfo { name: name(key)?, is_dir: false, size: Some(*size) })),
            );
            let directories = page.directories.iter();
            files.extend(directories.filter_map(|key| Some(FileInfo { name: name(key)?, is_dir: true, size: None })));
            page_token = page.next;
            if page_token.is_none() {
                break;
            }
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }

    /// Each page is deleted before the next is listed, so memory is bounded.
    pub(crate) async fn delete(&self, path: &ArtifactPath) -> Result<()> {
        let prefix = self.below(path)?;
        let explain = |error: object_store::Error| explain(&error, path, &self.bucket.uri);
        let mut page_token = None;
        let mut first = !path.is_root();
        loop {
            let page = self.page(&prefix, false, page_token, Some(MAX_DELETED)).await.map_err(explain)?;
            let mut keys: Vec<String> = page.objects.into_iter().map(|(key, _)| key).collect();
            if std::mem::take(&mut first) {
                // The file itself, which seldom exists beside a directory of the same name; some stores do not allow
                // both.
                let key = self.key(path)?;
                if keys.is_empty() || self.bucket.reads.head(&key).await.is_ok() {
                    keys.push(key.into());
                }
            }
            self.delete_all(keys).await.map_err(explain)?;
            page_token = page.next;
            if page_token.is_none() {
                return Ok(());
            }
        }
    }

    /// Deletes objects by exact names. A broken connection is retried here: `object_store` does not repeat the POST by
    /// which S3 and Azure delete many objects, because it does not know that a repeated deletion is harmless.
    async fn delete_all(&self, keys: Vec<String>) -> object_store::Result<()> {
        let mut odd = Vec::new();
        let mut plain = Vec::new();
        for key in keys {
            match Path::parse(&key) {
                Ok(path) if path.as_ref() == key => plain.push(path),
                _ => odd.push(key),
            }
        }
        let mut attempt = 1;
        while let Err(error) = self.delete_plain(&plain).await {
            if attempt == ATTEMPTS || !matches!(error, object_store::Error::Generic { .. }) {
                return Err(error);
            }
            tokio::time::sleep(pause(attempt)).await;
            attempt += 1;
        }
        match &self.bucket.calls {
            Some(calls) if !odd.is_empty() => calls.delete(&odd).await,
            _ => Ok(()),
        }
    }

    /// Deletes objects whose names are paths of `object_store`, in one attempt.
    async fn delete_plain(&self, paths: &[Path]) -> object_store::Result<()> {
        let paths = stream::iter(paths.to_vec()).map(Ok).boxed();
        let deleted = self.bucket.reads.delete_stream(paths).filter(|outcome| {
            // Deleted meanwhile, or never existed.
            std::future::ready(!matches!(outcome, Err(object_store::Error::NotFound { .. })))
        });
        deleted.try_for_each(|_| std::future::ready(Ok(()))).await
    }

    pub(crate) async fn check(&self) -> Result<()> {
        let last = *self.bucket.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| last.elapsed() < CHECK_TTL) {
            return Ok(());
        }
        let prefix = self.below(&ArtifactPath::root())?;
        let answered = async {
            if let Some(calls) = &self.bucket.calls {
                calls.check_credentials().await?;
            }
            self.is_empty(&prefix).await
        };
        if let Err(error) = answered.await {
            return Err(Error::unavailable(format!("{}: {}", self.name(), reason(&error))));
        }
        *self.bucket.checked.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        Ok(())
    }

    /// The URI, such as `s3://bucket/prefix`.
    pub(crate) fn name(&self) -> String {
        if self.prefix.is_empty() { self.bucket.uri.clone() } else { format!("{}/{}", self.bucket.uri, self.prefix) }
    }
}

fn missing(key: &Path) -> object_store::Error {
    object_store::Error::NotFound { path: key.to_string(), source: "the root of a repository is no object".into() }
}
