//! Creates ferroflow's own indexes in a database that has traces already, and those that were dropped. One replica does it
//! for all.

use std::{sync::Arc, time::Duration};

use ferroflow_model::Result;
use ferroflow_store::Store;

use crate::{Backoff, Job, Kind, Next, Schedule, Stop};

/// Time between two checks.
const INTERVAL: Duration = Duration::from_secs(10 * 60);

/// The job.
pub struct OwnIndexes {
    store: Arc<Store>,
}

impl OwnIndexes {
    /// Creates it for a database.
    #[must_use]
    pub fn new(store: Arc<Store>) -> Self {
        Self { store }
    }
}

impl Job for OwnIndexes {
    const KIND: Kind = Kind {
        name: "own_indexes",
        failure: "searches for traces are slow: ferroflow's own indexes cannot be created",
        recovery: "ferroflow's own indexes are there",
    };

    fn schedule(&self) -> Schedule {
        let backoff = Backoff { first: Duration::from_secs(10), most: 6 * INTERVAL };
        Schedule { jitter: 0.1, backoff, is_exclusive: true, ..Schedule::every(INTERVAL) }
    }

    async fn run(&mut self, stop: &Stop) -> Result<Next> {
        while !stop.is_requested()
            && let Some(index) = self.store.create_own_index().await?
        {
            tracing::info!(index, "an index of ferroflow's own was created");
        }
        Ok(Next::OnSchedule)
    }
}
