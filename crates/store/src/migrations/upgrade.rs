//! Applies pending revisions: one transaction per revision, under a lock that only one upgrade holds.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use super::{
    Chain, MigrationError, Revision, State, TRACKING,
    apply::{self, Failure},
    backup, check,
    events::{Event, Progress},
    shown, state,
};
use crate::{
    db::{Access, BackendUri, DbError, Direct, NO_TIMEOUTS, Statement, Upkeep, dialect::Dialect},
    schema::{self, own_indexes},
};

/// Default timeout for locks on tables.
const LOCK_TIMEOUT: Duration = Duration::from_secs(600);

/// `lock_timeout` of a statement: other transactions queue behind it for as long.
const LOCK_WAIT: Duration = Duration::from_secs(2);

/// Maximum pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Options of an upgrade.
#[derive(Debug, Clone)]
pub struct Options {
    /// The target: a revision, or a release such as `3.18`. If `None`, the first known head that the database has not
    /// passed.
    pub to: Option<String>,
    /// Whether a SQLite file is backed up before its first change.
    pub backup: bool,
    /// Timeout for locks. If `None`, ten minutes for tables, and no limit for another upgrade of the same database.
    pub lock_timeout: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self { to: None, backup: true, lock_timeout: None }
    }
}

/// The outcome of an upgrade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The revision before.
    pub from: State,
    /// The revision after.
    pub to: &'static str,
    /// Number of revisions applied here; a concurrent upgrade may have applied others.
    pub applied: usize,
    /// The backup made before the first change.
    pub backup: Option<PathBuf>,
}

/// Upgrades a database to the target in `options`.
///
/// # Errors
/// The database is refused, a lock is not obtained, or a revision fails. The database is then at the last committed
/// revision, and another run continues from there.
pub async fn upgrade(
    uri: &BackendUri,
    chain: &'static Chain,
    options: &Options,
    report: &mut (dyn FnMut(Event) + Send),
) -> Result<Done, MigrationError> {
    let target = options.to.as_deref().map_or(Ok(chain.head()), |to| chain.target(to))?;
    let direct = Direct::open(uri, Access::Migrate).await?;
    let mut run = Run {
        direct,
        chain,
        options,
        target,
        target_index: chain.reached(Some(target)).unwrap_or_default(),
        progress: Progress::new(report),
        first: None,
        count: 0,
        backup: None,
    };
    run.acquire_lock().await?;
    run.finished().await
}

struct Run<'a> {
    direct: Direct,
    chain: &'static Chain,
    options: &'a Options,
    target: &'static str,
    /// The number of revisions up to the target.
    target_index: usize,
    progress: Progress<'a>,
    /// The revision before the upgrade.
    first: Option<State>,
    count: usize,
    backup: Option<PathBuf>,
}

/// The outcome of a revision's transaction.
enum Outcome {
    Committed,
    /// A concurrent upgrade has applied the revision.
    Overtaken,
}

