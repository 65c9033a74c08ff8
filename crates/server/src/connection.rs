//! One client connection: its timeouts, and its graceful shutdown.
//!
//! A keep-alive connection must not be closed while a request is in transit. So a server that shuts down answers
//! further requests with `Connection: close`, and closes a connection itself only after it has been idle for one second.

use std::{
    io,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{Router, body::Body, extract::Request, response::Response};
use ferroflow_model::limits::memory;
use ferroflow_store::db::ResultBudget;
use http::{HeaderValue, header};
use http_body::{Body as _, Frame, SizeHint};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::watch,
    time::{Instant, Sleep, sleep_until},
};
use tower::Service as _;

use crate::Peer;

/// Timeout for the head of a request: request line and header section.
pub(crate) const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a client may read nothing of a response before its connection is closed.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a connection must be idle before a shutdown closes it.
const IDLE_BEFORE_CLOSE: Duration = Duration::from_secs(1);

/// State shared by all connections of a server.
#[derive(Clone)]
pub(crate) struct Connections {
    pub(crate) router: Router,
    /// Keep-alive timeout: how long an idle connection stays open.
    pub(crate) keep_alive: Duration,
    pub(crate) prefixes: Arc<Prefixes>,
    /// Becomes true when the server shuts down.
    pub(crate) stopped: watch::Receiver<bool>,
}

/// Maximum of received and unprocessed bytes that a connection buffers. A request head fits into it.
const READ_BUFFER: usize = 128 * 1024;

impl Connections {
    /// Serves the requests of a connection until it is closed.
    pub(crate) async fn serve<S>(self, stream: S, peer: Peer)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let activity = Activity::default();
        let keep_alive = self.keep_alive;
        let stream = TimeoutStream::new(stream, activity.clone(), keep_alive);
        let stopped = self.stopped.clone();
        let of_service = activity.clone();
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let running = of_service.begin();
            let stopped = self.stopped.clone();
            let is_read = Arc::new(AtomicBool::new(request.body().is_end_stream()));
            let body = |body| crate::with_idle_timeout(TrackedBody { body, is_read: Arc::clone(&is_read) });
            let mut request = strip_prefixes(request.map(body), &self.prefixes);
            request.extensions_mut().insert(peer);
            let answer = self.router.clone().call(request);
            async move {
                let mut response: Response = answer.await?;
                // Hyper closes a connection whose request body was not read to its end: the client must be told.
                if *stopped.borrow() || !is_read.load(Ordering::Relaxed) {
                    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                running.sends(response.extensions_mut().remove::<ResultBudget>());
                Ok::<_, std::convert::Infallible>(response.map(|body| ResponseBody { body, _running: running }))
            }
        });
        let mut builder = http1::Builder::new();
        // `TimeoutStream` enforces the timeouts: hyper has a single one for a request head and an idle connection. This one
        // exceeds both together; it is set because hyper only continues to read while it sends a response if there is
        // one.
        let both = keep_alive + HEAD_TIMEOUT + Duration::from_secs(1);
        builder.timer(TokioTimer::new()).header_read_timeout(both).max_headers(128);
        // This comes on top of the memory budget of bodies, for every connection.
        builder.max_buf_size(READ_BUFFER);
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = idle_after_stop(stopped, activity) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection failed");
        }
    }
}

/// Completes when the server shuts down and the connection has been idle for [`IDLE_BEFORE_CLOSE`].
async fn idle_after_stop(mut stopped: watch::Receiver<bool>, activity: Activity) {
    if stopped.wait_for(|stopped| *stopped).await.is_err() {
        // The sender was dropped: the server is gone.
        return;
    }
    loop {
        let before = activity.count();
        tokio::time::sleep(IDLE_BEFORE_CLOSE).await;
        if activity.is_idle() && activity.count() == before {
            return;
        }
    }
}

/// The path prefixes that are removed before routing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Prefixes {
    /// The path prefix of a reverse proxy that may not strip it; empty without one.
    pub(crate) url_prefix: String,
    /// The prefix of this server (`--static-prefix`); empty without one.
    pub(crate) static_prefix: String,
}

impl Prefixes {
    /// The path to route, if it differs from the one sent: without the proxy's prefix, and without the double slash of
    /// a client that appends its path to a base URL with a trailing slash.
    fn strip(&self, sent: &str) -> Option<String> {
        let path = one_leading_slash(sent);
        let path = strip_path_prefix(path, &self.url_prefix).map_or(path, one_leading_slash);
        let own = strip_path_prefix(path, &self.static_prefix)
            .filter(|rest| !self.static_prefix.is_empty() && rest.starts_with("//"))
            .map(one_leading_slash);
        match own {
            Some(rest) => Some(format!("{}{rest}", self.static_prefix)),
            None if path.is_empty() => Some("/".to_owned()),
            None => (path.len() != sent.len()).then(|| path.to_owned()),
        }
    }
}

