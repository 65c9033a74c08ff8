//! Sweeps the outbox: events that waited for too long, events of webhooks that are gone, and failed ones that were kept
//! long enough. One replica does it for all.

use std::{sync::Arc, time::Duration};

use ferroflow_model::Result;
use ferroflow_store::{Store, db::Upkeep};

use crate::{Backoff, Job, Kind, Next, Schedule, Stop};

/// Time between two sweeps.
const INTERVAL: Duration = Duration::from_secs(5 * 60);

/// Maximum age of an undelivered event.
const MAX_EVENT_AGE: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// How long a failed event is kept.
const FAILED_RETENTION: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The job.
pub struct OutboxSweep {
    store: Arc<Store>,
}

impl OutboxSweep {
    /// Creates it for a database.
    #[must_use]
    pub fn new(store: Arc<Store>) -> Self {
        Self { store }
    }
}

impl Job for OutboxSweep {
    const KIND: Kind =
        Kind { name: "outbox_sweep", failure: "sweeping the outbox failed", recovery: "the outbox is swept again" };

    fn schedule(&self) -> Schedule {
        let backoff = Backoff { first: Duration::from_secs(10), most: INTERVAL };
        Schedule { backoff, is_exclusive: true, ..Schedule::every(INTERVAL) }
    }

    async fn run(&mut self, _stop: &Stop) -> Result<Next> {
        let [expired, _, discarded] =
            self.store.unscoped(Upkeep::Delivery).sweep_outbox(MAX_EVENT_AGE, FAILED_RETENTION).await?;
        if expired + discarded > 0 {
            tracing::warn!(expired, discarded, "undelivered events were deleted: expired, or of deleted webhooks");
        }
        Ok(Next::OnSchedule)
    }
}
