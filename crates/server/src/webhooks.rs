//! Telling webhooks of events: the guard that keeps the server out of its own network, the client, and the loop
//! that empties the outbox.

pub(crate) mod deliver;
mod guard;
mod send;

use std::time::Duration;

use ferroflow_model::{Result, webhook::EventType};
use reqwest::Client;
use tokio::sync::{OnceCell, Semaphore};

use self::guard::Guard;
pub(crate) use self::send::{Answer, Failure, Message};

/// How webhooks are told of events. The variables and defaults are the reference's.
#[derive(Debug, Clone)]
pub struct WebhookOptions {
    /// Schemes of URLs (`MLFLOW_WEBHOOK_ALLOWED_SCHEMES`).
    pub schemes: Vec<String>,
    /// Whether a URL may lead to an address that is not public (`MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS`).
    pub allow_private: bool,
    /// How long an attempt may take (`MLFLOW_WEBHOOK_REQUEST_TIMEOUT`).
    pub timeout: Duration,
    /// Attempts after the first one (`MLFLOW_WEBHOOK_REQUEST_MAX_RETRIES`).
    pub max_retries: u32,
    /// Messages that are sent at the same time (`MLFLOW_WEBHOOK_DELIVERY_MAX_WORKERS`).
    pub workers: usize,
}

impl Default for WebhookOptions {
    fn default() -> Self {
        Self {
            schemes: vec!["https".into()],
            allow_private: false,
            timeout: Duration::from_secs(30),
            max_retries: 3,
            workers: 10,
        }
    }
}

/// What sends messages to webhooks.
pub struct Webhooks {
    options: WebhookOptions,
    guard: Guard,
    /// Made when it is first needed: reading the system's certificates takes longer than starting.
    client: OnceCell<Client>,
    /// Tests that may run at the same time.
    tests: Semaphore,
}

impl Webhooks {
    /// Nothing is connected or read yet.
    #[must_use]
    pub fn new(options: WebhookOptions) -> Self {
        let guard = Guard::new(options.schemes.clone(), options.allow_private);
        Self { guard, client: OnceCell::new(), tests: Semaphore::new(options.workers.max(1)), options }
    }

    /// Checks the URL of a webhook that is to be created or changed.
    ///
    /// # Errors
    /// It has another scheme than those that are allowed, or no host, or leads to an address that is not public.
    pub(crate) async fn check_url(&self, url: &str) -> Result<()> {
        self.guard.check(url).await.map(drop)
    }

    /// Sends the example of an event once, and tells what came back.
    pub(crate) async fn test(&self, url: &str, secret: Option<&str>, event: EventType) -> Result<Answer, Failure> {
        let _permit = self.tests.acquire().await;
        let body = event.example().body(send::now_micros());
        let delivery_id = uuid::Uuid::new_v4().to_string();
        self.send(&Message { url, secret, delivery_id: &delivery_id, body: &body }).await
    }
}