impl Run<'_> {
    /// PostgreSQL: acquires the chain's session-level advisory lock, held until the connection closes.
    async fn acquire_lock(&mut self) -> Result<(), MigrationError> {
        if self.direct.dialect() == Dialect::Sqlite || self.direct.is_pooled() {
            // Each transaction acquires its own lock instead.
            return Ok(());
        }
        let begun = Instant::now();
        let sql = format!("SELECT CASE WHEN pg_try_advisory_lock({}) THEN 1 ELSE 0 END", self.chain.lock);
        let mut reported = false;
        while self.direct.number(sql.clone()).await? == 0 {
            if !reported {
                reported = true;
                self.progress.report(Event::Waiting { what: "another upgrade or server start on this database" });
            }
            if self.options.lock_timeout.is_some_and(|timeout| begun.elapsed() >= timeout) {
                let found = state::read(&self.direct, self.chain, self.target).await?;
                return Err(self.lock_error(
                    "the upgrade lock",
                    &found_text(&found),
                    begun,
                    "another upgrade of this database is running",
                ));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    fn lock_error(&self, what: &'static str, from: &str, begun: Instant, hint: &'static str) -> MigrationError {
        MigrationError::Lock {
            what,
            seconds: begun.elapsed().as_secs(),
            from: from.to_owned(),
            to: self.target.to_owned(),
            hint,
        }
    }

    async fn finished(mut self) -> Result<Done, MigrationError> {
        loop {
            let found = state::read(&self.direct, self.chain, self.target).await?;
            let first = self.first.get_or_insert_with(|| found.clone()).clone();
            match found {
                State::Empty => self.create().await?,
                State::At(revision) => {
                    if self.options.to.is_none() {
                        // A concurrent upgrade may have led it past the first head.
                        self.target = self.chain.goal(revision).revision;
                        self.target_index = self.chain.reached(Some(self.target)).unwrap_or_default();
                    }
                    let reached = self.chain.reached(revision).unwrap_or_default();
                    if reached > self.target_index {
                        return Err(MigrationError::Later {
                            chain: self.chain.name,
                            found: shown(revision),
                            target: self.target.to_owned(),
                        });
                    }
                    let Some((from, next)) = self.chain.between(reached, self.target_index).next() else {
                        self.clean_up().await?;
                        self.create_own_indexes(revision).await;
                        return Ok(Done {
                            from: first,
                            to: revision.unwrap_or_default(),
                            applied: self.count,
                            backup: self.backup,
                        });
                    };
                    if self.count == 0 && first == found {
                        self.precheck(reached).await?;
                    }
                    self.revision(from, next, first != State::Empty, self.target_index - reached).await?;
                }
            }
        }
    }

    /// Creates ferroflow's own indexes in a database that it serves. If that fails, a server creates them.
    async fn create_own_indexes(&self, revision: Option<&str>) {
        let timeout = self.options.lock_timeout.unwrap_or(LOCK_TIMEOUT);
        if self.chain.name == TRACKING.name
            && self.chain.serves(revision)
            && let Err(error) = own_indexes::create_all(&self.direct, timeout).await
        {
            tracing::warn!(%error, "ferroflow's own indexes were not created: searches for traces are slower");
        }
    }

    /// Refuses a database whose tables do not match its revision, before anything is changed.
    async fn precheck(&mut self, reached: usize) -> Result<(), MigrationError> {
        let missing = check::missing(&self.direct, self.chain, reached).await?;
        if missing.is_empty() {
            return Ok(());
        }
        let from = self.chain.revisions().take(reached).last().map(|revision| revision.id);
        Err(MigrationError::Broken {
            chain: self.chain.name,
            found: shown(from),
            target: self.target.to_owned(),
            reason: format!("its tables are not those of its revision, it has no {}", missing.join(", no ")),
        })
    }

    /// Creates the tables of an empty database: directly at the first head if there is a script for it and the target
    /// is not before.
    async fn create(&mut self) -> Result<(), MigrationError> {
        let has_script = self.chain.serves(Some(self.target));
        let script = schema::script(self.chain, self.direct.dialect()).filter(|_| has_script);
        self.begin(None).await?;
        let made = self.create_in_transaction(script).await;
        self.finish(made.map_err(MigrationError::from)).await?;
        if script.is_some() {
            self.progress.report(Event::Create { revision: self.chain.head() });
        }
        Ok(())
    }

    async fn create_in_transaction(&mut self, script: Option<&'static str>) -> Result<(), DbError> {
        let tables = state::tables(&self.direct).await?;
        if self.chain.marker_tables.iter().any(|marker| tables.iter().any(|table| table == marker)) {
            // A concurrent upgrade or server has created them.
            return Ok(());
        }
        if let Some(script) = script {
            // Empty: left by a failed upgrade of the reference.
            self.direct.batch(format!("DROP TABLE IF EXISTS {}", self.chain.version_table)).await?;
            return self.direct.batch(script).await;
        }
        let mut altered = Vec::new();
        match apply::run(&self.direct, self.chain.initial, &mut altered, &mut self.progress).await {
            Ok(()) => {}
            Err(Failure::Db(error)) => return Err(error),
            Err(Failure::Refused(reason)) => return Err(DbError::Other(reason)),
        }
        if self.chain.initial.is_empty() && self.target_index > 0 {
            // The first revision creates the first tables. It belongs to this transaction, since a database without
            // tables counts as empty.
            if let Some(first) = self.chain.revisions().next() {
                if let Err(Failure::Db(error)) =
                    apply::run(&self.direct, first.steps, &mut altered, &mut self.progress).await
                {
                    return Err(error);
                }
                self.record(None, first.id).await?;
                self.count += 1;
            }
        }
        Ok(())
    }

    /// Applies one revision, and retries while locks are not obtained.
    async fn revision(
        &mut self,
        from: Option<&'static str>,
        to: &'static Revision,
        had_rows: bool,
        left: usize,
    ) -> Result<(), MigrationError> {
        let begun = Instant::now();
        let mut tolerated = BTreeMap::new();
        self.progress.report(Event::Begin { from, to, number: self.count + 1, of: self.count + left });
        let mut attempt = 0;
        loop {
            self.begin(Some((from, to))).await?;
            let applied = self.apply(from, to, had_rows, &tolerated).await;
            let failure = match applied {
                Ok(outcome) => {
                    if let Err(error) = self.direct.batch("COMMIT").await {
                        return Err(self.not_committed(from, to, error).await);
                    }
                    if matches!(outcome, Outcome::Committed) {
                        self.count += 1;
                        self.progress.report(Event::End { to, took: begun.elapsed() });
                    }
                    return Ok(());
                }
                Err(failure) => failure,
            };
            // A lost connection has been rolled back by the server.
            let _ = self.direct.batch("ROLLBACK").await;
            match failure {
                Error::Failed(Failure::Db(error @ (DbError::Locked(_) | DbError::Conflict(_)))) => {
                    if begun.elapsed() >= self.options.lock_timeout.unwrap_or(LOCK_TIMEOUT) {
                        tracing::debug!(%error, "giving up");
                        return Err(self.lock_error(
                            "a lock on a table",
                            &shown(from),
                            begun,
                            "another program keeps using it: stop that program, or try again when the database is less busy",
                        ));
                    }
                    if attempt == 0 {
                        self.progress.report(Event::Waiting { what: "a lock on a table" });
                    }
                    tokio::time::sleep(pause(attempt)).await;
                    attempt += 1;
                }
                Error::Orphans(found) if tolerated.is_empty() => {
                    // Rows that violated the foreign key before are tolerated.
                    for (table, count) in found {
                        let before = orphans(&self.direct, table).await?;
                        if count > before {
                            return Err(step_error(
                                from,
                                to,
                                format!("{} rows of {table} would point to rows that do not exist", count - before),
                            ));
                        }
                        tolerated.insert(table, before);
                    }
                }
                Error::Orphans(found) => {
                    let tables: Vec<&str> = found.iter().map(|(table, _)| *table).collect();
                    return Err(step_error(
                        from,
                        to,
                        format!("rows of {} point to rows that do not exist", tables.join(", ")),
                    ));
                }
                Error::Failed(Failure::Refused(reason)) => return Err(step_error(from, to, reason)),
                Error::Failed(Failure::Db(error)) => return Err(step_error(from, to, error.to_string())),
                Error::Other(error) => return Err(error),
            }
        }
    }

    /// The error for a failed COMMIT: a failed step if the revision was not applied, a database error if that is
    /// unknown.
    async fn not_committed(&self, from: Option<&'static str>, to: &'static Revision, error: DbError) -> MigrationError {
        let _ = self.direct.batch("ROLLBACK").await;
        match self.still_at(from).await {
            Ok(true) => step_error(from, to, error.to_string()),
            _ => error.into(),
        }
    }

    async fn apply(
        &mut self,
        from: Option<&'static str>,
        to: &'static Revision,
        had_rows: bool,
        tolerated: &BTreeMap<&'static str, i64>,
    ) -> Result<Outcome, Error> {
        if !self.still_at(from).await? {
            return Ok(Outcome::Overtaken);
        }
        let sqlite = self.direct.dialect() == Dialect::Sqlite;
        if sqlite && had_rows && self.count == 0 && self.backup.is_none() {
            self.drop_leftovers().await?;
            backup::check_disk_space(
                &self.direct,
                self.chain,
                self.chain.reached(from).unwrap_or_default(),
                self.target_index,
                self.options.backup,
            )
            .await
            .map_err(Error::Other)?;
            if self.options.backup {
                let path = backup::create(&self.direct, from, &mut self.progress).await.map_err(Error::Other)?;
                self.progress.report(Event::BackedUp { path: path.clone() });
                self.backup = Some(path);
            }
        }
        let mut altered = Vec::new();
        apply::run(&self.direct, to.steps, &mut altered, &mut self.progress).await.map_err(Error::Failed)?;
        if sqlite {
            let mut found = Vec::new();
            altered.dedup();
            for table in altered {
                let count = orphans(&self.direct, table).await?;
                if count > tolerated.get(table).copied().unwrap_or_default() {
                    found.push((table, count));
                }
            }
            if !found.is_empty() {
                return Err(Error::Orphans(found));
            }
        }
        self.record(from, to.id).await?;
        Ok(Outcome::Committed)
    }

    /// Begins a transaction: with a lock timeout in PostgreSQL, as the only writer in SQLite. `step` is used in error
    /// messages.
    async fn begin(&mut self, step: Option<(Option<&'static str>, &'static Revision)>) -> Result<(), MigrationError> {
        let begun = Instant::now();
        let timeout = self.options.lock_timeout.unwrap_or(LOCK_TIMEOUT);
        if self.direct.dialect() == Dialect::Postgres {
            let wait = LOCK_WAIT.min(timeout).as_millis();
            self.direct.batch(format!("BEGIN; SET LOCAL lock_timeout = {}", wait.max(1))).await?;
            if self.direct.is_pooled() {
                return self.lock_transaction(step, begun, timeout).await;
            }
            return Ok(());
        }
        let mut attempt = 0;
        loop {
            match self.direct.batch("BEGIN IMMEDIATE").await {
                Ok(()) => return Ok(()),
                Err(DbError::Locked(_)) if begun.elapsed() < timeout => {
                    if attempt == 0 {
                        self.progress.report(Event::Waiting { what: "the lock on the database file" });
                    }
                    attempt += 1;
                }
                Err(DbError::Locked(_)) => {
                    let from = step.map_or_else(|| "an empty database".to_owned(), |(from, _)| shown(from));
                    return Err(self.lock_error(
                        "the lock on the database file",
                        &from,
                        begun,
                        "another program writes to it: stop the servers that use it",
                    ));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// With a pooler: acquires the chain's advisory lock until the end of the open transaction.
    async fn lock_transaction(
        &mut self,
        step: Option<(Option<&'static str>, &'static Revision)>,
        begun: Instant,
        timeout: Duration,
    ) -> Result<(), MigrationError> {
        let lock = self.chain.lock;
        let sql = format!("SELECT CASE WHEN pg_try_advisory_xact_lock({lock}) THEN 1 ELSE 0 END");
        self.direct.batch(NO_TIMEOUTS).await?;
        let mut reported = false;
        while self.direct.number(sql.clone()).await? == 0 {
            if !reported {
                reported = true;
                self.progress.report(Event::Waiting { what: "another upgrade or server start on this database" });
            }
            if self.options.lock_timeout.is_some() && begun.elapsed() >= timeout {
                let _ = self.direct.batch("ROLLBACK").await;
                let from = step.map_or_else(|| "an empty database".to_owned(), |(from, _)| shown(from));
                return Err(self.lock_error(
                    "the upgrade lock",
                    &from,
                    begun,
                    "another upgrade of this database is running",
                ));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    async fn finish(&mut self, outcome: Result<(), MigrationError>) -> Result<(), MigrationError> {
        match outcome {
            Ok(()) => Ok(self.direct.batch("COMMIT").await?),
            Err(error) => {
                let _ = self.direct.batch("ROLLBACK").await;
                Err(error)
            }
        }
    }

    /// Whether the database is still at this revision; locks the version table's row until the end of the transaction.
    async fn still_at(&self, from: Option<&'static str>) -> Result<bool, DbError> {
        let table = self.chain.version_table;
        let there = state::tables(&self.direct).await?.iter().any(|name| name == table);
        let recorded = if there {
            let lock = self.direct.dialect().pick(" FOR UPDATE", "");
            self.direct.texts(format!("SELECT version_num FROM {table}{lock}")).await?
        } else {
            Vec::new()
        };
        Ok(match recorded.as_slice() {
            [] => from == self.chain.unversioned,
            [found] => Some(found.as_str()) == from,
            _ => false,
        })
    }

    async fn record(&self, from: Option<&'static str>, to: &'static str) -> Result<(), DbError> {
        let table = self.chain.version_table;
        self.direct
            .batch(format!(
                "CREATE TABLE IF NOT EXISTS {table} (\n    version_num VARCHAR(32) NOT NULL,\n    \
                 CONSTRAINT {table}_pkc PRIMARY KEY (version_num)\n)"
            ))
            .await?;
        let update = format!("UPDATE {table} SET version_num = $1 WHERE version_num = $2");
        let values = vec![to.into(), from.unwrap_or_default().into()];
        if self.direct.execute(Statement::unscoped(Upkeep::Migration, update, values)).await? == 0 {
            let insert = format!("INSERT INTO {table} (version_num) VALUES ($1)");
            self.direct.execute(Statement::unscoped(Upkeep::Migration, insert, vec![to.into()])).await?;
        }
        Ok(())
    }

    /// Drops temporary tables of a killed upgrade of the reference, whose original tables still exist.
    async fn drop_leftovers(&self) -> Result<(), DbError> {
        let tables = state::tables(&self.direct).await?;
        for table in &tables {
            if let Some(original) = table.strip_prefix("_alembic_tmp_")
                && tables.iter().any(|other| other == original)
            {
                self.direct.batch(format!("DROP TABLE \"{table}\"")).await?;
            }
        }
        Ok(())
    }

    /// Checkpoints SQLite's write-ahead log, or releases PostgreSQL's advisory lock.
    async fn clean_up(&self) -> Result<(), DbError> {
        match self.direct.dialect() {
            Dialect::Postgres if self.direct.is_pooled() => Ok(()),
            Dialect::Postgres => self.direct.batch(format!("SELECT pg_advisory_unlock({})", self.chain.lock)).await,
            // Fails if another connection is reading. The log then stays, which is harmless.
            Dialect::Sqlite => {
                let _ = self.direct.batch("PRAGMA wal_checkpoint(TRUNCATE)").await;
                Ok(())
            }
        }
    }
}

/// Why a revision was not committed.
enum Error {
    Failed(Failure),
    /// Rows that violate a foreign key, per table.
    Orphans(Vec<(&'static str, i64)>),
    Other(MigrationError),
}

impl From<DbError> for Error {
    fn from(error: DbError) -> Self {
        Self::Failed(Failure::Db(error))
    }
}

fn step_error(from: Option<&str>, to: &'static Revision, reason: String) -> MigrationError {
    MigrationError::Step { from: shown(from), to: to.id, title: to.title, reason }
}

fn found_text(found: &State) -> String {
    match found {
        State::Empty => "an empty database".to_owned(),
        State::At(revision) => shown(*revision),
    }
}

async fn orphans(direct: &Direct, table: &'static str) -> Result<i64, DbError> {
    direct.number(format!("SELECT COUNT(*) FROM pragma_foreign_key_check('{table}')")).await
}

/// Exponential backoff with jitter, so that concurrent waiters do not collide again.
fn pause(attempt: u32) -> Duration {
    let ceiling = LONGEST_PAUSE.min(Duration::from_millis(250 << attempt.min(8)));
    ceiling.mul_f64(rand::random_range(0.5..=1.0))
}
