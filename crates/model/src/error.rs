//! The one error a client of the API sees: a code of the protocol and a sentence.

use std::fmt;

use serde::{Serialize, Serializer, ser::SerializeMap as _};

const USER_ERROR: &str = "KAM00";
const SYSTEM_ERROR: &str = "XXM00";

/// Error codes of the protocol, with the HTTP status each one travels with
/// (source: `ErrorCode` in `databricks.proto` and `ERROR_CODE_TO_HTTP_STATUS` of the reference).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// The request can not be understood at all.
    BadRequest,
    /// A parameter is missing, of the wrong type or out of range.
    InvalidParameterValue,
    /// The name is taken.
    ResourceAlreadyExists,
    /// The caller is not known.
    Unauthenticated,
    /// The caller's credentials are refused.
    CustomerUnauthorized,
    /// The caller is known and may not do this.
    PermissionDenied,
    /// Nothing has the given name or id.
    ResourceDoesNotExist,
    /// What an outside service was asked for is not there.
    NotFound,
    /// Nothing is served at this path.
    EndpointNotFound,
    /// Two callers changed the same thing at once.
    ResourceConflict,
    /// The operation gave way to another one.
    Aborted,
    /// What was to be created is there already.
    AlreadyExists,
    /// Too many requests, or a request that costs too much.
    RequestLimitExceeded,
    /// A quota is used up.
    ResourceExhausted,
    /// The caller went away.
    Cancelled,
    /// A defect of the server.
    InternalError,
    /// The stored data contradicts itself.
    InvalidState,
    /// Stored data is gone or damaged.
    DataLoss,
    /// This server does not do that.
    NotImplemented,
    /// Try again later.
    TemporarilyUnavailable,
    /// The operation took too long.
    DeadlineExceeded,
}

impl ErrorCode {
    /// Every code.
    pub const ALL: &[Self] = &[
        Self::BadRequest,
        Self::InvalidParameterValue,
        Self::ResourceAlreadyExists,
        Self::Unauthenticated,
        Self::CustomerUnauthorized,
        Self::PermissionDenied,
        Self::ResourceDoesNotExist,
        Self::NotFound,
        Self::EndpointNotFound,
        Self::ResourceConflict,
        Self::Aborted,
        Self::AlreadyExists,
        Self::RequestLimitExceeded,
        Self::ResourceExhausted,
        Self::Cancelled,
        Self::InternalError,
        Self::InvalidState,
        Self::DataLoss,
        Self::NotImplemented,
        Self::TemporarilyUnavailable,
        Self::DeadlineExceeded,
    ];

