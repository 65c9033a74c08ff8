//! Leases of the reference's schedulers, in its table `scheduler_leases`: a row has a key, the time at which the lease was
//! taken, and how long it lasts. Times are the database's. A holder
//! proves itself by the time and duration of the row.

use ferroflow_model::Result;

use crate::{
    Unscoped,
    db::{Row, Statement, upkeep::Rollups},
    statements::statements,
};

/// The key of the lease of the builder of rollups: the name of the reference's lock for this work.
pub const ROLLUP_LEASE: &str = "sql-trace-rollup-scheduler-lock";

/// What a holder must know to renew the lease.
const HELD: &str = " RETURNING acquired_at, ttl_seconds";

statements! {
    static TAKE: Rollups =
        "INSERT INTO scheduler_leases (lease_key, acquired_at, ttl_seconds) VALUES ($1, {now}, $2) \
         ON CONFLICT (lease_key) DO UPDATE SET acquired_at = excluded.acquired_at, ttl_seconds = excluded.ttl_seconds \
         WHERE scheduler_leases.acquired_at + scheduler_leases.ttl_seconds * CAST(1000 AS BIGINT) <= {now}", HELD;
    static RENEW: Rollups =
        "UPDATE scheduler_leases SET acquired_at = {now}, ttl_seconds = $4 \
         WHERE lease_key = $1 AND acquired_at = $2 AND ttl_seconds = $3", HELD;
}

/// A lease that this process has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchedulerLease {
    key: &'static str,
    acquired_at: i64,
    ttl_seconds: i64,
}

impl Unscoped<'_> {
    /// Takes the lease with a key for a time, unless another server has it.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn take_scheduler_lease(&self, key: &'static str, ttl_seconds: i64) -> Result<Option<SchedulerLease>> {
        let take = &Statement::new(&TAKE, vec![key.into(), ttl_seconds.into()]);
        let held = self.store.db.transaction(|tx| async move { Ok(tx.query_opt(take.clone(), held).await?) }).await?;
        Ok(held.map(|(acquired_at, ttl_seconds)| SchedulerLease { key, acquired_at, ttl_seconds }))
    }

    /// Renews a lease, even after it has expired, unless another server has taken it.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn renew_scheduler_lease(&self, lease: &SchedulerLease) -> Result<Option<SchedulerLease>> {
        let SchedulerLease { key, acquired_at, ttl_seconds } = lease;
        let values = vec![(*key).into(), (*acquired_at).into(), (*ttl_seconds).into(), (*ttl_seconds).into()];
        let renew = &Statement::new(&RENEW, values);
        let held = self.store.db.transaction(|tx| async move { Ok(tx.query_opt(renew.clone(), held).await?) }).await?;
        Ok(held.map(|(acquired_at, ttl_seconds)| SchedulerLease { key, acquired_at, ttl_seconds }))
    }
}

fn held(row: &Row<'_>) -> std::result::Result<(i64, i64), crate::db::DbError> {
    Ok((row.get(0)?, row.get(1)?))
}
