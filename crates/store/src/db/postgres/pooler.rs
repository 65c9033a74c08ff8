//! Whether there is a connection pooler such as `PgBouncer` between this process and the server.
//!
//! A pooler may run each transaction on another connection of its own. A statement that was prepared by name is then
//! missing on the next one, or, worse, another client has prepared another statement by that name there. The protocol
//! says whether it is so: a server names its process when a connection begins, for requests to cancel, and a pooler
//! can only name something that it made up.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    io,
};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio_postgres::{Client, tls::TlsConnect};

use super::cancel::Patient;

/// Statements that have this text, with the names that the server knows them by.
const NAMES: &str =
    "SELECT name FROM pg_prepared_statements WHERE statement LIKE 'SELECT name FROM pg_prepared_statements %'";

/// What is between this process and the server, in the order of the care that it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Pooler {
    /// Nothing that matters.
    None,
    /// A pooler that prepares a statement wherever a client asks for it by name: `PgBouncer` from 1.21, if
    /// `max_prepared_statements` is not 0.
    WithNames,
    /// A pooler that hands names on to whichever connection it has at the moment.
    WithoutNames,
}

impl From<u8> for Pooler {
    fn from(number: u8) -> Self {
        [Self::None, Self::WithNames].into_iter().find(|known| *known as u8 == number).unwrap_or(Self::WithoutNames)
    }
}

impl Pooler {
    /// Logs what was found.
    pub(super) fn tell(self) {
        match self {
            Self::None => {}
            Self::WithNames => {
                tracing::info!("a connection pooler that keeps prepared statements is before the database");
            }
            Self::WithoutNames => tracing::info!(
                "a connection pooler is before the database: statements are sent without a name, and planned each time. \
                 PgBouncer from 1.21 keeps them if its max_prepared_statements is 200 or so"
            ),
        }
    }
}

/// Whether a pooler keeps track of statements that are prepared by name: it gives each a name of its own on the server.
///
/// # Errors
/// The connection failed, or can hold no transaction.
pub(super) async fn keeps_names(client: &Client) -> Result<bool, tokio_postgres::Error> {
    // In a transaction, so that a name that was handed on is taken away where it is.
    client.batch_execute("BEGIN").await?;
    let names = names(client).await;
    client.batch_execute("ROLLBACK").await?;
    // The driver's own names are `s0`, `s1` and so on. One that is taken already is an error.
    Ok(names.is_ok_and(|names| !names.is_empty() && !names.iter().any(|name| is_own(name))))
}

async fn names(client: &Client) -> Result<Vec<String>, tokio_postgres::Error> {
    let statement = client.prepare(NAMES).await?;
    client.query(&statement, &[]).await?.iter().map(|row| row.try_get(0)).collect()
}

fn is_own(name: &str) -> bool {
    name.strip_prefix('s').is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The number of a request for TLS (PostgreSQL's manual, "Message Formats").
const SSL_REQUEST: i32 = 80_877_103;

/// The process that was named when the connection began. The driver only gives it away in a request to cancel, so one is
/// written into memory and read.
pub(super) async fn named_process(client: &Client) -> io::Result<i32> {
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

/// What takes the place of TLS on the way into memory.
struct Plain;

impl TlsConnect<DuplexStream> for Plain {
    type Stream = Patient<DuplexStream>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Stream, Infallible>>;

    fn connect(self, stream: DuplexStream) -> Self::Future {
        ready(Ok(Patient(stream)))
    }
}
