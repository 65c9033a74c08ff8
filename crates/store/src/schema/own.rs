//! ferroflow's own tables and indexes, beside the reference's. Their names begin with `ff_`, the reference ignores
//! them, no foreign key connects them to its tables, and [`drop_all`] removes them. They hold only transient data.

use crate::{
    db::{Anywhere, Db, DbError, Row, Statement, dialect::Dialect},
    statements::statements,
};

/// The name prefix of ferroflow's own tables and indexes.
pub(super) const PREFIX: &str = "ff_";

/// Webhook events to deliver: `crate::events::outbox`.
pub(crate) const OUTBOX: &str = "ff_webhook_deliveries";

/// Leases of background jobs: `crate::upkeep::job_leases`.
const LEASES: &str = "ff_job_leases";

/// Tables in the users database: failed logins and known login locations (`crate::accounts::login_failures`), and the login epoch
/// (`crate::accounts::login_epoch`).
const LOGINS: [&str; 3] = ["ff_login_failures", "ff_known_logins", "ff_login_epoch"];

pub(crate) const LOGINS_TABLES: &str = "CREATE TABLE IF NOT EXISTS ff_login_failures (
        key VARCHAR(80) NOT NULL,
        since BIGINT NOT NULL,
        failures INTEGER NOT NULL,
        CONSTRAINT ff_login_failures_pk PRIMARY KEY (key)
    );
    CREATE INDEX IF NOT EXISTS ff_login_failures_since ON ff_login_failures (since);
    CREATE TABLE IF NOT EXISTS ff_known_logins (
        key VARCHAR(80) NOT NULL,
        until BIGINT NOT NULL,
        CONSTRAINT ff_known_logins_pk PRIMARY KEY (key)
    );
    CREATE INDEX IF NOT EXISTS ff_known_logins_until ON ff_known_logins (until);
    CREATE TABLE IF NOT EXISTS ff_login_epoch (
        id INTEGER NOT NULL,
        epoch VARCHAR(64) NOT NULL,
        CONSTRAINT ff_login_epoch_pk PRIMARY KEY (id)
    );";

const TABLES: (&str, &str) = (
    "CREATE TABLE IF NOT EXISTS ff_webhook_deliveries (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        delivery_id VARCHAR(36) NOT NULL,
        webhook_id VARCHAR(256) NOT NULL,
        entity VARCHAR(50) NOT NULL,
        action VARCHAR(50) NOT NULL,
        body TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        due_at BIGINT DEFAULT 0 NOT NULL,
        attempts INTEGER DEFAULT 0 NOT NULL,
        failed_at BIGINT,
        last_error TEXT,
        CONSTRAINT ff_webhook_deliveries_pk PRIMARY KEY (id)
    );",
    "CREATE TABLE IF NOT EXISTS ff_webhook_deliveries (
        id INTEGER NOT NULL CONSTRAINT ff_webhook_deliveries_pk PRIMARY KEY,
        delivery_id VARCHAR(36) NOT NULL,
        webhook_id VARCHAR(256) NOT NULL,
        entity VARCHAR(50) NOT NULL,
        action VARCHAR(50) NOT NULL,
        body TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        due_at BIGINT DEFAULT 0 NOT NULL,
        attempts INTEGER DEFAULT 0 NOT NULL,
        failed_at BIGINT,
        last_error TEXT
    );",
);

const LEASES_TABLE: &str = "CREATE TABLE IF NOT EXISTS ff_job_leases (
        job VARCHAR(50) NOT NULL,
        replica VARCHAR(36) NOT NULL,
        expires_at BIGINT NOT NULL,
        CONSTRAINT ff_job_leases_pk PRIMARY KEY (job)
    );";

/// Experiments and workspaces that have reached a quota: `crate::quotas`. The experiment of a whole workspace is -1.
const USAGE: &str = "ff_usage";

const USAGE_TABLE: &str = "CREATE TABLE IF NOT EXISTS ff_usage (
        quota VARCHAR(30) NOT NULL,
        workspace VARCHAR(63) NOT NULL,
        experiment_id BIGINT NOT NULL,
        value BIGINT NOT NULL,
        measured_at BIGINT NOT NULL,
        CONSTRAINT ff_usage_pk PRIMARY KEY (quota, workspace, experiment_id)
    );";

