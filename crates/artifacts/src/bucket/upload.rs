//! Uploads: a small body in one request, a large one in parts. Nothing is written to disk, and only the parts in flight
//! are in memory; the client is read as fast as the store accepts data (back-pressure).

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use ferroflow_model::{Error, Result};
use futures_util::StreamExt as _;
use object_store::{
    Attribute, Attributes, MultipartUpload, PutMultipartOptions, PutOptions, PutPayload, PutPayloadMut, path::Path,
};
use tokio::{sync::OwnedSemaphorePermit, task::JoinSet};

use super::{Bucket, explain::ExplainResult as _, session};
use crate::{ArtifactPath, mime, repository::ByteStream};

/// Default part size in bytes. Stores require at least 5 MiB.
pub(super) const PART: u64 = 8 * 1024 * 1024;

/// Maximum initial part size in bytes, for files that are known to be large.
const MAX_PART: u64 = 64 * 1024 * 1024;

/// Maximum number of parts of an upload.
pub(super) const MAX_PARTS: u64 = 10_000;

/// Number of parts before they grow, if the size is unknown: files up to 16 GB keep small parts, and any file fits.
const CONSTANT_PARTS: u64 = 2_000;

/// Number of parts between two doublings from then on.
const DOUBLE_AFTER: u64 = 800;

/// Maximum size of an object in bytes.
const MAX_OBJECT: u64 = 5 * 1024 * 1024 * 1024 * 1024;

/// Maximum bytes of parts sent concurrently, if there is more than one.
const CONCURRENT: usize = 16 * 1024 * 1024;

/// Block size of part buffers.
const BLOCK: usize = 256 * 1024;

/// The sizes of the parts of an upload.
#[derive(Debug, Clone, Copy)]
struct PartSize {
    first: u64,
    constant: bool,
}

impl PartSize {
    /// By the size of the body in bytes, if known. Some stores require parts of equal size.
    fn of(length: Option<u64>) -> Self {
        let Some(length) = length else { return Self { first: PART, constant: false } };
        let fitting = length.div_ceil(MAX_PARTS).next_multiple_of(1024 * 1024);
        // A client cannot reserve memory by announcing a large body: beyond the maximum, parts grow as data arrives.
        let first = fitting.clamp(PART, MAX_PART);
        Self { first, constant: fitting <= first }
    }

    fn at(self, index: u64) -> usize {
        let grown = index.checked_sub(CONSTANT_PARTS).filter(|_| !self.constant);
        let doublings = grown.map_or(0, |grown| grown / DOUBLE_AFTER + 1);
        usize::try_from(self.first << doublings.min(10)).unwrap_or(usize::MAX)
    }
}

/// Minimum size in bytes of a body that needs a permit.
const SMALL: u64 = 1024 * 1024;

/// Timeout of waiting for the first permit; the client may retry.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// Writes a body of any length.
pub(super) async fn write(
    bucket: &Arc<Bucket>,
    key: &Path,
    path: &ArtifactPath,
    body: ByteStream,
    length: Option<u64>,
) -> Result<()> {
    if length.is_some_and(|length| length > MAX_OBJECT) {
        return Err(Error::invalid("The artifact is larger than 5 TiB, the maximum size of an object."));
    }
    let size = PartSize::of(length);
    let mut body = Body { stream: body, rest: Bytes::new(), ended: false };
    let part = size.at(0).min(length.and_then(|length| usize::try_from(length).ok()).unwrap_or(usize::MAX));
    // Small bodies need no permit: they never wait for others.
    let counted = length.is_none_or(|length| length >= SMALL);
    let (first, permit) = if counted {
        let Ok(permit) = tokio::time::timeout(MAX_WAIT, bucket.budget.uploads.acquire(part)).await else {
            return Err(Error::busy("The server is busy with other uploads. Try again later."));
        };
        let permit = permit?;
        (bucket.budget.uploads.fill(part, body.part(size.at(0))).await?, Some(permit))
    } else {
        (body.part(size.at(0)).await?, None)
    };
    if let Some(sessions) = &bucket.sessions {
        return session::write(bucket, sessions, key, path, (first, permit), body).await;
    }
    if body.ended {
        let options =
            PutOptions { attributes: attributes(bucket, path), tags: bucket.tags.clone(), ..PutOptions::default() };
        return bucket.writes.put_opts(key, first, options).await.map(drop).explained(path, &bucket.uri);
    }
    let mut upload = Upload::begin(bucket, key, path).await?;
    match send(&mut upload, (first, permit), &mut body, size, path).await {
        Ok(()) => Ok(()),
        Err(error) => {
            upload.abort().await;
            Err(error)
        }
    }
}

