//! The CSRF token of the sign-up form.
//!
//! It is bound to the user it was issued to, and expires.

use subtle::ConstantTimeEq as _;

use crate::signer::{Signer, now};

/// Lifetime of a token in seconds, as in the reference.
const LIFETIME: u64 = 3600;

/// The key of the CSRF tokens.
#[derive(Clone)]
pub struct SignupKey(Signer);

impl SignupKey {
    /// Derives the key from a secret that all replicas share.
    #[must_use]
    pub fn new(secret: &str) -> Self {
        Self(Signer::new(secret))
    }

    /// Issues a token for a user.
    #[must_use]
    pub fn token(&self, username: &str) -> String {
        let end = now() + LIFETIME;
        format!("{end}.{}", self.signature(username, end))
    }

    /// Whether a token was issued to a user and has not expired.
    #[must_use]
    pub fn is_valid(&self, token: &str, username: &str) -> bool {
        let Some((end, signature)) = token.split_once('.') else { return false };
        let Ok(end) = end.parse::<u64>() else { return false };
        end >= now() && bool::from(self.signature(username, end).as_bytes().ct_eq(signature.as_bytes()))
    }

    fn signature(&self, username: &str, end: u64) -> String {
        self.0.mac("sign-up", &format!("{end}\n{username}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_valid_for_its_user_on_every_server_with_the_key() {
        let token = SignupKey::new("secret").token("admin");
        assert!(SignupKey::new("secret").is_valid(&token, "admin"));
        assert!(!SignupKey::new("secret").is_valid(&token, "mallory"));
        assert!(!SignupKey::new("other").is_valid(&token, "admin"));
        for wrong in ["", ".", "x.y", &token[1..], &format!("9{token}")] {
            assert!(!SignupKey::new("secret").is_valid(wrong, "admin"), "{wrong}");
        }
    }

    #[test]
    fn a_token_expires() {
        let key = SignupKey::new("secret");
        let end = now() - 1;
        assert!(!key.is_valid(&format!("{end}.{}", key.signature("admin", end)), "admin"));
    }
}
