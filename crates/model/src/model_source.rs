//! Sources of model versions, as far as their text is concerned: classification and validation.
//!
//! A source is a location that the server reads on behalf of everyone who may read the version. Therefore a local path,
//! or a path in the server's own store, must be within the artifacts of a run or logged model that the request names.

use percent_encoding::percent_decode_str;

use crate::{Error, Result, uri::SplitUri};

/// Maximum number of times a source is percent-decoded. One that is not stable then is refused.
const MAX_DECODING: usize = 10;

/// The components of an artifact server's route.
const ROUTE: [&str; 4] = ["api", "2.0", "mlflow-artifacts", "artifacts"];

/// The kind of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A path on the server's machine.
    Local,
    /// `runs:/…`
    Runs,
    /// `models:/…`
    Models,
    /// A path in the artifact store of an MLflow server.
    Proxied,
    /// A location in another store, such as a bucket.
    External,
}

/// Classifies a source.
///
/// # Errors
/// It is not a valid URI, or names a file on another host.
pub fn kind(source: &str) -> Result<Kind> {
    let uri = SplitUri::parse(source)?;
    Ok(match uri.scheme.as_str() {
        "" if source != "databricks" => Kind::Local,
        "file" => {
            let host = uri.host();
            let is_here =
                host.is_empty() || host == "." || host.starts_with("localhost") || host.starts_with("127.0.0.1");
            if !is_here {
                return Err(Error::invalid(format!(
                    "{source} is not a valid remote uri. For remote access on windows, please consider using a \
                     different scheme such as SMB (e.g. smb://<hostname>/<path>)."
                )));
            }
            Kind::Local
        }
        "runs" => Kind::Runs,
        "models" => Kind::Models,
        "mlflow-artifacts" => Kind::Proxied,
        "http" | "https" if components(&uri.path).windows(ROUTE.len()).any(|part| part == ROUTE) => Kind::Proxied,
        _ => Kind::External,
    })
}

/// Checks that the path of a source that is not local is absolute and has no relative components, however often it is
/// encoded.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE`.
pub fn check_absolute(source: &str) -> Result<()> {
    let refused = || {
        Error::invalid(format!(
            "Invalid model version source: '{source}'. If supplying a source as an http, https, local file path, ftp, \
             objectstore, or mlflow-artifacts uri, an absolute path must be provided without relative path references \
             present. Please provide an absolute path."
        ))
    };
    let mut text = source.to_owned();
    let mut rounds = 0;
    loop {
        let decoded = percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
        if decoded == text {
            break;
        }
        rounds += 1;
        if rounds > MAX_DECODING {
            return Err(refused());
        }
        text = decoded;
    }
    let uri = SplitUri::parse(&text).map_err(|_| refused())?;
    let path = uri.path_without_params();
    let is_plain = path.starts_with('/')
        && !path.trim_end_matches('/').is_empty()
        && !path.contains('\0')
        && path.split('/').all(|part| part != "." && part != "..")
        && text.split('/').all(|part| part != "..");
    if is_plain { Ok(()) } else { Err(refused()) }
}

/// Whether a source is within the location `root`; both are URIs.
///
/// # Errors
/// One of them is not a valid URI.
pub fn is_within(source: &str, root: &str) -> Result<bool> {
    let (source, root) = (SplitUri::parse(source)?, SplitUri::parse(root)?);
    let (parts, root_parts) = (components(&source.path), components(&root.path));
    Ok(source.scheme == root.scheme
        && source.authority.to_lowercase() == root.authority.to_lowercase()
        && !root_parts.is_empty()
        && parts.starts_with(&root_parts))
}

/// The run of a `runs:/` source.
///
/// # Errors
/// It has no run id.
pub fn run_of(source: &str) -> Result<String> {
    let uri = SplitUri::parse(source)?;
    let run = uri.path.strip_prefix('/').and_then(|path| path.split('/').next()).filter(|run| !run.is_empty());
    run.map(str::to_owned).ok_or_else(|| {
        Error::invalid(format!(
            "Not a proper runs:/ URI: {source}. Runs URIs must be of the form \
             'runs:/<run_id>/run-relative/path/to/artifact'"
        ))
    })
}

