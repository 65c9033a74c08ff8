//! The bearer token of a request.

use std::fmt;

/// A bearer token, with a hash that is keyed by this process.
pub(crate) struct BearerToken {
    text: Box<str>,
    digest: [u8; 32],
}

impl BearerToken {
    pub(crate) fn new(text: &str, digest: [u8; 32]) -> Self {
        Self { text: text.into(), digest }
    }

    /// The token itself, for the API server that it is of.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// What caches are keyed by.
    pub(crate) fn digest(&self) -> &[u8; 32] {
        &self.digest
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Redacted: it must not get into a log.
        f.write_str("BearerToken")
    }
}
