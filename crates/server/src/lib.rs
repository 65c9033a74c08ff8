//! HTTP: one table of endpoints, one adapter, handlers by resource.

mod access;
mod api;
mod app;
mod archival;
mod download;
mod error;
mod graphql;
mod health;
mod middleware;
mod params;
mod router;
mod rpc;
mod session;
mod telemetry;
pub mod ui;
mod webhooks;

use std::{future::Future, sync::Arc, time::Duration};

pub use access::{Access, Audit};
pub use app::{App, Config, GraphqlLimits, Security, Transfers};
pub use middleware::client::TrustedProxies;
pub use telemetry::Telemetry;
pub use webhooks::{WebhookOptions, Webhooks};

use axum::{body::Body, extract::Request};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{net::TcpListener, sync::watch};
use tower::Service as _;
use tower_http::timeout::TimeoutBody;

/// How long a client may take to send the head of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a client may take to send the next piece of a body. A slow upload goes on; one that stands
/// still is given up.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// How long requests that run may take when the server stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(25);

/// Where a request comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) std::net::SocketAddr);

/// Serves until `shutdown` completes: then no connection is accepted, what runs is finished, and the
/// database is left in order.
///
/// # Errors
/// The listener failed.
pub async fn serve(listener: TcpListener, app: App, shutdown: impl Future<Output = ()>) -> std::io::Result<()> {
    let app = Arc::new(app);
    let router = router::build(&app);
    let (stopping, stopped) = watch::channel(false);
    let archiving = app.config.trace_archival.clone().filter(|_| app.config.runs_jobs).map(|settings| {
        let stopped = stopped.clone();
        tokio::spawn(archival::run(Arc::clone(&app), settings, stopped))
    });
    let delivering =
        (!app.config.artifacts_only).then(|| tokio::spawn(webhooks::deliver::run(Arc::clone(&app), stopped)));
    let draining = hyper_util::server::graceful::GracefulShutdown::new();
    tokio::pin!(shutdown);
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, mostly: existing clients go on.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = &mut shutdown => break,
        };
        // Small answers must not wait for more data.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY is not set");
        }
        let router = router.clone();
        let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
            let mut request = request.map(moving);
            request.extensions_mut().insert(Peer(peer));
            router.clone().call(request)
        });
        let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_headers(128);
        let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = draining.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
    drop(listener);
    tracing::info!("stopping: finishing the requests that run");
    // Whoever delivers or archives is told by its end of the channel when there is one.
    let _ = stopping.send(true);
    if tokio::time::timeout(DRAIN_TIMEOUT, draining.shutdown()).await.is_err() {
        tracing::warn!("some requests did not finish in time");
    }
    for (what, task) in [("the delivery to webhooks", delivering), ("the archival of traces", archiving)] {
        // It ends by itself soon after it was told to.
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "{what} failed");
        }
    }
    if let Err(error) = app.store.close().await {
        tracing::error!(%error, "the database was not left in order");
    }
    Ok(())
}

/// A body that fails when nothing more of it comes.
fn moving<B>(body: B) -> Body
where
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    Body::new(TimeoutBody::new(BODY_TIMEOUT, body))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use futures_util::{StreamExt as _, stream};
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;

    fn piece(text: &'static str) -> Frame<Bytes> {
        Frame::data(Bytes::from_static(text.as_bytes()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stands_still_is_given_up() {
        let body = moving(StreamBody::new(stream::iter([Ok::<_, Infallible>(piece("{"))]).chain(stream::pending())));
        let outcome = tokio::time::timeout(BODY_TIMEOUT * 2, rpc::read(body)).await;
        let error = outcome.expect("it does not wait forever").unwrap_err();
        assert_eq!(error.code.http_status(), 400);
        assert!(error.message.contains("ended before it was complete"), "{}", error.message);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_body_is_read_to_its_end() {
        let pieces = stream::iter(0..10).then(|_| async {
            tokio::time::sleep(BODY_TIMEOUT / 2).await;
            Ok::<_, Infallible>(piece("x"))
        });
        let body = moving(StreamBody::new(pieces.boxed()));
        assert_eq!(rpc::read(body).await.unwrap(), "xxxxxxxxxx");
    }
}
