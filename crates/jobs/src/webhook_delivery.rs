//! The loop that empties the outbox. Every server of a database runs one; an event is sent by the server that claims it
//! first.

use std::{sync::Arc, time::Duration};

use ferroflow_store::Delivery;
use tokio::{sync::watch, task::JoinSet, time::Instant};

use super::{Answer, Failure, Message};
use crate::app::App;

/// Polling interval for events that other servers have added or abandoned.
const POLL: Duration = Duration::from_secs(5);

/// Minimum time between two polls while an event is about to be due.
const MIN_PAUSE: Duration = Duration::from_millis(20);

/// How much longer than the timeout of an attempt its claim lasts.
const MARGIN: Duration = Duration::from_secs(5);

/// Timeout of deliveries in flight when the server shuts down.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum backoff between two attempts.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// Maximum `Retry-After` that is respected.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);

/// Delay before a delivery that failed for a reason of this server is retried.
const LOCAL_ERROR_DELAY: Duration = Duration::from_secs(60);

/// Interval of the sweep.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// Maximum age of an undelivered event.
const MAX_EVENT_AGE: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// How long a failed event is kept.
const FAILED_RETENTION: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Delivers until stopped; then finishes the deliveries in flight.
pub(crate) async fn run(app: Arc<App>, mut stop: watch::Receiver<bool>) {
    let workers = app.webhooks.options.workers.max(1);
    let mut running = JoinSet::new();
    let mut swept: Option<Instant> = None;
    let mut last_error = None;
    while !*stop.borrow() {
        let pause = match poll_outbox(&app, workers, &mut running, &stop).await {
            Ok(pause) => {
                last_error = None;
                pause
            }
            Err(error) => {
                // Logged once per error, however long it lasts.
                if last_error.as_ref() != Some(&error.message) {
                    tracing::warn!(error = %error.message, "reading the outbox failed");
                }
                last_error = Some(error.message);
                POLL
            }
        };
        if swept.is_none_or(|swept| swept.elapsed() >= SWEEP_INTERVAL) {
            swept = Some(Instant::now());
            sweep(&app).await;
        }
        let free = running.len() < workers;
        tokio::select! {
            _ = stop.changed() => break,
            Some(_) = running.join_next() => {}
            () = app.store.outbox_filled(), if free => {}
            () = tokio::time::sleep(pause), if free => {}
        }
    }
    while running.join_next().await.is_some() {}
}

/// Sends the events that are due, and returns the time until the next poll.
async fn poll_outbox(
    app: &Arc<App>,
    workers: usize,
    running: &mut JoinSet<()>,
    stop: &watch::Receiver<bool>,
) -> ferroflow_model::Result<Duration> {
    while running.try_join_next().is_some() {}
    let waiting = app.store.waiting_deliveries().await?;
    app.telemetry.set_waiting_deliveries(waiting);
    let free = workers.saturating_sub(running.len());
    // Shutting down: undelivered events are left to other servers or the next start.
    if waiting == 0 || free == 0 || *stop.borrow() {
        return Ok(POLL);
    }
    let lease = app.webhooks.options.timeout + MARGIN;
    for delivery in app.store.claim_deliveries(free, lease).await? {
        running.spawn(deliver(Arc::clone(app), delivery, stop.clone()));
    }
    Ok(app.store.next_delivery().await?.map_or(POLL, |wait| wait.clamp(MIN_PAUSE, POLL)))
}

async fn sweep(app: &App) {
    match app.store.sweep_outbox(MAX_EVENT_AGE, FAILED_RETENTION).await {
        Ok([0, _, 0]) => {}
        Ok([expired, _, discarded]) => {
            tracing::warn!(expired, discarded, "undelivered events were deleted: expired, or of deleted webhooks");
        }
        Err(error) => tracing::warn!(error = %error.message, "sweeping the outbox failed"),
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

async fn deliver(app: Arc<App>, delivery: Delivery, mut stop: watch::Receiver<bool>) {
    let stopped = async {
        // A dropped sender means that the server is gone.
        let _ = stop.wait_for(|stop| *stop).await;
        tokio::time::sleep(STOP_TIMEOUT).await;
    };
    let outcome = tokio::select! {
        outcome = attempt(&app, &delivery) => outcome,
        // Another server, or this one after its restart, sends it again.
        () = stopped => Outcome::Postpone(Duration::ZERO, None),
    };
    let (webhook, id) = (&delivery.webhook_id, &delivery.delivery_id);
    let (label, settled) = match outcome {
        Outcome::Delivered => ("delivered", app.store.delivered(&delivery).await),
        Outcome::Retry(wait, error) => {
            tracing::info!(%webhook, delivery = %id, attempt = delivery.attempt, error, "a delivery is retried");
            ("retried", app.store.retry_delivery(&delivery, wait, &error).await)
        }
        Outcome::Postpone(wait, reason) => {
            if let Some(reason) = &reason {
                tracing::error!(%webhook, delivery = %id, reason, "a delivery is postponed");
            }
            ("postponed", app.store.postpone_delivery(&delivery, wait, reason.as_deref()).await)
        }
        Outcome::GiveUp(error) => {
            tracing::warn!(%webhook, delivery = %id, attempt = delivery.attempt, error, "a delivery is given up");
            ("failed", app.store.give_up_delivery(&delivery, &error).await)
        }
    };
    app.telemetry.record_delivery(label);
    if let Err(error) = settled {
        // The claim expires, and the event is sent again.
        tracing::warn!(%webhook, delivery = %id, error = %error.message, "the outcome of a delivery was not recorded");
    }
}

async fn attempt(app: &App, delivery: &Delivery) -> Outcome {
    let secret = match app.store.secret_of(delivery) {
        Ok(secret) => secret,
        Err(error) => return Outcome::Postpone(LOCAL_ERROR_DELAY, Some(error.message)),
    };
    let Some(url) = delivery.url.as_deref() else { return Outcome::GiveUp("the webhook was deleted".into()) };
    let message = Message { url, secret: secret.as_deref(), delivery_id: &delivery.delivery_id, body: &delivery.body };
    classify(app.webhooks.send(&message).await, delivery.attempt, app.webhooks.options.max_retries)
}

/// Status codes that the reference retries.
const RETRIED: [u16; 5] = [429, 500, 502, 503, 504];

/// Status codes whose `Retry-After` is respected.
const RESPECTS_RETRY_AFTER: [u16; 3] = [413, 429, 503];

fn classify(outcome: Result<Answer, Failure>, attempt: i64, max_retries: u32) -> Outcome {
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
    let wait = backoff(attempt).max(retry_after.unwrap_or_default().min(MAX_RETRY_AFTER));
    Outcome::Retry(wait, error)
}

/// Exponential backoff from one second up to [`MAX_WAIT`], plus up to a second of jitter.
fn backoff(attempt: i64) -> Duration {
    let doublings = u32::try_from(attempt - 1).unwrap_or(0).min(6);
    let jitter = Duration::from_millis(rand::random_range(0..1000));
    Duration::from_secs(1 << doublings).min(MAX_WAIT) + jitter
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
        assert_eq!(backoff(40).as_secs(), 60);
        assert_eq!(wait(answered(503, Some(120), 1)), 120);
        assert_eq!(wait(answered(413, Some(7), 1)), 7);
        assert_eq!(wait(answered(500, Some(120), 1)), 1, "only some statuses are taken at their word");
        assert_eq!(wait(answered(429, Some(999_999), 1)), 3600);
    }
}
