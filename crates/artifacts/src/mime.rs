//! Media types of files, and their names in `Content-Disposition`.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use unicode_normalization::UnicodeNormalization as _;

/// Extensions (or names without one) that are served as plain text so that they can be previewed.
const TEXT: &[&str] = &[
    "txt",
    "log",
    "err",
    "cfg",
    "conf",
    "cnf",
    "cf",
    "ini",
    "properties",
    "prop",
    "hocon",
    "toml",
    "yaml",
    "yml",
    "xml",
    "json",
    "js",
    "py",
    "py3",
    "csv",
    "tsv",
    "md",
    "rst",
    "ipynb",
    "MLmodel",
    "mlproject",
];

/// Media types by extension where Python's `mimetypes` differs from the crate.
const PYTHON: &[(&str, &str)] = &[
    ("3g2", "audio/3gpp2"),
    ("3gp", "audio/3gpp"),
    ("3gpp", "audio/3gpp"),
    ("3gpp2", "audio/3gpp2"),
    ("aif", "audio/x-aiff"),
    ("aifc", "audio/x-aiff"),
    ("aiff", "audio/x-aiff"),
    ("ass", "audio/aac"),
    ("bat", "text/plain"),
    ("cdf", "application/x-netcdf"),
    ("dll", "application/octet-stream"),
    ("h5", "application/x-hdf5"),
    ("ico", "image/vnd.microsoft.icon"),
    ("js", "application/javascript"),
    ("ksh", "text/plain"),
    ("loas", "audio/aac"),
    ("m3u", "application/vnd.apple.mpegurl"),
    ("m3u8", "application/vnd.apple.mpegurl"),
    ("mif", "application/x-mif"),
    ("obj", "application/octet-stream"),
    ("opus", "audio/opus"),
    ("pl", "text/plain"),
    ("py", "text/x-python"),
    ("pyc", "application/x-python-code"),
    ("pyo", "application/x-python-code"),
    ("ram", "application/x-pn-realaudio"),
    ("rdf", "application/xml"),
    ("sgm", "text/x-sgml"),
    ("sgml", "text/x-sgml"),
    ("srt", "text/plain"),
    ("wav", "audio/x-wav"),
    ("wsdl", "application/xml"),
    ("xlb", "application/vnd.ms-excel"),
    ("xpdl", "application/xml"),
    ("xsl", "application/xml"),
];

/// Extensions of compressed files: the type is that of the content.
const COMPRESSED: &[&str] = &["gz", "Z", "bz2", "xz", "br"];

/// Extensions of compressed archives.
const ARCHIVES: &[&str] = &["tgz", "taz", "tz", "tbz2", "txz"];

/// `attr-char` of RFC 5987.
const ATTR_CHAR: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// The media type of a file by its name: the reference's, or a more precise one where it only has a generic one.
#[must_use]
pub fn guess(name: &str) -> &'static str {
    // A leading dot belongs to the name.
    let extension = name.trim_start_matches('.').rsplit_once('.').map(|(_, extension)| extension);
    let extension = extension.filter(|extension| !extension.is_empty()).unwrap_or(name);
    if TEXT.contains(&extension) {
        return "text/plain";
    }
    known(name).unwrap_or("application/octet-stream")
}

/// The media type by Python's `mimetypes`.
pub(crate) fn known(name: &str) -> Option<&'static str> {
    let (stem, extension) = name.trim_start_matches('.').rsplit_once('.')?;
    if ARCHIVES.contains(&extension) {
        return Some("application/x-tar");
    }
    if extension == "svgz" {
        return Some("image/svg+xml");
    }
    if COMPRESSED.contains(&extension) {
        return by_extension(stem.rsplit_once('.')?.1);
    }
    by_extension(extension)
}

fn by_extension(extension: &str) -> Option<&'static str> {
    let extension = extension.to_ascii_lowercase();
    let python = PYTHON.iter().find(|(known, _)| *known == extension);
    python.map(|(_, media_type)| *media_type).or_else(|| mime_guess::from_ext(&extension).first_raw())
}

/// The `Content-Disposition` of a download (RFC 6266): user content is never shown inline.
#[must_use]
pub fn attachment(name: &str) -> String {
    if name.is_ascii() {
        return format!("attachment; filename={}", quoted(name));
    }
    // The ASCII fallback keeps the base letter of accented letters.
    let ascii: String = name.nfkd().filter(char::is_ascii).collect();
    let ascii = if ascii.is_empty() { "download" } else { &ascii };
    format!("attachment; filename={}; filename*=UTF-8''{}", quoted(ascii), utf8_percent_encode(name, ATTR_CHAR))
}

fn quoted(name: &str) -> String {
    let token = |char: char| char.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(char);
    if !name.is_empty() && name.chars().all(token) {
        return name.to_owned();
    }
    let escaped: String = name
        .chars()
        .filter(|char| !char.is_ascii_control())
        .flat_map(|char| matches!(char, '"' | '\\').then_some('\\').into_iter().chain([char]))
        .collect();
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_text_and_the_rest_is_what_it_is() {
        for (name, expected) in [
            ("a.json", "text/plain"),
            ("MLmodel", "text/plain"),
            ("x.tar.md", "text/plain"),
            ("a.html", "text/html"),
            ("a.png", "image/png"),
            ("a.svg", "image/svg+xml"),
            ("model.pkl", "application/octet-stream"),
            ("noextension", "application/octet-stream"),
            (".hidden", "application/octet-stream"),
        ] {
            assert_eq!(guess(name), expected, "{name}");
        }
    }

    #[test]
    fn names_are_quoted_where_they_must_be() {
        assert_eq!(attachment("a.txt"), "attachment; filename=a.txt");
        assert_eq!(attachment("a b\"\r\n.txt"), "attachment; filename=\"a b\\\".txt\"");
        assert_eq!(attachment("雪.txt"), "attachment; filename=.txt; filename*=UTF-8''%E9%9B%AA.txt");
        assert_eq!(attachment("雪"), "attachment; filename=download; filename*=UTF-8''%E9%9B%AA");
    }
}
