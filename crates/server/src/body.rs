//! Request bodies. The memory of all bodies, and of the messages parsed from them, is bounded for the server as a
//! whole; long bodies are parsed on blocking threads.

mod budget;

use std::sync::Arc;

use axum::body::{Body, Bytes};
use ferroflow_model::{Error, ErrorCode, Result, limits::memory, request};
use http::{HeaderMap, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::sync::Semaphore;

pub(crate) use self::budget::Held;
use self::budget::Room;

/// The memory budgets of all requests.
#[derive(Debug)]
pub struct Bodies {
    short: Room,
    long: Room,
    short_messages: Room,
    long_messages: Room,
    parsers: Arc<Semaphore>,
}

impl Default for Bodies {
    fn default() -> Self {
        Self {
            short: Room::new(memory::SHORT_BODIES),
            long: Room::new(memory::LONG_BODIES),
            short_messages: Room::new(memory::SHORT_MESSAGES),
            long_messages: Room::new(memory::LONG_MESSAGES),
            parsers: Arc::new(Semaphore::new(memory::PARSERS)),
        }
    }
}

/// A body that has been read, with its share of the budget.
#[derive(Debug, Default)]
pub(crate) struct Received {
    pub(crate) bytes: Bytes,
    room: Option<Held>,
}

impl Received {
    pub(crate) fn is_long(&self) -> bool {
        self.bytes.len() > memory::SHORT_BODY
    }
}

impl Bodies {
    /// Reads a whole body of at most `most` bytes. It takes no memory before its first bytes arrive.
    ///
    /// # Errors
    /// The body is longer or ends early; it is too slow while other requests wait for memory; or waiting for memory
    /// timed out.
    pub(crate) async fn read(&self, headers: &HeaderMap, mut body: Body, most: usize) -> Result<Received> {
        match self.receive(headers, &mut body, most).await {
            Ok(received) => Ok(received),
            Err(error) => {
                if error.code != ErrorCode::BadRequest {
                    discard(headers, body).await;
                }
                Err(error)
            }
        }
    }

    async fn receive(&self, headers: &HeaderMap, body: &mut Body, most: usize) -> Result<Received> {
        let announced = announced(headers);
        if announced.is_some_and(|length| length > most) {
            return Err(too_large(most));
        }
        let Some(first) = piece(body).await? else { return Ok(Received::default()) };
        let unknown = if first.len() > memory::SHORT_BODY { most } else { memory::SHORT_BODY };
        let expected = announced.unwrap_or(unknown);
        let room = if expected > memory::SHORT_BODY { &self.long } else { &self.short };
        let mut room = room.take(expected).await?;
        if announced == Some(first.len()) {
            return Ok(Received { bytes: first, room: Some(room) });
        }
        let mut bytes = Vec::with_capacity(expected.min(most));
        let mut next = Some(first);
        while let Some(piece) = next {
            let length = bytes.len() + piece.len();
            if length > most {
                return Err(too_large(most));
            }
            if announced.is_none() && length > memory::SHORT_BODY && !room.is_of(&self.long) {
                // A share of the short bodies' budget is held while waiting for the long bodies', never the reverse: no
                // deadlock.
                room = self.long.take(most).await?;
            }
            bytes.extend_from_slice(&piece);
            next = room.fill(self::piece(body)).await?;
        }
        Ok(Received { bytes: bytes.into(), room: Some(room) })
    }

    /// Takes memory for the message parsed from a body, which has at most `values` values.
    pub(crate) async fn admit(&self, body: &Received, values: usize) -> Result<Held> {
        let values = request::values_at_most(&body.bytes).min(values);
        self.take(body, memory::COPIES * body.bytes.len() + values * memory::VALUE).await
    }

    /// Takes `bytes` for the message parsed from a body.
    pub(crate) async fn take(&self, body: &Received, bytes: usize) -> Result<Held> {
        if body.is_long() { self.long_messages.take(bytes).await } else { self.short_messages.take(bytes).await }
    }

    /// Parses a long body on a blocking thread. Parsing continues if the client disconnects, and holds its memory to
    /// the end.
    pub(crate) async fn parse<T: Send + 'static>(
        &self,
        body: Received,
        room: Held,
        parse: impl FnOnce(Bytes) -> Result<T> + Send + 'static,
    ) -> Result<(T, Held)> {
        let turn = Arc::clone(&self.parsers).acquire_owned().await;
        let parsed = tokio::task::spawn_blocking(move || {
            let (_turn, Received { bytes, room: _read }) = (turn, body);
            parse(bytes).map(|parsed| (parsed, room))
        });
        parsed.await.map_err(|error| Error::internal(format!("A body could not be parsed: {error}")))?
    }
}

/// The value of `Content-Length`.
pub(crate) fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Whether a body may exceed [`memory::SHORT_BODY`].
pub(crate) fn may_be_long(headers: &HeaderMap, body: &Body) -> bool {
    !body.is_end_stream() && announced(headers).is_none_or(|length| length > memory::SHORT_BODY)
}

/// Reads and drops the rest of a refused body: a client that is still sending does not read the response. A client that
/// sends `Expect` waits for the response and need not send the body.
pub(crate) async fn discard(headers: &HeaderMap, mut body: Body) {
    if headers.contains_key(header::EXPECT) || body.is_end_stream() {
        return;
    }
    let discarded = async {
        let mut left = memory::DISCARDED;
        while let Ok(Some(piece)) = piece(&mut body).await {
            left = left.saturating_sub(piece.len());
            if left == 0 {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(memory::DISCARD_TIME, discarded).await;
}

/// The next chunk of a body.
async fn piece(body: &mut Body) -> Result<Option<Bytes>> {
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

fn too_large(most: usize) -> Error {
    Error::invalid(format!("The request is larger than {most} bytes."))
}
