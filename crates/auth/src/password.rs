//! Password hashes in werkzeug's formats (`werkzeug/security.py`), so that either server accepts the other's users:
//! `scrypt:n:r:p$salt$hex` and `pbkdf2:hash:iterations$salt$hex`.

use pbkdf2::pbkdf2_hmac;
use rand::{Rng as _, distr::Alphanumeric};
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq as _;

/// The method for new hashes, as in the reference: 32 MiB of memory and some 60 ms.
const DEFAULT_METHOD: Method = Method::Scrypt { log_n: 15, r: 8, p: 1 };

/// Length of a salt, in characters.
const SALT_LENGTH: usize = 16;

/// Output length of scrypt, in bytes.
const SCRYPT_BYTES: usize = 64;

/// Default number of PBKDF2 iterations.
const ITERATIONS: u32 = 1_000_000;

/// Maximum memory that a stored hash may require, in bytes. The database is trusted, but not with the whole machine.
const MAX_SCRYPT_BYTES: u64 = 1 << 30;

/// A hash that matches no password and takes as long to verify as a real one.
pub(crate) const DUMMY_HASH: &str = "scrypt:32768:8:1$0000000000000000$\
    0000000000000000000000000000000000000000000000000000000000000000\
    0000000000000000000000000000000000000000000000000000000000000000";

enum Method {
    Scrypt { log_n: u8, r: u32, p: u32 },
    Pbkdf2 { digest: Digest, iterations: u32 },
}

#[derive(Clone, Copy)]
enum Digest {
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

/// Hashes a new password. CPU-bound: takes tens of milliseconds.
#[must_use]
pub fn hash(password: &str) -> String {
    let salt: String = rand::rng().sample_iter(Alphanumeric).take(SALT_LENGTH).map(char::from).collect();
    let bytes = DEFAULT_METHOD.hash(password, &salt).unwrap_or_default();
    format!("scrypt:32768:8:1${salt}${}", hex(&bytes))
}

/// Verifies a password against a hash in constant time. An unsupported hash matches no password. CPU-bound: takes tens
/// of milliseconds.
#[must_use]
pub fn verify(stored: &str, password: &str) -> bool {
    let mut parts = stored.splitn(3, '$');
    let (Some(method), Some(salt), Some(expected)) = (parts.next(), parts.next(), parts.next()) else { return false };
    let Some(bytes) = Method::parse(method).and_then(|method| method.hash(password, salt)) else { return false };
    hex(&bytes).as_bytes().ct_eq(expected.as_bytes()).into()
}

impl Method {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let (name, arguments) = (parts.next()?, parts.collect::<Vec<_>>());
        match (name, arguments.as_slice()) {
            ("scrypt", []) => Some(DEFAULT_METHOD),
            ("scrypt", [n, r, p]) => {
                let (n, r, p): (u64, u32, u32) = (n.parse().ok()?, r.parse().ok()?, p.parse().ok()?);
                let memory = n.checked_mul(u64::from(r))?.checked_mul(128)?;
                let fits = n.is_power_of_two() && n > 1 && memory <= MAX_SCRYPT_BYTES;
                let log_n = u8::try_from(n.trailing_zeros()).ok()?;
                fits.then_some(Self::Scrypt { log_n, r, p })
            }
            ("pbkdf2", []) => Some(Self::Pbkdf2 { digest: Digest::Sha256, iterations: ITERATIONS }),
            ("pbkdf2", [digest]) => Some(Self::Pbkdf2 { digest: Digest::parse(digest)?, iterations: ITERATIONS }),
            ("pbkdf2", [digest, iterations]) => {
                let iterations = iterations.parse().ok().filter(|count| *count > 0)?;
                Some(Self::Pbkdf2 { digest: Digest::parse(digest)?, iterations })
            }
            _ => None,
        }
    }

