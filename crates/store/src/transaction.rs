//! A unit of work in one transaction, run again when it lost against a concurrent one.

use ferroflow_model::{Error, Result};

use crate::{
    Store,
    db::{Db, DbError, Tx},
};

/// Why a unit of work did not come to its end: nothing of it stays.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The database failed.
    Db(DbError),
    /// The request can not be fulfilled.
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
    /// Runs `work`, which is given a new transaction and commits it at its end.
    pub(crate) async fn transaction<T, F, Fut>(&self, work: F) -> Result<T>
    where
        F: Fn(Tx) -> Fut,
        Fut: Future<Output = Result<T, Failure>>,
    {
        transaction(&self.db, work).await
    }
}

/// The same for a database that is not the tracking store's.
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
