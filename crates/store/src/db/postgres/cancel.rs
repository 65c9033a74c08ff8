//! Cancel requests: stop the statement that runs on another connection.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::future::{MapOk, TryFutureExt as _, join_all};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
    time::timeout,
};
use tokio_postgres::{
    CancelToken, Config, NoTls,
    config::Host,
    tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::db::DbError;

/// Timeout of a cancel request, per host.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Cancels what runs on a connection to one of the hosts. When this returns, the server has processed the request:
/// later statements on the connection are not affected.
///
/// # Errors
/// No host accepted the request.
pub(super) async fn cancel(
    token: &CancelToken,
    hosts: &[Config],
    tls: Option<&MakeRustlsConnect>,
) -> Result<(), DbError> {
    // A host that did not issue the connection's cancel key ignores the request.
    let asked = hosts.iter().map(|host| async move {
        timeout(TIMEOUT, ask(token, host, tls)).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    });
    let mut last = None;
    for outcome in join_all(asked).await {
        match outcome {
            Ok(()) => return Ok(()),
            Err(error) => last = Some(error),
        }
    }
    Err(DbError::Unavailable(last.map_or_else(String::new, |error| error.to_string())))
}

async fn ask(token: &CancelToken, host: &Config, tls: Option<&MakeRustlsConnect>) -> io::Result<()> {
    let port = host.get_ports().first().copied().unwrap_or_default();
    let sent = match (host.get_hosts(), tls) {
        ([Host::Unix(folder)], _) => {
            let stream = UnixStream::connect(folder.join(format!(".s.PGSQL.{port}"))).await?;
            token.cancel_query_raw(EofOnShutdown(stream), NoTls).await
        }
        ([Host::Tcp(name)], None) => {
            let stream = TcpStream::connect((name.as_str(), port)).await?;
            token.cancel_query_raw(EofOnShutdown(stream), NoTls).await
        }
        ([Host::Tcp(name)], Some(tls)) => {
            let stream = TcpStream::connect((name.as_str(), port)).await?;
            let tls = MakeTlsConnect::<EofOnShutdown<TcpStream>>::make_tls_connect(&mut tls.clone(), name);
            token.cancel_query_raw(EofOnShutdown(stream), EofOnShutdown(tls.map_err(io::Error::other)?)).await
        }
        _ => return Err(io::Error::other("no host")),
    };
    sent.map_err(io::Error::other)
}

/// A stream whose shutdown waits for EOF from the peer, or TLS over such streams. The server closes the connection of a
/// cancel request when it has processed it. A pooler first has to find a server connection for the request: it drops
/// the request of a client that has disconnected, and `PgBouncer` 1.18 even hangs. libpq waits in the same way.
pub(super) struct EofOnShutdown<T>(pub(super) T);

impl<T: AsyncRead + Unpin> AsyncRead for EofOnShutdown<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for EofOnShutdown<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut bytes = [0; 64];
        loop {
            let mut rest = ReadBuf::new(&mut bytes);
            let read = ready!(Pin::new(&mut self.0).poll_read(cx, &mut rest));
            // EOF or an error, such as a reset.
            if read.is_err() || rest.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> TlsStream for EofOnShutdown<T> {
    /// A cancel request has no authentication to bind to the channel.
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl<S, T: TlsConnect<S>> TlsConnect<S> for EofOnShutdown<T> {
    type Stream = EofOnShutdown<T::Stream>;
    type Error = T::Error;
    type Future = MapOk<T::Future, fn(T::Stream) -> EofOnShutdown<T::Stream>>;

    fn connect(self, stream: S) -> Self::Future {
        self.0.connect(stream).map_ok(EofOnShutdown)
    }
}
