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

/// A host that has vanished, with its node or behind a broken network, does not close its connections. They end when it
/// has not answered for about half a minute: after 15 seconds without data, three probes at intervals of 5 seconds. The
/// system's defaults are two hours, for which a write would wait.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_PROBES: u32 = 3;

/// The same for data that was sent and is not acknowledged (`TCP_USER_TIMEOUT`; the default is about 15 minutes).
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

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
    tls: Option<Arc<Mutex<MakeRustlsConnect>>>,
    fault: Fault,
}

impl Connector {
    /// Reads the TLS files. They are read again for each connection, and so are password files.
    pub(super) fn new(uri: &PostgresUri, fault: Fault) -> Result<Self, DbError> {
        let hosts: Vec<Config> = (0..uri.hosts.len()).map(|host| config(uri, host)).collect();
        let tls = if hosts.iter().all(is_socket) { None } else { Some(Arc::new(Mutex::new(tls::connector(uri)?))) };
        let password_file = uri.password_file.clone().filter(|_| uri.password.is_none());
        Ok(Self { uri: uri.clone(), hosts, password_file, tls, fault })
    }

    /// Cancels what runs on a connection that was made by this connector or a clone of it.
    pub(super) async fn cancel(&self, client: &Client) -> Result<(), DbError> {
        let tls = self.tls().await;
        cancel::cancel(&client.cancel_token(), &self.hosts, tls.as_ref()).await
    }

    /// The TLS settings by the files of today: managed servers get a new authority while this process runs (those of
    /// `CloudNativePG` every 90 days). If the files can not be used, the last settings that could be stay in use.
    async fn tls(&self) -> Option<MakeRustlsConnect> {
        let last = self.tls.as_ref()?;
        if self.uri.ssl_root_cert.is_some() || self.uri.ssl_cert.is_some() {
            let uri = self.uri.clone();
            match tokio::task::spawn_blocking(move || tls::connector(&uri)).await {
                Ok(Ok(read)) => *last.lock().unwrap_or_else(PoisonError::into_inner) = read,
                Ok(Err(error)) => self.fault.set(Some(error.to_string())),
                // The process is stopping.
                Err(_) => {}
            }
        }
        Some(last.lock().unwrap_or_else(PoisonError::into_inner).clone())
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
        match self.tls().await {
            Some(tls) if !is_socket(&config) => connect(&config, tls).await,
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
    config.keepalives_idle(KEEPALIVE_IDLE).keepalives_interval(KEEPALIVE_INTERVAL).keepalives_retries(KEEPALIVE_PROBES);
    #[cfg(target_os = "linux")]
    config.tcp_user_timeout(UNACKNOWLEDGED);
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

#[cfg(test)]
mod tests {
    use std::{fs, net::TcpListener, thread};

    use ferroflow_model::Environment;
    use rustls::{
        ServerConfig, ServerConnection, Stream,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    };

    use super::*;
    use crate::db::BackendUri;

    const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls");

    /// A PostgreSQL server as far as TLS goes, with the certificate of one authority: takes one connection, and returns
    /// whether the client trusted it.
    fn server(name: &'static str) -> (u16, thread::JoinHandle<bool>) {
        use std::io::{Read as _, Write as _};
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let chain = vec![CertificateDer::from_pem_file(format!("{FILES}/{name}.pem")).unwrap()];
        let key = PrivateKeyDer::from_pem_file(format!("{FILES}/{name}.key")).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let serve = move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_exact(&mut [0; 8]).unwrap();
            stream.write_all(b"S").unwrap();
            let mut tls = ServerConnection::new(Arc::new(config)).unwrap();
            // The first byte of the startup message comes from a client that has accepted the certificate.
            Stream::new(&mut tls, &mut stream).read_exact(&mut [0; 1]).is_ok()
        };
        (port, thread::spawn(serve))
    }

    #[tokio::test]
    async fn a_new_authority_is_trusted_as_soon_as_its_file_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.crt");
        let trust = |name: &str| fs::copy(format!("{FILES}/ca-{name}.pem"), &file).unwrap();
        trust("old");
        let uri = |port| {
            let uri = format!("postgresql://u:p@localhost:{port}/d?sslmode=verify-full&sslrootcert={}", file.display());
            match BackendUri::parse(&uri, &Environment::default()).unwrap() {
                BackendUri::Postgres(uri) => *uri,
                BackendUri::Sqlite(_) => unreachable!("it names PostgreSQL"),
            }
        };
        let connector = Connector::new(&uri(1), Fault::default()).unwrap();
        let trusts = async |name| {
            let (port, serving) = server(name);
            let connector = Connector { hosts: vec![config(&uri(port), 0)], ..connector.clone() };
            assert!(connector.connect_host(0).await.is_err(), "it is no database");
            serving.join().unwrap()
        };
        assert!(trusts("old").await);
        assert!(!trusts("new").await, "its authority is not known yet");
        trust("new");
        assert!(trusts("new").await);
        assert!(!trusts("old").await);
        // A file that is being written does not make it trust anything, nor nothing.
        fs::write(&file, "-----BEGIN CERTIFICATE-----\n!").unwrap();
        assert!(trusts("new").await);
        assert!(!trusts("old").await);
    }
}