    /// The name on the wire, such as `INVALID_PARAMETER_VALUE`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadRequest => "BAD_REQUEST",
            Self::InvalidParameterValue => "INVALID_PARAMETER_VALUE",
            Self::ResourceAlreadyExists => "RESOURCE_ALREADY_EXISTS",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::CustomerUnauthorized => "CUSTOMER_UNAUTHORIZED",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::ResourceDoesNotExist => "RESOURCE_DOES_NOT_EXIST",
            Self::NotFound => "NOT_FOUND",
            Self::EndpointNotFound => "ENDPOINT_NOT_FOUND",
            Self::ResourceConflict => "RESOURCE_CONFLICT",
            Self::Aborted => "ABORTED",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::RequestLimitExceeded => "REQUEST_LIMIT_EXCEEDED",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::Cancelled => "CANCELLED",
            Self::InternalError => "INTERNAL_ERROR",
            Self::InvalidState => "INVALID_STATE",
            Self::DataLoss => "DATA_LOSS",
            Self::NotImplemented => "NOT_IMPLEMENTED",
            Self::TemporarilyUnavailable => "TEMPORARILY_UNAVAILABLE",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
        }
    }

    /// The HTTP status that goes with the code.
    #[must_use]
    pub const fn http_status(self) -> u16 {
        match self {
            Self::BadRequest | Self::InvalidParameterValue | Self::ResourceAlreadyExists => 400,
            Self::Unauthenticated | Self::CustomerUnauthorized => 401,
            Self::PermissionDenied => 403,
            Self::ResourceDoesNotExist | Self::NotFound | Self::EndpointNotFound => 404,
            Self::ResourceConflict | Self::Aborted | Self::AlreadyExists => 409,
            Self::RequestLimitExceeded | Self::ResourceExhausted => 429,
            Self::Cancelled => 499,
            Self::InternalError | Self::InvalidState | Self::DataLoss => 500,
            Self::NotImplemented => 501,
            Self::TemporarilyUnavailable => 503,
            Self::DeadlineExceeded => 504,
        }
    }

    /// The class and the SQLSTATE that observability tools of the reference's clients sort errors by.
    /// Some codes have none.
    const fn classification(self) -> Option<(&'static str, &'static str)> {
        Some(match self {
            Self::BadRequest | Self::InvalidParameterValue => ("INVALID_PARAMETER_VALUE", USER_ERROR),
            Self::CustomerUnauthorized | Self::PermissionDenied => ("PERMISSION_DENIED", USER_ERROR),
            Self::EndpointNotFound | Self::NotFound | Self::ResourceDoesNotExist => ("RESOURCE_NOT_FOUND", USER_ERROR),
            Self::ResourceAlreadyExists => ("RESOURCE_ALREADY_EXISTS", USER_ERROR),
            Self::InternalError | Self::InvalidState | Self::TemporarilyUnavailable => {
                ("CLIENT_INTERNAL_ERROR", SYSTEM_ERROR)
            }
            _ => return None,
        })
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An error of the API. The message is shown to the client: no secret, no SQL goes in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Error {
    /// What kind of error.
    pub code: ErrorCode,
    /// One sentence or more for the caller.
    pub message: String,
    /// What went wrong, where the code alone is too coarse.
    pub class: Option<ErrorClass>,
}

/// A class of errors that is finer than their code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorClass {
    /// A name stands for no attribute.
    AttributeNotFound,
    /// A serialised model can not be made or read.
    ModelSerializationFailed,
    /// Data does not have the shape that a model asks for.
    SchemaEnforcementFailed,
}

impl ErrorClass {
    const fn classification(self) -> (&'static str, &'static str) {
        match self {
            Self::AttributeNotFound => ("ATTRIBUTE_NOT_FOUND", "KAM04"),
            Self::ModelSerializationFailed => ("MODEL_SERIALIZATION_FAILED", "KAM03"),
            Self::SchemaEnforcementFailed => ("SCHEMA_ENFORCEMENT_FAILED", "KAM01"),
        }
    }
}

/// A result with the error of the API.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Serialize for Error {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("error_code", self.code.name())?;
        map.serialize_entry("message", &self.message)?;
        if let Some((class, sqlstate)) = self.class.map(ErrorClass::classification).or(self.code.classification()) {
            map.serialize_entry("sqlstate", sqlstate)?;
            map.serialize_entry("error_class", class)?;
        }
        map.end()
    }
}

impl Error {
    /// An error with any code.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), class: None }
    }

    /// The same error with a finer class.
    #[must_use]
    pub fn with_class(self, class: ErrorClass) -> Self {
        Self { class: Some(class), ..self }
    }

    /// The body of the answer: `error_code`, `message` and, where they are known, `sqlstate` and `error_class`.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|_| format!(r#"{{"error_code":"{}"}}"#, self.code))
    }

    /// `INVALID_PARAMETER_VALUE`, 400.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidParameterValue, message)
    }

    /// `BAD_REQUEST`, 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::BadRequest, message)
    }

    /// `RESOURCE_DOES_NOT_EXIST`, 404.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::ResourceDoesNotExist, message)
    }

    /// `RESOURCE_ALREADY_EXISTS`, 400.
    pub fn already_exists(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::ResourceAlreadyExists, message)
    }

    /// `INVALID_STATE`, 500.
    pub fn invalid_state(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidState, message)
    }

    /// `TEMPORARILY_UNAVAILABLE`, 503: what was done is not known.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::TemporarilyUnavailable, message)
    }

    /// `RESOURCE_EXHAUSTED`, 429: nothing was done, and the same request may be sent again.
    pub fn busy(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::ResourceExhausted, message)
    }

    /// `INTERNAL_ERROR`, 500.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InternalError, message)
    }
}

