//! A server of the tests, and its client.

use std::{sync::Arc, time::Duration};

use ferroflow_artifacts::{Buckets, Locations};
use ferroflow_jobs::{WebhookOptions, Webhooks};
use ferroflow_model::Environment;
use ferroflow_server::{App, Bodies, Config, Telemetry, ui};
use ferroflow_store::{Store, db::ResultBudget, fairness::Callers};
use reqwest::Client;
use tokio::{net::TcpListener, sync::oneshot};

/// The components of a server without users, artifacts and the web UI.
pub(crate) fn app(store: Store) -> App {
    App {
        store: store.into(),
        locations: Locations::new(Buckets::new(&Environment::default())),
        ui: ui::Ui::open(ui::UiConfig { fetch: false, ..ui::UiConfig::default() }),
        webhooks: Arc::new(Webhooks::new(WebhookOptions::default())),
        access: None,
        telemetry: Telemetry::default(),
        callers: Callers::default(),
        bodies: Bodies::default(),
        results: ResultBudget::default(),
        config: Config::default(),
    }
}

/// A running server with a client.
pub(crate) struct Running {
    pub(crate) url: String,
    pub(crate) client: Client,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Running {
    pub(crate) fn start(app: App) -> Self {
        Self::start_on(app, std::net::TcpListener::bind("127.0.0.1:0").unwrap())
    }

    /// Starts with a listener whose address something else must know first.
    pub(crate) fn start_on(app: App, listener: std::net::TcpListener) -> Self {
        listener.set_nonblocking(true).unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(ferroflow_server::serve(listener, app, async {
            let _ = stopped.await;
        }));
        let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        #[expect(clippy::disallowed_methods, reason = "a client of the tests")]
        let client = Client::builder().tls_backend_preconfigured(tls).build().unwrap();
        Self { url, client, stop, task }
    }

    pub(crate) async fn stop(self) {
        drop(self.client);
        self.stop.send(()).unwrap();
        tokio::time::timeout(Duration::from_secs(30), self.task).await.expect("it stops").unwrap().unwrap();
    }
}
