//! The limit of logging: the same rows of `metrics` and `latest_metrics` by plain connections, each
//! transaction committed before the next.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use clap::Args;
use tokio::{runtime::Handle, sync::Barrier, task::JoinSet};

use crate::figures::Figures;

/// Options of the rows.
#[derive(Args, Clone)]
pub(crate) struct Rows {
    /// A PostgreSQL database
    #[arg(long, conflicts_with = "sqlite")]
    postgres: Option<String>,
    /// A SQLite file
    #[arg(long)]
    sqlite: Option<PathBuf>,
    /// Runs that rows are written to, separated by commas; each connection has its own
    #[arg(long, value_delimiter = ',')]
    runs: Vec<String>,
    #[arg(long, default_value_t = 1)]
    connections: usize,
    /// Metrics in a transaction
    #[arg(long, default_value_t = 1)]
    metrics: usize,
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
}

const LATEST: &str = "ON CONFLICT (key, run_uuid) DO UPDATE SET value = excluded.value, timestamp = excluded.timestamp, \
                      step = excluded.step, is_nan = excluded.is_nan \
                      WHERE (excluded.step, excluded.timestamp, excluded.value) > \
                      (latest_metrics.step, latest_metrics.timestamp, latest_metrics.value)";

impl Rows {
    pub(crate) async fn run(self) -> Result<Figures> {
        // The clock starts when everybody is connected and ready.
        let ready = Arc::new(Barrier::new(self.connections + 1));
        let mut writers = JoinSet::new();
        for number in 0..self.connections {
            let (rows, run, ready) = (self.clone(), self.runs[number % self.runs.len()].clone(), Arc::clone(&ready));
            match &self.postgres {
                Some(url) => {
                    writers.spawn(postgres(url.clone(), rows, run, number, ready));
                }
                None => {
                    writers.spawn_blocking(move || sqlite(&rows, &run, number, &ready));
                }
            }
        }
        ready.wait().await;
        let start = Instant::now();
        let mut latencies = Vec::new();
        while let Some(writer) = writers.join_next().await {
            latencies.extend(writer??);
        }
        Ok(Figures::new(latencies, start.elapsed()))
    }

    fn deadline(&self) -> Instant {
        Instant::now() + Duration::from_secs_f64(self.seconds)
    }

    /// The rows of one transaction as SQL values.
    fn values(&self, run: &str, writer: usize, round: usize) -> String {
        let row = |metric: usize| format!("('w{writer}m{metric}', {round}.5, {round}, '{run}', {round}, FALSE)");
        (0..self.metrics).map(row).collect::<Vec<_>>().join(", ")
    }
}

/// Inserts of `metrics` and `latest_metrics`.
fn statements(values: &str) -> [String; 2] {
    let columns = "(key, value, timestamp, run_uuid, step, is_nan)";
    [
        format!("INSERT INTO metrics {columns} VALUES {values} ON CONFLICT DO NOTHING"),
        format!("INSERT INTO latest_metrics {columns} VALUES {values} {LATEST}"),
    ]
}

async fn postgres(url: String, rows: Rows, run: String, writer: usize, ready: Arc<Barrier>) -> Result<Vec<Duration>> {
    let (mut client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    let mut latencies = Vec::new();
    let mut round = 0;
    if rows.metrics == 1 {
        // A single row is worth prepared statements.
        let [insert, latest] = statements("($1, $2, $3, $4, $3, FALSE)");
        let (insert, latest) = (client.prepare(&insert).await?, client.prepare(&latest).await?);
        let key = format!("w{writer}");
        ready.wait().await;
        let deadline = rows.deadline();
        while Instant::now() < deadline {
            round += 1_i64;
            let start = Instant::now();
            let transaction = client.transaction().await?;
            let value = f64::from(i32::try_from(round)?);
            transaction.execute(&insert, &[&key, &value, &round, &run]).await?;
            transaction.execute(&latest, &[&key, &value, &round, &run]).await?;
            transaction.commit().await?;
            latencies.push(start.elapsed());
        }
        return Ok(latencies);
    }
    ready.wait().await;
    let deadline = rows.deadline();
    let mut round = 0;
    while Instant::now() < deadline {
        round += 1;
        let [insert, latest] = statements(&rows.values(&run, writer, round));
        let start = Instant::now();
        let transaction = client.transaction().await?;
        transaction.batch_execute(&insert).await?;
        transaction.batch_execute(&latest).await?;
        transaction.commit().await?;
        latencies.push(start.elapsed());
    }
    Ok(latencies)
}

fn sqlite(rows: &Rows, run: &str, writer: usize, ready: &Barrier) -> Result<Vec<Duration>> {
    let path = rows.sqlite.as_ref().context("--postgres or --sqlite")?;
    let mut connection = rusqlite::Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(60))?;
    connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")?;
    let statements = statements("(?1, ?2, ?3, ?4, ?3, 0)");
    let keys: Vec<String> = (0..rows.metrics).map(|metric| format!("w{writer}m{metric}")).collect();
    let mut latencies = Vec::new();
    Handle::current().block_on(ready.wait());
    let deadline = rows.deadline();
    let mut round = 0_i64;
    while Instant::now() < deadline {
        round += 1;
        let value = f64::from(i32::try_from(round)?);
        let start = Instant::now();
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        for statement in &statements {
            let mut prepared = transaction.prepare_cached(statement)?;
            for key in &keys {
                prepared.execute(rusqlite::params![key, value, round, run])?;
            }
        }
        transaction.commit()?;
        latencies.push(start.elapsed());
    }
    Ok(latencies)
}
