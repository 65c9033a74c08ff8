//! Reads files with the spans of a trace: archived ones, and those that clients wrote. A file must be read completely
//! before its first span can be sent, so the memory of all of them together is bounded.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ferroflow_artifacts::{ArtifactPath, Location, Stat};
use ferroflow_model::{Error, ErrorCode, Result, archived_trace};
use ferroflow_otlp::ArchivedTrace;
use futures_util::TryStreamExt as _;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Memory for concurrent reads of payloads, in MiB: one of maximum size.
const MEMORY: usize = archived_trace::MAX_PAYLOAD / MIB;

const MIB: usize = 1024 * 1024;

/// Smaller payloads need no permit, in bytes.
const MIN_SIZE: u64 = 1024 * 1024;

/// Timeout of waiting for memory; the client may retry.
const MAX_WAIT: Duration = Duration::from_secs(30);

static BUDGET: Semaphore = Semaphore::const_new(MEMORY);

/// The permit for the memory of a payload; small ones need none.
pub(super) type Permit = Option<SemaphorePermit<'static>>;

/// The archived trace at a location, if it still exists.
///
/// # Errors
/// Its payload is damaged or too large, or the store failed.
pub(super) async fn read(location: &Location) -> Result<Option<(ArchivedTrace, Permit)>> {
    let path = ArtifactPath::parse(archived_trace::FILE)?;
    let Some((payload, permit)) = content(location, &path, 1).await? else { return Ok(None) };
    let parsed = tokio::task::spawn_blocking(|| ArchivedTrace::parse(payload)).await;
    match parsed.map_err(|error| Error::internal(error.to_string()))? {
        Ok(trace) => Ok(Some((trace, permit))),
        Err(_) => Err(super::corrupted(&format!("path={}", archived_trace::FILE))),
    }
}

/// The spans in the file of a client, each as JSON, if it exists.
///
/// # Errors
/// It is not such a file or too large, or the store failed.
pub(super) async fn read_file(location: &Location, path: &ArtifactPath) -> Result<Option<(Vec<String>, Permit)>> {
    #[derive(serde::Deserialize)]
    struct Spans {
        spans: Vec<serde_json::Value>,
    }

    // The JSON tree and the texts are in memory besides the file.
    let Some((content, permit)) = content(location, path, 4).await? else { return Ok(None) };
    let parse = move || {
        let file: Spans = serde_json::from_slice(&content).ok()?;
        Some(file.spans.iter().map(ToString::to_string).collect())
    };
    let parsed = tokio::task::spawn_blocking(parse).await.map_err(|error| Error::internal(error.to_string()))?;
    parsed.map(|spans| Some((spans, permit))).ok_or_else(|| super::corrupted(&format!("path={path}")))
}

/// A file, with a permit for `copies` times its size.
async fn content(location: &Location, path: &ArtifactPath, copies: u64) -> Result<Option<(Bytes, Permit)>> {
    let path = path.below(&location.base);
    let found = match location.repository.stat(&path).await {
        Ok(found) => found,
        Err(error) if error.code == ErrorCode::ResourceDoesNotExist => return Ok(None),
        Err(error) => return Err(error),
    };
    let permit = acquire(found.size.saturating_mul(copies)).await?;
    match payload(location, &path, &found).await {
        Ok(payload) => Ok(Some((payload, permit))),
        Err(error) if error.code == ErrorCode::ResourceDoesNotExist => Ok(None),
        Err(error) => Err(error),
    }
}

async fn payload(location: &Location, path: &ArtifactPath, found: &Stat) -> Result<Bytes> {
    // A payload that has been replaced meanwhile must not exceed the permit.
    let opened = location.repository.open(path, Some(0..found.size), found.etag.as_deref()).await?;
    let all = BytesMut::with_capacity(usize::try_from(found.size).unwrap_or_default());
    let read = opened.body.try_fold(all, |mut all, chunk| async move {
        all.extend_from_slice(&chunk);
        Ok(all)
    });
    let all = read.await.map_err(|error| {
        tracing::warn!(%error, "reading the spans of a trace failed");
        Error::unavailable("The spans of the trace cannot be read now. Try again later.")
    })?;
    Ok(all.freeze())
}

async fn acquire(size: u64) -> Result<Permit> {
    if size < MIN_SIZE {
        return Ok(None);
    }
    let needed = u32::try_from(size.div_ceil(MIB as u64)).unwrap_or(u32::MAX);
    if needed as usize > MEMORY {
        return Err(Error::invalid(format!(
            "The spans of the trace take {needed} MiB in memory. This server reads at most {MEMORY} MiB."
        )));
    }
    let permit = tokio::time::timeout(MAX_WAIT, BUDGET.acquire_many(needed)).await;
    match permit {
        Ok(Ok(permit)) => Ok(Some(permit)),
        _ => Err(Error::busy("Too many files of traces are being read. Try again later.")),
    }
}
