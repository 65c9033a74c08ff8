//! Validates file paths below a directory, from requests and archives.

use percent_encoding::percent_decode_str;

/// Decodes the path of a request. `None` if it is not valid.
pub(super) fn decode(path: &str) -> Option<String> {
    let decoded = percent_decode_str(path).decode_utf8().ok()?;
    is_plain(&decoded).then(|| decoded.into_owned())
}

/// Whether a path only descends, by visible names that mean the same on every system.
pub(super) fn is_plain(path: &str) -> bool {
    path.split('/').all(|name| {
        !name.is_empty()
            && !name.starts_with('.')
            && !name.chars().any(|character| character.is_control() || matches!(character, '\\' | ':'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_goes_only_downwards() {
        for path in ["index.html", "static/js/main.0a1b2c3d.js", "static/media/a%20b.png"] {
            assert!(decode(path).is_some(), "{path}");
        }
        for path in [
            "",
            "/etc/passwd",
            "../secret",
            "static/../../secret",
            "%2e%2e/secret",
            "static%2f..%2f..%2fsecret",
            "static//main.js",
            "static/",
            "./index.html",
            ".git/config",
            "static\\..\\secret",
            "c:secret",
            "a%00b",
            "%ff",
        ] {
            assert_eq!(decode(path), None, "{path}");
        }
    }
}