    fn hash(&self, password: &str, salt: &str) -> Option<Vec<u8>> {
        let (password, salt) = (password.as_bytes(), salt.as_bytes());
        match *self {
            Self::Scrypt { log_n, r, p } => {
                let params = scrypt::Params::new(log_n, r, p).ok()?;
                let mut out = vec![0; SCRYPT_BYTES];
                scrypt::scrypt(password, salt, &params, &mut out).ok()?;
                Some(out)
            }
            Self::Pbkdf2 { digest, iterations } => {
                let mut out = vec![0; digest.bytes()];
                match digest {
                    Digest::Sha1 => pbkdf2_hmac::<Sha1>(password, salt, iterations, &mut out),
                    Digest::Sha224 => pbkdf2_hmac::<Sha224>(password, salt, iterations, &mut out),
                    Digest::Sha256 => pbkdf2_hmac::<Sha256>(password, salt, iterations, &mut out),
                    Digest::Sha384 => pbkdf2_hmac::<Sha384>(password, salt, iterations, &mut out),
                    Digest::Sha512 => pbkdf2_hmac::<Sha512>(password, salt, iterations, &mut out),
                }
                Some(out)
            }
        }
    }
}

impl Digest {
    fn parse(name: &str) -> Option<Self> {
        match name {
            "sha1" => Some(Self::Sha1),
            "sha224" => Some(Self::Sha224),
            "sha256" => Some(Self::Sha256),
            "sha384" => Some(Self::Sha384),
            "sha512" => Some(Self::Sha512),
            _ => None,
        }
    }

    const fn bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha224 => 28,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

/// Encodes bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by werkzeug 3.1 of "correct horse".
    const WERKZEUG: &[&str] = &[
        "scrypt:32768:8:1$OlNIYhcygoZPwvMF$a14d98d309627809ec877fea68c651834761f8292c0385fd11cf5d0466702cb26f1cfd7a3e1021caf58207bd51824cca00544bfc476d673aae94d45e2ed45663",
        "scrypt:4096:8:2$2jymTTcd9LixGjjJ$13a17de384dcb26ae8d994b10912b9f90e8d943e211b7df64a3f6651f455cebb6197d1831dd96dcb9464d94950e6c53f8808bef6f332b588fd0f46aab0495d26",
        "pbkdf2:sha256:1000$Ed3S4uDGJGBUntpO$bb87e3788cafe6755c34c8c2926f8295271f8bd3e49990abc60a0494fd3eccd1",
        "pbkdf2:sha512:10$O8vjfzd1or2fNBX0$ab8ba79e128cd091c77b0e7059bd9e049c6122045a3ae4a31f4d4f53cb063433eec560687311fc321241b94cdff924b132ea883c9ae0bdf9a8d80a1987c4265f",
        "pbkdf2:sha1:10$VErOjQfDgU6Q36CI$dfaa7b50d0c906b363efbe7b1a9edc53a1128095",
        "pbkdf2:sha384:10$Qh6lygD5O6Zu2yvb$f85c3c391f6f10db2a939afac5c4fc3cdb588cddebdf2d5d7fb2001292a2ef9ac1ba986dc8dcf4fc1833c8f79ae2c1b3",
        "pbkdf2:sha224:3$Hl7kfGXU4zt0bKNF$4e03992abd592a8034253edb5e8db8d44c35df537cb55b65ed17cc38",
    ];

    #[test]
    fn hashes_of_werkzeug_are_understood() {
        for stored in WERKZEUG {
            assert!(verify(stored, "correct horse"), "{stored}");
            assert!(!verify(stored, "correct horsf"), "{stored}");
        }
    }

    #[test]
    fn a_new_hash_is_one_of_the_references_and_never_the_same() {
        let (first, second) = (hash("correct horse"), hash("correct horse"));
        assert_ne!(first, second);
        assert!(first.starts_with("scrypt:32768:8:1$") && first.len() == 17 + SALT_LENGTH + 1 + 2 * SCRYPT_BYTES);
        assert!(verify(&first, "correct horse") && !verify(&first, "correct"));
    }

    #[test]
    fn an_invalid_hash_matches_no_password() {
        for stored in [
            "",
            "x",
            "plain$$secret",
            "scrypt:0:8:1$a$",
            "scrypt:3:8:1$a$00",
            "md5$a$b",
            "pbkdf2:md5:1$a$b",
            "pbkdf2:sha256:0$a$",
            "scrypt:1073741824:8:1$a$00",
            DUMMY_HASH,
        ] {
            assert!(!verify(stored, "secret") && !verify(stored, ""), "{stored}");
        }
    }
}
