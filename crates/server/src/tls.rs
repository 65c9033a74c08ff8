//! TLS of the server's own port: a certificate chain, its key and, where clients must show certificates, their
//! authority. The files are read again while the server runs, because certificates are renewed in place.

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

/// Time between two looks at the files.
const PAUSE: Duration = Duration::from_secs(2);

/// The files that TLS is made of, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate of the server, then those between it and its authority.
    pub cert: PathBuf,
    /// The private key of the first certificate, not encrypted. It may be in the same file.
    pub key: PathBuf,
    /// The authorities that certificates of clients must be of; without it no client is asked for one.
    pub client_ca: Option<PathBuf>,
    /// Whether a client without a certificate is served all the same. One with a certificate of another authority
    /// never is.
    pub client_optional: bool,
}

/// Why files can not be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can not be read.
    #[error("{0} can not be read: {1}")]
    Read(PathBuf, std::io::Error),
    /// A file has no certificate, or no key.
    #[error("{0} holds no {1} in PEM")]
    Missing(PathBuf, &'static str),
    /// A file has text that is no PEM.
    #[error("{0} is not PEM: {1}")]
    Pem(PathBuf, pem::Error),
    /// The key is of another certificate, or of a kind that is not known.
    #[error("the certificate {0} can not be used with the key {1}: {2}")]
    Pair(PathBuf, PathBuf, rustls::Error),
    /// The authorities of clients can not be used.
    #[error("the authorities of clients in {0} can not be used: {1}")]
    Authorities(PathBuf, String),
}

/// What the files held when they were read: the certificate, the key and the authorities of clients.
type Contents = [Vec<u8>; 3];

/// TLS as it is served now.
pub struct Tls {
    files: TlsFiles,
    current: RwLock<Arc<ServerConfig>>,
    /// What was read last, whether it could be used or not.
    last: Mutex<Result<Contents, String>>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// A file can not be read, or they do not fit together.
    pub fn open(files: TlsFiles) -> Result<Arc<Self>, TlsError> {
        let contents = read(&files)?;
        let config = configure(&files, &contents)?;
        Ok(Arc::new(Self { files, current: RwLock::new(config), last: Mutex::new(Ok(contents)) }))
    }

    /// What accepts a connection with the newest certificate.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Looks at the files now and then, for as long as the server runs.
    pub(crate) async fn watch(self: Arc<Self>) {
        loop {
            tokio::time::sleep(PAUSE).await;
            let tls = Arc::clone(&self);
            // A file system may stand still.
            if let Err(error) = tokio::task::spawn_blocking(move || tls.refresh()).await {
                tracing::error!(%error, "the TLS files were not looked at");
            }
        }
    }

    /// Takes what the files hold, if that is new and can be used. What they hold is compared, not when they were
    /// changed: a file may be swapped by a link, and two files are never swapped at once.
    fn refresh(&self) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let found = read(&self.files).map_err(|error| error.to_string());
        if *last == found {
            return;
        }
        let taken = match &found {
            Ok(contents) => configure(&self.files, contents).map_err(|error| error.to_string()),
            Err(reason) => Err(reason.clone()),
        };
        match taken {
            Ok(config) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = config;
                tracing::info!(cert = %self.files.cert.display(), "the TLS certificate was read again");
            }
            Err(reason) => {
                tracing::error!("the TLS files have changed and can not be used; the old ones stay: {reason}");
            }
        }
        *last = found;
    }
}

fn read(files: &TlsFiles) -> Result<Contents, TlsError> {
    let bytes = |path: &Path| fs::read(path).map_err(|error| TlsError::Read(path.to_owned(), error));
    let authorities = files.client_ca.as_deref().map(bytes).transpose()?;
    Ok([bytes(&files.cert)?, bytes(&files.key)?, authorities.unwrap_or_default()])
}

fn configure(files: &TlsFiles, [cert, key, authorities]: &Contents) -> Result<Arc<ServerConfig>, TlsError> {
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
            let failed = |error: String| TlsError::Authorities(path.clone(), error);
            let mut roots = RootCertStore::empty();
            for authority in certificates(path, authorities)? {
                roots.add(authority).map_err(|error| failed(error.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = if files.client_optional { verifier.allow_unauthenticated() } else { verifier };
            builder.with_client_cert_verifier(verifier.build().map_err(|error| failed(error.to_string()))?)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn certificates(path: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let found = found.map_err(|error| TlsError::Pem(path.to_owned(), error))?;
    if found.is_empty() { Err(TlsError::Missing(path.to_owned(), "certificate")) } else { Ok(found) }
}
