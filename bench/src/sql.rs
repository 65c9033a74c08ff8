//! The limit of reading, and of writing a little: statements by one plain connection, every row fetched.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use clap::Args;

use crate::figures::Figures;

/// Options of the statements.
#[derive(Args)]
pub(crate) struct Sql {
    /// A PostgreSQL database
    #[arg(long, conflicts_with = "sqlite")]
    postgres: Option<String>,
    /// A SQLite file
    #[arg(long)]
    sqlite: Option<PathBuf>,
    /// Statements, separated by lines with a semicolon alone. `{ids}` is the list of what the first
    /// column of the first statement returned, `{n}` the number of the repetition
    #[arg(long)]
    statements: PathBuf,
    /// Run each repetition in a transaction, committed before the next
    #[arg(long)]
    commit: bool,
    /// Maximum number of repetitions
    #[arg(long, default_value_t = 20)]
    repeat: usize,
    /// Maximum duration in seconds; at least one repetition is run
    #[arg(long, default_value_t = 60.0)]
    seconds: f64,
}

impl Sql {
    pub(crate) async fn run(self) -> Result<Figures> {
        let text = std::fs::read_to_string(&self.statements)?;
        let statements: Vec<&str> = text.split("\n;\n").map(str::trim).filter(|sql| !sql.is_empty()).collect();
        let start = Instant::now();
        let latencies = match &self.postgres {
            Some(url) => self.postgres(url, &statements).await?,
            None => self.sqlite(&statements)?,
        };
        Ok(Figures::new(latencies, start.elapsed()))
    }

    /// Whether there is one more repetition.
    fn continues(&self, done: usize, start: Instant) -> bool {
        done == 0 || done < self.repeat && start.elapsed().as_secs_f64() < self.seconds
    }

    async fn postgres(&self, url: &str, statements: &[&str]) -> Result<Vec<Duration>> {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        let (mut latencies, begin) = (Vec::new(), Instant::now());
        while self.continues(latencies.len(), begin) {
            let start = Instant::now();
            let mut ids = String::new();
            if self.commit {
                client.batch_execute("BEGIN").await?;
            }
            for (index, statement) in statements.iter().enumerate() {
                let rows = client.query_typed(&fill(statement, &ids, latencies.len()), &[]).await?;
                if index == 0 && statements.len() > 1 {
                    ids = rows.iter().map(|row| format!("'{}'", row.get::<_, &str>(0))).collect::<Vec<_>>().join(", ");
                }
            }
            if self.commit {
                client.batch_execute("COMMIT").await?;
            }
            latencies.push(start.elapsed());
        }
        Ok(latencies)
    }

    fn sqlite(&self, statements: &[&str]) -> Result<Vec<Duration>> {
        let connection = rusqlite::Connection::open(self.sqlite.as_ref().context("--postgres or --sqlite")?)?;
        connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")?;
        let (mut latencies, begin) = (Vec::new(), Instant::now());
        while self.continues(latencies.len(), begin) {
            let start = Instant::now();
            let mut ids = Vec::new();
            if self.commit {
                connection.execute_batch("BEGIN IMMEDIATE")?;
            }
            for (index, statement) in statements.iter().enumerate() {
                let mut prepared = connection.prepare(&fill(statement, &ids.join(", "), latencies.len()))?;
                let columns = prepared.column_count();
                let mut rows = prepared.query([])?;
                while let Some(row) = rows.next()? {
                    for column in 0..columns {
                        row.get_ref(column)?;
                    }
                    if index == 0 && statements.len() > 1 {
                        ids.push(format!("'{}'", row.get::<_, String>(0)?));
                    }
                }
            }
            if self.commit {
                connection.execute_batch("COMMIT")?;
            }
            latencies.push(start.elapsed());
        }
        Ok(latencies)
    }
}

/// A statement with what it takes from those before it.
fn fill(statement: &str, ids: &str, n: usize) -> String {
    statement.replace("{ids}", ids).replace("{n}", &n.to_string())
}
