//! Failed logins and known login locations, in the users database so that all replicas share them.

use std::time::Duration;

use ferroflow_model::Result;

use crate::{
    accounts::users::UserStore,
    db::Anywhere,
    db::{Op, Statement, clock::now_ms},
    schema::own,
    statements::statements,
};

/// How long failures are counted after the last one, in milliseconds.
const FAILURES_MS: i64 = 15 * 60 * 1000;

/// How long a login is remembered, and how often that time is extended, in milliseconds.
const LOGINS_MS: i64 = 30 * 24 * 3600 * 1000;
const RENEW_MS: i64 = 24 * 3600 * 1000;

statements! {
    static COUNT: Anywhere =
        "SELECT key, failures, since FROM ff_login_failures WHERE key {in $1} AND since > $2";
    static IS_KNOWN: Anywhere =
        "SELECT until FROM ff_known_logins WHERE key = $1 AND until > $2";
    static RECORD_FAILURE: Anywhere =
        "INSERT INTO ff_login_failures (key, since, failures) VALUES ($1, $2, 1) ON CONFLICT (key) \
         DO UPDATE SET failures = ff_login_failures.failures + 1, since = excluded.since";
    static DELETE_EXPIRED_FAILURES: Anywhere =
        "DELETE FROM ff_login_failures WHERE since <= $1";
    static DELETE_FAILURES: Anywhere =
        "DELETE FROM ff_login_failures WHERE key = $1";
    static RECORD_LOGIN: Anywhere =
        "INSERT INTO ff_known_logins (key, until) VALUES ($1, $2) ON CONFLICT (key) \
         DO UPDATE SET until = excluded.until WHERE ff_known_logins.until < $3";
    static DELETE_EXPIRED_LOGINS: Anywhere =
        "DELETE FROM ff_known_logins WHERE until <= $1";
}

/// The number of failures of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginFailures {
    /// The key.
    pub key: String,
    /// The number of failures.
    pub failures: i64,
    /// Time since the last failure.
    pub age: Duration,
}

impl UserStore {
    /// Creates ferroflow's own tables in the users database.
    ///
    /// # Errors
    /// The database failed, or its role may not create tables.
    pub async fn prepare_logins(&self) -> Result<()> {
        Ok(own::prepare_logins(self.db.uncounted()).await?)
    }

    /// The failures of `keys` within the last 15 minutes, and whether a login of the key `known` is remembered.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn login_failures(&self, keys: Vec<String>, known: String) -> Result<(Vec<LoginFailures>, bool)> {
        let now = now_ms();
        let statements = vec![
            Statement::new(&COUNT, vec![keys.into(), (now - FAILURES_MS).into()]),
            Statement::new(&IS_KNOWN, vec![known.into(), now.into()]),
        ];
        let conn = self.db.reader().await?;
        let found = conn.fold_all(statements, (Vec::new(), false), move |(failures, is_known), which, row| {
            if which == 0 {
                // Clocks of replicas differ a little.
                let age = u64::try_from(now - row.get::<i64>(2)?).unwrap_or_default();
                let age = Duration::from_millis(age);
                failures.push(LoginFailures { key: row.get(0)?, failures: row.get(1)?, age });
            } else {
                *is_known = true;
            }
            Ok(())
        });
        Ok(found.await?)
    }

    /// Counts a failure for each of `keys`, and deletes expired failures.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn record_login_failure(&self, mut keys: Vec<String>) -> Result<()> {
        let now = now_ms();
        keys.sort();
        let record = |key: String| Op::Execute(Statement::new(&RECORD_FAILURE, vec![key.into(), now.into()]));
        let delete_expired = Op::Execute(Statement::new(&DELETE_EXPIRED_FAILURES, vec![(now - FAILURES_MS).into()]));
        self.db.uncounted().unit(std::iter::once(delete_expired).chain(keys.into_iter().map(record)).collect()).await?;
        Ok(())
    }

    /// Records a successful login: deletes the failures of one key, and remembers the login under the other.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn record_login(&self, failures: String, known: String) -> Result<()> {
        let now = now_ms();
        let until = now + LOGINS_MS;
        let work = vec![
            Statement::new(&DELETE_FAILURES, vec![failures.into()]),
            Statement::new(&DELETE_EXPIRED_LOGINS, vec![now.into()]),
            Statement::new(&RECORD_LOGIN, vec![known.into(), until.into(), (until - RENEW_MS).into()]),
        ];
        self.db.uncounted().unit(work.into_iter().map(Op::Execute).collect()).await?;
        Ok(())
    }
}
