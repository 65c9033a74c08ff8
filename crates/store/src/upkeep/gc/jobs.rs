//! Purges finished jobs.

use ferroflow_model::Result;

use crate::{Store, db::Statement};

impl Store {
    /// Deletes finished jobs that were created before `before` and, if `ids` are given, have one of these ids. Returns
    /// the ids of the deleted jobs.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn purge_jobs(&self, before: Option<i64>, ids: Option<&[String]>) -> Result<Vec<String>> {
        let sql = self.db.dialect().pick(
            "DELETE FROM jobs WHERE status IN (2, 3, 4, 5) AND creation_time < $1 AND ($2 OR id = ANY($3)) RETURNING id",
            "DELETE FROM jobs WHERE status IN (2, 3, 4, 5) AND creation_time < $1 \
             AND ($2 OR id IN (SELECT value FROM json_each($3))) RETURNING id",
        );
        let values = vec![before.unwrap_or(i64::MAX).into(), ids.is_none().into(), ids.unwrap_or_default().into()];
        let delete = &Statement::fixed(sql, values);
        self.db.transaction(|tx| async move { Ok(tx.query(delete.clone(), |row| row.get(0)).await?) }).await
    }

    /// The jobs that [`Store::purge_jobs`] would delete.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn purgeable_jobs(&self, before: Option<i64>, ids: Option<&[String]>) -> Result<Vec<String>> {
        let sql = self.db.dialect().pick(
            "SELECT id FROM jobs WHERE status IN (2, 3, 4, 5) AND creation_time < $1 AND ($2 OR id = ANY($3))",
            "SELECT id FROM jobs WHERE status IN (2, 3, 4, 5) AND creation_time < $1 \
             AND ($2 OR id IN (SELECT value FROM json_each($3)))",
        );
        let values = vec![before.unwrap_or(i64::MAX).into(), ids.is_none().into(), ids.unwrap_or_default().into()];
        Ok(self.db.query(Statement::fixed(sql, values), |row| row.get(0)).await?)
    }
}
