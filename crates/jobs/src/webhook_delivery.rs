//! Delivers the events in the outbox to their webhooks. Every replica does; the replica that claims an event first sends
//! it, within the claim's lease.

use std::{sync::Arc, time::Duration};

use ferroflow_model::Result;
use ferroflow_store::{Delivery, Store, Unscoped, db::Upkeep};
use tokio::task::JoinSet;

use crate::{Answer, Backoff, Failure, Job, JobMetrics, Kind, Next, Schedule, Stop, Webhooks, webhooks::Message};

/// Polling interval for events that other servers have added or abandoned.
const POLL: Duration = Duration::from_secs(5);

/// Minimum time between two polls while an event is about to be due.
const MIN_PAUSE: Duration = Duration::from_millis(20);

/// How much longer than the timeout of an attempt its claim lasts.
const MARGIN: Duration = Duration::from_secs(5);

/// Timeout of deliveries in flight when the server shuts down.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// The wait between two attempts.
const RETRIES: Backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(60) };

/// Maximum `Retry-After` that is respected.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);

/// Delay before a delivery that failed for a reason of this server is retried.
const LOCAL_ERROR_DELAY: Duration = Duration::from_secs(60);

/// The job.
pub struct WebhookDelivery {
    sender: Arc<Sender>,
    running: JoinSet<()>,
}

/// What the tasks of all deliveries share.
struct Sender {
    store: Arc<Store>,
    webhooks: Arc<Webhooks>,
    metrics: JobMetrics,
}

impl WebhookDelivery {
    /// Creates it for the outbox of a database.
    #[must_use]
    pub fn new(store: Arc<Store>, webhooks: Arc<Webhooks>, metrics: JobMetrics) -> Self {
        Self { sender: Arc::new(Sender { store, webhooks, metrics }), running: JoinSet::new() }
    }

    /// The number of deliveries that may begin.
    fn free(&self) -> usize {
        self.sender.webhooks.options().workers.max(1).saturating_sub(self.running.len())
    }
}

impl Job for WebhookDelivery {
    const KIND: Kind =
        Kind { name: "webhook_delivery", failure: "reading the outbox failed", recovery: "the outbox is read again" };

    fn schedule(&self) -> Schedule {
        let backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(30) };
        Schedule { backoff, ..Schedule::every(POLL) }
    }

    /// Begins to send the events that are due.
    async fn run(&mut self, stop: &Stop) -> Result<Next> {
        while self.running.try_join_next().is_some() {}
        let Sender { webhooks, metrics, .. } = &*self.sender;
        let outbox = self.sender.outbox();
        let waiting = outbox.waiting_deliveries().await?;
        metrics.set_waiting_deliveries(waiting);
        let free = self.free();
        // Shutting down: undelivered events are left to other servers or the next start.
        if waiting > 0 && free > 0 && !stop.is_requested() {
            let lease = webhooks.options().timeout + MARGIN;
            for delivery in outbox.claim_deliveries(free, lease).await? {
                let sender = Arc::clone(&self.sender);
                let stop = stop.clone();
                self.running.spawn(async move { sender.deliver(delivery, stop).await });
            }
        }
        if self.free() == 0 {
            return Ok(Next::WhenWoken);
        }
        if waiting == 0 {
            return Ok(Next::OnSchedule);
        }
        let next_due = outbox.next_delivery().await?;
        Ok(next_due.map_or(Next::OnSchedule, |wait| Next::After(wait.clamp(MIN_PAUSE, POLL))))
    }

    /// When a delivery has ended, or this process has added an event and may send it.
    async fn woken(&mut self) {
        let is_free = self.free() > 0;
        let outbox = self.sender.outbox();
        tokio::select! {
            Some(_) = self.running.join_next() => {}
            () = outbox.outbox_filled(), if is_free => {}
            else => std::future::pending().await,
        }
    }

    async fn drain(&mut self) {
        while self.running.join_next().await.is_some() {}
    }
}

/// The outcome of a delivery.
enum Outcome {
    Delivered,
    /// Retry after this time.
    Retry(Duration, String),
    /// Retry after this time, without counting the attempt.
    Postpone(Duration, Option<String>),
    GiveUp(String),
}

