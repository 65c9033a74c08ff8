//! Request bodies. The memory of all bodies, and of the messages parsed from them, is bounded for the server as a
//! whole and for each caller; long bodies are parsed on blocking threads.

mod budget;

use std::sync::Arc;

use axum::body::{Body, Bytes};
use ferroflow_model::{Error, ErrorCode, Result, limits::memory, request};
use ferroflow_store::fairness::{Budget, Resource};
use http::{HeaderMap, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::sync::Semaphore;

use self::budget::MemoryBudget;
pub(crate) use self::budget::MemoryPermit;

/// The memory budgets of all requests.
#[derive(Debug)]
pub struct Bodies {
    short: MemoryBudget,
    long: MemoryBudget,
    short_messages: MemoryBudget,
    long_messages: MemoryBudget,
    parsers: Arc<Semaphore>,
}

impl Default for Bodies {
    fn default() -> Self {
        Self {
            short: MemoryBudget::new(Resource::ShortBodies, memory::SHORT_BODIES),
            long: MemoryBudget::new(Resource::LongBodies, memory::LONG_BODIES),
            short_messages: MemoryBudget::new(Resource::ShortMessages, memory::SHORT_MESSAGES),
            long_messages: MemoryBudget::new(Resource::LongMessages, memory::LONG_MESSAGES),
            parsers: Arc::new(Semaphore::new(memory::PARSERS)),
        }
    }
}

/// A body that has been read, with its share of the budget.
#[derive(Debug, Default)]
pub(crate) struct RequestBody {
    pub(crate) bytes: Bytes,
    permit: Option<MemoryPermit>,
}

impl RequestBody {
    pub(crate) fn is_long(&self) -> bool {
        self.bytes.len() > memory::SHORT_BODY
    }
}

impl Bodies {
    /// Reads a whole body of at most `max_bytes` bytes. It takes no memory before its first bytes arrive.
    ///
    /// # Errors
    /// The body is longer or ends early; it is too slow while other requests wait for memory; or waiting for memory
    /// timed out.
    pub(crate) async fn read(&self, headers: &HeaderMap, body: Body, max_bytes: usize) -> Result<RequestBody> {
        self.read_of_length(headers, content_length(headers), body, max_bytes).await
    }

    /// As [`Self::read`], of a body whose length is known from elsewhere than the headers: it has no more bytes.
    ///
    /// # Errors
    /// Those of [`Self::read`].
    pub(crate) async fn read_of_length(
        &self,
        headers: &HeaderMap,
        length: Option<usize>,
        mut body: Body,
        max_bytes: usize,
    ) -> Result<RequestBody> {
        match self.read_within_budget(length, &mut body, max_bytes).await {
            Ok(received) => Ok(received),
            Err(error) => {
                if error.code != ErrorCode::BadRequest {
                    discard(headers, body).await;
                }
                Err(error)
            }
        }
    }

    async fn read_within_budget(
        &self,
        content_length: Option<usize>,
        body: &mut Body,
        max_bytes: usize,
    ) -> Result<RequestBody> {
        if content_length.is_some_and(|length| length > max_bytes) {
            return Err(too_large(max_bytes));
        }
        let Some(first) = chunk(body).await? else { return Ok(RequestBody::default()) };
        let assumed = if first.len() > memory::SHORT_BODY { max_bytes } else { memory::SHORT_BODY };
        let expected = content_length.unwrap_or(assumed);
        let budget = if expected > memory::SHORT_BODY { &self.long } else { &self.short };
        let mut permit = budget.acquire(expected).await?;
        if content_length == Some(first.len()) {
            return Ok(RequestBody { bytes: first, permit: Some(permit) });
        }
        let mut bytes = Vec::with_capacity(expected.min(max_bytes));
        let mut next = Some(first);
        while let Some(chunk) = next {
            let length = bytes.len() + chunk.len();
            if length > max_bytes {
                return Err(too_large(max_bytes));
            }
            if content_length.is_none() && length > memory::SHORT_BODY && !permit.belongs_to(&self.long) {
                // A share of the short bodies' budget is held while waiting for the long bodies', never the reverse: no
                // deadlock.
                permit = self.long.acquire(max_bytes).await?;
            }
            bytes.extend_from_slice(&chunk);
            next = permit.next_chunk(self::chunk(body)).await?;
        }
        Ok(RequestBody { bytes: bytes.into(), permit: Some(permit) })
    }

    /// Completes when the memory of a long body, or of a message parsed from one, has been freed since the last call. One
    /// task may wait for it.
    pub(crate) async fn freed(&self) {
        tokio::select! {
            () = self.long.freed() => {}
            () = self.long_messages.freed() => {}
        }
    }

    /// The budgets, for metrics.
    pub(crate) fn budgets(&self) -> [&Budget; 4] {
        [&self.short, &self.long, &self.short_messages, &self.long_messages].map(MemoryBudget::memory)
    }

    /// Takes memory for the message parsed from a body, which has at most `values` values.
    pub(crate) async fn acquire_for_values(&self, body: &RequestBody, values: usize) -> Result<MemoryPermit> {
        let values = request::values_at_most(&body.bytes).min(values);
        self.acquire(body, memory::COPIES * body.bytes.len() + values * memory::PER_VALUE).await
    }

    /// Takes `bytes` for the message parsed from a body.
    pub(crate) async fn acquire(&self, body: &RequestBody, bytes: usize) -> Result<MemoryPermit> {
        if body.is_long() { self.long_messages.acquire(bytes).await } else { self.short_messages.acquire(bytes).await }
    }

    /// Takes `bytes` for the message parsed from a body that is long when it is decompressed.
    pub(crate) async fn acquire_long(&self, bytes: usize) -> Result<MemoryPermit> {
        self.long_messages.acquire(bytes).await
    }

    /// Parses a long body on a blocking thread. Parsing continues if the client disconnects, and holds its memory to
    /// the end.
    pub(crate) async fn parse<T: Send + 'static>(
        &self,
        body: RequestBody,
        permit: MemoryPermit,
        parse: impl FnOnce(Bytes) -> Result<T> + Send + 'static,
    ) -> Result<(T, MemoryPermit)> {
        let parser = Arc::clone(&self.parsers).acquire_owned().await;
        let parsed = tokio::task::spawn_blocking(move || {
            let (_parser, RequestBody { bytes, permit: _read }) = (parser, body);
            parse(bytes).map(|parsed| (parsed, permit))
        });
        parsed.await.map_err(|error| Error::internal(format!("A body could not be parsed: {error}")))?
    }
}

