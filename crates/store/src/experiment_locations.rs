//! Where experiments keep their files.

use ferroflow_model::{Result, uri};

use crate::{Store, db::Statement};

/// Those that lie elsewhere than an experiment that was made without a location.
const OWN: &str = "SELECT experiment_id, artifact_location FROM experiments WHERE artifact_location IS NOT NULL \
                   AND artifact_location <> CAST($1 AS TEXT) || CAST(experiment_id AS TEXT) ORDER BY experiment_id";

impl Store {
    /// The location of an experiment that is made without one.
    ///
    /// # Errors
    /// The default artifact root has a query that no location may have.
    pub fn default_location(&self, experiment_id: &str) -> Result<String> {
        uri::append_path(&self.artifact_root, experiment_id)
    }

    /// The experiments that have a location of their own, deleted or not, with their locations.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn own_locations(&self) -> Result<Vec<(i64, String)>> {
        let first = self.default_location("0")?;
        // Where the number is not the end, every location counts as one of its own.
        let root = first.strip_suffix('0').unwrap_or_default().to_owned();
        let statement = Statement::new(OWN, vec![root.into()]);
        Ok(self.db.query(statement, |row| Ok((row.get::<i64>(0)?, row.get::<String>(1)?))).await?)
    }
}
