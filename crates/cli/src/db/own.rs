//! `ferroflow db drop-own`: drops what ferroflow adds to MLflow's tables.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use ferroflow_store::{
    db::{BackendUri, Db, DbOptions},
    schema::own,
};

use crate::report::out;

/// Drops it and prints the names.
pub(super) async fn drop_own(uri: &BackendUri) -> Result<ExitCode> {
    let what = || format!("the database {uri}");
    if let BackendUri::Sqlite(path) = uri {
        // `Db::open` would create the file.
        std::fs::metadata(path).with_context(what)?;
    }
    let db = Db::open(uri, DbOptions::default()).with_context(what)?;
    let dropped = own::drop_all(&db).await.with_context(what)?;
    db.close().await.with_context(what)?;
    match dropped.as_slice() {
        [] => out!("{uri} has no tables or indexes of ferroflow's own"),
        names => out!("dropped {}", names.join(", ")),
    }
    Ok(ExitCode::SUCCESS)
}
