//! The limit of ingest: the rows of a trace that a server wrote, again and again under fresh ids, by one plain connection.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use futures_util::{SinkExt as _, TryStreamExt as _};
use hyper::body::Bytes;
use rusqlite::types::Value;

use crate::{figures::Figures, http::first_number};

/// Options of the rows.
#[derive(Args)]
pub(crate) struct Spans {
    /// A PostgreSQL database; rows are written by COPY
    #[arg(long, conflicts_with = "sqlite")]
    postgres: Option<String>,
    /// A SQLite file; rows are written by prepared inserts
    #[arg(long)]
    sqlite: Option<PathBuf>,
    /// The trace whose rows are written
    #[arg(long)]
    trace: String,
    /// Traces in a transaction
    #[arg(long, default_value_t = 20)]
    traces: usize,
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
}

/// The tables of a trace with the columns that ingest writes, and the column of its id.
const TABLES: [(&str, &str, &str); 4] = [
    (
        "trace_info",
        "request_id, experiment_id, timestamp_ms, execution_time_ms, status, request_preview, response_preview, \
         db_payload_generation, trace_name, session_id, input_tokens, output_tokens, total_tokens, \
         cache_read_input_tokens, cache_creation_input_tokens, cache_creation_input_tokens_above_1hr, input_cost, \
         output_cost, total_cost",
        "request_id",
    ),
    ("trace_tags", "key, value, request_id", "request_id"),
    ("trace_request_metadata", "key, value, request_id", "request_id"),
    (
        "spans",
        "trace_id, experiment_id, span_id, parent_span_id, name, type, status, start_time_unix_nano, \
         end_time_unix_nano, content, input_cost, output_cost, total_cost, model_name, model_provider",
        "trace_id",
    ),
];

impl Spans {
    pub(crate) async fn run(self) -> Result<Figures> {
        ensure!(self.trace.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "not the id of a trace");
        let start = Instant::now();
        let latencies = match &self.postgres {
            Some(url) => self.postgres(url).await?,
            None => self.sqlite()?,
        };
        Ok(Figures::new(latencies, start.elapsed()))
    }

    fn deadline(&self) -> Instant {
        Instant::now() + Duration::from_secs_f64(self.seconds)
    }

    async fn postgres(&self, url: &str) -> Result<Vec<Duration>> {
        let (mut client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        let mut rows = Vec::new();
        for (table, columns, id) in TABLES {
            let copy = format!("COPY (SELECT {columns} FROM {table} WHERE {id} = '{}') TO STDOUT", self.trace);
            let chunks: Vec<Bytes> = client.copy_out(&copy).await?.try_collect().await?;
            rows.push(String::from_utf8(chunks.concat())?);
        }
        ensure!(!rows[0].is_empty(), "the trace does not exist");
        let mut number = first_number()?;
        let mut latencies = Vec::new();
        let deadline = self.deadline();
        while Instant::now() < deadline {
            let mut texts = vec![String::new(); TABLES.len()];
            for _ in 0..self.traces {
                number += 1;
                let id = fresh(number);
                for (text, rows) in texts.iter_mut().zip(&rows) {
                    text.push_str(&rows.replace(&self.trace, &id));
                }
            }
            let start = Instant::now();
            let transaction = client.transaction().await?;
            for ((table, columns, _), text) in TABLES.iter().zip(texts) {
                let mut sink = Box::pin(transaction.copy_in(&format!("COPY {table} ({columns}) FROM STDIN")).await?);
                sink.send(Bytes::from(text)).await?;
                sink.close().await?;
            }
            transaction.commit().await?;
            latencies.push(start.elapsed());
        }
        Ok(latencies)
    }

    fn sqlite(&self) -> Result<Vec<Duration>> {
        let path = self.sqlite.as_ref().context("--postgres or --sqlite")?;
        let mut connection = rusqlite::Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(60))?;
        connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")?;
        let mut tables = Vec::new();
        for (table, columns, id) in TABLES {
            let mut select = connection.prepare(&format!("SELECT {columns} FROM {table} WHERE {id} = ?1"))?;
            let count = select.column_count();
            let rows = select
                .query_map([&self.trace], |row| (0..count).map(|column| row.get(column)).collect())?
                .collect::<Result<Vec<Vec<Value>>, _>>()?;
            let places = (1..=count).map(|place| format!("?{place}")).collect::<Vec<_>>().join(", ");
            tables.push((format!("INSERT INTO {table} ({columns}) VALUES ({places})"), rows));
        }
        ensure!(!tables[0].1.is_empty(), "the trace does not exist");
        let mut number = first_number()?;
        let mut latencies = Vec::new();
        let deadline = self.deadline();
        while Instant::now() < deadline {
            let ids: Vec<String> = (0..self.traces as u64).map(|trace| fresh(number + trace)).collect();
            number += self.traces as u64;
            let start = Instant::now();
            let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            for (insert, rows) in &tables {
                let mut insert = transaction.prepare_cached(insert)?;
                for id in &ids {
                    for row in rows {
                        insert.execute(rusqlite::params_from_iter(row.iter().map(|value| self.replaced(value, id))))?;
                    }
                }
            }
            transaction.commit()?;
            latencies.push(start.elapsed());
        }
        Ok(latencies)
    }

    /// A value with the id of another trace.
    fn replaced(&self, value: &Value, id: &str) -> Value {
        match value {
            Value::Text(text) if text.len() < 1000 => Value::Text(text.replace(&self.trace, id)),
            value => value.clone(),
        }
    }
}

/// The id of a trace with a number. Ids are spread as random ones are.
fn fresh(number: u64) -> String {
    format!("tr-{:032x}", spread(number))
}

/// The number of a trace as its id.
pub(crate) fn spread(number: u64) -> u128 {
    u128::from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)) << 64 | u128::from(number)
}
