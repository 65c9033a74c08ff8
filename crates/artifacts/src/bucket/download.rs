//! Downloads: most are one answer of the store. What is beyond that of a large one comes in pieces, several of which are
//! on their way at the same time, as a store gives one connection only so much. What such downloads take of the memory is
//! bounded: whoever comes when it is taken gets one more answer.

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

/// Bytes of a piece.
const PIECE: u64 = 4 * 1024 * 1024;

/// Pieces of a download that are on their way.
const CONCURRENT: usize = 4;

/// Bytes of the first answer, and from which on the rest of a download comes in pieces.
const LARGE: u64 = 4 * PIECE;

/// Downloads in pieces at the same time: with more of them there are connections enough.
const DOWNLOADS: usize = 2;

/// Bytes of one answer that are handed on together: where a store sends crumbs, not each of them wakes somebody.
const GATHERED: usize = 128 * 1024;

/// How long a crumb waits for more.
const PATIENCE: Duration = Duration::from_millis(2);

/// What was gathered and waits for the client.
const IN_FLIGHT: usize = 2;

/// Room for downloads in pieces.
pub(super) fn room() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(DOWNLOADS))
}

/// Opens an object, or a range of its bytes.
pub(super) async fn open(
    bucket: &Arc<Bucket>,
    key: Path,
    range: Option<Range<u64>>,
    etag: Option<&str>,
) -> object_store::Result<OpenedArtifact> {
    match range {
        Some(range) => known(bucket, key, range, etag).await,
        None => unknown(bucket, key).await,
    }
}

/// An object of which nothing is known yet. The first answer tells how much there is, and of most objects it is all: who
/// looks at a plot waits for one answer of the store.
async fn unknown(bucket: &Arc<Bucket>, key: Path) -> object_store::Result<OpenedArtifact> {
    let whole = async || {
        let found = bucket.reads.get_opts(&key, GetOptions::default()).await?;
        // Every store tells one of them: whatever else stands in its place is not taken for the file.
        if found.meta.e_tag.is_none() && found.meta.last_modified.timestamp() == 0 {
            let source = "it is not the store that answers there".into();
            return Err(object_store::Error::Generic { store: "store", source });
        }
        Ok(opened(bucket, found))
    };
    let first = match bucket.reads.get_opts(&key, options(Some(0..LARGE), None)).await {
        Ok(first) => first,
        Err(error) if gives_no_part(&error) => return whole().await,
        Err(error) => return Err(error),
    };
    let rest = first.range.end..first.meta.size;
    if rest.is_empty() {
        return Ok(opened(bucket, first));
    }
    // Two answers without a tag may be of two objects.
    let Some(etag) = first.meta.e_tag.clone() else { return whole().await };
    let OpenedArtifact { body, stat } = opened(bucket, first);
    Ok(OpenedArtifact { body: body.chain(self::rest(bucket, key, rest, etag)).boxed(), stat })
}

/// What follows the first answer: pieces are asked for at once, one further answer when it is its turn.
fn rest(bucket: &Arc<Bucket>, key: Path, range: Range<u64>, etag: String) -> ByteStream {
    let (this, uri) = (Arc::clone(bucket), bucket.uri.clone());
    let opening = if let Some(room) = room_for(bucket, &range) {
        let pieces = tokio::spawn(async move { in_pieces(&this, key, range, &etag, room).await });
        let pieces = AbortOnDropHandle::new(pieces);
        async move { pieces.await.unwrap_or_else(|error| Err(object_store::Error::JoinError { source: error })) }
            .boxed()
    } else {
        async move { one(&this, key, range, Some(&etag)).await }.boxed()
    };
    let body = opening.map(move |rest| rest.map(|rest| rest.body).map_err(|error| broken(error, &uri)));
    body.try_flatten_stream().boxed()
}

/// Whether what is wrong is the wish for a part: an empty object has none, and some stores give all or nothing.
fn gives_no_part(error: &object_store::Error) -> bool {
    let text = last_cause(error);
    text.contains("416") || text.contains("non-partial")
}

/// A range that lies inside of an object.
async fn known(
    bucket: &Arc<Bucket>,
    key: Path,
    range: Range<u64>,
    etag: Option<&str>,
) -> object_store::Result<OpenedArtifact> {
    // Without its tag, pieces of an object that is replaced meanwhile would be put together with those of the new one.
    match etag.and_then(|etag| Some((etag, room_for(bucket, &range)?))) {
        Some((etag, room)) => in_pieces(bucket, key, range, etag, room).await,
        None => one(bucket, key, range, etag).await,
    }
}

