//! The limit of reading: statements by one plain connection, every row fetched.

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
    /// column of the first statement gave
    #[arg(long)]
    statements: PathBuf,
    #[arg(long, default_value_t = 20)]
    repeat: usize,
}

impl Sql {
    pub(crate) async fn run(self) -> Result<Figures> {
        let text = std::fs::read_to_string(&self.statements)?;
        let statements: Vec<&str> = text.split("\n;\n").map(str::trim).filter(|sql| !sql.is_empty()).collect();
        let start = Instant::now();
        let latencies = match &self.postgres {
            Some(url) => postgres(url, &statements, self.repeat).await?,
            None => sqlite(self.sqlite.as_ref().context("--postgres or --sqlite")?, &statements, self.repeat)?,
        };
        Ok(Figures::new(latencies, start.elapsed()))
    }
}

async fn postgres(url: &str, statements: &[&str], repeat: usize) -> Result<Vec<Duration>> {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    let mut latencies = Vec::new();
    for _ in 0..repeat {
        let start = Instant::now();
        let mut ids = String::new();
        for (index, statement) in statements.iter().enumerate() {
            let rows = client.query_typed(&statement.replace("{ids}", &ids), &[]).await?;
            if index == 0 && statements.len() > 1 {
                ids = rows.iter().map(|row| format!("'{}'", row.get::<_, &str>(0))).collect::<Vec<_>>().join(", ");
            }
        }
        latencies.push(start.elapsed());
    }
    Ok(latencies)
}

fn sqlite(path: &PathBuf, statements: &[&str], repeat: usize) -> Result<Vec<Duration>> {
    let connection = rusqlite::Connection::open(path)?;
    let mut latencies = Vec::new();
    for _ in 0..repeat {
        let start = Instant::now();
        let mut ids = Vec::new();
        for (index, statement) in statements.iter().enumerate() {
            let mut prepared = connection.prepare(&statement.replace("{ids}", &ids.join(", ")))?;
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
        latencies.push(start.elapsed());
    }
    Ok(latencies)
}
