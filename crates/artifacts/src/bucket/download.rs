//! Downloads: most are one response of the store. The rest of a large object is fetched in several concurrent range
//! requests, because stores limit the throughput of one connection. Memory is bounded: at most
//! [`MAX_CONCURRENT_DOWNLOADS`] downloads do so at a time; the rest of any other is one further response.

use std::{
    io,
    ops::Range,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::{FutureExt as _, Stream, StreamExt as _, TryFutureExt as _, TryStreamExt as _, stream};
use object_store::{GetOptions, GetRange, GetResult, ObjectMeta, path::Path};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::task::AbortOnDropHandle;

use super::{Bucket, explain::reason};
use crate::{
    client::last_cause,
    repository::{ByteStream, OpenedArtifact, Stat},
};

/// Bytes per range request.
const PIECE: u64 = 4 * 1024 * 1024;

/// Concurrent range requests of a download.
const CONCURRENT: usize = 4;

/// Bytes of the first response; also the minimum size of a rest that is fetched concurrently.
const LARGE: u64 = 4 * PIECE;

/// Maximum number of concurrent downloads by range requests: more of them use enough connections anyway.
const MAX_CONCURRENT_DOWNLOADS: usize = 2;

/// Bytes of a response that are passed on together: stores may send very small chunks, and each wakes a task.
const GATHER_BYTES: usize = 128 * 1024;

/// How long a small chunk waits for more.
const GATHER_WAIT: Duration = Duration::from_millis(2);

/// Gathered chunks that may be queued for the client.
const IN_FLIGHT: usize = 2;

/// The permits for downloads by range requests.
pub(super) fn permits() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(MAX_CONCURRENT_DOWNLOADS))
}

/// Opens an object, or a range of its bytes.
pub(super) async fn open(
    bucket: &Arc<Bucket>,
    key: Path,
    range: Option<Range<u64>>,
    etag: Option<&str>,
) -> object_store::Result<OpenedArtifact> {
    match range {
        Some(range) => open_range(bucket, key, range, etag).await,
        None => open_unknown_size(bucket, key).await,
    }
}

/// Opens an object of unknown size. The first response contains the size and, for most objects, all of the bytes: one
/// round trip is enough.
async fn open_unknown_size(bucket: &Arc<Bucket>, key: Path) -> object_store::Result<OpenedArtifact> {
    let whole = async || {
        let found = bucket.reads.get_opts(&key, GetOptions::default()).await?;
        // Every store sends at least one of them: a response without is not from a store.
        if found.meta.e_tag.is_none() && found.meta.last_modified.timestamp() == 0 {
            let source = "the response is not from an object store".into();
            return Err(object_store::Error::Generic { store: "store", source });
        }
        Ok(opened(bucket, found))
    };
    let first = match bucket.reads.get_opts(&key, options(Some(0..LARGE), None)).await {
        Ok(first) => first,
        Err(error) if is_range_error(&error) => return whole().await,
        Err(error) => return Err(error),
    };
    let rest = first.range.end..first.meta.size;
    if rest.is_empty() {
        return Ok(opened(bucket, first));
    }
    // Without an entity tag, two responses may be of two versions.
    let Some(etag) = first.meta.e_tag.clone() else { return whole().await };
    let OpenedArtifact { body, stat } = opened(bucket, first);
    Ok(OpenedArtifact { body: body.chain(self::rest(bucket, key, rest, etag)).boxed(), stat })
}

/// What follows the first response: range requests start at once, a single further one when the client has read the
/// first.
fn rest(bucket: &Arc<Bucket>, key: Path, range: Range<u64>, etag: String) -> ByteStream {
    let (this, uri) = (Arc::clone(bucket), bucket.uri.clone());
    let opening = if let Some(permit) = permit_for(bucket, &range) {
        let pieces = tokio::spawn(async move { parallel_requests(&this, key, range, &etag, permit).await });
        let pieces = AbortOnDropHandle::new(pieces);
        async move { pieces.await.unwrap_or_else(|error| Err(object_store::Error::JoinError { source: error })) }
            .boxed()
    } else {
        async move { single_request(&this, key, range, Some(&etag)).await }.boxed()
    };
    let body = opening.map(move |rest| rest.map(|rest| rest.body).map_err(|error| download_error(error, &uri)));
    body.try_flatten_stream().boxed()
}

/// Whether the error is about the range: an empty object has none, and some stores ignore ranges.
fn is_range_error(error: &object_store::Error) -> bool {
    let text = last_cause(error);
    text.contains("416") || text.contains("non-partial")
}

/// Opens a range inside an object.
async fn open_range(
    bucket: &Arc<Bucket>,
    key: Path,
    range: Range<u64>,
    etag: Option<&str>,
) -> object_store::Result<OpenedArtifact> {
    // Without an entity tag, ranges of a replaced object would be mixed with those of the new one.
    match etag.and_then(|etag| Some((etag, permit_for(bucket, &range)?))) {
        Some((etag, permit)) => parallel_requests(bucket, key, range, etag, permit).await,
        None => single_request(bucket, key, range, etag).await,
    }
}

/// A permit if the range is large enough, and one is available now.
fn permit_for(bucket: &Bucket, range: &Range<u64>) -> Option<OwnedSemaphorePermit> {
    let is_large = range.end.saturating_sub(range.start) >= LARGE;
    if is_large { Arc::clone(&bucket.budget.downloads).try_acquire_owned().ok() } else { None }
}

