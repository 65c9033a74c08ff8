//! The experiments that runs are in. A run stays in its experiment for as long as it is there, so what was looked up
//! once needs no second look.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use ferroflow_model::Result;
use ferroflow_store::{Child, Store};

/// Runs that are remembered at the most.
const LIMIT: usize = 50_000;

/// What is known of runs.
#[derive(Default)]
pub(crate) struct Parents(Mutex<HashMap<String, String>>);

impl Parents {
    /// The experiments of some runs; what does not exist is left out.
    pub(crate) async fn of_runs(&self, store: &Store, ids: Vec<String>) -> Result<HashMap<String, String>> {
        let (mut found, missing) = {
            let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let (found, missing): (Vec<String>, Vec<String>) = ids.into_iter().partition(|id| known.contains_key(id));
            let found: HashMap<String, String> =
                found.into_iter().filter_map(|id| known.get(&id).cloned().map(|experiment| (id, experiment))).collect();
            (found, missing)
        };
        if missing.is_empty() {
            return Ok(found);
        }
        let looked_up = store.experiments_of(Child::Run, missing).await?;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() + looked_up.len() > LIMIT {
            known.clear();
        }
        known.extend(looked_up.iter().map(|(id, experiment)| (id.clone(), experiment.clone())));
        drop(known);
        found.extend(looked_up);
        Ok(found)
    }
}