async fn send(
    upload: &mut Upload,
    (first, permit): (PutPayload, Option<OwnedSemaphorePermit>),
    body: &mut Body,
    size: PartSize,
    path: &ArtifactPath,
) -> Result<()> {
    let bucket = Arc::clone(&upload.bucket);
    upload.part(first, permit);
    while !body.ended {
        if upload.begun == MAX_PARTS {
            return Err(Error::invalid("The artifact has more parts than a bucket accepts."));
        }
        let next = size.at(upload.begun);
        let permit = loop {
            if upload.running.is_empty() {
                // Without a timeout: the parts sent so far are not discarded.
                break bucket.budget.uploads.acquire(next).await?;
            }
            match bucket.budget.uploads.try_acquire(next) {
                Some(permit) => break permit,
                None => upload.finished_part().await.explained(path, &bucket.uri)?,
            }
        };
        let part = bucket.budget.uploads.fill(next, body.part(next)).await?;
        while !upload.running.is_empty() && (upload.running.len() + 1) * next > CONCURRENT {
            upload.finished_part().await.explained(path, &bucket.uri)?;
        }
        upload.part(part, Some(permit));
    }
    while !upload.running.is_empty() {
        upload.finished_part().await.explained(path, &bucket.uri)?;
    }
    upload.complete().await.explained(path, &bucket.uri)
}

/// The attributes of a stored file. The content encoding is omitted: a client that decodes it would get other bytes
/// than were logged.
pub(super) fn attributes(bucket: &Bucket, path: &ArtifactPath) -> Attributes {
    let mut attributes = bucket.attributes.clone();
    if attributes.get(&Attribute::ContentType).is_none()
        && let Some(known) = mime::known(path.name())
    {
        attributes.insert(Attribute::ContentType, known.into());
    }
    attributes
}

/// A body that is split into parts.
pub(super) struct Body {
    stream: ByteStream,
    /// Data that has been read and belongs to the next part.
    rest: Bytes,
    pub(super) ended: bool,
}

impl Body {
    /// The next `size` bytes, or the rest. `ended` is set after the last byte.
    pub(super) async fn part(&mut self, size: usize) -> Result<PutPayload> {
        let mut part = PutPayloadMut::new().with_block_size(BLOCK);
        loop {
            let missing = size - part.content_length();
            let taken = self.rest.split_to(self.rest.len().min(missing));
            // Copied: a small slice would keep the whole read buffer alive.
            part.extend_from_slice(&taken);
            if !self.rest.is_empty() {
                return Ok(part.freeze());
            }
            match self.stream.next().await {
                Some(Ok(chunk)) => self.rest = chunk,
                Some(Err(error)) => {
                    return Err(Error::bad_request(format!("The upload ended before it was complete: {error}")));
                }
                None => {
                    self.ended = true;
                    return Ok(part.freeze());
                }
            }
        }
    }
}

/// A multipart upload. It is aborted on drop unless completed, since the client has disconnected.
struct Upload {
    bucket: Arc<Bucket>,
    key: Path,
    /// `None` once completed or aborted.
    parts: Option<Box<dyn MultipartUpload>>,
    running: JoinSet<object_store::Result<()>>,
    begun: u64,
}

