//! JSON Web Tokens (RFC 7519): ring verifies signatures; `jsonwebtoken` and, where it is lenient, this module validate
//! claims.

use std::sync::Once;

use jsonwebtoken::{
    Algorithm, DecodingKey, DecodingKeyKind, EncodingKey, Validation,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{Error, ErrorKind},
};
use ring::signature::{self as ring_signature, UnparsedPublicKey, VerificationAlgorithm};
use serde_json::{Map, Value};
use signature::Verifier;

/// The accepted signature algorithms: asymmetric ones only. With a shared secret, a verifier of tokens could forge them;
/// without a signature, any client could.
pub(crate) const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// The expected claims.
pub(crate) struct Expected<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) audiences: &'a [String],
    pub(crate) leeway: u64,
}

/// The claims of a token with a valid signature that has not expired.
#[derive(Debug)]
pub(crate) struct Claims {
    pub(crate) subject: String,
    /// Seconds since 1970.
    pub(crate) expires: u64,
    all: Map<String, Value>,
}

impl Claims {
    /// A claim by name; dots access nested claims.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        if let Some(found) = self.all.get(name) {
            return Some(found);
        }
        let mut parts = name.split('.');
        let first = self.all.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.get(part))
    }

    /// A string claim.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    /// A claim that is a list of strings, or a single one.
    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        match self.get(name) {
            Some(Value::String(one)) => vec![one.clone()],
            Some(Value::Array(some)) => some.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    }
}

/// Verifies a token.
///
/// # Errors
/// Why it is not valid.
pub(crate) fn check(
    token: &str,
    algorithm: Algorithm,
    key: &DecodingKey,
    expected: &Expected<'_>,
) -> Result<Claims, String> {
    install();
    let mut validation = Validation::new(algorithm);
    validation.leeway = expected.leeway;
    validation.validate_nbf = true;
    validation.set_audience(expected.audiences);
    validation.set_issuer(&[expected.issuer]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    let decoded = jsonwebtoken::decode::<Map<String, Value>>(token, key, &validation);
    let all = decoded.map_err(|error| error.to_string())?.claims;
    let text = |name: &str| all.get(name).and_then(Value::as_str);
    // The crate also accepts a list of issuers that contains the expected one.
    if text("iss") != Some(expected.issuer) {
        return Err("InvalidIssuer".into());
    }
    let subject = text("sub").filter(|subject| !subject.is_empty()).ok_or("it has no subject")?.to_owned();
    let expires = all.get("exp").and_then(Value::as_f64).ok_or("it has no expiry")?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the crate has read it as a number")]
    let expires = expires as u64;
    Ok(Claims { subject, expires, all })
}

/// Makes `jsonwebtoken` verify signatures with ring.
fn install() {
    static PROVIDER: CryptoProvider =
        CryptoProvider { signer_factory: signer, verifier_factory: verifier, key_utils: KeyUtils::new_unimplemented() };
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Fails only if called twice.
        let _ = PROVIDER.install_default();
    });
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the crate's type of such functions")]
fn signer(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    Err(ErrorKind::InvalidAlgorithm.into())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the crate's type of such functions")]
fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    if key.family() != algorithm.family() || !ALGORITHMS.contains(algorithm) {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    Ok(Box::new(Ring { algorithm: *algorithm, key: key.clone() }))
}

struct Ring {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl JwtVerifier for Ring {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Verifier<Vec<u8>> for Ring {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let outcome = match (self.key.kind(), rsa(self.algorithm), other(self.algorithm)) {
            (DecodingKeyKind::RsaModulusExponent { n, e }, Some(algorithm), _) => {
                ring_signature::RsaPublicKeyComponents { n, e }.verify(algorithm, message, signature)
            }
            (DecodingKeyKind::SecretOrDer(point), None, Some(algorithm)) => {
                UnparsedPublicKey::new(algorithm, point).verify(message, signature)
            }
            _ => return Err(signature::Error::new()),
        };
        outcome.map_err(|_| signature::Error::new())
    }
}

fn rsa(algorithm: Algorithm) -> Option<&'static ring_signature::RsaParameters> {
    match algorithm {
        Algorithm::RS256 => Some(&ring_signature::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RS384 => Some(&ring_signature::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RS512 => Some(&ring_signature::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::PS256 => Some(&ring_signature::RSA_PSS_2048_8192_SHA256),
        Algorithm::PS384 => Some(&ring_signature::RSA_PSS_2048_8192_SHA384),
        Algorithm::PS512 => Some(&ring_signature::RSA_PSS_2048_8192_SHA512),
        _ => None,
    }
}

fn other(algorithm: Algorithm) -> Option<&'static dyn VerificationAlgorithm> {
    match algorithm {
        Algorithm::ES256 => Some(&ring_signature::ECDSA_P256_SHA256_FIXED),
        Algorithm::ES384 => Some(&ring_signature::ECDSA_P384_SHA384_FIXED),
        Algorithm::EdDSA => Some(&ring_signature::ED25519),
        _ => None,
    }
}
