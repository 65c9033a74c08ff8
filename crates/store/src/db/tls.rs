//! TLS for PostgreSQL connections, with libpq's `sslmode`.

use std::{fs, path::Path, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{DbError, PostgresUri, SslMode};

/// The TLS connector for a URI. Reads the certificate files.
pub(super) fn connector(uri: &PostgresUri) -> Result<MakeRustlsConnect, DbError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| DbError::Other(error.to_string()))?;
    let verifier: Arc<dyn ServerCertVerifier> = match (uri.ssl_mode, &uri.ssl_root_cert) {
        (SslMode::Disable | SslMode::Prefer, _) | (SslMode::Require, None) => {
            Arc::new(PartialVerifier { inner: None, provider: Arc::clone(&provider) })
        }
        // With a root certificate, libpq treats `require` as `verify-ca`.
        (SslMode::Require | SslMode::VerifyCa, _) => {
            Arc::new(PartialVerifier { inner: Some(webpki(uri, &provider)?), provider: Arc::clone(&provider) })
        }
        (SslMode::VerifyFull, _) => webpki(uri, &provider)?,
    };
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let config = match (&uri.ssl_cert, &uri.ssl_key) {
        (Some(cert), Some(key)) => builder
            .with_client_auth_cert(certificates(cert)?, private_key(key)?)
            .map_err(|error| DbError::Unavailable(format!("the client certificate cannot be used: {error}")))?,
        _ => builder.with_no_client_auth(),
    };
    Ok(MakeRustlsConnect::new(config))
}

fn webpki(uri: &PostgresUri, provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>, DbError> {
    let mut roots = RootCertStore::empty();
    match &uri.ssl_root_cert {
        Some(path) => {
            for certificate in certificates(path)? {
                roots
                    .add(certificate)
                    .map_err(|error| DbError::Unavailable(format!("a certificate of {}: {error}", path.display())))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| DbError::Unavailable(format!("no certificate to trust: {error}")))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, DbError> {
    let unreadable =
        |error: &dyn std::fmt::Display| DbError::Unavailable(format!("cannot read {}: {error}", path.display()));
    let pem = fs::read(path).map_err(|error| unreadable(&error))?;
    CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|error| unreadable(&error))
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, DbError> {
    PrivateKeyDer::from_pem_file(path)
        .map_err(|error| DbError::Unavailable(format!("cannot read {}: {error}", path.display())))
}

/// Verifies less than `verify-full`: the certificate chain without the host name (`verify-ca`), or only that the server
/// owns the key of its certificate (`require` without a root certificate).
#[derive(Debug)]
struct PartialVerifier {
    inner: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PartialVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        use rustls::CertificateError::{NotValidForName, NotValidForNameContext};
        let Some(inner) = &self.inner else { return Ok(ServerCertVerified::assertion()) };
        match inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The host name is verified last: with this error the chain is valid.
            Err(rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. })) => {
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