/// The rest of a path below a prefix.
fn strip_path_prefix<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A path with its leading slashes reduced to one.
fn one_leading_slash(path: &str) -> &str {
    let more = path.bytes().take_while(|byte| *byte == b'/').count();
    &path[more.saturating_sub(1)..]
}

fn strip_prefixes(mut request: Request, prefixes: &Prefixes) -> Request {
    let Some(path) = prefixes.strip(request.uri().path()) else { return request };
    let target = match request.uri().query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    let mut parts = request.uri().clone().into_parts();
    // Parts of a valid path and query form a valid one.
    parts.path_and_query = target.parse().ok();
    if let Ok(uri) = http::Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    request
}

/// Request activity of a connection: a counter incremented when a request begins and when its response has ended, so it
/// is odd while a request is in flight.
#[derive(Debug, Clone, Default)]
struct Activity(Arc<State>);

#[derive(Debug, Default)]
struct State {
    count: AtomicU64,
    /// The budget of the large response in flight, if it is one.
    sending: Mutex<Option<ResultBudget>>,
}

impl Activity {
    fn begin(&self) -> ActivityGuard {
        self.0.count.fetch_add(1, Ordering::Relaxed);
        ActivityGuard(self.clone())
    }

    fn count(&self) -> u64 {
        self.0.count.load(Ordering::Relaxed)
    }

    /// Whether a large response is in flight and other requests wait for its memory.
    fn is_wanted(&self) -> bool {
        let sending = self.0.sending.lock().unwrap_or_else(PoisonError::into_inner);
        sending.as_ref().is_some_and(ResultBudget::is_wanted)
    }

    fn is_idle(&self) -> bool {
        self.count().is_multiple_of(2)
    }
}

/// Guard of a request in flight.
struct ActivityGuard(Activity);

impl ActivityGuard {
    /// The budget that the response counts against, if it is a large one.
    fn sends(&self, budget: Option<ResultBudget>) {
        *self.0.0.sending.lock().unwrap_or_else(PoisonError::into_inner) = budget;
    }
}

impl Drop for ActivityGuard {
    fn drop(&mut self) {
        self.sends(None);
        self.0.0.count.fetch_add(1, Ordering::Relaxed);
    }
}

/// A request body that records whether it was read to its end.
struct TrackedBody {
    body: Incoming,
    is_read: Arc<AtomicBool>,
}

