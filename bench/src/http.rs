//! The load generator.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet};

use crate::{figures::Figures, spans::spread};

/// Options of the load.
#[derive(Args, Clone)]
pub(crate) struct Http {
    /// Host and port
    #[arg(long)]
    address: String,
    #[arg(long, default_value = "POST")]
    method: String,
    #[arg(long)]
    path: String,
    /// A header of every request, such as `Authorization: Basic …`
    #[arg(long)]
    header: Vec<String>,
    /// One body per line; each connection starts with its own and cycles through them. `{n}` is a number that
    /// no other request has
    #[arg(long)]
    bodies: Option<PathBuf>,
    /// One body of any bytes. `ferroflow-trace!`, 16 bytes, is the id of a trace that no other request has
    #[arg(long, conflicts_with = "bodies")]
    template: Option<PathBuf>,
    #[arg(long, default_value = "application/json")]
    content_type: String,
    #[arg(long, default_value_t = 1)]
    connections: usize,
    /// Maximum number of requests, over all connections
    #[arg(long, default_value_t = 1_000_000)]
    requests: u64,
    /// Maximum duration in seconds
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Requests that are sent in a second, over all connections, instead of as many as are answered. A latency then
    /// begins when its request was due
    #[arg(long)]
    per_second: Option<f64>,
    /// Tell the percentiles of each part of so many seconds as well
    #[arg(long)]
    parts: Option<f64>,
}

impl Http {
    pub(crate) async fn run(self) -> Result<Figures> {
        let bodies = match (&self.bodies, &self.template) {
            (Some(path), _) => Bodies::Lines(std::fs::read_to_string(path)?.lines().map(str::to_owned).collect()),
            (None, Some(path)) => Bodies::template(std::fs::read(path)?),
            (None, None) => Bodies::Lines(vec![String::new()]),
        };
        let first = first_number()?;
        let (bodies, next) = (Arc::new(bodies), Arc::new(AtomicU64::new(first)));
        let last = first.saturating_add(self.requests);
        let start = Instant::now();
        let deadline = start + Duration::from_secs_f64(self.seconds);
        let pace = self.per_second.map(|rate| Pace { start, first, rate });
        let mut clients = JoinSet::new();
        for number in 0..self.connections {
            let (bodies, next) = (Arc::clone(&bodies), Arc::clone(&next));
            clients.spawn(client(self.clone(), number, bodies, next, last, deadline, pace));
        }
        let mut samples = Vec::new();
        while let Some(client) = clients.join_next().await {
            samples.extend(client??);
        }
        let elapsed = start.elapsed();
        let parts = self.parts.map(|seconds| parts(&samples, start, Duration::from_secs_f64(seconds)));
        let latencies = samples.into_iter().map(|sample| sample.latency).collect();
        Ok(Figures::new(latencies, elapsed).with_parts(parts.unwrap_or_default()))
    }
}

/// A request that was answered.
struct Sample {
    start: Instant,
    latency: Duration,
}

/// The latencies of the requests that began in each part of the load.
fn parts(samples: &[Sample], start: Instant, length: Duration) -> Vec<Vec<Duration>> {
    let mut parts = Vec::new();
    for sample in samples {
        let since = sample.start.saturating_duration_since(start);
        let part = usize::try_from(since.as_nanos() / length.as_nanos().max(1)).unwrap_or_default();
        if parts.len() <= part {
            parts.resize(part + 1, Vec::new());
        }
        parts[part].push(sample.latency);
    }
    parts
}

/// A number that is higher than those of earlier calls: a point that is logged again is no work.
pub(crate) fn first_number() -> Result<u64> {
    #[expect(clippy::disallowed_methods, reason = "the load generator depends on no crate of the workspace")]
    Ok(u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())? * 1000)
}

/// What requests send.
enum Bodies {
    Lines(Vec<String>),
    /// The bytes, and the places of ids of traces.
    Template(Vec<u8>, Vec<usize>),
}

/// Stands for the id of a trace.
const MARK: &[u8; 16] = b"ferroflow-trace!";

impl Bodies {
    fn template(bytes: Vec<u8>) -> Self {
        let places = bytes.windows(MARK.len()).enumerate().filter(|(_, window)| window == MARK);
        let places = places.map(|(place, _)| place).collect();
        Self::Template(bytes, places)
    }

    /// The body of a turn, with a number that no other request has.
    fn body(&self, turn: usize, number: u64) -> Bytes {
        match self {
            Self::Lines(lines) => lines[turn % lines.len()].replace("{n}", &number.to_string()).into(),
            Self::Template(bytes, places) => {
                let (mut body, id) = (bytes.clone(), spread(number).to_be_bytes());
                for place in places {
                    body[*place..*place + id.len()].copy_from_slice(&id);
                }
                body.into()
            }
        }
    }
}

/// When requests are due.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) start: Instant,
    /// The number of the first request.
    pub(crate) first: u64,
    /// Requests a second.
    pub(crate) rate: f64,
}

impl Pace {
    #[allow(clippy::cast_precision_loss)] // far fewer than 2^52 requests
    pub(crate) fn due(self, number: u64) -> Instant {
        self.start + Duration::from_secs_f64((number - self.first) as f64 / self.rate)
    }
}

async fn client(
    load: Http,
    number: usize,
    bodies: Arc<Bodies>,
    next: Arc<AtomicU64>,
    last: u64,
    deadline: Instant,
    pace: Option<Pace>,
) -> Result<Vec<Sample>> {
    let stream = TcpStream::connect(&load.address).await.context("the server does not listen")?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut samples = Vec::new();
    let mut turn = number;
    while Instant::now() < deadline {
        let n = next.fetch_add(1, Ordering::Relaxed);
        if n >= last {
            break;
        }
        let body = bodies.body(turn, n);
        turn += load.connections;
        let mut request = Request::builder()
            .method(load.method.as_str())
            .uri(&load.path)
            .header("host", "localhost")
            .header("content-type", &load.content_type);
        for header in &load.header {
            let (name, value) = header.split_once(':').context("a header is NAME: VALUE")?;
            request = request.header(name, value.trim());
        }
        let request = request.body(Full::new(body))?;
        let due = pace.map(|pace| pace.due(n));
        if let Some(due) = due {
            tokio::time::sleep_until(due.into()).await;
        }
        sender.ready().await?;
        let start = due.unwrap_or_else(Instant::now);
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let bytes = answer.into_body().collect().await?.to_bytes();
        samples.push(Sample { start, latency: start.elapsed() });
        if status != 200 {
            bail!("answered {status}: {}", String::from_utf8_lossy(&bytes[..bytes.len().min(500)]));
        }
    }
    Ok(samples)
}
