//! Purges finished jobs.

use ferroflow_model::Result;

use crate::{
    Unscoped,
    db::{Statement, upkeep::Gc},
    statements::statements,
};

/// The finished jobs that a purge is about.
const FINISHED: &str = "FROM jobs WHERE status IN (2, 3, 4, 5) AND creation_time < $1 AND ($2 OR id {in $3})";

statements! {
    static DELETE: Gc = "DELETE ", FINISHED, " RETURNING id";
    static FIND: Gc = "SELECT id ", FINISHED;
}

impl Unscoped<'_> {
    /// Deletes finished jobs that were created before `before` and, if `ids` are given, have one of these ids. Returns
    /// the ids of the deleted jobs.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn purge_jobs(&self, before: Option<i64>, ids: Option<&[String]>) -> Result<Vec<String>> {
        let values = vec![before.unwrap_or(i64::MAX).into(), ids.is_none().into(), ids.unwrap_or_default().into()];
        let delete = &Statement::new(&DELETE, values);
        self.store.db.transaction(|tx| async move { Ok(tx.query(delete.clone(), |row| row.get(0)).await?) }).await
    }

    /// The jobs that [`Unscoped::purge_jobs`] would delete.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn purgeable_jobs(&self, before: Option<i64>, ids: Option<&[String]>) -> Result<Vec<String>> {
        let values = vec![before.unwrap_or(i64::MAX).into(), ids.is_none().into(), ids.unwrap_or_default().into()];
        Ok(self.store.db.query(Statement::new(&FIND, values), |row| row.get(0)).await?)
    }
}
