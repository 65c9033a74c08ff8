//! Conditional requests and ranges (RFC 9110, sections 13 and 14).

use std::ops::Range;

use http::{HeaderMap, header};

/// Whether `If-None-Match` lists this entity tag or is `*`: the client has the current representation. The comparison
/// is weak: a proxy that compresses a response makes its tag a weak one.
pub(crate) fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let lines = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|line| line.to_str().ok());
    lines.into_iter().any(|line| line.trim() == "*" || opaque_tags(line).any(|tag| tag == opaque(etag)))
}

/// The requested byte range of a representation. `None` sends all of it: nothing is requested, the request is for an
/// older version (`If-Range`), or it is not supported (several ranges, another unit).
///
/// # Errors
/// The range is not satisfiable.
pub(crate) fn range(headers: &HeaderMap, etag: &str, size: u64) -> Option<Result<Range<u64>, ()>> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    // The comparison is strong: parts of representations that are only equivalent do not fit together.
    let is_current = text(header::IF_RANGE).is_none_or(|tag| tag == etag && !tag.starts_with("W/"));
    text(header::RANGE).filter(|_| is_current).and_then(|range| parse_range(range, size))
}

/// An entity tag without the mark of a weak one.
fn opaque(etag: &str) -> &str {
    etag.strip_prefix("W/").unwrap_or(etag)
}

/// The entity tags of a list, without marks, up to the first that is not one. A tag may contain commas.
fn opaque_tags(list: &str) -> impl Iterator<Item = &str> {
    let mut rest = list;
    std::iter::from_fn(move || {
        rest = opaque(rest.trim_start_matches([' ', '\t', ',']));
        let end = rest.strip_prefix('"')?.find('"')?;
        let (tag, after) = rest.split_at(end + 2);
        rest = after;
        Some(tag)
    })
}

fn parse_range(header: &str, size: u64) -> Option<Result<Range<u64>, ()>> {
    let range = header.strip_prefix("bytes=")?;
    let (first, last) = range.split_once('-')?;
    if range.contains(',') {
        return None;
    }
    let range = match (first.trim(), last.trim()) {
        ("", last) => {
            let length: u64 = last.parse().ok()?;
            size.saturating_sub(length)..size
        }
        (first, "") => first.parse().ok()?..size,
        (first, last) => first.parse().ok()?..last.parse::<u64>().ok()?.saturating_add(1).min(size),
    };
    Some(if range.is_empty() { Err(()) } else { Ok(range) })
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn sent(lines: &[(HeaderName, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_tag_matches_weakly_in_lists_and_several_lines() {
        let known = |lines: &[&'static str], etag: &str| {
            let lines: Vec<_> = lines.iter().map(|line| (header::IF_NONE_MATCH, *line)).collect();
            is_known(&sent(&lines), etag)
        };
        for line in ["\"b\"", "W/\"b\"", "\"a\", W/\"b\"", "W/\"a\",\"b\" , \"c\"", "*", ", ,\"b\""] {
            assert!(known(&[line], "\"b\"") && known(&[line], "W/\"b\""), "{line}");
        }
        assert!(known(&["\"a\"", "\"b\""], "\"b\""), "lines of one header are one list");
        assert!(known(&["\"x,y\", \"b\""], "\"b\"") && known(&["\"x,y\""], "\"x,y\""));
        for line in ["\"a-br\"", "b", "w/\"b\"", "\"b", "", "\"x, \"b\"\"", "\"*\""] {
            assert!(!known(&[line], "\"b\""), "{line}");
        }
    }

    #[test]
    fn a_range_of_another_version_is_not_sent() {
        let range = |tag, etag| range(&sent(&[(header::RANGE, "bytes=0-0"), (header::IF_RANGE, tag)]), etag, 10);
        assert_eq!(range("\"a\"", "\"a\""), Some(Ok(0..1)));
        assert_eq!(range("\"b\"", "\"a\""), None);
        assert_eq!(range("W/\"a\"", "W/\"a\""), None, "the comparison is strong");
        assert_eq!(range("Sun, 06 Nov 1994 08:49:37 GMT", "\"a\""), None);
    }

    #[test]
    fn ranges() {
        for (header, expected) in [
            ("bytes=0-0", Some(Ok(0..1))),
            ("bytes=2-", Some(Ok(2..10))),
            ("bytes=-3", Some(Ok(7..10))),
            ("bytes=-99", Some(Ok(0..10))),
            ("bytes=5-99", Some(Ok(5..10))),
            ("bytes=10-", Some(Err(()))),
            ("bytes=5-2", Some(Err(()))),
            ("bytes=0-1,3-4", None),
            ("lines=0-1", None),
            ("bytes=x-y", None),
        ] {
            assert_eq!(parse_range(header, 10), expected, "{header}");
        }
    }
}
