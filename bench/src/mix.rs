//! A mix of requests at a steady rate for hours. One JSON line of figures by kind comes out for each interval, and one
//! for all at the end. A request that fails is counted, and the others go on.

use std::{
    collections::BTreeMap,
    mem,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request,
    body::Bytes,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{net::TcpStream, task::JoinSet, time::sleep_until};

use crate::{
    histogram::Histogram,
    http::{Pace, first_number},
    spans::spread,
};

/// Different messages of failed requests that are kept.
const MESSAGES: usize = 10;

/// Options of the mix.
#[derive(Args)]
pub(crate) struct Mix {
    /// Host and port
    #[arg(long)]
    address: String,
    /// A JSON file with the list of kinds: `name`, `weight`, `method`, `headers`, and `requests` with `path` and `body`.
    /// `{n}` in a path or body is a number that no other request has, `{hex}` the 32 digits of an id. `then` is a second
    /// request, with `name`, `method`, `path` and `body`, in which `{id}` is what the JSON pointer `id` finds in the first
    /// answer
    #[arg(long)]
    plan: PathBuf,
    /// Values of the header `Authorization`; connections take turns
    #[arg(long)]
    authorization: Vec<String>,
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Duration in seconds
    #[arg(long)]
    seconds: f64,
    /// Seconds whose latencies are not in the figures of the end; failures are
    #[arg(long, default_value_t = 0.0)]
    warm_up: f64,
    /// Requests that are sent in a second, over all connections. A latency includes the time that its connection was late
    #[arg(long)]
    per_second: f64,
    /// Seconds between two lines of figures
    #[arg(long, default_value_t = 10.0)]
    every: f64,
}

#[derive(Deserialize)]
struct Kind {
    name: String,
    weight: u64,
    method: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    requests: Vec<Template>,
    then: Option<Then>,
}

#[derive(Deserialize)]
struct Template {
    path: String,
    #[serde(default)]
    body: String,
}

#[derive(Deserialize)]
struct Then {
    name: String,
    method: String,
    id: String,
    #[serde(flatten)]
    template: Template,
}

impl Template {
    fn filled(&self, number: u64, id: &str) -> (String, Bytes) {
        let fill = |text: &str| {
            text.replace("{n}", &number.to_string())
                .replace("{hex}", &format!("{:032x}", spread(number)))
                .replace("{id}", id)
        };
        (fill(&self.path), fill(&self.body).into())
    }
}

/// What has been seen.
#[derive(Default)]
struct Seen {
    interval: BTreeMap<String, Histogram>,
    total: BTreeMap<String, Histogram>,
    errors: u64,
    messages: Vec<String>,
}

impl Seen {
    fn latency(&mut self, kind: &str, latency: Duration) {
        for histograms in [&mut self.interval, &mut self.total] {
            match histograms.get_mut(kind) {
                Some(histogram) => histogram.add(latency),
                None => histograms.entry(kind.to_owned()).or_insert_with(Histogram::new).add(latency),
            }
        }
    }

    fn error(&mut self, kind: &str, error: &anyhow::Error) {
        self.errors += 1;
        let message = format!("{kind}: {error:#}");
        if self.messages.len() < MESSAGES && !self.messages.contains(&message) {
            self.messages.push(message);
        }
    }
}

/// What all connections share.
struct Load {
    options: Mix,
    kinds: Vec<Kind>,
    weight: u64,
    next: AtomicU64,
    pace: Pace,
    deadline: Instant,
    seen: Mutex<Seen>,
}

impl Mix {
    pub(crate) async fn run(self) -> Result<()> {
        let kinds: Vec<Kind> = serde_json::from_str(&std::fs::read_to_string(&self.plan)?)?;
        let weight = kinds.iter().map(|kind| kind.weight).sum();
        ensure!(weight > 0 && kinds.iter().all(|kind| !kind.requests.is_empty()), "the plan has no requests");
        let (start, first) = (Instant::now(), first_number()?);
        let (every, connections) = (Duration::from_secs_f64(self.every), self.connections);
        let warm = start + Duration::from_secs_f64(self.warm_up);
        let load = Arc::new(Load {
            pace: Pace { start, first, rate: self.per_second },
            deadline: start + Duration::from_secs_f64(self.seconds),
            options: self,
            kinds,
            weight,
            next: AtomicU64::new(first),
            seen: Mutex::default(),
        });
        let mut clients = JoinSet::new();
        for number in 0..connections {
            clients.spawn(client(Arc::clone(&load), number));
        }
        let mut at = start + every;
        while at < load.deadline {
            sleep_until(at.into()).await;
            let interval = mem::take(&mut load.seen().interval);
            if at <= warm {
                load.seen().total.clear();
            }
            println!("{}", json!({"seconds": (at - start).as_secs_f64(), "kinds": figures(&interval)}));
            at += every;
        }
        while let Some(client) = clients.join_next().await {
            client??;
        }
        let seen = load.seen();
        let total = json!({
            "seconds": start.elapsed().as_secs_f64(), "total": figures(&seen.total), "errors": seen.errors, "messages": seen.messages,
        });
        println!("{total}");
        Ok(())
    }
}

fn figures(histograms: &BTreeMap<String, Histogram>) -> Value {
    let figures = histograms.iter().map(|(kind, histogram)| {
        let [p50, p99] = [50, 99].map(|percent| histogram.percentile(percent));
        (kind.clone(), json!({"count": histogram.count(), "p50_ms": p50, "p99_ms": p99}))
    });
    Value::Object(figures.collect())
}

impl Load {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The kind of a request, as often as its weight says.
    fn kind(&self, number: u64) -> &Kind {
        let mut place = u64::try_from(spread(number) >> 97).unwrap_or_default() % self.weight;
        for kind in &self.kinds {
            if place < kind.weight {
                return kind;
            }
            place -= kind.weight;
        }
        unreachable!("the place is less than the sum of all weights")
    }
}

/// Sends requests until the deadline, over a new connection after a failure.
async fn client(load: Arc<Load>, connection: usize) -> Result<()> {
    let authorization = &load.options.authorization;
    let authorization = authorization.get(connection % authorization.len().max(1));
    let mut sender = None;
    loop {
        let number = load.next.fetch_add(1, Ordering::Relaxed);
        let due = load.pace.due(number);
        if due >= load.deadline {
            return Ok(());
        }
        // What a busy connection sends late has waited since it was due; the timer's milliseconds are no latency.
        let since = if Instant::now() < due {
            sleep_until(due.into()).await;
            Instant::now()
        } else {
            due
        };
        let kind = load.kind(number);
        let template = &kind.requests[usize::try_from(number)? % kind.requests.len()];
        let mut exchange = Exchange { load: &load, kind, authorization, sender: &mut sender };
        let answer = exchange.send(&kind.name, &kind.method, template.filled(number, ""), since).await;
        if let (Some(then), Some(answer)) = (&kind.then, answer) {
            match answer.pointer(&then.id).and_then(Value::as_str) {
                Some(id) => {
                    let request = then.template.filled(number, id);
                    exchange.send(&then.name, &then.method, request, Instant::now()).await;
                }
                None => load.seen().error(&kind.name, &anyhow::anyhow!("no {} in {answer}", then.id)),
            }
        }
    }
}

/// Requests of one kind over one connection.
struct Exchange<'a> {
    load: &'a Load,
    kind: &'a Kind,
    authorization: Option<&'a String>,
    sender: &'a mut Option<SendRequest<Full<Bytes>>>,
}

