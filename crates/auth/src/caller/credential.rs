//! What the API server of a cluster is asked with: a caller's own token, or its name and groups.

use std::fmt;

/// What a request proves of its caller to the API server, with a hash that is keyed by this process.
pub(crate) struct Credential {
    subject: Subject,
    digest: [u8; 32],
}

/// Whose permissions the API server is asked for.
pub(crate) enum Subject {
    /// Those of the owner of a bearer token, which is sent as that of the review.
    Token(Box<str>),
    /// Those of a user whom a trusted proxy has authenticated. The server asks with its own token.
    User {
        /// The name.
        name: Box<str>,
        /// The groups, sorted.
        groups: Vec<String>,
    },
}

impl Credential {
    /// A bearer token.
    pub(crate) fn token(text: &str, digest: [u8; 32]) -> Self {
        Self { subject: Subject::Token(text.into()), digest }
    }

    /// A user of a proxy.
    pub(crate) fn user(name: &str, groups: Vec<String>, digest: [u8; 32]) -> Self {
        Self { subject: Subject::User { name: name.into(), groups }, digest }
    }

    /// Whose permissions are asked for.
    pub(crate) fn subject(&self) -> &Subject {
        &self.subject
    }

    /// What caches are keyed by.
    pub(crate) fn digest(&self) -> &[u8; 32] {
        &self.digest
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Redacted: a token must not get into a log.
        f.write_str("Credential")
    }
}