/// A range in one response.
async fn single_request(
    bucket: &Bucket,
    key: Path,
    range: Range<u64>,
    etag: Option<&str>,
) -> object_store::Result<OpenedArtifact> {
    let found = bucket.reads.get_opts(&key, options(Some(range), etag)).await?;
    check_etag(&key, etag, &found.meta)?;
    Ok(opened(bucket, found))
}

fn options(range: Option<Range<u64>>, etag: Option<&str>) -> GetOptions {
    GetOptions { range: range.map(GetRange::Bounded), if_match: etag.map(str::to_owned), ..GetOptions::default() }
}

/// Some stores ignore `If-Match`.
fn check_etag(key: &Path, etag: Option<&str>, found: &ObjectMeta) -> object_store::Result<()> {
    if etag.is_some() && found.e_tag.as_deref() != etag {
        return Err(object_store::Error::Precondition { path: key.to_string(), source: "it was replaced".into() });
    }
    Ok(())
}

/// The metadata in a response.
pub(super) fn stat(meta: ObjectMeta) -> Stat {
    Stat { size: meta.size, modified: Some(SystemTime::from(meta.last_modified)), etag: meta.e_tag }
}

/// `object_store` resumes an interrupted response; this is the error if that fails.
fn download_error(error: object_store::Error, uri: &str) -> io::Error {
    tracing::error!(store = uri, reason = reason(&error), "a download from the artifact storage failed");
    io::Error::other(error)
}

/// One response. A separate task reads from the store: a slow client must not cause a read timeout of the store.
fn opened(bucket: &Bucket, found: GetResult) -> OpenedArtifact {
    let (meta, uri) = (found.meta.clone(), bucket.uri.clone());
    let (sender, receiver) = mpsc::channel(IN_FLIGHT);
    tokio::spawn(async move {
        let mut answer = found.into_stream();
        while let Some(first) = answer.next().await {
            let gathered = gather(first, &mut answer).await;
            let gathered: Vec<_> =
                gathered.into_iter().map(|part| part.map_err(|error| download_error(error, &uri))).collect();
            if sender.send(gathered).await.is_err() {
                return;
            }
        }
    });
    let body = stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) });
    OpenedArtifact { body: body.flat_map(stream::iter).boxed(), stat: stat(meta) }
}

type Part = object_store::Result<Bytes>;

/// Gathers the chunks that arrive within a moment.
async fn gather(first: Part, answer: &mut (impl Stream<Item = Part> + Unpin)) -> Vec<Part> {
    let mut size = first.as_ref().map_or(GATHER_BYTES, Bytes::len);
    let mut parts = vec![first];
    let wait = tokio::time::sleep(GATHER_WAIT);
    tokio::pin!(wait);
    while size < GATHER_BYTES {
        tokio::select! {
            biased;
            next = answer.next() => {
                let Some(next) = next else { break };
                size += next.as_ref().map_or(GATHER_BYTES, Bytes::len);
                parts.push(next);
            }
            () = &mut wait => break,
        }
    }
    parts
}

/// Concurrent range requests, each read completely by its own task and sent in order. The first one is awaited: its
/// error is the error of all.
async fn parallel_requests(
    bucket: &Arc<Bucket>,
    key: Path,
    range: Range<u64>,
    etag: &str,
    permit: OwnedSemaphorePermit,
) -> object_store::Result<OpenedArtifact> {
    let (this, etag) = (Arc::clone(bucket), etag.to_owned());
    let starts = (range.start..range.end).step_by(usize::try_from(PIECE).unwrap_or(usize::MAX));
    let pieces = starts.map(move |start| {
        let piece = start..(start + PIECE).min(range.end);
        AbortOnDropHandle::new(tokio::spawn(self::piece(Arc::clone(&this), key.clone(), piece, etag.clone())))
    });
    let mut pieces = stream::iter(pieces)
        .buffered(CONCURRENT)
        .map(|piece| piece.unwrap_or_else(|error| Err(object_store::Error::JoinError { source: error })))
        .boxed();
    let Some(first) = pieces.next().await else { unreachable!("a large range has a first piece") };
    let (meta, first) = first?;
    let uri = bucket.uri.clone();
    let rest = pieces.map(move |piece| piece.map(|(_, parts)| parts).map_err(|error| download_error(error, &uri)));
    let body = stream::once(std::future::ready(Ok(first))).chain(rest);
    let body = body.map_ok(move |parts| {
        // Released when the rest is dropped.
        let _ = &permit;
        stream::iter(parts.into_iter().map(Ok))
    });
    Ok(OpenedArtifact { body: body.try_flatten().boxed(), stat: stat(meta) })
}

/// One of several range requests; its chunks are not concatenated.
async fn piece(
    bucket: Arc<Bucket>,
    key: Path,
    range: Range<u64>,
    etag: String,
) -> object_store::Result<(ObjectMeta, Vec<Bytes>)> {
    let found = bucket.reads.get_opts(&key, options(Some(range), Some(&etag))).await?;
    let meta = found.meta.clone();
    check_etag(&key, Some(&etag), &meta)?;
    Ok((meta, found.into_stream().try_collect().await?))
}
