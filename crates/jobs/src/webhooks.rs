//! Sends messages to webhooks: the guard against requests to internal networks (SSRF), and the HTTP client.

mod client;
mod guard;
mod send;

use std::time::Duration;

use ferroflow_model::{Result, clock, webhook::EventType};
use reqwest::Client;
use tokio::sync::{OnceCell, Semaphore};

use self::guard::Guard;
pub(crate) use self::send::Message;
pub use self::send::{Answer, Failure};

/// Settings of webhooks. The environment variables and defaults are the reference's.
#[derive(Debug, Clone)]
pub struct WebhookOptions {
    /// Allowed URL schemes (`MLFLOW_WEBHOOK_ALLOWED_SCHEMES`).
    pub schemes: Vec<String>,
    /// Whether URLs may resolve to non-public addresses (`MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS`).
    pub allow_private: bool,
    /// Timeout of an attempt (`MLFLOW_WEBHOOK_REQUEST_TIMEOUT`).
    pub timeout: Duration,
    /// Number of retries (`MLFLOW_WEBHOOK_REQUEST_MAX_RETRIES`).
    pub max_retries: u32,
    /// Number of concurrent deliveries (`MLFLOW_WEBHOOK_DELIVERY_MAX_WORKERS`).
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

/// The sender of messages to webhooks.
pub struct Webhooks {
    options: WebhookOptions,
    guard: Guard,
    /// Initialized on first use: loading the system's CA certificates takes longer than starting the server.
    client: OnceCell<Client>,
    /// Limits concurrent tests of webhooks.
    tests: Semaphore,
}

impl Webhooks {
    /// Creates it without any I/O.
    #[must_use]
    pub fn new(options: WebhookOptions) -> Self {
        let guard = Guard::new(options.schemes.clone(), options.allow_private);
        Self { guard, client: OnceCell::new(), tests: Semaphore::new(options.workers.max(1)), options }
    }

    /// Checks the URL of a webhook before it is created or changed.
    ///
    /// # Errors
    /// Its scheme is not allowed, it has no host, or it resolves to a non-public address.
    pub async fn check_url(&self, url: &str) -> Result<()> {
        self.guard.check(url).await.map(drop)
    }

    /// The settings.
    pub(crate) fn options(&self) -> &WebhookOptions {
        &self.options
    }

    /// Sends the example of an event once, and returns the webhook's answer. `workspace` is that of the webhook, if the
    /// server has workspaces.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn test(
        &self,
        url: &str,
        secret: Option<&str>,
        event: EventType,
        workspace: Option<&str>,
    ) -> Result<Answer, Failure> {
        let _permit = self.tests.acquire().await;
        let body = event.example().body(clock::unix_micros(), workspace);
        let delivery_id = uuid::Uuid::new_v4().to_string();
        self.send(&Message { url, secret, delivery_id: &delivery_id, body: &body }).await
    }
}
