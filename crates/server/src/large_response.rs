//! Large responses: their memory counts against the budget of results until the client has read them.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use ferroflow_model::limits::memory;
use ferroflow_store::db::Account;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Instant;

/// Size of the pieces in which a response is sent.
const PIECE: usize = 64 * 1024;

/// Keeps the turn of a large result until its response is sent. A client that reads slowly is cut off when another
/// request waits for a turn.
pub(crate) fn hold(mut response: Response, account: Account) -> Response {
    if !account.is_large() {
        return response;
    }
    // The connection learns of the budget, because a body is not asked for more while its client reads nothing.
    response.extensions_mut().insert(account.budget().clone());
    response.map(|body| Body::new(Held { body, rest: Bytes::new(), account, since: Instant::now(), sent: 0 }))
}

struct Held {
    body: Body,
    /// What is left of a frame.
    rest: Bytes,
    account: Account,
    /// Start of the current measuring interval; `sent` is the number of bytes sent in it.
    since: Instant,
    sent: usize,
}

impl Held {
    /// Whether the client has read enough in the last interval, or no other request waits.
    fn keeps_pace(&mut self) -> bool {
        if self.since.elapsed() < memory::GRACE {
            return true;
        }
        let is_slow = self.sent < self.account.pace();
        (self.since, self.sent) = (Instant::now(), 0);
        !(is_slow && self.account.budget().is_wanted())
    }
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        if !this.keeps_pace() {
            let error = io::Error::new(io::ErrorKind::TimedOut, "the client reads too slowly, and others wait");
            return Poll::Ready(Some(Err(axum::Error::new(error))));
        }
        if this.rest.is_empty() {
            match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                end => return Poll::Ready(end),
            }
        }
        let piece = this.rest.split_to(this.rest.len().min(PIECE));
        this.sent += piece.len();
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}
