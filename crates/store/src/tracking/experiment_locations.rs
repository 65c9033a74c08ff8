//! Artifact locations of experiments.

use ferroflow_model::{Result, uri};

use crate::{
    Unscoped,
    db::{Statement, upkeep::Locations},
    statements::statements,
};

statements! {
    /// Experiments whose location is not the default one.
    static CUSTOM: Locations =
        "SELECT experiment_id, artifact_location FROM experiments WHERE artifact_location IS NOT NULL \
         AND artifact_location <> CAST($1 AS TEXT) || CAST(experiment_id AS TEXT) ORDER BY experiment_id";
}

impl Unscoped<'_> {
    /// The default location of an experiment.
    ///
    /// # Errors
    /// The default artifact root has a query component that locations must not have.
    pub fn default_location(&self, experiment_id: &str) -> Result<String> {
        uri::append_path(&self.store.artifact_root, experiment_id)
    }

    /// The experiments with a location other than the default one, deleted ones included, each with its location.
    ///
    /// # Errors
    /// Those of [`Unscoped::default_location`], and database errors.
    pub async fn custom_locations(&self) -> Result<Vec<(i64, String)>> {
        let first = self.default_location("0")?;
        // If the location does not end with the id, every location is treated as a custom one.
        let root = first.strip_suffix('0').unwrap_or_default().to_owned();
        let statement = Statement::new(&CUSTOM, vec![root.into()]);
        Ok(self.store.db.query(statement, |row| Ok((row.get::<i64>(0)?, row.get::<String>(1)?))).await?)
    }
}