/// Room for a range that is large enough for pieces, if there is some now.
fn room_for(bucket: &Bucket, range: &Range<u64>) -> Option<OwnedSemaphorePermit> {
    let is_large = range.end.saturating_sub(range.start) >= LARGE;
    if is_large { Arc::clone(&bucket.room.downloads).try_acquire_owned().ok() } else { None }
}

/// A range as one answer.
async fn one(
    bucket: &Bucket,
    key: Path,
    range: Range<u64>,
    etag: Option<&str>,
) -> object_store::Result<OpenedArtifact> {
    let found = bucket.reads.get_opts(&key, options(Some(range), etag)).await?;
    same(&key, etag, &found.meta)?;
    Ok(opened(bucket, found))
}

fn options(range: Option<Range<u64>>, etag: Option<&str>) -> GetOptions {
    GetOptions { range: range.map(GetRange::Bounded), if_match: etag.map(str::to_owned), ..GetOptions::default() }
}

/// Not every store minds the condition.
fn same(key: &Path, etag: Option<&str>, found: &ObjectMeta) -> object_store::Result<()> {
    if etag.is_some() && found.e_tag.as_deref() != etag {
        return Err(object_store::Error::Precondition { path: key.to_string(), source: "it was replaced".into() });
    }
    Ok(())
}

/// What an answer tells of its object.
pub(super) fn stat(meta: ObjectMeta) -> Stat {
    Stat { size: meta.size, modified: Some(SystemTime::from(meta.last_modified)), etag: meta.e_tag }
}

/// A connection that breaks in the middle of an answer is resumed where it broke; this is when that did not help.
fn broken(error: object_store::Error, uri: &str) -> io::Error {
    tracing::error!(store = uri, reason = reason(&error), "a download from the artifact storage broke");
    io::Error::other(error)
}

/// One answer. The store is read by a task of its own: a client that takes its time is not taken for a store that
/// stands still.
fn opened(bucket: &Bucket, found: GetResult) -> OpenedArtifact {
    let (meta, uri) = (found.meta.clone(), bucket.uri.clone());
    let (sender, receiver) = mpsc::channel(IN_FLIGHT);
    tokio::spawn(async move {
        let mut answer = found.into_stream();
        while let Some(first) = answer.next().await {
            let gathered = gather(first, &mut answer).await;
            let gathered: Vec<_> = gathered.into_iter().map(|part| part.map_err(|error| broken(error, &uri))).collect();
            if sender.send(gathered).await.is_err() {
                return;
            }
        }
    });
    let body = stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) });
    OpenedArtifact { body: body.flat_map(stream::iter).boxed(), stat: stat(meta) }
}

type Part = object_store::Result<Bytes>;

/// What comes of an answer in a moment.
async fn gather(first: Part, answer: &mut (impl Stream<Item = Part> + Unpin)) -> Vec<Part> {
    let mut size = first.as_ref().map_or(GATHERED, Bytes::len);
    let mut parts = vec![first];
    let patience = tokio::time::sleep(PATIENCE);
    tokio::pin!(patience);
    while size < GATHERED {
        tokio::select! {
            biased;
            next = answer.next() => {
                let Some(next) = next else { break };
                size += next.as_ref().map_or(GATHERED, Bytes::len);
                parts.push(next);
            }
            () = &mut patience => break,
        }
    }
    parts
}

/// Several answers, each read to its end by a task of its own and sent in order. The first one is waited for: what is
/// wrong with it is wrong with all.
async fn in_pieces(
    bucket: &Arc<Bucket>,
    key: Path,
    range: Range<u64>,
    etag: &str,
    room: OwnedSemaphorePermit,
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
    let rest = pieces.map(move |piece| piece.map(|(_, parts)| parts).map_err(|error| broken(error, &uri)));
    let body = stream::once(std::future::ready(Ok(first))).chain(rest);
    let body = body.map_ok(move |parts| {
        // Given back when nobody wants the rest.
        let _ = &room;
        stream::iter(parts.into_iter().map(Ok))
    });
    Ok(OpenedArtifact { body: body.try_flatten().boxed(), stat: stat(meta) })
}

/// One of several answers, without moving it together.
async fn piece(
    bucket: Arc<Bucket>,
    key: Path,
    range: Range<u64>,
    etag: String,
) -> object_store::Result<(ObjectMeta, Vec<Bytes>)> {
    let found = bucket.reads.get_opts(&key, options(Some(range), Some(&etag))).await?;
    let meta = found.meta.clone();
    same(&key, Some(&etag), &meta)?;
    Ok((meta, found.into_stream().try_collect().await?))
}
