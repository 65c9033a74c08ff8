//! A request runs until its response has been sent, if that is a stream.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes},
    response::Response,
};
use ferroflow_store::fairness::Entered;
use http_body::{Body as HttpBody, Frame, SizeHint};

/// Size of a response up to which it is not worth counting, in bytes.
const SHORT: u64 = 64 * 1024;

/// Counts the request as running until its response has been sent, unless that is short.
pub(crate) fn while_sent(response: Response, entered: Entered) -> Response {
    if response.body().size_hint().upper().is_some_and(|size| size <= SHORT) {
        return response;
    }
    response.map(|body| Body::new(Running { body, _entered: entered }))
}

struct Running {
    body: Body,
    _entered: Entered,
}

impl HttpBody for Running {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
