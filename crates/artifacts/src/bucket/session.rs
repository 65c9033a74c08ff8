//! Uploads to a store with resumable sessions: the next chunk is read while one is sent.

use std::sync::Arc;

use ferroflow_model::Result;
use object_store::{Attribute, PutPayload, path::Path};
use tokio::sync::OwnedSemaphorePermit;

use super::{
    Bucket,
    explain::ExplainResult as _,
    upload::{self, Body, PART},
};
use crate::{
    ArtifactPath,
    gcs::{Session, Writer},
};

/// Writes a body whose first chunk has been read. A chunk is held with its permit.
pub(super) async fn write(
    bucket: &Arc<Bucket>,
    writer: &Arc<Writer>,
    key: &Path,
    path: &ArtifactPath,
    mut piece: (PutPayload, Option<OwnedSemaphorePermit>),
    mut body: Body,
) -> Result<()> {
    let attributes = upload::attributes(bucket, path);
    let content_type = attributes.get(&Attribute::ContentType).map(AsRef::as_ref);
    if body.ended {
        return writer.put(key, content_type, piece.0).await.explained(path, &bucket.uri);
    }
    let session = writer.begin(key, content_type).await.explained(path, &bucket.uri)?;
    let mut upload = Upload(Some(session));
    loop {
        let Some(session) = &mut upload.0 else { return Ok(()) };
        if body.ended {
            session.send(piece.0.clone(), true).await.explained(path, &bucket.uri)?;
            upload.0 = None;
            return Ok(());
        }
        let size = usize::try_from(PART).unwrap_or(usize::MAX);
        if let Some(more) = bucket.budget.uploads.try_acquire(size) {
            let next = bucket.budget.uploads.fill(size, body.part(size));
            let (sent, next) = tokio::join!(session.send(piece.0.clone(), false), next);
            sent.explained(path, &bucket.uri)?;
            piece = (next?, Some(more));
        } else {
            // No permit for a second chunk: send and read in turn.
            session.send(piece.0.clone(), false).await.explained(path, &bucket.uri)?;
            piece.0 = bucket.budget.uploads.fill(size, body.part(size)).await?;
        }
    }
}

/// A session that is cancelled on drop unless finished.
struct Upload(Option<Session>);

impl Drop for Upload {
    fn drop(&mut self) {
        if let (Some(session), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(session.cancel());
        }
    }
}
