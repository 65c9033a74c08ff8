//! Detects a connection pooler such as `PgBouncer` between this process and the server.
//!
//! A pooler may run each transaction on another server connection. A named prepared statement is then missing there or,
//! worse, is another client's statement of that name. The protocol reveals a pooler: at startup a server sends its
//! process id, for cancel requests, and a pooler can only send one that it made up.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    io,
};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio_postgres::{Client, tls::TlsConnect};

use super::cancel::EofOnShutdown;

/// Selects the prepared statements with this text by the names that the server knows.
const NAMES: &str =
    "SELECT name FROM pg_prepared_statements WHERE statement LIKE 'SELECT name FROM pg_prepared_statements %'";

/// What is between this process and the server, from least to most restrictive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Pooler {
    /// No pooler, or one that does not change server connections.
    None,
    /// A pooler that prepares named statements on whichever server connection it uses: `PgBouncer` from 1.21, if
    /// `max_prepared_statements` is not 0.
    WithNames,
    /// A pooler that passes names through to whichever server connection it uses.
    WithoutNames,
}

impl From<u8> for Pooler {
    fn from(number: u8) -> Self {
        [Self::None, Self::WithNames].into_iter().find(|known| *known as u8 == number).unwrap_or(Self::WithoutNames)
    }
}

impl Pooler {
    /// Logs what was found.
    pub(super) fn log(self) {
        match self {
            Self::None => {}
            Self::WithNames => {
                tracing::info!("a connection pooler that keeps prepared statements is in front of the database");
            }
            Self::WithoutNames => tracing::info!(
                "a connection pooler is in front of the database: statements are sent without a name, and planned each time. \
                 PgBouncer from 1.21 keeps them if its max_prepared_statements is 200 or so"
            ),
        }
    }
}

/// Whether a pooler tracks named prepared statements, which it does by renaming them on the server.
///
/// # Errors
/// The connection failed, or cannot begin a transaction.
pub(super) async fn keeps_names(client: &Client) -> Result<bool, tokio_postgres::Error> {
    // In a transaction, so that a statement whose name was passed through is deallocated on the same server connection.
    client.batch_execute("BEGIN").await?;
    let names = names(client).await;
    client.batch_execute("ROLLBACK").await?;
    // The driver's own names are `s0`, `s1` and so on. A name that already exists is an error.
    Ok(names.is_ok_and(|names| !names.is_empty() && !names.iter().any(|name| is_own(name))))
}

async fn names(client: &Client) -> Result<Vec<String>, tokio_postgres::Error> {
    let statement = client.prepare(NAMES).await?;
    client.query(&statement, &[]).await?.iter().map(|row| row.try_get(0)).collect()
}

fn is_own(name: &str) -> bool {
    name.strip_prefix('s').is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The code of an `SSLRequest` message (PostgreSQL's manual, "Message Formats").
const SSL_REQUEST: i32 = 80_877_103;

/// The process id that was sent at startup. The driver only reveals it in a cancel request, so one is written to an
/// in-memory stream and parsed.
pub(super) async fn startup_pid(client: &Client) -> io::Result<i32> {
    let (near, mut far) = tokio::io::duplex(64);
    let token = client.cancel_token();
    let (sent, read) = tokio::join!(token.cancel_query_raw(near, Plain), async move {
        let _length = far.read_i32().await?;
        if far.read_i32().await? == SSL_REQUEST {
            far.write_all(b"S").await?;
            let _length = far.read_i32().await?;
            let _request = far.read_i32().await?;
        }
        far.read_i32().await
    });
    sent.map_err(io::Error::other)?;
    read
}

/// Replaces TLS on the in-memory stream.
struct Plain;

impl TlsConnect<DuplexStream> for Plain {
    type Stream = EofOnShutdown<DuplexStream>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Stream, Infallible>>;

    fn connect(self, stream: DuplexStream) -> Self::Future {
        ready(Ok(EofOnShutdown(stream)))
    }
}
