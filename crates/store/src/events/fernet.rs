//! Fernet tokens, compatible with Python's `cryptography.fernet`: the reference stores secrets in this form, so either
//! server decrypts what the other has encrypted.
//!
//! A token is `base64url(0x80 ‖ seconds ‖ IV ‖ AES-128-CBC(text) ‖ HMAC-SHA256(everything before it))`
//! (<https://github.com/fernet/spec/blob/master/Spec.md>).

use std::fmt;

use aes::{
    Aes128,
    cipher::{BlockModeDecrypt as _, BlockModeEncrypt as _, KeyIvInit as _, block_padding::Pkcs7},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use ferroflow_model::clock;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

const VERSION: u8 = 0x80;
const TIME: usize = 8;
const IV: usize = 16;
const BLOCK: usize = 16;
const SIGNATURE: usize = 32;
const HEAD: usize = 1 + TIME + IV;

/// The key that secrets are encrypted with: 16 bytes for signing, 16 bytes for encryption.
#[derive(Clone)]
pub struct FernetKey {
    signing: [u8; 16],
    encryption: [u8; 16],
}

/// Redacted, so that no log contains a key.
impl fmt::Debug for FernetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FernetKey(…)")
    }
}

impl FernetKey {
    /// Parses a key in the form of `Fernet.generate_key()`: 32 bytes in URL-safe base64.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let bytes = URL_SAFE.decode(text).or_else(|_| STANDARD.decode(text)).ok()?;
        let (signing, encryption) = bytes.split_at_checked(16)?;
        Some(Self { signing: signing.try_into().ok()?, encryption: encryption.try_into().ok()? })
    }

    /// Encrypts a text. Every call returns another token (random IV).
    #[must_use]
    pub fn encrypt(&self, text: &str) -> String {
        self.encrypt_with(text, clock::unix_seconds(), rand::random())
    }

    fn encrypt_with(&self, text: &str, seconds: u64, iv: [u8; IV]) -> String {
        let mut token = vec![VERSION];
        token.extend(seconds.to_be_bytes());
        token.extend(iv);
        let encryptor = cbc::Encryptor::<Aes128>::new(&self.encryption.into(), &iv.into());
        token.extend(encryptor.encrypt_padded_vec::<Pkcs7>(text.as_bytes()));
        let signature = self.mac(&token).finalize().into_bytes();
        token.extend(signature);
        URL_SAFE.encode(token)
    }

    /// Decrypts a token. `None` if it was made with another key or is damaged.
    #[must_use]
    pub fn decrypt(&self, token: &str) -> Option<String> {
        let token = URL_SAFE.decode(token).ok()?;
        let (signed, signature) = token.split_at_checked(token.len().checked_sub(SIGNATURE)?)?;
        self.mac(signed).verify_slice(signature).ok()?;
        let (head, text) = signed.split_at_checked(HEAD)?;
        if head[0] != VERSION || text.is_empty() || text.len() % BLOCK != 0 {
            return None;
        }
        let iv: [u8; IV] = head[1 + TIME..].try_into().ok()?;
        let decryptor = cbc::Decryptor::<Aes128>::new(&self.encryption.into(), &iv.into());
        String::from_utf8(decryptor.decrypt_padded_vec::<Pkcs7>(text).ok()?).ok()
    }

    fn mac(&self, signed: &[u8]) -> Hmac<Sha256> {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.signing).expect("a key of any length");
        mac.update(signed);
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From `generate.json` of the specification.
    const KEY: &str = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=";
    const TOKEN: &str =
        "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==";

    #[test]
    fn the_token_of_the_specification_is_made_and_read() {
        let key = FernetKey::parse(KEY).unwrap();
        let iv: [u8; 16] = std::array::from_fn(|index| u8::try_from(index).unwrap());
        assert_eq!(key.encrypt_with("hello", 499_162_800, iv), TOKEN);
        assert_eq!(key.decrypt(TOKEN).as_deref(), Some("hello"));
    }

    #[test]
    fn what_is_encrypted_comes_back_with_the_same_key_alone() {
        let key = FernetKey::parse(KEY).unwrap();
        let other = FernetKey::parse("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").unwrap();
        for text in ["", "s", "exactly16bytes!!", "schlüssel 雪", &"x".repeat(5000)] {
            let token = key.encrypt(text);
            assert_ne!(token, key.encrypt(text), "each token has its own initialisation vector");
            assert_eq!(key.decrypt(&token).as_deref(), Some(text));
            assert_eq!(other.decrypt(&token), None);
        }
    }

    #[test]
    fn damaged_tokens_and_keys_are_refused() {
        let key = FernetKey::parse(KEY).unwrap();
        for place in 0..TOKEN.len() {
            let mut token = TOKEN.to_owned();
            let other = if &TOKEN[place..=place] == "A" { "B" } else { "A" };
            token.replace_range(place..=place, other);
            assert_eq!(key.decrypt(&token), None, "{token}");
        }
        for token in ["", "gAAAAA==", "no base64!", &TOKEN[..TOKEN.len() - 4]] {
            assert_eq!(key.decrypt(token), None, "{token}");
        }
        for text in ["", "short", "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4AAAA=", "!!!!"] {
            assert!(FernetKey::parse(text).is_none(), "{text}");
        }
        assert!(!format!("{key:?}").contains("cw_0"));
    }
}
