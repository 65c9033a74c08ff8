//! Opens a PostgreSQL connection: choice of host, TLS, password.

use std::{
    future::Future,
    path::PathBuf,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use deadpool_postgres::Connect;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, Error, NoTls, Socket, config::Host, tls::MakeTlsConnect};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{cancel, password_file};
use crate::db::{DbError, PostgresUri, SslMode, tls};

/// Default connect timeout per attempt; the URI may set another one.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The client-side error of the last connection attempt, such as an unreadable password file. The driver's error type
/// cannot express it.
#[derive(Debug, Clone, Default)]
pub(super) struct Fault(Arc<Mutex<Option<String>>>);

impl Fault {
    fn set(&self, fault: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    pub(super) fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Connects to the first host that answers.
#[derive(Clone)]
pub(super) struct Connector {
    uri: PostgresUri,
    /// One config per host.
    hosts: Vec<Config>,
    password_file: Option<PathBuf>,
    /// `None` if all hosts are Unix sockets: as in libpq, these ignore `sslmode`.
    tls: Option<MakeRustlsConnect>,
    fault: Fault,
}

impl Connector {
    /// Reads the TLS files. Password files are read for each connection.
    pub(super) fn new(uri: &PostgresUri, fault: Fault) -> Result<Self, DbError> {
        let hosts: Vec<Config> = (0..uri.hosts.len()).map(|host| config(uri, host)).collect();
        let tls = if hosts.iter().all(is_socket) { None } else { Some(tls::connector(uri)?) };
        let password_file = uri.password_file.clone().filter(|_| uri.password.is_none());
        Ok(Self { uri: uri.clone(), hosts, password_file, tls, fault })
    }

    /// Cancels what runs on a connection that was made by this connector or a clone of it.
    pub(super) async fn cancel(&self, client: &Client) -> Result<(), DbError> {
        cancel::cancel(&client.cancel_token(), &self.hosts, self.tls.as_ref()).await
    }

    async fn connect_host(&self, host: usize) -> Result<(Client, JoinHandle<()>), Error> {
        let mut config = self.hosts[host].clone();
        self.fault.set(None);
        if let Some(file) = self.password_file.clone() {
            let uri = PostgresUri { user: config.get_user().map(str::to_owned), ..self.uri.clone() };
            let read = tokio::task::spawn_blocking(move || password_file::password(&file, &uri, host)).await;
            match read.unwrap_or_else(|error| Err(error.to_string())) {
                Ok(Some(password)) => {
                    config.password(password);
                }
                Ok(None) => {}
                // Not fatal: the server may not ask for a password.
                Err(fault) => self.fault.set(Some(fault)),
            }
        }
        match &self.tls {
            Some(tls) if !is_socket(&config) => connect(&config, tls.clone()).await,
            _ => connect(&config, NoTls).await,
        }
    }
}

impl Connect for Connector {
    fn connect(
        &self,
        _: &Config,
    ) -> Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), Error>> + Send + '_>> {
        Box::pin(async move {
            let mut host = 0;
            loop {
                match self.connect_host(host).await {
                    Err(_) if host + 1 < self.hosts.len() => host += 1,
                    other => return other,
                }
            }
        })
    }
}

async fn connect<T>(config: &Config, tls: T) -> Result<(Client, JoinHandle<()>), Error>
where
    T: MakeTlsConnect<Socket>,
    T::Stream: Send + 'static,
{
    let (client, connection) = config.connect(tls).await?;
    let task = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::warn!(%error, "a connection to the database ended");
        }
    });
    Ok((client, task))
}

fn is_socket(config: &Config) -> bool {
    matches!(config.get_hosts(), [Host::Unix(_)])
}

/// The config for one of the hosts.
fn config(uri: &PostgresUri, host: usize) -> Config {
    let mut config = Config::new();
    config.host(&uri.hosts[host]);
    config.port(uri.port(host));
    // Without a role name, the driver uses the operating system's user name, as libpq does.
    if let Some(user) = &uri.user {
        config.user(user);
    }
    if let Some(password) = &uri.password {
        config.password(password);
    }
    if let Some(database) = &uri.database {
        config.dbname(database);
    }
    if let Some(options) = &uri.options {
        config.options(options);
    }
    config.application_name(uri.application_name.as_deref().unwrap_or("ferroflow"));
    config.connect_timeout(uri.connect_timeout.unwrap_or(TIMEOUT));
    let ssl_mode = if is_socket(&config) { SslMode::Disable } else { uri.ssl_mode };
    config.ssl_mode(match ssl_mode {
        SslMode::Disable => tokio_postgres::config::SslMode::Disable,
        SslMode::Prefer => tokio_postgres::config::SslMode::Prefer,
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => tokio_postgres::config::SslMode::Require,
    });
    if uri.read_write_only {
        config.target_session_attrs(tokio_postgres::config::TargetSessionAttrs::ReadWrite);
    }
    config
}
