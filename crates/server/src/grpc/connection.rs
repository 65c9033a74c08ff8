//! One connection of a gRPC client: HTTP/2, its bounds, and its graceful end.
//!
//! A client keeps its connection and sends many calls over it at once. What it may take is bounded for each connection:
//! calls, headers, and the bytes that are received while their calls wait for memory. A connection without calls is closed
//! after the keep-alive timeout, and every one after some minutes, so that clients spread over the replicas behind a
//! Service, and a client that reads nothing does not stay. Both, and a shutdown, announce the end first (`GOAWAY`): calls in
//! flight are answered, and further ones go to a new connection.

use std::{
    convert::Infallible,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, extract::Request, response::Response};
use http::{HeaderValue, header};
use http_body_util::BodyExt as _;
use hyper::{body::Incoming, server::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::{sleep, timeout},
};
use tower::Service as _;

use crate::{Peer, connection::HEAD_TIMEOUT};

/// Maximum number of calls in flight on a connection. Exporters have one, or a few; RFC 9113 recommends no smaller one,
/// which clients assume before they are told.
const MAX_CALLS: u32 = 100;

/// Maximum size of the metadata of a call, in bytes as RFC 9113 counts them.
const MAX_METADATA: u32 = 16 * 1024;

/// Maximum of received and unread bytes of a call.
const CALL_BUFFER: u32 = 128 * 1024;

/// Maximum of received and unread bytes of a connection. This comes on top of the memory budget of bodies.
const CONNECTION_BUFFER: u32 = 256 * 1024;

/// Maximum of bytes that wait to be sent, for each call. Answers are short.
const SEND_BUFFER: usize = 16 * 1024;

/// Interval of pings, which find connections whose client is gone, and how long their answers may take.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Age at which a connection is closed. The port of the client adds up to a minute: clients that came together do not
/// come back together.
const MAX_AGE: Duration = Duration::from_secs(600);

/// How long the calls in flight may take after the end was announced.
const GRACE: Duration = Duration::from_secs(60);

/// State shared by all connections.
#[derive(Clone)]
pub(crate) struct Connections {
    pub(crate) router: Router,
    /// Keep-alive timeout: how long a connection without calls stays open.
    pub(crate) keep_alive: Duration,
    /// Becomes true when the server shuts down.
    pub(crate) stopped: watch::Receiver<bool>,
}

impl Connections {
    /// Serves the calls of a connection until it is closed.
    pub(crate) async fn serve<S>(self, stream: S, peer: Peer)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { router, keep_alive, stopped } = self;
        let calls = Calls::default();
        let of_service = calls.clone();
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let call = of_service.begin();
            let mut request = with_host(request.map(crate::with_idle_timeout));
            request.extensions_mut().insert(peer);
            let answer = router.clone().call(request);
            async move {
                let response: Response = answer.await?;
                // The call is in flight until its answer has been sent.
                Ok::<_, Infallible>(response.map(|body| {
                    Body::new(body.map_frame(move |frame| {
                        let _call = &call;
                        frame
                    }))
                }))
            }
        });
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_CALLS)
            .max_header_list_size(MAX_METADATA)
            .initial_stream_window_size(CALL_BUFFER)
            .initial_connection_window_size(CONNECTION_BUFFER)
            .max_send_buf_size(SEND_BUFFER)
            .keep_alive_interval(Some(PING_INTERVAL))
            .keep_alive_timeout(PING_TIMEOUT);
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let max_age = MAX_AGE + Duration::from_secs(u64::from(peer.0.port() % 60));
        let ended = tokio::select! {
            ended = connection.as_mut() => Ok(ended),
            () = to_be_closed(stopped, calls, keep_alive, max_age) => {
                connection.as_mut().graceful_shutdown();
                timeout(GRACE, connection).await
            }
        };
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "a connection failed"),
            Err(_) => tracing::debug!("a connection did not end in time"),
        }
    }
}