impl Exchange<'_> {
    /// Sends a request and notes its latency or failure. Returns the answer, parsed if another request needs it.
    async fn send(&mut self, name: &str, method: &str, request: (String, Bytes), since: Instant) -> Option<Value> {
        match self.answer(method, request).await {
            Ok(bytes) => {
                self.load.seen().latency(name, since.elapsed());
                if self.kind.then.is_some() { serde_json::from_slice(&bytes).ok() } else { None }
            }
            Err(error) => {
                self.load.seen().error(name, &error);
                *self.sender = None;
                None
            }
        }
    }

    async fn answer(&mut self, method: &str, (path, body): (String, Bytes)) -> Result<Bytes> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("content-type", "application/json");
        for (name, value) in &self.kind.headers {
            request = request.header(name, value);
        }
        if let Some(value) = self.authorization {
            request = request.header("authorization", value);
        }
        let request = request.body(Full::new(body))?;
        let sender = match &mut *self.sender {
            Some(sender) => sender,
            none => none.insert(connect(&self.load.options.address).await?),
        };
        sender.ready().await?;
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let bytes = answer.into_body().collect().await?.to_bytes();
        if status != 200 {
            bail!("answered {status}: {}", String::from_utf8_lossy(&bytes[..bytes.len().min(300)]));
        }
        Ok(bytes)
    }
}

async fn connect(address: &str) -> Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address).await.context("the server does not listen")?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}
