//! Removes the incomplete uploads that a killed server or client left in an artifact store. Every replica does so, at
//! different times: stores may be directories of their own.

use std::time::Duration;

use ferroflow_artifacts::{ArtifactRepository, Sweeper};
use ferroflow_model::Result;

use crate::{Backoff, Job, Kind, Next, Schedule, Stop};

/// Maximum interval of the sweep, before jitter of up to half of it.
const MAX_INTERVAL: Duration = Duration::from_secs(3600);

/// The wait after the first failure, unless the interval is shorter.
const RETRY: Duration = Duration::from_secs(60);

/// The job.
pub struct UploadSweep {
    name: String,
    sweeper: Sweeper,
    idle: Duration,
}

impl UploadSweep {
    /// Creates it for a store, in which an upload is abandoned after this idle time.
    #[must_use]
    pub fn new(store: ArtifactRepository, idle: Duration) -> Self {
        Self { name: store.name(), sweeper: Sweeper::new(store), idle }
    }
}

impl Job for UploadSweep {
    const KIND: Kind = Kind {
        name: "upload_sweep",
        failure: "incomplete uploads cannot be swept",
        recovery: "incomplete uploads are swept again",
    };

    fn subject(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn schedule(&self) -> Schedule {
        let interval = (self.idle / 4).min(MAX_INTERVAL);
        let backoff = Backoff { first: RETRY.min(interval), most: interval };
        Schedule { jitter: 0.5, first_within: interval, backoff, ..Schedule::every(interval) }
    }

    async fn run(&mut self, stop: &Stop) -> Result<Next> {
        let swept = tokio::select! {
            swept = self.sweeper.sweep(self.idle) => swept?,
            // The sweep of a later process continues.
            () = stop.requested() => 0,
        };
        if swept > 0 {
            tracing::info!(store = self.name, uploads = swept, "removed incomplete uploads");
        }
        Ok(Next::OnSchedule)
    }
}