impl http_body::Body for TrackedBody {
    type Data = bytes::Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if frame.is_none() || self.body.is_end_stream() {
            self.is_read.store(true, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A response body. Its request is in flight until the body has been sent.
struct ResponseBody {
    body: Body,
    _running: ActivityGuard,
}

impl http_body::Body for ResponseBody {
    type Data = bytes::Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream with timeouts: it ends when a client is idle for too long, and fails when a request head is not complete in
/// time.
struct TimeoutStream<S> {
    stream: S,
    activity: Activity,
    keep_alive: Duration,
    /// The activity count that the times below belong to.
    count: u64,
    /// When the first byte of the next request head arrived.
    head: Option<Instant>,
    /// When the connection times out; set when a read is pending.
    deadline: Option<Pin<Box<Sleep>>>,
    /// Since when the client reads nothing, and the next look whether others wait for the memory of the response.
    blocked: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl<S> TimeoutStream<S> {
    fn new(stream: S, activity: Activity, keep_alive: Duration) -> Self {
        // A new connection must send a request: the timeout of a head applies.
        Self { stream, activity, keep_alive, count: 0, head: Some(Instant::now()), deadline: None, blocked: None }
    }

    fn start_head(&mut self) {
        if self.activity.is_idle() && self.head.is_none() {
            self.head = Some(Instant::now());
            self.deadline = None;
        }
    }

    /// Passes the outcome of a write on. A blocked one fails after [`WRITE_TIMEOUT`], that of a large response as soon as
    /// others wait.
    fn poll_blocked(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.blocked = None;
            return written;
        }
        let next = || Instant::now() + memory::GRACE;
        let (since, look) = self.blocked.get_or_insert_with(|| (Instant::now(), Box::pin(sleep_until(next()))));
        loop {
            ready!(look.as_mut().poll(cx));
            if since.elapsed() >= WRITE_TIMEOUT || self.activity.is_wanted() {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client reads nothing")));
            }
            look.as_mut().reset(next());
        }
    }

    /// Ready when the timeout of an idle client has passed.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.activity.is_idle() {
            return Poll::Pending;
        }
        let (head, keep_alive) = (self.head, self.keep_alive);
        let deadline = self.deadline.get_or_insert_with(|| {
            let end = head.map_or_else(|| Instant::now() + keep_alive, |began| began + HEAD_TIMEOUT);
            Box::pin(sleep_until(end))
        });
        ready!(deadline.as_mut().poll(cx));
        Poll::Ready(match head {
            // No request was begun: the stream just ends.
            None => Ok(()),
            Some(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "timed out while reading the head of a request")),
        })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TimeoutStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let count = this.activity.count();
        if count != this.count {
            (this.count, this.head, this.deadline) = (count, None, None);
        }
        let before = buf.filled().len();
        match Pin::new(&mut this.stream).poll_read(cx, buf) {
            Poll::Pending => this.poll_deadline(cx),
            Poll::Ready(outcome) => {
                if buf.filled().len() > before {
                    this.start_head();
                }
                Poll::Ready(outcome)
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TimeoutStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.poll_blocked(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.poll_blocked(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[test]
    fn prefixes_and_double_slashes_are_removed_before_routing() {
        let prefixes = |url_prefix: &str, static_prefix: &str| Prefixes {
            url_prefix: url_prefix.into(),
            static_prefix: static_prefix.into(),
        };
        for (url_prefix, own, sent, routed) in [
            ("", "", "/api/x", "/api/x"),
            ("", "", "//api/x", "/api/x"),
            ("", "", "///", "/"),
            ("", "", "/api//x", "/api//x"),
            ("", "/ml", "/ml//api/x", "/ml/api/x"),
            ("", "/ml", "//ml//api/x//y", "/ml/api/x//y"),
            ("", "/ml", "/mlx//api", "/mlx//api"),
            ("/p", "", "/p/api/x", "/api/x"),
            ("/p", "", "/p", "/"),
            ("/p", "", "/p//api/x", "/api/x"),
            ("/p", "", "/api/x", "/api/x"),
            ("/p", "", "/px/api", "/px/api"),
            ("/p", "/ml", "/p/ml/api", "/ml/api"),
        ] {
            let found = prefixes(url_prefix, own).strip(sent).unwrap_or_else(|| sent.to_owned());
            assert_eq!(found, routed, "{url_prefix} {own} {sent}");
        }
    }

    /// A client of a server that answers every request, and the sender that shuts the server down.
    fn client(keep_alive: Duration) -> (tokio::io::DuplexStream, watch::Sender<bool>) {
        let (near, far) = tokio::io::duplex(4096);
        let (stopping, stopped) = watch::channel(false);
        let connections = Connections {
            router: Router::new().fallback(|| async { "answered" }),
            keep_alive,
            prefixes: Arc::default(),
            stopped,
        };
        tokio::spawn(connections.serve(far, Peer(([127, 0, 0, 1], 1).into())));
        (near, stopping)
    }

    async fn ask(stream: &mut tokio::io::DuplexStream) -> String {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        while !answer.ends_with("answered") {
            let mut piece = [0; 512];
            let length = stream.read(&mut piece).await.unwrap();
            assert!(length > 0, "the connection ended: {answer}");
            answer.push_str(&String::from_utf8_lossy(&piece[..length]));
        }
        answer
    }

    /// Seconds until the server closes the connection.
    async fn end(stream: &mut tokio::io::DuplexStream) -> u64 {
        let start = Instant::now();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        start.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_is_closed_after_the_keep_alive_timeout() {
        let (mut stream, _stopping) = client(Duration::from_secs(75));
        for _ in 0..3 {
            ask(&mut stream).await;
            tokio::time::sleep(Duration::from_secs(74)).await;
        }
        ask(&mut stream).await;
        assert_eq!(end(&mut stream).await, 75);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_request_head_times_out() {
        let (mut stream, _stopping) = client(Duration::from_secs(75));
        assert_eq!(end(&mut stream).await, 30, "nothing came at all");
        for keep_alive in [5, 75] {
            let (mut stream, _stopping) = client(Duration::from_secs(keep_alive));
            ask(&mut stream).await;
            tokio::time::sleep(Duration::from_secs(4)).await;
            stream.write_all(b"GET / HTTP/1.1\r\nHost: loc").await.unwrap();
            assert_eq!(end(&mut stream).await, 30);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stopping_server_answers_requests_on_open_connections() {
        let keep_alive = Duration::from_secs(75);
        let (mut busy, stopping) = client(keep_alive);
        assert!(!ask(&mut busy).await.contains("connection: close"));
        stopping.send(true).unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(ask(&mut busy).await.contains("connection: close"));
        assert_eq!(end(&mut busy).await, 0);

        let (mut idle, stopping) = client(keep_alive);
        ask(&mut idle).await;
        stopping.send(true).unwrap();
        assert_eq!(end(&mut idle).await, IDLE_BEFORE_CLOSE.as_secs());
    }

    #[tokio::test]
    async fn a_response_before_the_end_of_the_request_body_closes_the_connection() {
        let (mut stream, _stopping) = client(Duration::from_secs(75));
        stream.write_all(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains("connection: close"), "{answer}");
    }
}