impl Sender {
    /// The events of all workspaces.
    fn outbox(&self) -> Unscoped<'_> {
        self.store.unscoped(Upkeep::Delivery)
    }

    async fn deliver(&self, delivery: Delivery, stop: Stop) {
        let stopped = async {
            stop.requested().await;
            tokio::time::sleep(STOP_TIMEOUT).await;
        };
        let outcome = tokio::select! {
            outcome = self.attempt(&delivery) => outcome,
            // Another server, or this one after its restart, sends it again.
            () = stopped => Outcome::Postpone(Duration::ZERO, None),
        };
        let (webhook, id) = (&delivery.webhook_id, &delivery.delivery_id);
        let (label, settled) = match outcome {
            Outcome::Delivered => ("delivered", self.outbox().delivered(&delivery).await),
            Outcome::Retry(wait, error) => {
                tracing::info!(%webhook, delivery = %id, attempt = delivery.attempt, error, "a delivery is retried");
                ("retried", self.outbox().retry_delivery(&delivery, wait, &error).await)
            }
            Outcome::Postpone(wait, reason) => {
                if let Some(reason) = &reason {
                    tracing::error!(%webhook, delivery = %id, reason, "a delivery is postponed");
                }
                ("postponed", self.outbox().postpone_delivery(&delivery, wait, reason.as_deref()).await)
            }
            Outcome::GiveUp(error) => {
                tracing::warn!(%webhook, delivery = %id, attempt = delivery.attempt, error, "a delivery is given up");
                ("failed", self.outbox().give_up_delivery(&delivery, &error).await)
            }
        };
        self.metrics.record_delivery(label);
        if let Err(error) = settled {
            // The claim expires, and the event is sent again.
            tracing::warn!(%webhook, delivery = %id, error = %error.message, "the outcome of a delivery was not recorded");
        }
    }

    async fn attempt(&self, delivery: &Delivery) -> Outcome {
        let secret = match self.outbox().secret_of(delivery) {
            Ok(secret) => secret,
            Err(error) => return Outcome::Postpone(LOCAL_ERROR_DELAY, Some(error.message)),
        };
        let Some(url) = delivery.url.as_deref() else { return Outcome::GiveUp("the webhook was deleted".into()) };
        let message =
            Message { url, secret: secret.as_deref(), delivery_id: &delivery.delivery_id, body: &delivery.body };
        classify(self.webhooks.send(&message).await, delivery.attempt, self.webhooks.options().max_retries)
    }
}

/// Status codes that the reference retries.
const RETRIED: [u16; 5] = [429, 500, 502, 503, 504];

/// Status codes whose `Retry-After` is respected.
const RESPECTS_RETRY_AFTER: [u16; 3] = [413, 429, 503];

fn classify(outcome: std::result::Result<Answer, Failure>, attempt: i64, max_retries: u32) -> Outcome {
    let (error, may_retry, retry_after) = match outcome {
        Ok(answer) if answer.status.is_success() => return Outcome::Delivered,
        Ok(answer) => {
            let status = answer.status.as_u16();
            let later = answer.retry_after.filter(|_| RESPECTS_RETRY_AFTER.contains(&status));
            let error = if answer.status.is_redirection() {
                format!("answered {status}, and redirects are not followed")
            } else {
                format!("answered {status}")
            };
            (error, RETRIED.contains(&status) || later.is_some(), later)
        }
        Err(failure) => (failure.reason, !failure.is_permanent, None),
    };
    if !may_retry || attempt > i64::from(max_retries) {
        return Outcome::GiveUp(error);
    }
    let wait = RETRIES
        .wait(u32::try_from(attempt).unwrap_or(u32::MAX))
        .max(retry_after.unwrap_or_default().min(MAX_RETRY_AFTER));
    Outcome::Retry(wait, error)
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn answered(status: u16, retry_after: Option<u64>, attempt: i64) -> Outcome {
        let status = StatusCode::from_u16(status).unwrap();
        let retry_after = retry_after.map(Duration::from_secs);
        classify(Ok(Answer { status, text: String::new(), retry_after }), attempt, 3)
    }

    #[test]
    fn the_statuses_that_the_reference_retries_are_retried() {
        for status in [200, 201, 204, 299] {
            assert!(matches!(answered(status, None, 1), Outcome::Delivered), "{status}");
        }
        for status in RETRIED {
            assert!(matches!(answered(status, None, 3), Outcome::Retry(..)), "{status}");
            assert!(matches!(answered(status, None, 4), Outcome::GiveUp(_)), "{status} after three retries");
        }
        for status in [301, 302, 307, 400, 401, 403, 404, 410, 413, 501, 505] {
            assert!(matches!(answered(status, None, 1), Outcome::GiveUp(_)), "{status}");
        }
        let lost = |is_permanent| classify(Err(Failure { reason: "lost".into(), is_permanent }), 1, 3);
        assert!(matches!(lost(false), Outcome::Retry(..)));
        assert!(matches!(lost(true), Outcome::GiveUp(_)));
    }

    #[test]
    fn backoff_is_exponential_and_respects_retry_after() {
        let wait = |outcome| match outcome {
            Outcome::Retry(wait, _) => wait.as_secs(),
            _ => panic!("tried again"),
        };
        for attempt in 1..=3 {
            assert_eq!(wait(answered(500, None, attempt)), 1 << (attempt - 1));
        }
        assert_eq!(wait(classify(Err(Failure::temporary("lost")), 40, 100)), 60);
        assert_eq!(wait(answered(503, Some(120), 1)), 120);
        assert_eq!(wait(answered(413, Some(7), 1)), 7);
        assert_eq!(wait(answered(500, Some(120), 1)), 1, "only some statuses are taken at their word");
        assert_eq!(wait(answered(429, Some(999_999), 1)), 3600);
    }
}
