//! Leases of background jobs that one replica runs for all. Times are the database's, so that the clocks of replicas
//! need not agree.

use std::time::Duration;

use ferroflow_model::Result;

use crate::{
    Store,
    db::{self, Anywhere, DbError, Op, Statement},
    schema::own,
    statements::statements,
};

statements! {
    /// Takes a lease that has expired or that no replica has, or renews one of the same replica.
    static TAKE: Anywhere =
        "INSERT INTO ff_job_leases (job, replica, expires_at) VALUES ($1, $2, {now} + CAST($3 AS BIGINT)) \
         ON CONFLICT (job) DO UPDATE SET replica = excluded.replica, expires_at = excluded.expires_at \
         WHERE ff_job_leases.replica = excluded.replica OR ff_job_leases.expires_at <= {now}";
    static RELEASE: Anywhere = "DELETE FROM ff_job_leases WHERE job = $1 AND replica = $2";
}

impl Store {
    /// Leases a job to a replica for a time. `false` if another replica has the lease. A replica that has it already
    /// renews it. Creates the table if it is missing; if that is not permitted, every replica gets the lease.
    ///
    /// # Errors
    /// The database failed.
    pub async fn lease_job(&self, job: &str, replica: &str, term: Duration) -> Result<bool> {
        let term = i64::try_from(term.as_millis()).unwrap_or(i64::MAX / 4);
        let take = Statement::new(&TAKE, vec![job.into(), replica.into(), term.into()]);
        let mut taken = self.db.unit(vec![Op::Execute(take.clone())]).await;
        if matches!(&taken, Err(error) if !is_temporary(error)) {
            match own::prepare_leases(&self.db).await {
                Ok(()) => taken = self.db.unit(vec![Op::Execute(take)]).await,
                Err(error) if is_temporary(&error) => return Err(error.into()),
                Err(error) => {
                    tracing::debug!(%error, job, "every replica runs the job: the table of leases cannot be created");
                    return Ok(true);
                }
            }
        }
        Ok(taken?.first().is_some_and(|answer| db::count(answer) > 0))
    }

    /// Ends the lease of a replica, if it has one.
    ///
    /// # Errors
    /// The database failed; the lease expires.
    pub async fn release_job(&self, job: &str, replica: &str) -> Result<()> {
        self.db.unit(vec![Op::Execute(Statement::new(&RELEASE, vec![job.into(), replica.into()]))]).await?;
        Ok(())
    }
}

/// Whether the error says nothing about the table.
fn is_temporary(error: &DbError) -> bool {
    matches!(
        error,
        DbError::Unavailable(_)
            | DbError::Locked(_)
            | DbError::NotBegun(_)
            | DbError::Conflict(_)
            | DbError::Timeout(_)
    )
}
