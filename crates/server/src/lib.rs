//! HTTP server: one table of endpoints, one adapter, handlers by resource.

mod access;
mod api;
mod app;
mod background;
mod body;
mod conditional;
mod connection;
mod download;
mod error;
mod graphql;
mod grpc;
mod health;
mod heap;
mod http_client;
mod large_response;
mod middleware;
mod params;
mod router;
mod rpc;
mod running;
mod session;
mod telemetry;
mod tls;
pub mod ui;
mod workspace;
mod workspace_places;

use std::{future::Future, sync::Arc, time::Duration};

pub use access::{Access, Audit, AuditReport, verify_audit};
pub use app::{App, Config, GraphqlLimits, Security, StoreAccess, Transfers};
pub use body::Bodies;
pub use ferroflow_telemetry::{Sampler, log_slower_than};
pub use middleware::{client::TrustedProxies, hosts::Hosts, origins::Origins};
pub use telemetry::{Telemetry, TraceSettings, TraceSettingsError};
pub use tls::{Tls, TlsError, TlsFiles};
pub use workspace::remote::RemoteWorkspaces;

use axum::body::Body;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::watch,
};
use tokio_util::task::TaskTracker;
use tower_http::timeout::TimeoutBody;

use self::connection::{Connections, HEAD_TIMEOUT, Prefixes};

/// Idle timeout of a request body: the longest wait for its next chunk. A slow upload is fine; a stalled one is
/// aborted.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// Timeout of a graceful shutdown: how long requests in flight may take to finish.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(25);

/// How long the background jobs may take to finish after that. They begin nothing new once the shutdown has begun.
const JOBS_TIMEOUT: Duration = Duration::from_secs(15);

/// The peer address of the connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) std::net::SocketAddr);

/// The listeners of a server.
pub struct Listeners {
    /// The listening sockets.
    pub listeners: Vec<TcpListener>,
    /// The listening socket of OTLP/gRPC, if it is served.
    pub grpc: Option<TcpListener>,
    /// TLS for all of them; `None` serves plain HTTP.
    pub tls: Option<Arc<Tls>>,
}

impl From<TcpListener> for Listeners {
    fn from(listener: TcpListener) -> Self {
        Self { listeners: vec![listener], grpc: None, tls: None }
    }
}

/// Serves until `shutdown` completes, then shuts down gracefully: accepts no new connections, finishes the requests in
/// flight and closes the database.
///
/// # Errors
/// The listener failed.
pub async fn serve(
    listeners: impl Into<Listeners>,
    app: App,
    shutdown: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let Listeners { listeners, grpc, tls } = listeners.into();
    let app = Arc::new(app);
    let (stopping, stopped) = watch::channel(false);
    let jobs = background::start(&app, stopped.clone());
    app.telemetry.start_export();
    let watching = tls.clone().map(|tls| tokio::spawn(tls.watch()));
    let trimming = tokio::spawn(heap::trim_when_freed(Arc::clone(&app)));
    let http = Served::Http(Connections {
        router: router::build(&app),
        keep_alive: app.config.keep_alive,
        prefixes: Arc::new(Prefixes {
            url_prefix: app.config.url_prefix.clone(),
            static_prefix: app.config.static_prefix.clone(),
        }),
        stopped: stopped.clone(),
    });
    let over_grpc = grpc.map(|listener| {
        let served = Served::Grpc(grpc::Connections {
            router: router::grpc::build(&app),
            keep_alive: app.config.keep_alive,
            stopped: stopped.clone(),
        });
        (listener, served)
    });
    let open = TaskTracker::new();
    let accepting: Vec<_> = listeners
        .into_iter()
        .map(|listener| (listener, http.clone()))
        .chain(over_grpc)
        .map(|(listener, served)| {
            let accept_loop = AcceptLoop { served, tls: tls.clone(), open: open.clone() };
            tokio::spawn(accept_loop.accept(listener, stopped.clone()))
        })
        .collect();
    shutdown.await;
    tracing::info!("stopping: waiting for requests in flight");
    // Each part has a receiver of its own, or has ended.
    let _ = stopping.send(true);
    for task in accepting {
        task.await??;
    }
    open.close();
    if tokio::time::timeout(DRAIN_TIMEOUT, open.wait()).await.is_err() {
        tracing::warn!("requests in flight did not finish within the drain timeout");
    }
    if let Some(task) = watching {
        task.abort();
    }
    trimming.abort();
    jobs.drain(JOBS_TIMEOUT).await;
    if let Err(error) = app.store.close().await {
        tracing::error!(%error, "closing the database failed");
    }
    app.telemetry.stop_export().await;
    Ok(())
}

