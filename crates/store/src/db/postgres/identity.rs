//! Which database a connection leads to.

use tokio_postgres::{Client, Error, SimpleQueryMessage};

/// The identifier of the cluster, which a streaming replica has from its primary and a logical one has not; the database
/// in it; the schema whose tables are named without one.
const IDENTITY: &str = "SELECT concat_ws('/', c.system_identifier, d.oid, current_schema()) \
                        FROM pg_control_system() c, pg_database d WHERE d.datname = current_database()";

/// The same text for a primary and its streaming replicas, and another one for every other database.
///
/// # Errors
/// The connection failed, or the role may not execute `pg_control_system()`.
pub(crate) async fn identity(client: &Client) -> Result<String, Error> {
    let answer = client.simple_query(IDENTITY).await?;
    let text = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    Ok(text.unwrap_or_default())
}
