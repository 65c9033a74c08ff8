//! From the text of a request to its message, with the reference's leniency and the reference's words.
//!
//! A body that an official client sends takes the short way: bytes to struct, then a look at what is required.
//! Everything else goes through a JSON tree, where each quirk of the reference has its place: repeated keys, a body
//! that is JSON in a JSON string, camel-case names, numbers in strings, and rules that name the type they got.

mod body;
mod convert;
mod query;

use serde_json::{Map, Value};

use crate::{
    Error, Result,
    rules::{Check, check},
    wire::{Rpc, read},
};

/// Reads a request of any method: GET takes its parameters from the query if there is one, else from the body.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` in the reference's words.
pub fn parse<T: Rpc>(method: &str, query: Option<&str>, content_type: Option<&str>, body: &[u8]) -> Result<T> {
    match method {
        "GET" if query.is_some_and(query::has_parameters) => parse_query(query),
        "POST" | "PUT" => parse_body(content_type, body),
        _ => parse_json(body),
    }
}

/// Reads the body of a POST or PUT request, which must say that it is JSON.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` in the reference's words.
pub fn parse_body<T: Rpc>(content_type: Option<&str>, body: &[u8]) -> Result<T> {
    check_content_type(content_type)?;
    parse_json(body)
}

/// Reads the parameters of a GET request.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` in the reference's words.
pub fn parse_query<T: Rpc>(query: Option<&str>) -> Result<T> {
    from_tree(&query::parameters(T::FIELDS, query.unwrap_or_default())?)
}

/// Refuses a body that does not say it is JSON.
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

/// Reads a JSON body whatever its content type, as for DELETE and PATCH.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` in the reference's words.
pub fn parse_json<T: Rpc>(body: &[u8]) -> Result<T> {
    if T::RULES.iter().all(|(_, checks)| checks.iter().all(|check| check.is_fast()))
        && let Ok(read::Present { message, fields }) = read::from_slice::<T>(body)
        && has_required(&message, fields)
        && message.is_complete()
    {
        return Ok(message);
    }
    from_tree(&body::parameters(body)?)
}

/// Whether every parameter with [`Check::Required`] is there and no empty text.
fn has_required<T: Rpc>(message: &T, fields: u64) -> bool {
    T::RULES.iter().filter(|(_, checks)| checks.contains(&Check::Required)).all(|(name, _)| {
        T::FIELDS
            .iter()
            .position(|field| field.name == *name)
            .is_some_and(|index| fields & (1 << index) != 0 && !message.is_blank(index))
    })
}

/// Reads the parameters as the message, or says what is wrong with them.
fn from_tree<T: Rpc>(request: &Map<String, Value>) -> Result<T> {
    convert::reject_conflicting_aliases(request, T::FIELDS)?;
    let plain = convert::message(request, T::FIELDS, "");
    check(T::RULES, request, plain.is_ok())?;
    // The reference goes on with the fields it had read before the bad one: a write of something else
    // than what was asked for.
    let plain = plain.map_err(|failure| Error::invalid(failure.to_string()))?;
    let text = serde_json::to_vec(&plain).map_err(|error| Error::internal(error.to_string()))?;
    let present = read::from_slice::<T>(&text).map_err(|error| Error::invalid(format!("Invalid request: {error}")))?;
    Ok(present.message)
}
