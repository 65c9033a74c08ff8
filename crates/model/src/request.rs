//! Parses requests into messages, as lenient as the reference and with its error messages.
//!
//! The body of an official client takes the fast path: bytes to struct, then the required fields are checked.
//! Everything else goes through a JSON tree, which handles the quirks of the reference: repeated keys, JSON encoded as
//! a JSON string, camel-case names, numbers in strings, and error messages that name the actual type.

mod body;
mod convert;
pub(crate) mod count;
mod query;

use serde_json::{Map, Value};

use crate::{
    Error, Result,
    limits::RequestSize,
    rules::{Check, check},
    wire::{Rpc, read},
};

pub use count::at_most as values_at_most;

/// Parses a request. GET takes its parameters from the query if it has any, otherwise from the body.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` with the reference's message.
pub fn parse<T: Rpc>(
    method: &str,
    query: Option<&str>,
    content_type: Option<&str>,
    body: impl AsRef<[u8]>,
) -> Result<T> {
    match method {
        "GET" if query.is_some_and(query::has_parameters) => parse_query(query),
        "POST" | "PUT" => parse_body(content_type, body),
        _ => parse_json(body),
    }
}

/// Refuses a JSON text with more than `most` values, before it is parsed.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE`
pub fn check_values(json: &[u8], most: usize) -> Result<()> {
    // A shorter text cannot have that many values.
    if json.len() < most || count::at_most(json) <= most {
        return Ok(());
    }
    let found = count::exactly(json);
    if found <= most {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "The request has {found} values (objects, lists, texts and numbers), and at most {most} are read."
    )))
}

/// Refuses a request with more than `most` values, with the reference's message if there is one. Also refuses a long
/// request that is JSON encoded as a JSON string, as old clients send it, because that would be in memory twice.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE`
pub fn check_size<T: Rpc>(json: &[u8], most: usize) -> Result<()> {
    let most_in_text = RequestSize::MEDIUM.bytes;
    let first = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json).trim_ascii_start().first();
    if json.len() > most_in_text && first.is_none_or(|byte| !b"{[".contains(byte)) {
        return Err(Error::invalid(format!(
            "A request of more than {most_in_text} bytes must be a JSON object and begin with its brace."
        )));
    }
    check_values(json, most).map_err(|error| T::oversized(json).unwrap_or(error))
}

/// Parses the body of a POST or PUT request, whose content type must be JSON.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` with the reference's message.
pub fn parse_body<T: Rpc>(content_type: Option<&str>, body: impl AsRef<[u8]>) -> Result<T> {
    check_content_type(content_type)?;
    parse_json(body)
}

/// Parses the parameters of a GET request.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` with the reference's message.
pub fn parse_query<T: Rpc>(query: Option<&str>) -> Result<T> {
    from_tree(query::parameters(T::FIELDS, query.unwrap_or_default())?)
}

/// Refuses a body whose content type is not JSON.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE`
pub fn check_content_type(content_type: Option<&str>) -> Result<()> {
    match content_type.map(|value| value.split(';').next().unwrap_or_default()) {
        Some("application/json") => Ok(()),
        Some(_) => Err(Error::invalid("Bad Request. Content-Type must be one of ['application/json'].")),
        None => Err(Error::invalid("Bad Request. Content-Type header is missing.")),
    }
}

/// Parses a JSON body of any content type, as for DELETE and PATCH. Drops the body after parsing.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` with the reference's message.
pub fn parse_json<T: Rpc>(body: impl AsRef<[u8]>) -> Result<T> {
    if T::RULES.iter().all(|(_, checks)| checks.iter().all(|check| check.is_fast()))
        && let Ok(read::WithPresence { message, fields }) = read::from_slice::<T>(body.as_ref())
        && has_required(&message, fields)
        && message.is_complete()
    {
        return Ok(message);
    }
    from_tree(body::parameters(body)?)
}

/// Whether every parameter with [`Check::Required`] is present and not an empty text.
fn has_required<T: Rpc>(message: &T, fields: u64) -> bool {
    T::RULES.iter().filter(|(_, checks)| checks.contains(&Check::Required)).all(|(name, _)| {
        T::FIELDS
            .iter()
            .position(|field| field.name == *name)
            .is_some_and(|index| fields & (1 << index) != 0 && !message.is_blank(index))
    })
}

/// Converts the parameters to the message, or returns what is wrong with them.
fn from_tree<T: Rpc>(request: Map<String, Value>) -> Result<T> {
    convert::reject_conflicting_aliases(&request, T::FIELDS)?;
    let plain = convert::message(&request, T::FIELDS, "");
    check(T::RULES, &request, plain.is_ok())?;
    drop(request);
    // The reference continues with the fields before the invalid one, and so executes another request than the one
    // sent.
    let plain = plain.map_err(|failure| Error::invalid(failure.to_string()))?;
    read::from_tree(plain).map_err(|error| Error::invalid(format!("Invalid request: {error}")))
}
