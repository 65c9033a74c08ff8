//! The parameters of endpoints without a message: a query or a JSON body.

use axum::extract::Request;
use ferroflow_model::{Error, Result, limits::RequestSize, python, request::check_values};
use http::{Method, header};
use serde_json::{Map, Value};

use crate::{app::Cx, body::MemoryPermit};

/// The parameters of one request, by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Params {
    map: Map<String, Value>,
    is_json: bool,
}

impl Params {
    /// Reads them as the reference does: from the query of a GET, or a DELETE without JSON, else from a JSON object in
    /// the body; any other body has no parameters. Returns their share of the memory budget too.
    pub(crate) async fn read(cx: &Cx, request: Request) -> Result<(Self, Option<MemoryPermit>)> {
        let (parts, body) = request.into_parts();
        let is_json = is_json(parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()));
        if parts.method == Method::GET || (parts.method == Method::DELETE && !is_json) {
            let query = parts.uri.query().unwrap_or_default();
            let mut map = Map::new();
            for (name, value) in form_urlencoded::parse(query.as_bytes()) {
                map.entry(name.into_owned()).or_insert_with(|| value.into_owned().into());
            }
            return Ok((Self { map, is_json }, None));
        }
        let RequestSize { bytes, values } = RequestSize::SMALL;
        let body = cx.app.bodies.read(&parts.headers, body, bytes).await?;
        if !is_json {
            return Ok((Self::default(), None));
        }
        check_values(&body.bytes, values)?;
        let permit = cx.app.bodies.acquire_for_values(&body, values).await?;
        let map = match serde_json::from_slice(&body.bytes) {
            Ok(Value::Object(map)) => map,
            _ => Map::new(),
        };
        Ok((Self { map, is_json }, Some(permit)))
    }

    /// All parameters.
    pub(crate) fn map(&self) -> &Map<String, Value> {
        &self.map
    }

    /// Whether the content type is JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.is_json
    }

    /// An optional parameter; null is the same as absent.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    /// A required text.
    pub(crate) fn text(&self, name: &str) -> Result<String> {
        text(name, self.required(name)?)
    }

    /// An optional text.
    pub(crate) fn opt_text(&self, name: &str) -> Result<Option<String>> {
        self.get(name).map(|value| text(name, value)).transpose()
    }

    /// A required integer.
    pub(crate) fn int(&self, name: &str) -> Result<i64> {
        int(name, self.required(name)?)
    }

    /// A required parameter; it may be null.
    pub(crate) fn required(&self, name: &str) -> Result<&Value> {
        self.map.get(name).ok_or_else(|| missing(name))
    }
}

/// Whether a content type is JSON.
pub(crate) fn is_json(content_type: Option<&str>) -> bool {
    let mime = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    mime == "application/json" || (mime.starts_with("application/") && mime.ends_with("+json"))
}

/// The error for a missing parameter.
pub(crate) fn missing(name: &str) -> Error {
    Error::invalid(format!(
        "Missing value for required parameter '{name}'. See the API docs for more information about request parameters."
    ))
}

/// A value as text.
pub(crate) fn text(name: &str, value: &Value) -> Result<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(Error::invalid(format!("Parameter '{name}' must be a string."))),
    }
}

/// A value as an integer, which may be written as text.
pub(crate) fn int(name: &str, value: &Value) -> Result<i64> {
    let number = match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.ok_or_else(|| {
        let got = match value {
            Value::String(text) => python::repr(text),
            other => other.to_string(),
        };
        Error::invalid(format!("Parameter '{name}' must be an integer. Got: {got}"))
    })
}