/// The value of `Content-Length`.
pub(crate) fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Whether a body may exceed [`memory::SHORT_BODY`].
pub(crate) fn may_be_long(headers: &HeaderMap, body: &Body) -> bool {
    !body.is_end_stream() && content_length(headers).is_none_or(|length| length > memory::SHORT_BODY)
}

/// Reads and drops the rest of a refused body: a client that is still sending does not read the response. A client that
/// sends `Expect` waits for the response and need not send the body.
pub(crate) async fn discard(headers: &HeaderMap, mut body: Body) {
    if headers.contains_key(header::EXPECT) || body.is_end_stream() {
        return;
    }
    let discard_rest = async {
        let mut left = memory::MAX_DISCARDED;
        while let Ok(Some(chunk)) = chunk(&mut body).await {
            left = left.saturating_sub(chunk.len());
            if left == 0 {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(memory::DISCARD_TIME, discard_rest).await;
}

/// The next chunk of a body.
pub(crate) async fn chunk(body: &mut Body) -> Result<Option<Bytes>> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Error::bad_request("The request ended before it was complete."))?;
        if let Ok(data) = frame.into_data()
            && !data.is_empty()
        {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

fn too_large(max_bytes: usize) -> Error {
    Error::invalid(format!("The request is larger than {max_bytes} bytes."))
}