impl Upload {
    async fn begin(bucket: &Arc<Bucket>, key: &Path, path: &ArtifactPath) -> Result<Self> {
        let options = PutMultipartOptions {
            attributes: attributes(bucket, path),
            tags: bucket.tags.clone(),
            ..PutMultipartOptions::default()
        };
        let parts = bucket.writes.put_multipart_opts(key, options).await.explained(path, &bucket.uri)?;
        Ok(Self { bucket: Arc::clone(bucket), key: key.clone(), parts: Some(parts), running: JoinSet::new(), begun: 0 })
    }

    fn part(&mut self, payload: PutPayload, permit: Option<OwnedSemaphorePermit>) {
        if let Some(parts) = &mut self.parts {
            self.begun += 1;
            let part = parts.put_part(payload);
            self.running.spawn(async move {
                let outcome = part.await;
                drop(permit);
                outcome
            });
        }
    }

    async fn finished_part(&mut self) -> object_store::Result<()> {
        self.running.join_next().await.unwrap_or(Ok(Ok(())))?
    }

    async fn complete(&mut self) -> object_store::Result<()> {
        if let Some(parts) = &mut self.parts {
            parts.complete().await?;
        }
        self.parts = None;
        Ok(())
    }

    async fn abort(&mut self) {
        if let Some(parts) = self.parts.take() {
            abort(parts, &mut self.running, &self.key, &self.bucket.uri).await;
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // Without a runtime the process is exiting: the sweep removes the upload.
        if let (Some(parts), Ok(runtime)) = (self.parts.take(), tokio::runtime::Handle::try_current()) {
            let (bucket, key) = (Arc::clone(&self.bucket), self.key.clone());
            let mut running = std::mem::take(&mut self.running);
            runtime.spawn(async move { abort(parts, &mut running, &key, &bucket.uri).await });
        }
    }
}

/// Aborts an upload. Parts in flight are cancelled first: one that arrives later would remain.
async fn abort(
    mut parts: Box<dyn MultipartUpload>,
    running: &mut JoinSet<object_store::Result<()>>,
    key: &Path,
    uri: &str,
) {
    running.shutdown().await;
    if let Err(error) = parts.abort().await {
        let reason = super::reason(&error);
        tracing::warn!(store = uri, %key, reason, "an incomplete upload could not be aborted: it is swept later");
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    #[test]
    fn any_file_fits_into_the_parts_of_an_upload() {
        let capacity = |size: PartSize| (0..MAX_PARTS).map(|index| size.at(index) as u64).sum::<u64>();
        for length in [0, 1, PART, 10 << 30, 80 << 30, 100 << 30, 640 << 30, MAX_OBJECT] {
            assert!(capacity(PartSize::of(Some(length))) >= length, "{length}");
        }
        assert!(capacity(PartSize::of(None)) >= MAX_OBJECT);
        for (length, parts) in [(Some(10 << 30), 9_999), (None, (15 << 30) / PART)] {
            assert_eq!(PartSize::of(length).at(parts) as u64, PART, "10 GB need no more memory than less");
        }
        assert!(PartSize::of(Some(MAX_OBJECT)).at(0) as u64 <= MAX_PART, "an announcement takes no memory");
    }

    #[tokio::test]
    async fn a_body_is_cut_where_a_part_is_full() {
        let chunks = ["abc", "", "defgh", "i"].map(|text| Ok(Bytes::from_static(text.as_bytes())));
        let mut body = Body { stream: stream::iter(chunks).boxed(), rest: Bytes::new(), ended: false };
        let mut parts = Vec::new();
        while !body.ended {
            parts.push(Bytes::from(body.part(4).await.unwrap()));
        }
        assert_eq!(parts, ["abcd", "efgh", "i"]);
    }
}
