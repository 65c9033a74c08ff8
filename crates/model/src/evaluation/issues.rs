//! Issues: problems that were found in traces.

use crate::{
    Error, Result, python,
    python_json::{Json, Text},
    validation::exceeds_maximum_length,
};

/// The status of a new issue.
pub const PENDING: &str = "pending";

/// Severities, the lowest first.
pub const SEVERITIES: [&str; 4] = ["not_an_issue", "low", "medium", "high"];

const STATUSES: [&str; 3] = [PENDING, "rejected", "resolved"];

/// Checks a status.
///
/// # Errors
/// There is no such status.
pub fn check_status(status: &str) -> Result<()> {
    one_of("status", &STATUSES, status)
}

/// Checks a severity.
///
/// # Errors
/// There is no such severity.
pub fn check_severity(severity: &str) -> Result<()> {
    one_of("severity", &SEVERITIES, severity)
}

fn one_of(name: &str, known: &[&str], given: &str) -> Result<()> {
    if known.contains(&given) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "Invalid value {} for parameter '{name}' supplied. It must be one of {}",
        python::repr(given),
        python::repr_list(known)
    )))
}

/// Checks a name.
///
/// # Errors
/// It is too long.
pub fn check_name(name: &str) -> Result<()> {
    at_most("name", 250, name)
}

/// Checks the name of the user who created an issue.
///
/// # Errors
/// It is too long.
pub fn check_creator(name: &str) -> Result<()> {
    at_most("created_by", super::NAME, name)
}

fn at_most(name: &str, limit: usize, text: &str) -> Result<()> {
    if text.chars().count() > limit {
        return Err(Error::invalid(exceeds_maximum_length(name, limit)));
    }
    Ok(())
}

/// A list of texts as it is stored; `None` for an empty one.
#[must_use]
pub fn stored_list(texts: &[String]) -> Option<String> {
    let items = || texts.iter().map(|text| Json::Text(Text::new(text))).collect();
    (!texts.is_empty()).then(|| Json::Array(items()).dumps())
}

/// The texts of a stored list.
#[must_use]
pub fn list_of(stored: Option<&str>) -> Vec<String> {
    match stored.and_then(|stored| Json::parse(stored, usize::MAX).ok()) {
        Some(Json::Array(items)) => items.iter().filter_map(|item| item.text()?.decode()).collect(),
        _ => Vec::new(),
    }
}
