//! Reduces errors of stores to one line.

use ferroflow_model::{Error, Result};

use crate::{ArtifactPath, client::last_cause};

/// The error for the client. The details for the operator are logged.
pub(super) fn explain(error: &object_store::Error, path: &ArtifactPath, store: &str) -> Error {
    match error {
        object_store::Error::NotFound { .. } if !is_about_bucket(error) => {
            Error::not_found(format!("No such artifact: '{path}'"))
        }
        object_store::Error::InvalidPath { .. } => Error::invalid("Invalid path"),
        object_store::Error::Precondition { .. } => {
            Error::unavailable(format!("'{path}' is being replaced: try again."))
        }
        _ => {
            tracing::error!(store, reason = reason(error), %path, "the artifact storage failed");
            Error::unavailable("The artifact storage failed. The server's log has the details.")
        }
    }
}

fn is_about_bucket(error: &object_store::Error) -> bool {
    error.to_string().contains("NoSuchBucket")
}

/// Why a request failed: the store's own code and message, or the error of the connection.
pub(crate) fn reason(error: &object_store::Error) -> String {
    let text = error.to_string();
    if let Some(code) = element(&text, "Code") {
        // Azure appends the request id below its message.
        return match element(&text, "Message").and_then(|message| message.lines().next()) {
            Some(message) if !message.is_empty() => format!("{code}: {message}"),
            _ => code.to_owned(),
        };
    }
    if let Some(error) = json_error(&text) {
        return error;
    }
    // Addresses of the metadata services of Azure, Google and AWS, for credentials of the machine.
    if ["169.254.169.254", "metadata.google.internal", "/latest/api/token", "/latest/meta-data/"]
        .iter()
        .any(|place| text.contains(place))
    {
        return "no credentials: none are set, and the machine has none".to_owned();
    }
    match error {
        object_store::Error::NotFound { .. } => "the bucket does not exist".to_owned(),
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
            "access denied".to_owned()
        }
        _ => last_cause(error),
    }
}

/// The code and message in a JSON error of Google.
fn json_error(text: &str) -> Option<String> {
    let body = &text[text.find('{')?..];
    let body = serde_json::Deserializer::from_str(body).into_iter::<serde_json::Value>().next()?.ok()?;
    let (code, message) = (body["error"]["code"].as_u64()?, body["error"]["message"].as_str()?);
    Some(format!("{code}: {}", message.lines().next().unwrap_or_default()))
}

/// The text of an XML element.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let start = text.find(&format!("<{name}>"))? + name.len() + 2;
    let length = text[start..].find("</")?;
    Some(&text[start..start + length])
}

/// Translates a result for the client.
pub(super) trait ExplainResult<T> {
    fn explained(self, path: &ArtifactPath, store: &str) -> Result<T>;
}

impl<T> ExplainResult<T> for object_store::Result<T> {
    fn explained(self, path: &ArtifactPath, store: &str) -> Result<T> {
        self.map_err(|error| explain(&error, path, store))
    }
}
