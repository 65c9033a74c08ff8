//! Whether there is a connection pooler such as `PgBouncer` between this process and the server.
//!
//! A pooler may run each transaction on another connection of its own. A statement that was prepared by name is then
//! missing on the next one, or, worse, another client has prepared another statement by that name there. The protocol
//! says whether it is so: a server names its process when a connection begins, for requests to cancel, and a pooler
//! can only name something that it made up.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf};
use tokio_postgres::{
    Client,
    tls::{ChannelBinding, TlsConnect, TlsStream},
};

/// The number of a request for TLS (PostgreSQL's manual, "Message Formats").
const SSL_REQUEST: i32 = 80_877_103;

/// The process that was named when the connection began. The driver only gives it away in a request to cancel, so one is
/// written into memory and read.
pub(super) async fn named_process(client: &Client) -> io::Result<i32> {
    let (near, mut far) = tokio::io::duplex(64);
    let token = client.cancel_token();
    let (sent, read) = tokio::join!(token.cancel_query_raw(near, Plain), async move {
        let _length = far.read_i32().await?;
        if far.read_i32().await? == SSL_REQUEST {
            far.write_all(b"S").await?;
            let _length = far.read_i32().await?;
            let _request = far.read_i32().await?;
        }
        far.read_i32().await
    });
    sent.map_err(io::Error::other)?;
    read
}

/// What takes the place of TLS on the way into memory.
struct Plain;

struct PlainStream(DuplexStream);

impl TlsConnect<DuplexStream> for Plain {
    type Stream = PlainStream;
    type Error = Infallible;
    type Future = Ready<Result<PlainStream, Infallible>>;

    fn connect(self, stream: DuplexStream) -> Self::Future {
        ready(Ok(PlainStream(stream)))
    }
}

impl TlsStream for PlainStream {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for PlainStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for PlainStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