/// The error for a source whose owner `parameter` (`run_id` or `model_id`) should have named.
#[must_use]
pub fn not_identified(source: &str, parameter: &str) -> Error {
    Error::invalid(format!(
        "Invalid model version source: '{source}'. The {parameter} request parameter must identify the resource that \
         contains the source."
    ))
}

/// The error for a local source outside of what `parameter` (`run_id` or `model_id`) names.
#[must_use]
pub fn not_contained(source: &str, parameter: &str) -> Error {
    Error::invalid(format!(
        "Invalid model version source: '{source}'. To use a local path as a model version source, the {parameter} \
         request parameter has to be specified and the local path has to be contained within the artifact directory of \
         the run specified by the {parameter}."
    ))
}

/// The components of a path, each percent-decoded until it is stable.
fn components(path: &str) -> Vec<String> {
    path.split('/').filter(|part| !part.is_empty()).map(decoded).collect()
}

fn decoded(part: &str) -> String {
    let mut part = part.to_owned();
    for _ in 0..MAX_DECODING {
        let next = percent_decode_str(&part).decode_utf8_lossy().into_owned();
        if next == part {
            break;
        }
        part = next;
    }
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds() {
        for (source, expected) in [
            ("/a/b", Kind::Local),
            ("a/b", Kind::Local),
            ("file:///a", Kind::Local),
            ("file://localhost/a", Kind::Local),
            ("runs:/1/model", Kind::Runs),
            ("models:/m/1", Kind::Models),
            ("mlflow-artifacts:/1/x", Kind::Proxied),
            ("https://h/api/2.0/mlflow-artifacts/artifacts/1", Kind::Proxied),
            ("http://h/p/api/2.0/mlflow%2dartifacts/artifacts/1", Kind::Proxied),
            ("https://h/1", Kind::External),
            ("s3://b/1", Kind::External),
            ("c:\\x", Kind::External),
            ("databricks", Kind::External),
        ] {
            assert_eq!(kind(source), Ok(expected), "{source}");
        }
        assert!(kind("file://server/x").is_err());
    }

    #[test]
    fn paths_with_relative_references_are_refused() {
        for source in ["s3://b/a/b", "s3://b/a/b/", "s3://b//a", "mlflow-artifacts:/1/a b", "dbfs:/x/..y", "s3://b/a+b"]
        {
            assert_eq!(check_absolute(source), Ok(()), "{source}");
        }
        for source in [
            "s3://b",
            "s3://b/",
            "s3:a/b",
            "mlflow-artifacts:/",
            "s3://b/../c",
            "s3://b/a/./c",
            "s3://b/a/..",
            "s3://b/%2e%2e/c",
            "s3://b/%252e%252e/c",
            "s3://b/..%2fc",
            "s3://b/a%00",
            "http://h/a/..;x",
            "s3://b/a?x=/../y",
            "s3://b/a#/../y",
            "c:\\x",
            "databricks",
        ] {
            assert!(check_absolute(source).is_err(), "{source}");
        }
        assert!(check_absolute(&format!("s3://b/%{}2e", "25".repeat(100_000))).is_err());
    }

    #[test]
    fn containment_is_checked_by_path_component() {
        let root = "mlflow-artifacts:/1/run/artifacts";
        for source in [root, "mlflow-artifacts:/1/run/artifacts/model", "MLFLOW-ARTIFACTS:/1/r%75n/artifacts/x"] {
            assert_eq!(is_within(source, root), Ok(true), "{source}");
        }
        for source in
            ["mlflow-artifacts:/1/run/artifacts2", "mlflow-artifacts:/1/run", "mlflow-artifacts://h/1/run/artifacts"]
        {
            assert_eq!(is_within(source, root), Ok(false), "{source}");
        }
        assert_eq!(is_within("s3://b/x", "s3://b/"), Ok(false), "a bucket as a whole is nobody's");
    }

    #[test]
    fn runs() {
        assert_eq!(run_of("runs:/abc/model").as_deref(), Ok("abc"));
        for source in ["runs:/", "runs:abc", "runs://x"] {
            assert!(run_of(source).is_err(), "{source}");
        }
    }
}
