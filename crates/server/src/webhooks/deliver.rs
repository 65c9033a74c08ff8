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
const PAUSE: Duration = Duration::from_millis(20);

/// How much longer than the timeout of an attempt its claim lasts.
const MARGIN: Duration = Duration::from_secs(5);

/// Timeout of deliveries in flight when the server shuts down.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum backoff between two attempts.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// Maximum `Retry-After` that is respected.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);

/// Delay before a delivery that failed for a reason of this server is retried.
const OWN_TROUBLE: Duration = Duration::from_secs(60);

/// Interval of the cleanup.
const TIDY: Duration = Duration::from_secs(5 * 60);

/// Maximum age of an undelivered event.
const PATIENCE: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// How long a failed event is kept.
const MEMORY: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Delivers until stopped; then finishes the deliveries in flight.
pub(crate) async fn run(app: Arc<App>, mut stop: watch::Receiver<bool>) {
    let workers = app.webhooks.options.workers.max(1);
    let mut running = JoinSet::new();
    let mut tidied: Option<Instant> = None;
    let mut trouble = None;
    while !*stop.borrow() {
        let pause = match turn(&app, workers, &mut running, &stop).await {
            Ok(pause) => {
                trouble = None;
                pause
            }
            Err(error) => {
                // Logged once per error, however long it lasts.
                if trouble.as_ref() != Some(&error.message) {
                    tracing::warn!(error = %error.message, "the outbox can not be read");
                }
                trouble = Some(error.message);
                POLL
            }
        };
        if tidied.is_none_or(|tidied| tidied.elapsed() >= TIDY) {
            tidied = Some(Instant::now());
            tidy(&app).await;
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
async fn turn(
    app: &Arc<App>,
    workers: usize,
    running: &mut JoinSet<()>,
    stop: &watch::Receiver<bool>,
) -> ferroflow_model::Result<Duration> {
    while running.try_join_next().is_some() {}
    let waiting = app.store.waiting_deliveries().await?;
    app.telemetry.webhooks_wait(waiting);
    let free = workers.saturating_sub(running.len());
    // Shutting down: undelivered events are left to other servers or the next start.
    if waiting == 0 || free == 0 || *stop.borrow() {
        return Ok(POLL);
    }
    let lease = app.webhooks.options.timeout + MARGIN;
    for delivery in app.store.claim_deliveries(free, lease).await? {
        running.spawn(deliver(Arc::clone(app), delivery, stop.clone()));
    }
    Ok(app.store.next_delivery().await?.map_or(POLL, |wait| wait.clamp(PAUSE, POLL)))
}

async fn tidy(app: &App) {
    match app.store.tidy_outbox(PATIENCE, MEMORY).await {
        Ok([0, _, 0]) => {}
        Ok([expired, _, discarded]) => {
            tracing::warn!(expired, discarded, "events were not delivered: too old, or for webhooks that are gone");
        }
        Err(error) => tracing::warn!(error = %error.message, "the outbox can not be tidied up"),
    }
}

/// The outcome of a delivery.
enum Verdict {
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
    let verdict = tokio::select! {
        verdict = attempt(&app, &delivery) => verdict,
        // Another server, or this one after its restart, sends it again.
        () = stopped => Verdict::Postpone(Duration::ZERO, None),
    };
    let (webhook, id) = (&delivery.webhook_id, &delivery.delivery_id);
    let (outcome, settled) = match verdict {
        Verdict::Delivered => ("delivered", app.store.delivered(&delivery).await),
        Verdict::Retry(wait, error) => {
            tracing::info!(%webhook, delivery = %id, attempt = delivery.attempt, error, "a webhook was not reached");
            ("retried", app.store.retry_delivery(&delivery, wait, &error).await)
        }
        Verdict::Postpone(wait, reason) => {
            if let Some(reason) = &reason {
                tracing::error!(%webhook, delivery = %id, reason, "a webhook can not be told of an event now");
            }
            ("postponed", app.store.postpone_delivery(&delivery, wait, reason.as_deref()).await)
        }
        Verdict::GiveUp(error) => {
            tracing::warn!(%webhook, delivery = %id, attempt = delivery.attempt, error, "an event was not delivered");
            ("failed", app.store.give_up_delivery(&delivery, &error).await)
        }
    };
    app.telemetry.told_webhook(outcome);
    if let Err(error) = settled {
        // The claim expires, and the event is sent again.
        tracing::warn!(%webhook, delivery = %id, error = %error.message, "the outcome of a delivery is not kept");
    }
}

async fn attempt(app: &App, delivery: &Delivery) -> Verdict {
    let secret = match app.store.secret_of(delivery) {
        Ok(secret) => secret,
        Err(error) => return Verdict::Postpone(OWN_TROUBLE, Some(error.message)),
    };
    let Some(url) = delivery.url.as_deref() else { return Verdict::GiveUp("the webhook is gone".into()) };
    let message = Message { url, secret: secret.as_deref(), delivery_id: &delivery.delivery_id, body: &delivery.body };
    verdict(app.webhooks.send(&message).await, delivery.attempt, app.webhooks.options.max_retries)
}

/// Status codes that the reference retries.
const TRY_AGAIN: [u16; 5] = [429, 500, 502, 503, 504];

/// Status codes whose `Retry-After` is respected.
const LATER: [u16; 3] = [413, 429, 503];

fn verdict(outcome: Result<Answer, Failure>, attempt: i64, max_retries: u32) -> Verdict {
    let (error, may_retry, retry_after) = match outcome {
        Ok(answer) if answer.status.is_success() => return Verdict::Delivered,
        Ok(answer) => {
            let status = answer.status.as_u16();
            let later = answer.retry_after.filter(|_| LATER.contains(&status));
            let error = if answer.status.is_redirection() {
                format!("answered {status}, and redirects are not followed")
            } else {
                format!("answered {status}")
            };
            (error, TRY_AGAIN.contains(&status) || later.is_some(), later)
        }
        Err(failure) => (failure.reason, !failure.is_final, None),
    };
    if !may_retry || attempt > i64::from(max_retries) {
        return Verdict::GiveUp(error);
    }
    let wait = backoff(attempt).max(retry_after.unwrap_or_default().min(MAX_RETRY_AFTER));
    Verdict::Retry(wait, error)
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

    fn answered(status: u16, retry_after: Option<u64>, attempt: i64) -> Verdict {
        let status = StatusCode::from_u16(status).unwrap();
        let retry_after = retry_after.map(Duration::from_secs);
        verdict(Ok(Answer { status, text: String::new(), retry_after }), attempt, 3)
    }

    #[test]
    fn what_is_tried_again_is_what_the_reference_tries_again() {
        for status in [200, 201, 204, 299] {
            assert!(matches!(answered(status, None, 1), Verdict::Delivered), "{status}");
        }
        for status in TRY_AGAIN {
            assert!(matches!(answered(status, None, 3), Verdict::Retry(..)), "{status}");
            assert!(matches!(answered(status, None, 4), Verdict::GiveUp(_)), "{status} after three retries");
        }
        for status in [301, 302, 307, 400, 401, 403, 404, 410, 413, 501, 505] {
            assert!(matches!(answered(status, None, 1), Verdict::GiveUp(_)), "{status}");
        }
        let lost = |is_final| verdict(Err(Failure { reason: "lost".into(), is_final }), 1, 3);
        assert!(matches!(lost(false), Verdict::Retry(..)));
        assert!(matches!(lost(true), Verdict::GiveUp(_)));
    }

    #[test]
    fn waits_grow_and_are_as_long_as_the_webhook_asks_within_reason() {
        let wait = |verdict| match verdict {
            Verdict::Retry(wait, _) => wait.as_secs(),
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
