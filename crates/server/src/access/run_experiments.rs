//! A cache of the experiments that runs belong to. A run never changes its experiment, so an entry needs no expiry.

use std::collections::HashMap;

use ferroflow_model::{Result, cache::Cache};
use ferroflow_store::{Child, Scoped, Workspace};

/// Maximum number of cached runs.
const MAX_RUNS: usize = 50_000;

/// The cache, by workspace and run id.
pub(crate) struct RunExperiments(Cache<(Workspace, String), String>);

impl Default for RunExperiments {
    fn default() -> Self {
        Self(Cache::new(MAX_RUNS))
    }
}

impl RunExperiments {
    /// The experiments of some runs; runs that do not exist are omitted.
    pub(crate) async fn get(&self, store: Scoped<'_>, ids: Vec<String>) -> Result<HashMap<String, String>> {
        let (mut found, mut missing) = (HashMap::new(), Vec::new());
        for id in ids {
            let key = (store.workspace().clone(), id);
            match self.0.get(&key) {
                Some(experiment) => drop(found.insert(key.1, experiment)),
                None => missing.push(key.1),
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        let looked_up = store.experiments_of(Child::Run, missing).await?;
        for (id, experiment) in &looked_up {
            self.0.insert((store.workspace().clone(), id.clone()), experiment.clone());
        }
        found.extend(looked_up);
        Ok(found)
    }
}