/// Completes when the server shuts down, or the connection has been idle for too long or has reached its age.
async fn to_be_closed(mut stopped: watch::Receiver<bool>, calls: Calls, keep_alive: Duration, max_age: Duration) {
    let idle = async {
        // A client that connects has something to send.
        let mut patience = HEAD_TIMEOUT.min(keep_alive);
        loop {
            let before = calls.begun();
            sleep(patience).await;
            if calls.are_none() && calls.begun() == before {
                return;
            }
            patience = keep_alive;
        }
    };
    tokio::select! {
        () = idle => {}
        () = sleep(max_age) => {}
        // Without its sender the server is gone.
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
}

/// HTTP/2 has the host in the target: it is checked as in HTTP/1.
fn with_host(mut request: Request) -> Request {
    let authority = request.uri().authority().map(|found| HeaderValue::from_str(found.as_str()));
    if let Some(Ok(authority)) = authority
        && !request.headers().contains_key(header::HOST)
    {
        request.headers_mut().insert(header::HOST, authority);
    }
    request
}

/// The calls of a connection.
#[derive(Debug, Clone, Default)]
struct Calls(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    running: AtomicUsize,
    begun: AtomicU64,
}

/// A call in flight.
struct Call(Calls);

impl Calls {
    fn begin(&self) -> Call {
        self.0.running.fetch_add(1, Ordering::Relaxed);
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        Call(self.clone())
    }

    fn begun(&self) -> u64 {
        self.0.begun.load(Ordering::Relaxed)
    }

    fn are_none(&self) -> bool {
        self.0.running.load(Ordering::Relaxed) == 0
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.0.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        task::JoinHandle,
        time::Instant,
    };

    use super::*;

    const KEEP_ALIVE: Duration = Duration::from_secs(75);

    /// The near end of a connection to a server that answers every call, and the sender that shuts it down.
    fn connected() -> (tokio::io::DuplexStream, watch::Sender<bool>) {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let (stopping, stopped) = watch::channel(false);
        let router = Router::new().fallback(|| async { "answered" });
        let connections = Connections { router, keep_alive: KEEP_ALIVE, stopped };
        tokio::spawn(connections.serve(far, Peer(([127, 0, 0, 1], 60).into())));
        (near, stopping)
    }

    type Sender = hyper::client::conn::http2::SendRequest<Body>;

    async fn client() -> (Sender, JoinHandle<hyper::Result<()>>, watch::Sender<bool>) {
        let (near, stopping) = connected();
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(near));
        let (sender, driver) = handshake.await.unwrap();
        (sender, tokio::spawn(driver), stopping)
    }

    async fn call(sender: &mut Sender) -> hyper::Result<()> {
        sender.ready().await?;
        let request = http::Request::post("http://localhost/").body(Body::empty()).unwrap();
        sender.send_request(request).await?.into_body().collect().await.map(drop)
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_calls_is_closed() {
        let start = Instant::now();
        let (sender, driver, _stopping) = client().await;
        driver.await.unwrap().unwrap();
        assert_eq!(start.elapsed().as_secs(), 30, "no call at all");
        drop(sender);
        let (mut sender, driver, _stopping) = client().await;
        call(&mut sender).await.unwrap();
        let start = Instant::now();
        driver.await.unwrap().unwrap();
        let seconds = start.elapsed().as_secs();
        assert!((75..=150).contains(&seconds), "{seconds}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_connection_is_closed_at_its_age() {
        let start = Instant::now();
        let (mut sender, driver, _stopping) = client().await;
        // A call that meets the end was not begun.
        while call(&mut sender).await.is_ok() {
            sleep(Duration::from_secs(10)).await;
        }
        driver.await.unwrap().unwrap();
        let seconds = start.elapsed().as_secs();
        assert!((600..=620).contains(&seconds), "{seconds}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_answers_nothing_is_dropped() {
        for sent in [&b""[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"] {
            let (mut near, _stopping) = connected();
            near.write_all(sent).await.unwrap();
            let start = Instant::now();
            let mut rest = Vec::new();
            let _ = near.read_to_end(&mut rest).await;
            let seconds = start.elapsed().as_secs();
            assert!((30..=90).contains(&seconds), "{seconds}");
        }
    }
}
