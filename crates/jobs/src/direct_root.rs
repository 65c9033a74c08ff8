//! Checks a default artifact root that clients access directly. The server may lack the credentials or the directory
//! that the clients have: that is logged and reported by `/readyz`, and nothing depends on it.

use std::time::Duration;

use ferroflow_artifacts::DirectRoot;
use ferroflow_model::Result;

use crate::{Backoff, Job, Kind, Next, Schedule, Stop};

/// Time between two checks.
const INTERVAL: Duration = Duration::from_secs(60);

/// The wait after the first failed one.
const RETRY: Duration = Duration::from_secs(10);

/// The job.
pub struct DirectRootCheck {
    root: DirectRoot,
    name: String,
}

impl DirectRootCheck {
    /// Creates it for a root.
    #[must_use]
    pub fn new(root: DirectRoot) -> Self {
        Self { name: root.repository().name(), root }
    }
}

impl Job for DirectRootCheck {
    const KIND: Kind = Kind {
        name: "direct_root_check",
        failure: "artifacts of new experiments cannot be read by this server",
        recovery: "artifacts of new experiments can be read again",
    };

    fn subject(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn schedule(&self) -> Schedule {
        Schedule { backoff: Backoff { first: RETRY, most: INTERVAL }, ..Schedule::every(INTERVAL) }
    }

    async fn run(&mut self, stop: &Stop) -> Result<Next> {
        tokio::select! {
            checked = self.root.check() => checked?,
            () = stop.requested() => {}
        }
        Ok(Next::OnSchedule)
    }
}
