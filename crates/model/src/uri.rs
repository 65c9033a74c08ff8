//! URIs of artifact locations, as text.

mod split;

pub use self::split::SplitUri;
use crate::{Error, Result};

/// Appends `path` to the path of `uri` (or to a plain path), before the query and fragment: `s3://bucket/base?x=y` and
/// `7` give `s3://bucket/base/7?x=y`.
///
/// # Errors
/// The query contains `..`, which some stores resolve as part of the path.
pub fn append_path(uri: &str, path: &str) -> Result<String> {
    let path = path.trim_start_matches('/');
    if scheme(uri).is_none() {
        return Ok(join(uri, path));
    }
    check_query(uri)?;
    let (rest, fragment) = split_at(uri, '#');
    let (base, query) = split_at(rest, '?');
    // A file URI gets an empty authority, as in Python's library.
    let base = match base.strip_prefix("file:/") {
        Some(path) if !path.starts_with('/') => &format!("file:///{path}"),
        _ => base,
    };
    Ok(format!("{}{query}{fragment}", join(base, path)))
}

/// Refuses a URI whose query contains `..`, however often it is percent-encoded.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` "Invalid query string".
pub fn check_query(uri: &str) -> Result<()> {
    let (rest, _) = split_at(uri, '#');
    let mut query = split_at(rest, '?').1.to_owned();
    for _ in 0..10 {
        if query.contains("..") {
            break;
        }
        let decoded = percent_encoding::percent_decode_str(&query).decode_utf8_lossy().into_owned();
        if decoded == query {
            return Ok(());
        }
        query = decoded;
    }
    Err(Error::invalid("Invalid query string"))
}

/// The scheme of a URI in lower case; `None` for a plain path.
#[must_use]
pub fn scheme(uri: &str) -> Option<String> {
    let (scheme, _) = uri.split_once(':')?;
    let mut chars = scheme.chars();
    (chars.next().is_some_and(|first| first.is_ascii_alphabetic())
        && chars.all(|char| char.is_ascii_alphanumeric() || "+-.".contains(char)))
    .then(|| scheme.to_ascii_lowercase())
}

fn split_at(text: &str, mark: char) -> (&str, &str) {
    text.find(mark).map_or((text, ""), |index| text.split_at(index))
}

fn join(base: &str, path: &str) -> String {
    match base {
        "" => path.to_owned(),
        base if base.ends_with('/') => format!("{base}{path}"),
        base => format!("{base}/{path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_goes_before_query_and_fragment() {
        for (uri, path, expected) in [
            ("s3://root/base/path?param=value", "some/subpath", "s3://root/base/path/some/subpath?param=value"),
            ("a/posix/path", "/some", "a/posix/path/some"),
            ("/mlruns/", "0", "/mlruns/0"),
            ("mlflow-artifacts:/", "1", "mlflow-artifacts:/1"),
            ("mlflow-artifacts:/1", "abc/artifacts", "mlflow-artifacts:/1/abc/artifacts"),
            ("file:relative", "1", "file:relative/1"),
            ("file:/a", "1", "file:///a/1"),
            ("gs://b#frag", "1", "gs://b/1#frag"),
            ("", "1", "1"),
        ] {
            assert_eq!(append_path(uri, path).as_deref(), Ok(expected), "{uri}");
        }
        for query in ["/../y", "%2e%2e/", "%252e%252e"] {
            assert!(append_path(&format!("s3://b?x={query}"), "1").is_err(), "{query}");
        }
    }
}
