//! Paths, media types and locations are the reference's: `../fixtures/reference.json` has its results (see
//! `../fixtures/record_reference.py`). Texts with different results are in the lists below.

use ferroflow_artifacts::{ArtifactPath, location::resolve_if_local, mime};
use ferroflow_model::{ErrorCode, uri::append_path};
use serde::Deserialize;

/// Accepted by the reference on Linux, and refused here: Windows separators and drives, which a client there would
/// follow, invalid UTF-8, a fragment that is encoded twice, and file URIs that it reads as empty.
const REFUSED: &[&str] = &[
    "C:",
    "c:x",
    "a:b",
    "x:y/z",
    "\\x",
    "..\\x",
    "a\\..\\..\\x",
    "%5c..%5cx",
    "%255c",
    "a\\b",
    "%2523",
    "a?#",
    "a%2523b",
    "%ff",
    "a/%c0%ae%c0%ae/x",
    "file:",
    "file:////etc",
];

/// Refused by the reference, whose URL parser strips white space, and a valid name here.
const KEPT: &[&str] = &[".\t./x", " .."];

/// Accepted by both. The reference's URL parser changes the text: what it drops or moves is part of the name here, and
/// so is a percent sign, which it decodes again: no two paths of a client are the same file.
const TAKEN_LITERALLY: &[&str] =
    &["a?", "?", "%3f", "a;", "%3b", "a\tb", "a\nb", "%00", "http:x", "AB:/x", "ä%C3%A4", "50%25", "a%2520b", "a%3Fb"];

/// Locations with a scheme in upper case, or with nothing after it: stored unchanged.
const ODD_SCHEMES: &[&str] = &["FILE:/a", "FILE:a", "S3://B/x", "mlflow-artifacts:"];

#[derive(Deserialize)]
struct Recorded {
    paths: Vec<(String, Option<String>)>,
    types: Vec<(String, String)>,
    dispositions: Vec<(String, String)>,
    locations: Vec<(String, Option<String>)>,
    appended: Vec<(String, String, Option<String>)>,
}

fn recorded() -> Recorded {
    serde_json::from_str(include_str!("../fixtures/reference.json")).expect("written by record_reference.py")
}

/// Asserts that there are no differences, so that one run shows all of them.
fn assert_none(differences: &[String]) {
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn a_path_is_refused_where_the_reference_refuses_it() {
    let mut differences = Vec::new();
    for (text, theirs) in recorded().paths {
        let ours = ArtifactPath::parse(&text);
        if let Err(error) = &ours {
            assert_eq!(error.code, ErrorCode::InvalidParameterValue);
            assert_eq!(error.message, "Invalid path");
        }
        let ours = ours.ok().map(|path| path.to_string());
        // Empty and `.` components are dropped; the reference drops them when it opens the file.
        let theirs = theirs
            .map(|path| path.split('/').filter(|part| !part.is_empty() && *part != ".").collect::<Vec<_>>().join("/"));
        let known = match (&ours, &theirs) {
            (None, Some(_)) => REFUSED.contains(&text.as_str()),
            (Some(_), None) => KEPT.contains(&text.as_str()),
            (Some(ours), Some(theirs)) => (ours != theirs) == TAKEN_LITERALLY.contains(&text.as_str()),
            (None, None) => true,
        };
        if !known {
            differences.push(format!("{text:?}: {ours:?}, the reference {theirs:?}"));
        }
    }
    assert_none(&differences);
}

#[test]
fn files_have_the_types_of_the_reference() {
    let differences: Vec<_> = recorded()
        .types
        .into_iter()
        .filter(|(name, theirs)| mime::guess(name) != theirs)
        .map(|(name, theirs)| format!("{name}: {}, the reference {theirs}", mime::guess(&name)))
        .collect();
    assert_none(&differences);
}

#[test]
fn downloads_have_the_names_of_the_reference() {
    let differences: Vec<_> = recorded()
        .dispositions
        .into_iter()
        .filter(|(name, theirs)| mime::attachment(name) != *theirs)
        .map(|(name, theirs)| format!("{name}: {}, the reference {theirs}", mime::attachment(&name)))
        .collect();
    assert_none(&differences);
}

#[test]
fn locations_are_stored_as_the_reference_stores_them() {
    let here = std::env::current_dir().unwrap().to_string_lossy().into_owned();
    let mut differences = Vec::new();
    for (text, theirs) in recorded().locations {
        let ours = resolve_if_local(&text).ok();
        let theirs = theirs.map(|theirs| theirs.replace("{here}", &here));
        if ours != theirs && !ODD_SCHEMES.contains(&text.as_str()) {
            differences.push(format!("{text:?}: {ours:?}, the reference {theirs:?}"));
        }
    }
    assert_none(&differences);
}

#[test]
fn what_is_below_a_location_is_where_the_reference_puts_it() {
    let mut differences = Vec::new();
    for (base, path, theirs) in recorded().appended {
        let ours = append_path(&base, &path).ok();
        if ours != theirs && !ODD_SCHEMES.contains(&base.as_str()) {
            differences.push(format!("{base:?} + {path:?}: {ours:?}, the reference {theirs:?}"));
        }
    }
    assert_none(&differences);
}