/// An error with its causes in one line, for a log. What a text says already is not said again.
#[must_use]
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `MlflowException("m", code)` of the reference answers: status and JSON.
    const REFERENCE: &[(u16, &str)] = &[
        (
            500,
            r#"{"error_code":"INTERNAL_ERROR","message":"m","sqlstate":"XXM00","error_class":"CLIENT_INTERNAL_ERROR"}"#,
        ),
        (
            503,
            r#"{"error_code":"TEMPORARILY_UNAVAILABLE","message":"m","sqlstate":"XXM00","error_class":"CLIENT_INTERNAL_ERROR"}"#,
        ),
        (
            400,
            r#"{"error_code":"BAD_REQUEST","message":"m","sqlstate":"KAM00","error_class":"INVALID_PARAMETER_VALUE"}"#,
        ),
        (504, r#"{"error_code":"DEADLINE_EXCEEDED","message":"m"}"#),
        (499, r#"{"error_code":"CANCELLED","message":"m"}"#),
        (429, r#"{"error_code":"RESOURCE_EXHAUSTED","message":"m"}"#),
        (409, r#"{"error_code":"ABORTED","message":"m"}"#),
        (404, r#"{"error_code":"NOT_FOUND","message":"m","sqlstate":"KAM00","error_class":"RESOURCE_NOT_FOUND"}"#),
        (409, r#"{"error_code":"ALREADY_EXISTS","message":"m"}"#),
        (401, r#"{"error_code":"UNAUTHENTICATED","message":"m"}"#),
        (
            400,
            r#"{"error_code":"INVALID_PARAMETER_VALUE","message":"m","sqlstate":"KAM00","error_class":"INVALID_PARAMETER_VALUE"}"#,
        ),
        (
            404,
            r#"{"error_code":"ENDPOINT_NOT_FOUND","message":"m","sqlstate":"KAM00","error_class":"RESOURCE_NOT_FOUND"}"#,
        ),
        (
            500,
            r#"{"error_code":"INVALID_STATE","message":"m","sqlstate":"XXM00","error_class":"CLIENT_INTERNAL_ERROR"}"#,
        ),
        (
            403,
            r#"{"error_code":"PERMISSION_DENIED","message":"m","sqlstate":"KAM00","error_class":"PERMISSION_DENIED"}"#,
        ),
        (
            401,
            r#"{"error_code":"CUSTOMER_UNAUTHORIZED","message":"m","sqlstate":"KAM00","error_class":"PERMISSION_DENIED"}"#,
        ),
        (429, r#"{"error_code":"REQUEST_LIMIT_EXCEEDED","message":"m"}"#),
        (409, r#"{"error_code":"RESOURCE_CONFLICT","message":"m"}"#),
        (501, r#"{"error_code":"NOT_IMPLEMENTED","message":"m"}"#),
        (500, r#"{"error_code":"DATA_LOSS","message":"m"}"#),
        (
            400,
            r#"{"error_code":"RESOURCE_ALREADY_EXISTS","message":"m","sqlstate":"KAM00","error_class":"RESOURCE_ALREADY_EXISTS"}"#,
        ),
        (
            404,
            r#"{"error_code":"RESOURCE_DOES_NOT_EXIST","message":"m","sqlstate":"KAM00","error_class":"RESOURCE_NOT_FOUND"}"#,
        ),
    ];

    #[test]
    fn every_code_answers_as_the_reference_does() {
        let ours: Vec<(u16, String)> =
            ErrorCode::ALL.iter().map(|code| (code.http_status(), Error::new(*code, "m").to_json())).collect();
        assert_eq!(ours.len(), REFERENCE.len());
        for (status, json) in REFERENCE {
            assert!(ours.contains(&(*status, (*json).to_owned())), "{json} is not in {ours:?}");
        }
    }

    #[test]
    fn a_finer_class_has_its_own_sqlstate() {
        assert_eq!(
            Error::invalid("no \"x\"").with_class(ErrorClass::AttributeNotFound).to_json(),
            r#"{"error_code":"INVALID_PARAMETER_VALUE","message":"no \"x\"","sqlstate":"KAM04","error_class":"ATTRIBUTE_NOT_FOUND"}"#
        );
    }
}