/// What the connections of a listener speak.
#[derive(Clone)]
enum Served {
    Http(Connections),
    Grpc(grpc::Connections),
}

impl Served {
    fn protocol(&self) -> tls::Protocol {
        match self {
            Self::Http(_) => tls::Protocol::Http1,
            Self::Grpc(_) => tls::Protocol::Http2,
        }
    }

    /// Serves a connection until it is closed.
    async fn serve<S>(self, stream: S, peer: Peer)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        match self {
            Self::Http(connections) => connections.serve(stream, peer).await,
            Self::Grpc(connections) => connections.serve(stream, peer).await,
        }
    }
}

/// Handles the connections of a listener.
struct AcceptLoop {
    served: Served,
    tls: Option<Arc<Tls>>,
    open: TaskTracker,
}

impl AcceptLoop {
    /// Accepts connections until the server stops, then those already in the listen queue: they may have sent a
    /// request.
    async fn accept(self, listener: TcpListener, mut stopped: watch::Receiver<bool>) -> std::io::Result<()> {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stopped.wait_for(|stopped| *stopped) => break,
            };
            match accepted {
                Ok((stream, peer)) => self.spawn_connection(stream, Peer(peer)),
                Err(error) => {
                    // Out of file descriptors, mostly: existing clients go on.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        let listener = listener.into_std()?;
        while let Ok((stream, peer)) = listener.accept() {
            stream.set_nonblocking(true)?;
            self.spawn_connection(tokio::net::TcpStream::from_std(stream)?, Peer(peer));
        }
        Ok(())
    }

    fn spawn_connection(&self, stream: tokio::net::TcpStream, peer: Peer) {
        // Small responses must not wait for more data (Nagle's algorithm).
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY is not set");
        }
        let served = self.served.clone();
        let acceptor = self.tls.as_ref().map(|tls| tls.acceptor(served.protocol()));
        self.open.spawn(async move {
            let Some(acceptor) = acceptor else { return served.serve(stream, peer).await };
            match tokio::time::timeout(HEAD_TIMEOUT, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => served.serve(stream, peer).await,
                Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                Err(_) => tracing::debug!("a TLS handshake timed out"),
            }
        });
    }
}

/// Wraps a body with an idle timeout. An empty body is returned as it is: `TimeoutBody` would hide `is_end_stream`.
fn with_idle_timeout<B>(body: B) -> Body
where
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    if body.is_end_stream() { Body::new(body) } else { Body::new(TimeoutBody::new(BODY_TIMEOUT, body)) }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use futures_util::{StreamExt as _, stream};
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;

    fn chunk(text: &'static str) -> Frame<Bytes> {
        Frame::data(Bytes::from_static(text.as_bytes()))
    }

    async fn read(body: Body) -> ferroflow_model::Result<Bytes> {
        Bodies::default().read(&http::HeaderMap::new(), body, 1024).await.map(|body| body.bytes)
    }

    #[tokio::test(start_paused = true)]
    async fn a_stalled_body_times_out() {
        let body = with_idle_timeout(StreamBody::new(
            stream::iter([Ok::<_, Infallible>(chunk("{"))]).chain(stream::pending()),
        ));
        let outcome = tokio::time::timeout(BODY_TIMEOUT * 2, read(body)).await;
        let error = outcome.expect("it does not wait forever").unwrap_err();
        assert_eq!(error.code.http_status(), 400);
        assert!(error.message.contains("ended before it was complete"), "{}", error.message);
    }

    #[test]
    fn an_empty_body_is_at_its_end() {
        assert!(http_body::Body::is_end_stream(&with_idle_timeout(http_body_util::Empty::<Bytes>::new())));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_body_is_read_to_its_end() {
        let pieces = stream::iter(0..10).then(|_| async {
            tokio::time::sleep(BODY_TIMEOUT / 2).await;
            Ok::<_, Infallible>(chunk("x"))
        });
        let body = with_idle_timeout(StreamBody::new(pieces.boxed()));
        assert_eq!(read(body).await.unwrap(), "xxxxxxxxxx");
    }
}
