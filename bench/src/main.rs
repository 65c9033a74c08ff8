//! Loads a server, or does the same rows by plain connections. One JSON line of figures comes out;
//! `bench/side_by_side.py` starts the servers and puts the figures together.

#![allow(clippy::disallowed_macros, reason = "figures that are not printed are no figures")]

mod figures;
mod histogram;
mod http;
mod mix;
mod rows;
mod spans;
mod sql;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Send requests over keep-alive connections, each as soon as the last is answered
    Http(http::Http),
    /// Send a mix of requests at a steady rate for a long time
    Mix(mix::Mix),
    /// Commit rows of metrics by plain connections, as the limit of what a server can do
    Rows(rows::Rows),
    /// Commit the rows of a trace under fresh ids by one plain connection, as the limit of what a server can do
    Spans(spans::Spans),
    /// Run statements by one plain connection and fetch every row
    Sql(sql::Sql),
}

#[tokio::main]
async fn main() -> Result<()> {
    let figures = match Cli::parse().command {
        Command::Http(http) => http.run().await?,
        Command::Mix(mix) => return mix.run().await,
        Command::Rows(rows) => rows.run().await?,
        Command::Spans(spans) => spans.run().await?,
        Command::Sql(sql) => sql.run().await?,
    };
    println!("{}", figures.to_json());
    Ok(())
}
