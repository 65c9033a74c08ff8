//! Purges finished jobs.

use ferroflow_model::Result;

use crate::{
    Unscoped,
    db::{Statement, Value, upkeep::Gc},
    statements::statements,
};

/// The finished jobs that a purge is about.
const FINISHED: &str = "FROM jobs WHERE status IN (2, 3, 4, 5) AND creation_time < $1 AND ($2 OR id {in $3}) \
     AND (CAST($4 AS TEXT) IS NULL OR workspace = $4)";

statements! {
    static DELETE: Gc = "DELETE ", FINISHED, " RETURNING id";
    static FIND: Gc = "SELECT id ", FINISHED;
}

impl Unscoped<'_> {
    /// Deletes finished jobs that were created before `before` and, if `ids` are given, have one of these ids, and that
    /// are in `workspace`, if it is given. Returns the ids of the deleted jobs.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn purge_jobs(
        &self,
        workspace: Option<&str>,
        before: Option<i64>,
        ids: Option<&[String]>,
    ) -> Result<Vec<String>> {
        let delete = &Statement::new(&DELETE, values(workspace, before, ids));
        self.store.db.transaction(|tx| async move { Ok(tx.query(delete.clone(), |row| row.get(0)).await?) }).await
    }

    /// The jobs that [`Unscoped::purge_jobs`] would delete.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn purgeable_jobs(
        &self,
        workspace: Option<&str>,
        before: Option<i64>,
        ids: Option<&[String]>,
    ) -> Result<Vec<String>> {
        let found = Statement::new(&FIND, values(workspace, before, ids));
        Ok(self.store.db.query(found, |row| row.get(0)).await?)
    }
}

fn values(workspace: Option<&str>, before: Option<i64>, ids: Option<&[String]>) -> Vec<Value> {
    let (before, all) = (before.unwrap_or(i64::MAX), ids.is_none());
    vec![before.into(), all.into(), ids.unwrap_or_default().into(), workspace.into()]
}
