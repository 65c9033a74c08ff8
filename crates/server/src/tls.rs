//! TLS of the server's port: a certificate chain, its private key and optionally the CA of client certificates. The
//! files are reloaded while the server runs, because certificates are renewed in place.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use tokio_rustls::TlsAcceptor;

/// Interval between checks of the files.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// The PEM files for TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, followed by its intermediate certificates.
    pub cert: PathBuf,
    /// The private key of the first certificate, unencrypted. It may be in the same file.
    pub key: PathBuf,
    /// The CA certificates for client certificates; `None` requests none from clients.
    pub client_ca: Option<PathBuf>,
    /// Whether clients without a certificate are accepted. One with a certificate of another CA never is.
    pub client_optional: bool,
}

/// Why the files can not be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can not be read.
    #[error("{0} cannot be read: {1}")]
    Read(PathBuf, std::io::Error),
    /// A file has no certificate or no key.
    #[error("{0} has no {1} in PEM")]
    Missing(PathBuf, &'static str),
    /// A file is not valid PEM.
    #[error("{0} is not PEM: {1}")]
    Pem(PathBuf, pem::Error),
    /// The key does not match the certificate, or is of an unsupported type.
    #[error("the certificate {0} cannot be used with the key {1}: {2}")]
    Pair(PathBuf, PathBuf, rustls::Error),
    /// The CA certificates can not be used.
    #[error("the CA certificates for clients in {0} cannot be used: {1}")]
    ClientCa(PathBuf, String),
}

/// The contents of the files: certificate chain, key and CA certificates.
type Contents = [Vec<u8>; 3];

/// The protocol that is spoken over TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// The configurations of both protocols, with the same certificate.
#[derive(Clone)]
struct Configs {
    http1: Arc<ServerConfig>,
    http2: Arc<ServerConfig>,
}

/// The current TLS configuration.
pub struct Tls {
    files: TlsFiles,
    current: RwLock<Configs>,
    /// The contents read last, whether valid or not.
    last: Mutex<Result<Contents, String>>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// A file can not be read, or they do not match.
    pub fn open(files: TlsFiles) -> Result<Arc<Self>, TlsError> {
        let contents = read(&files)?;
        let config = configure(&files, &contents)?;
        Ok(Arc::new(Self { files, current: RwLock::new(config), last: Mutex::new(Ok(contents)) }))
    }

    /// An acceptor with the newest configuration.
    pub(crate) fn acceptor(&self, protocol: Protocol) -> TlsAcceptor {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(match protocol {
            Protocol::Http1 => &current.http1,
            Protocol::Http2 => &current.http2,
        }))
    }

    /// Checks the files periodically, for as long as the server runs.
    pub(crate) async fn watch(self: Arc<Self>) {
        loop {
            tokio::time::sleep(CHECK_INTERVAL).await;
            let tls = Arc::clone(&self);
            // File systems may block.
            if let Err(error) = tokio::task::spawn_blocking(move || tls.refresh()).await {
                tracing::error!(%error, "checking the TLS files failed");
            }
        }
    }

    /// Reloads the files if their contents have changed and are valid. Contents are compared rather than modification
    /// times: a file may be replaced through a symbolic link, and two files are never replaced atomically.
    fn refresh(&self) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let found = read(&self.files).map_err(|error| error.to_string());
        if *last == found {
            return;
        }
        let configured = match &found {
            Ok(contents) => configure(&self.files, contents).map_err(|error| error.to_string()),
            Err(reason) => Err(reason.clone()),
        };
        match configured {
            Ok(config) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = config;
                tracing::info!(cert = %self.files.cert.display(), "the TLS certificate was reloaded");
            }
            Err(reason) => {
                tracing::error!(
                    "the TLS files have changed and cannot be used; the previous ones stay in use: {reason}"
                );
            }
        }
        *last = found;
    }
}

fn read(files: &TlsFiles) -> Result<Contents, TlsError> {
    let bytes = |path: &Path| fs::read(path).map_err(|error| TlsError::Read(path.to_owned(), error));
    let ca_certificates = files.client_ca.as_deref().map(bytes).transpose()?;
    Ok([bytes(&files.cert)?, bytes(&files.key)?, ca_certificates.unwrap_or_default()])
}

fn configure(files: &TlsFiles, [cert, key, ca_certificates]: &Contents) -> Result<Configs, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let chain = certificates(&files.cert, cert)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
        pem::Error::NoItemsFound => TlsError::Missing(files.key.clone(), "private key that is not encrypted"),
        error => TlsError::Pem(files.key.clone(), error),
    })?;
    let pair = |error| TlsError::Pair(files.cert.clone(), files.key.clone(), error);
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().map_err(pair)?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let failed = |error: String| TlsError::ClientCa(path.clone(), error);
            let mut roots = RootCertStore::empty();
            for authority in certificates(path, ca_certificates)? {
                roots.add(authority).map_err(|error| failed(error.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = if files.client_optional { verifier.allow_unauthenticated() } else { verifier };
            builder.with_client_cert_verifier(verifier.build().map_err(|error| failed(error.to_string()))?)
        }
    };
    let mut http1 = builder.with_single_cert(chain, key).map_err(pair)?;
    let mut http2 = http1.clone();
    http1.alpn_protocols = vec![b"http/1.1".to_vec()];
    http2.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Configs { http1: Arc::new(http1), http2: Arc::new(http2) })
}

fn certificates(path: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let found = found.map_err(|error| TlsError::Pem(path.to_owned(), error))?;
    if found.is_empty() { Err(TlsError::Missing(path.to_owned(), "certificate")) } else { Ok(found) }
}
