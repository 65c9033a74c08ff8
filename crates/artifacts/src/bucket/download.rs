//! Downloads: a small one is one answer of the store, a large one comes in pieces, several of which are on their way at
//! the same time, as a store gives one connection only so much. What such downloads take of the memory is bounded:
//! whoever comes when it is taken gets one answer.

use std::{
    io,
    ops::Range,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use ferroflow_model::Result;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use object_store::{GetOptions, GetRange, ObjectMeta, path::Path};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::task::AbortOnDropHandle;

use super::{
    Bucket,
    explain::{explain, reason},
};
use crate::{ArtifactPath, repository::OpenedArtifact};

/// Bytes of a piece.
const PIECE: u64 = 4 * 1024 * 1024;

/// Pieces of a download that are on their way.
const CONCURRENT: usize = 4;

/// Bytes from which on a download comes in pieces.
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
    path: &ArtifactPath,
    range: Option<Range<u64>>,
    etag: Option<&str>,
) -> Result<OpenedArtifact> {
    // Without its tag, pieces of an object that is replaced meanwhile would be put together with those of the new one.
    let large = range.as_ref().zip(etag).filter(|(range, _)| range.end.saturating_sub(range.start) >= LARGE);
    let room = large.and_then(|large| Some((large, Arc::clone(&bucket.room.downloads).try_acquire_owned().ok()?)));
    let opened = match room {
        Some(((range, etag), room)) => in_pieces(bucket, key, range.clone(), etag, room).await,
        None => whole(bucket, &key, options(range, etag)).await,
    };
    opened.map_err(|error| explain(&error, path, &bucket.uri))
}

fn options(range: Option<Range<u64>>, etag: Option<&str>) -> GetOptions {
    GetOptions { range: range.map(GetRange::Bounded), if_match: etag.map(str::to_owned), ..GetOptions::default() }
}

fn opened(meta: &ObjectMeta, body: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> OpenedArtifact {
    OpenedArtifact { body: body.boxed(), size: meta.size, modified: Some(SystemTime::from(meta.last_modified)) }
}

/// A connection that breaks in the middle of an answer is resumed where it broke; this is when that did not help.
fn broken(error: object_store::Error, uri: &str) -> io::Error {
    tracing::error!(store = uri, reason = reason(&error), "a download from the artifact storage broke");
    io::Error::other(error)
}

/// One answer. The store is read by a task of its own: a client that takes its time is not taken for a store that
/// stands still.
async fn whole(bucket: &Bucket, key: &Path, options: GetOptions) -> object_store::Result<OpenedArtifact> {
    let found = bucket.reads.get_opts(key, options).await?;
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
    Ok(opened(&meta, body.flat_map(stream::iter)))
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
    Ok(opened(&meta, body.try_flatten()))
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
    // Not every store minds the condition.
    if meta.e_tag.as_deref() != Some(etag.as_str()) {
        return Err(object_store::Error::Precondition { path: key.to_string(), source: "it was replaced".into() });
    }
    Ok((meta, found.into_stream().try_collect().await?))
}
