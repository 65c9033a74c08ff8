//! Failed logins, counted in the users database so that all servers count together.

use ferroflow_model::Result;

use crate::{
    clock::now_ms,
    db::{Op, Statement},
    schema::own,
    users::UserStore,
};

/// How long a failure counts, in milliseconds.
const WINDOW_MS: i64 = 5 * 60 * 1000;

const COUNT: (&str, &str) = (
    "SELECT key, failures, since FROM ff_login_failures WHERE key = ANY($1) AND since > $2",
    "SELECT key, failures, since FROM ff_login_failures WHERE key IN (SELECT value FROM json_each($1)) AND since > $2",
);
const RECORD: &str = "INSERT INTO ff_login_failures (key, since, failures) VALUES ($1, $2, 1) ON CONFLICT (key) \
                      DO UPDATE SET failures = ff_login_failures.failures + 1";
const FORGET_OLD: &str = "DELETE FROM ff_login_failures WHERE since <= $1";
const FORGET: &str = "DELETE FROM ff_login_failures WHERE key = $1";

/// How many failures are counted under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginFailures {
    /// The key.
    pub key: String,
    /// How many.
    pub failures: i64,
    /// Seconds until they are forgotten.
    pub seconds_left: i64,
}

impl UserStore {
    /// Makes the table that failures are counted in.
    ///
    /// # Errors
    /// The database's user may not.
    pub async fn prepare_login_failures(&self) -> Result<()> {
        Ok(own::prepare_logins(&self.db).await?)
    }

    /// The failures under some keys that count still.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn login_failures(&self, keys: Vec<String>) -> Result<Vec<LoginFailures>> {
        let now = now_ms();
        let sql = self.db.dialect().pick(COUNT.0, COUNT.1);
        let statement = Statement::new(sql, vec![keys.into(), (now - WINDOW_MS).into()]);
        Ok(self
            .db
            .query(statement, move |row| {
                let left = (row.get::<i64>(2)? + WINDOW_MS - now) / 1000 + 1;
                Ok(LoginFailures { key: row.get(0)?, failures: row.get(1)?, seconds_left: left })
            })
            .await?)
    }

    /// Counts a failure under some keys, and forgets what counts no more.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn record_login_failure(&self, mut keys: Vec<String>) -> Result<()> {
        let now = now_ms();
        keys.sort();
        let record = |key: String| Op::Execute(Statement::new(RECORD, vec![key.into(), now.into()]));
        let forget = Op::Execute(Statement::new(FORGET_OLD, vec![(now - WINDOW_MS).into()]));
        self.db.unit(std::iter::once(forget).chain(keys.into_iter().map(record)).collect()).await?;
        Ok(())
    }

    /// Forgets the failures under a key: somebody knew the password.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn forget_login_failures(&self, key: String) -> Result<()> {
        self.db.unit(vec![Op::Execute(Statement::new(FORGET, vec![key.into()]))]).await?;
        Ok(())
    }
}
