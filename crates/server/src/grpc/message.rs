//! Messages: a flag, the length and the bytes. A call without streams has one in each direction.
//!
//! The length comes with the first bytes, so that a message takes its share of the memory budget before the rest is read.

use std::{
    future::ready,
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::{
    BoxError,
    body::{Body, Bytes},
    response::Response,
};
use bytes::{Buf as _, BufMut as _, BytesMut};
use ferroflow_model::{Error, Result};
use http::{HeaderMap, HeaderValue, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full};

use super::MEDIA_TYPE;
use crate::body::chunk;

/// The length of flag and length.
const PREFIX: usize = 5;

/// The compressions of messages that are read.
const ACCEPTED: HeaderValue = HeaderValue::from_static("identity,gzip,deflate,zstd");

/// A message whose rest is still being received.
pub(crate) struct Incoming {
    /// Whether it is compressed as `grpc-encoding` says.
    pub(crate) is_compressed: bool,
    /// The length as it is sent.
    pub(crate) length: usize,
    /// The bytes. The stream fails unless the message has this length and the call no other message.
    pub(crate) body: Body,
}

/// Begins to receive the message of a call.
///
/// # Errors
/// The body has none.
pub(crate) async fn receive(mut body: Body) -> Result<Incoming> {
    let mut first = Bytes::new();
    while first.len() < PREFIX {
        let Some(next) = chunk(&mut body).await? else {
            return Err(Error::bad_request("The request ended before its message."));
        };
        first = if first.is_empty() { next } else { [first, next].concat().into() };
    }
    let is_compressed = match first.get_u8() {
        0 => false,
        1 => true,
        _ => return Err(Error::bad_request("The request is not a message of gRPC.")),
    };
    let length = first.get_u32() as usize;
    let body = Body::new(Message { received: first, left: length, body: Some(body) });
    Ok(Incoming { is_compressed, length, body })
}

/// The response with a message.
pub(crate) fn answer(message: &[u8]) -> Response {
    let mut bytes = BytesMut::with_capacity(PREFIX + message.len());
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    bytes.put_slice(message);
    let trailers = HeaderMap::from_iter([(super::status::STATUS, HeaderValue::from_static("0"))]);
    let body = Full::new(bytes.freeze()).with_trailers(ready(Some(Ok(trailers))));
    let mut response = Response::new(Body::new(body));
    response.headers_mut().insert(header::CONTENT_TYPE, MEDIA_TYPE);
    response.headers_mut().insert("grpc-accept-encoding", ACCEPTED);
    response
}

/// The bytes of a message. The last ones are passed on when the call is known to have no more, so that nothing is
/// acknowledged that was not read.
struct Message {
    /// What was received and not passed on.
    received: Bytes,
    /// What is not passed on, in bytes.
    left: usize,
    /// `None` at the end.
    body: Option<Body>,
}

impl http_body::Body for Message {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        loop {
            if this.received.len() > this.left {
                return failed("the call has more than one message");
            }
            if !this.received.is_empty() && this.received.len() < this.left {
                return this.pass_on();
            }
            let Some(body) = &mut this.body else { return Poll::Ready(None) };
            match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    let data = frame.into_data().unwrap_or_default();
                    if this.received.is_empty() {
                        this.received = data;
                    } else if !data.is_empty() {
                        return failed("the call has more than one message");
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None if this.received.len() < this.left => return failed("the message is incomplete"),
                None => {
                    this.body = None;
                    if this.left > 0 {
                        return this.pass_on();
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_none() && self.left == 0
    }
}

impl Message {
    fn pass_on(&mut self) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.left -= self.received.len();
        Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.received)))))
    }
}

fn failed(reason: &'static str) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
    Poll::Ready(Some(Err(reason.into())))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body_util::StreamBody;

    use super::*;

    fn body(chunks: &[&'static [u8]]) -> Body {
        let frames: Vec<_> = chunks.iter().map(|chunk| Ok::<_, Infallible>(Frame::data(Bytes::from(*chunk)))).collect();
        Body::new(StreamBody::new(stream::iter(frames)))
    }

    /// The message in a body; `None` if there is none.
    async fn message(chunks: &[&'static [u8]]) -> Option<(bool, Vec<u8>)> {
        let Incoming { is_compressed, length, body } = receive(body(chunks)).await.ok()?;
        let bytes = axum::body::to_bytes(body, usize::MAX).await.ok()?;
        assert_eq!(bytes.len(), length);
        Some((is_compressed, bytes.into()))
    }

    #[tokio::test]
    async fn a_message_is_read_however_it_is_split() {
        for chunks in [
            &[&b"\x01\0\0\0\x03abc"[..]][..],
            &[b"\x01\0\0", b"\0\x03a", b"", b"bc"],
            &[b"\x01", b"\0", b"\0", b"\0", b"\x03", b"a", b"b", b"c", b""],
        ] {
            assert_eq!(message(chunks).await, Some((true, b"abc".to_vec())), "{chunks:?}");
        }
        assert_eq!(message(&[b"\0\0\0\0\0"]).await, Some((false, Vec::new())));
    }

    #[tokio::test]
    async fn what_is_not_one_message_is_refused() {
        for chunks in [
            &[][..],
            &[&b"\0\0\0\0"[..]][..],
            &[b"\x02\0\0\0\x01a"],
            &[b"\0\0\0\0\x03ab"],
            &[b"\0\0\0\0\x01", b"ab"],
            &[b"\0\0\0\0\x01a", b"\0\0\0\0\x01b"],
            &[b"\0\0\0\0\0\0\0\0\0\0"],
        ] {
            assert_eq!(message(chunks).await, None, "{chunks:?}");
        }
    }

    #[tokio::test]
    async fn an_answer_ends_with_its_status() {
        let (_, body) = answer(b"abc").into_parts();
        let all = body.collect().await.unwrap();
        assert_eq!(all.trailers().unwrap()["grpc-status"], "0");
        assert_eq!(all.to_bytes(), &b"\0\0\0\0\x03abc"[..]);
    }
}
