//! Watches the read replica: measures how far it is behind, and takes it into use again after a failure.

use std::{sync::Arc, time::Duration};

use ferroflow_model::Result;
use ferroflow_store::Store;

use crate::{Job, Kind, Next, Schedule, Stop};

/// Time between two measurements.
const INTERVAL: Duration = Duration::from_secs(1);

/// The job.
pub struct ReadReplica {
    store: Arc<Store>,
}

impl ReadReplica {
    /// Creates it for a database with a read replica.
    #[must_use]
    pub fn new(store: Arc<Store>) -> Self {
        Self { store }
    }
}

impl Job for ReadReplica {
    const KIND: Kind = Kind {
        name: "read_replica",
        failure: "the read replica is not watched",
        recovery: "the read replica is watched again",
    };

    fn schedule(&self) -> Schedule {
        Schedule { jitter: 0.1, ..Schedule::every(INTERVAL) }
    }

    async fn run(&mut self, _: &Stop) -> Result<Next> {
        self.store.db().watch_replica().await;
        Ok(Next::OnSchedule)
    }
}
