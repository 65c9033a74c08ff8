//! Runs a unit of work in a transaction, with retries on conflicts.

use ferroflow_model::{Error, Result};

use crate::{
    Store,
    db::{Db, DbError, Tx},
};

/// Why a unit of work was rolled back.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The database failed.
    Db(DbError),
    /// The request was rejected.
    Refused(Error),
}

impl From<DbError> for Failure {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl Store {
    /// Runs `work` with a new transaction, which `work` has to commit. Retries on a conflict with a concurrent
    /// transaction.
    pub(crate) async fn transaction<T, F, Fut>(&self, work: F) -> Result<T>
    where
        F: Fn(Tx) -> Fut,
        Fut: Future<Output = Result<T, Failure>>,
    {
        transaction(&self.db, work).await
    }
}

/// [`Store::transaction`] for another database than the tracking store's.
pub(crate) async fn transaction<T, F, Fut>(db: &Db, work: F) -> Result<T>
where
    F: Fn(Tx) -> Fut,
    Fut: Future<Output = Result<T, Failure>>,
{
    let attempt = async || {
        let tx = db.begin().await?;
        match work(tx).await {
            Ok(value) => Ok(Ok(value)),
            Err(Failure::Db(error)) => Err(error),
            Err(Failure::Refused(error)) => Ok(Err(error)),
        }
    };
    db.retrying(attempt).await?
}
