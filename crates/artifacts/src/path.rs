//! A validated path inside a repository. It can only be constructed by the check, so no other code can turn client
//! input into a file path.

use std::fmt;

use ferroflow_model::{Error, Result};
use percent_encoding::percent_decode_str;

/// Maximum number of decodings. A path that still changes then is refused.
const MAX_DECODING: usize = 10;

/// A relative path of plain components: no root, no `..`, no drive letter, no separator but `/`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ArtifactPath(Vec<String>);

impl ArtifactPath {
    /// The root of the repository.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// Validates a client's path, which must be decoded as its transport requires: once from a URL, not at all from a
    /// message. A remaining percent sign is part of the name. Nevertheless a path that would lead outside after
    /// repeated decoding is refused: other readers of the same store may decode again.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` "Invalid path", as in the reference.
    pub fn parse(text: &str) -> Result<Self> {
        let text = escaped(text);
        components(&decoded(&text)?)?;
        Ok(Self(components(&text)?.into_iter().map(str::to_owned).collect()))
    }

    /// A canonical local path, relative to another one.
    ///
    /// # Errors
    /// A component is not valid in an artifact path.
    pub(crate) fn from_real(path: &std::path::Path) -> Result<Self> {
        let component = |component| match component {
            std::path::Component::Normal(name) => name.to_str().map(str::to_owned).ok_or_else(invalid),
            _ => Err(invalid()),
        };
        path.components().map(component).collect::<Result<_>>().map(Self)
    }

    /// Whether it is the root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The components from the root down.
    #[must_use]
    pub fn components(&self) -> &[String] {
        &self.0
    }

    /// The last component, empty for the root.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.last().map_or("", String::as_str)
    }

    /// The path without its last component.
    #[must_use]
    pub fn parent(&self) -> Self {
        Self(self.0[..self.0.len().saturating_sub(1)].to_vec())
    }

    /// This path appended to another.
    #[must_use]
    pub fn below(&self, base: &Self) -> Self {
        Self(base.0.iter().chain(&self.0).cloned().collect())
    }
}

impl fmt::Display for ArtifactPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("/"))
    }
}

/// The components of a path that stays below its root.
fn components(text: &str) -> Result<Vec<&str>> {
    // A `file` URI is an absolute path, however it is written.
    let is_file_uri = text.split_once(':').is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("file"));
    let bytes = text.as_bytes();
    let has_drive = bytes.len() >= 2 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':';
    if is_file_uri || text.starts_with('/') || has_drive || text.contains(['\\', '#']) {
        return Err(invalid());
    }
    for component in text.split('/') {
        if component == ".." {
            return Err(invalid());
        }
        if component.len() > 255 {
            return Err(Error::invalid("Invalid path: a component is longer than 255 bytes"));
        }
    }
    Ok(text.split('/').filter(|component| !matches!(*component, "" | ".")).collect())
}

/// Decodes a path until it no longer changes.
pub(crate) fn decoded(text: &str) -> Result<String> {
    let mut text = text.to_owned();
    for _ in 0..MAX_DECODING {
        let decoded = percent_decode_str(&text).decode_utf8().map_err(|_| invalid())?.into_owned();
        if decoded == text {
            return Ok(text);
        }
        text = decoded;
    }
    Err(invalid())
}

/// Percent-encodes control characters, as the reference does.
fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, char| {
        if char.is_ascii_control() {
            out.push_str(&format!("%{:02x}", u32::from(char)));
        } else {
            out.push(char);
        }
        out
    })
}

fn invalid() -> Error {
    Error::invalid("Invalid path")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_paths_are_themselves() {
        for (text, expected) in [
            ("a", "a"),
            ("a/b.txt", "a/b.txt"),
            ("a//b/./c/", "a/b/c"),
            ("ü 雪/%41", "ü 雪/%41"),
            ("a%20b", "a%20b"),
            ("images/x%step%20%timestamp%1.png", "images/x%step%20%timestamp%1.png"),
            ("..a/b..", "..a/b.."),
            ("", ""),
            ("tab\tbell\u{7}", "tab%09bell%07"),
        ] {
            assert_eq!(ArtifactPath::parse(text).map(|path| path.to_string()).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn every_known_path_traversal_is_refused() {
        for text in [
            "..",
            "../x",
            "a/../../x",
            "a/..",
            "/etc/passwd",
            "//etc/passwd",
            "//proc/self/root",
            "%2e%2e/x",
            "%2E%2E%2Fx",
            "..%2fx",
            "%252e%252e%252fx",
            "%25252e%25252e%25252fx",
            "%2fetc%2fpasswd",
            "file:///etc/passwd",
            "file:/etc/passwd",
            "file:../x",
            "file:x",
            "file://host/x",
            "FILE:////etc",
            "C:\\x",
            "C:/x",
            "c:x",
            "\\\\host\\share",
            "a\\..\\..\\x",
            "..\\x",
            "a#/../../x",
            "a%23b",
            "%ff",
            "a/%c0%ae%c0%ae/x",
        ] {
            assert!(ArtifactPath::parse(text).is_err(), "{text} became {:?}", ArtifactPath::parse(text));
        }
    }
}