const INDEXES: &str = "
    CREATE INDEX IF NOT EXISTS ff_webhook_deliveries_waiting
        ON ff_webhook_deliveries (webhook_id, id) WHERE failed_at IS NULL;
    CREATE INDEX IF NOT EXISTS ff_webhook_deliveries_failed
        ON ff_webhook_deliveries (failed_at) WHERE failed_at IS NOT NULL;";

statements! {
    /// Tables and indexes whose names begin with `$1`: whether it is a table (or else an index), and its name.
    static NAMES: Anywhere =
        "{postgres:SELECT c.relkind = 'r', CAST(c.relname AS TEXT) FROM pg_class c \
         JOIN pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_constraint k ON k.conindid = c.oid \
         WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'i') AND k.oid IS NULL \
         AND starts_with(CAST(c.relname AS TEXT), $1) ORDER BY 2}\
         {sqlite:SELECT type = 'table', name FROM sqlite_master WHERE type IN ('table', 'index') \
         AND substr(name, 1, length($1)) = $1 ORDER BY 2}";
}

/// Whether a table or an index is ferroflow's own.
#[must_use]
pub fn is_own(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// Creates the table of the outbox if it is missing.
///
/// # Errors
/// The database failed, or its role may not create tables.
pub(crate) async fn prepare(db: &Db) -> Result<(), DbError> {
    let tables = db.dialect().pick(TABLES.0, TABLES.1);
    create(db, &[OUTBOX], &format!("{tables}{INDEXES}")).await
}

/// Creates the table of leases if it is missing.
///
/// # Errors
/// The database failed, or its role may not create tables.
pub(crate) async fn prepare_leases(db: &Db) -> Result<(), DbError> {
    create(db, &[LEASES], LEASES_TABLE).await
}

/// Creates the table of what is counted for quotas if it is missing.
///
/// # Errors
/// The database failed, or its role may not create tables.
pub(crate) async fn prepare_usage(db: &Db) -> Result<(), DbError> {
    create(db, &[USAGE], USAGE_TABLE).await
}

/// Creates the missing tables in the users database.
///
/// # Errors
/// The database failed, or its role may not create tables.
pub(crate) async fn prepare_logins(db: &Db) -> Result<(), DbError> {
    create(db, &LOGINS, LOGINS_TABLES).await
}

/// Runs a script that creates tables or indexes, unless all of them exist.
async fn create(db: &Db, tables: &[&str], script: &str) -> Result<(), DbError> {
    let there = names(db).await?;
    if tables.iter().all(|table| there.iter().any(|(_, name)| name == table)) {
        return Ok(());
    }
    db.batch(match db.dialect() {
        // Serializes replicas that start at the same time, as for the reference's tables.
        Dialect::Postgres => format!("SELECT pg_advisory_xact_lock({});\n{script}", super::LOCK_KEY),
        Dialect::Sqlite => script.to_owned(),
    })
    .await
}

/// Drops ferroflow's own tables and indexes and returns their names. Running servers create them again.
///
/// # Errors
/// The database failed.
pub async fn drop_all(db: &Db) -> Result<Vec<String>, DbError> {
    let mut names = names(db).await?;
    // Tables first: this drops their indexes too.
    names.sort_by_key(|(is_table, _)| !*is_table);
    let script: Vec<String> = names
        .iter()
        .map(|(is_table, name)| {
            let kind = if *is_table { "TABLE" } else { "INDEX" };
            format!("DROP {kind} IF EXISTS \"{}\";", name.replace('"', "\"\""))
        })
        .collect();
    if !script.is_empty() {
        db.batch(script.concat()).await?;
    }
    Ok(names.into_iter().map(|(_, name)| name).collect())
}

/// ferroflow's own tables and indexes: whether it is a table (or else an index), and its name.
async fn names(db: &Db) -> Result<Vec<(bool, String)>, DbError> {
    let read = |row: &Row<'_>| Ok((row.get::<bool>(0)?, row.get::<String>(1)?));
    db.query(Statement::new(&NAMES, vec![PREFIX.into()]), read).await
}
