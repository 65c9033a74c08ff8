//! Parameters in a query.

use std::fmt::Write as _;

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use crate::{
    Error, Result,
    wire::{Field, Kind},
};

/// Whether a query has parameters.
pub(super) fn has_parameters(query: &str) -> bool {
    pairs(query).next().is_some()
}

/// The parameters that are fields: all values of a repeated field, the first value of others. Only proto names are
/// recognised.
///
/// # Errors
/// A boolean is neither `true` nor `false`.
pub(super) fn parameters(fields: &[Field], query: &str) -> Result<Map<String, Value>> {
    let mut request = Map::new();
    for (name, value) in pairs(query) {
        let Some(field) = fields.iter().find(|field| field.name == name) else { continue };
        if field.repeated {
            match request.entry(name).or_insert_with(|| Value::Array(Vec::new())) {
                Value::Array(values) => values.push(value.into()),
                // Unreachable: only repeated fields use this entry.
                other => *other = value.into(),
            }
        } else if !request.contains_key(&name) {
            request.insert(name, single(field.kind, value)?);
        }
    }
    Ok(request)
}

fn single(kind: Kind, value: String) -> Result<Value> {
    if !matches!(kind, Kind::Bool) {
        return Ok(value.into());
    }
    match value.to_lowercase().as_str() {
        "true" => Ok(true.into()),
        "false" => Ok(false.into()),
        _ => Err(Error::invalid(format!("Invalid boolean value: {value}, must be 'true' or 'false'."))),
    }
}

/// Names and values, decoded. `+` is a space, and a name without `=` has an empty value.
fn pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name), decoded(value))
    })
}

/// Percent-decodes a text; bytes that are not UTF-8 stay encoded.
fn decoded(text: &str) -> String {
    let text = text.replace('+', " ");
    let bytes: Vec<u8> = percent_decode_str(&text).collect();
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
