//! Signed values that the browser stores and cannot modify, each signed for one purpose with a key that all replicas
//! share. They are verified without server-side state.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Serialize, de::DeserializeOwned};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

/// The signing key.
#[derive(Clone)]
pub(crate) struct Seal(Vec<u8>);

impl Seal {
    pub(crate) fn new(secret: &str) -> Self {
        Self(secret.as_bytes().to_vec())
    }

    /// Encodes and signs a value.
    pub(crate) fn seal<T: Serialize>(&self, purpose: &str, value: &T) -> String {
        let text = BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(value).unwrap_or_default());
        format!("{text}.{}", self.derived(purpose, &text))
    }

    /// Verifies and decodes a signed value.
    pub(crate) fn open<T: DeserializeOwned>(&self, purpose: &str, sealed: &str) -> Option<T> {
        let (text, signature) = sealed.split_once('.')?;
        let is_ours = bool::from(self.derived(purpose, text).as_bytes().ct_eq(signature.as_bytes()));
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok().filter(|_| is_ours)?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Derives a pseudorandom text from a text with the key: 43 URL-safe characters.
    pub(crate) fn derived(&self, purpose: &str, text: &str) -> String {
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
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_changed_is_nothing() {
        let seal = Seal::new("secret");
        let sealed = seal.seal("session", &("alice", 7));
        assert_eq!(Seal::new("secret").open("session", &sealed), Some(("alice".to_owned(), 7)));
        let (text, signature) = sealed.split_once('.').unwrap();
        let other = seal.seal("session", &("admin", 7));
        let mixed = format!("{}.{signature}", other.split_once('.').unwrap().0);
        for wrong in ["", ".", text, &sealed[1..], &format!("{text}."), &mixed, &seal.seal("login", &("alice", 7))] {
            assert_eq!(seal.open::<(String, i32)>("session", wrong), None, "{wrong}");
        }
        assert_eq!(Seal::new("other").open::<(String, i32)>("session", &sealed), None);
    }
}
