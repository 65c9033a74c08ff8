//! Signed values that the browser stores and cannot modify, each signed for one purpose with a key that all replicas
//! share. They are verified without server-side state.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ferroflow_model::clock;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Serialize, de::DeserializeOwned};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

/// The signing key.
#[derive(Clone)]
pub(crate) struct Signer(Vec<u8>);

impl Signer {
    pub(crate) fn new(secret: &str) -> Self {
        Self(secret.as_bytes().to_vec())
    }

    /// Encodes and signs a value.
    pub(crate) fn sign<T: Serialize>(&self, purpose: &str, value: &T) -> String {
        let text = BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(value).unwrap_or_default());
        format!("{text}.{}", self.mac(purpose, &text))
    }

    /// Verifies and decodes a signed value.
    pub(crate) fn verify<T: DeserializeOwned>(&self, purpose: &str, signed: &str) -> Option<T> {
        let (text, signature) = signed.split_once('.')?;
        let is_valid = bool::from(self.mac(purpose, text).as_bytes().ct_eq(signature.as_bytes()));
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok().filter(|_| is_valid)?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Derives a pseudorandom text from a text with the key: 43 URL-safe characters.
    pub(crate) fn mac(&self, purpose: &str, text: &str) -> String {
        // HMAC takes keys of any length.
        Hmac::<Sha256>::new_from_slice(&self.0).map_or_else(
            |_| String::new(),
            |mut mac| {
                mac.update(format!("ferroflow {purpose}\n{text}").as_bytes());
                BASE64_URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
            },
        )
    }
}

/// Seconds since 1970, for expiry times.
pub(crate) fn now() -> u64 {
    clock::unix_seconds()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modified_values_are_refused() {
        let signer = Signer::new("secret");
        let token = signer.sign("session", &("alice", 7));
        assert_eq!(Signer::new("secret").verify("session", &token), Some(("alice".to_owned(), 7)));
        let (text, signature) = token.split_once('.').unwrap();
        let other = signer.sign("session", &("admin", 7));
        let mixed = format!("{}.{signature}", other.split_once('.').unwrap().0);
        for wrong in ["", ".", text, &token[1..], &format!("{text}."), &mixed, &signer.sign("login", &("alice", 7))] {
            assert_eq!(signer.verify::<(String, i32)>("session", wrong), None, "{wrong}");
        }
        assert_eq!(Signer::new("other").verify::<(String, i32)>("session", &token), None);
    }
}
