//! The error type of the API: an error code of the protocol and a message.

use std::fmt;

use serde::{Serialize, Serializer, ser::SerializeMap as _};

const USER_ERROR: &str = "KAM00";
const SYSTEM_ERROR: &str = "XXM00";

/// Error codes of the protocol, and the HTTP status of each (source: `ErrorCode` in `databricks.proto` and
/// `ERROR_CODE_TO_HTTP_STATUS` of the reference).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// The request cannot be parsed.
    BadRequest,
    /// A parameter is missing, of the wrong type or out of range.
    InvalidParameterValue,
    /// The name is already used.
    ResourceAlreadyExists,
    /// The caller is not authenticated.
    Unauthenticated,
    /// The caller's credentials are rejected.
    CustomerUnauthorized,
    /// The caller is authenticated but not authorised.
    PermissionDenied,
    /// No resource has the name or id.
    ResourceDoesNotExist,
    /// A resource of an external service does not exist.
    NotFound,
    /// There is no route for this path.
    EndpointNotFound,
    /// A concurrent modification.
    ResourceConflict,
    /// The operation was aborted in favour of another one.
    Aborted,
    /// The resource exists already.
    AlreadyExists,
    /// Rate limit: too many requests, or a request that is too expensive.
    RequestLimitExceeded,
    /// The server has no resources for the request now.
    ResourceExhausted,
    /// A quota that an operator has set is reached: a retry does not help.
    QuotaExceeded,
    /// The caller cancelled the request.
    Cancelled,
    /// A bug in the server.
    InternalError,
    /// The stored data is inconsistent.
    InvalidState,
    /// Stored data is lost or corrupted.
    DataLoss,
    /// The server does not implement this.
    NotImplemented,
    /// Retry later.
    TemporarilyUnavailable,
    /// The operation timed out.
    DeadlineExceeded,
    /// The server runs without this feature.
    FeatureDisabled,
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
        Self::QuotaExceeded,
        Self::Cancelled,
        Self::InternalError,
        Self::InvalidState,
        Self::DataLoss,
        Self::NotImplemented,
        Self::TemporarilyUnavailable,
        Self::DeadlineExceeded,
        Self::FeatureDisabled,
    ];

    /// The name in responses, such as `INVALID_PARAMETER_VALUE`.
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
            Self::QuotaExceeded => "QUOTA_EXCEEDED",
            Self::Cancelled => "CANCELLED",
            Self::InternalError => "INTERNAL_ERROR",
            Self::InvalidState => "INVALID_STATE",
            Self::DataLoss => "DATA_LOSS",
            Self::NotImplemented => "NOT_IMPLEMENTED",
            Self::TemporarilyUnavailable => "TEMPORARILY_UNAVAILABLE",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::FeatureDisabled => "FEATURE_DISABLED",
        }
    }

    /// The HTTP status of the code.
    #[must_use]
    pub const fn http_status(self) -> u16 {
        match self {
            // The reference has the code and gives it no status. Its clients would repeat a 429 for minutes.
            Self::BadRequest | Self::InvalidParameterValue | Self::ResourceAlreadyExists | Self::QuotaExceeded => 400,
            Self::Unauthenticated | Self::CustomerUnauthorized => 401,
            Self::PermissionDenied => 403,
            Self::ResourceDoesNotExist | Self::NotFound | Self::EndpointNotFound => 404,
            Self::ResourceConflict | Self::Aborted | Self::AlreadyExists => 409,
            Self::RequestLimitExceeded | Self::ResourceExhausted => 429,
            Self::Cancelled => 499,
            Self::InternalError | Self::InvalidState | Self::DataLoss | Self::FeatureDisabled => 500,
            Self::NotImplemented => 501,
            Self::TemporarilyUnavailable => 503,
            Self::DeadlineExceeded => 504,
        }
    }

    /// The error class and the SQLSTATE by which the reference's clients classify errors; `None` for some codes.
    const fn classification(self) -> Option<(&'static str, &'static str)> {
        Some(match self {
            Self::BadRequest | Self::InvalidParameterValue => ("INVALID_PARAMETER_VALUE", USER_ERROR),
            Self::CustomerUnauthorized | Self::PermissionDenied => ("PERMISSION_DENIED", USER_ERROR),
            Self::EndpointNotFound | Self::NotFound | Self::ResourceDoesNotExist => ("RESOURCE_NOT_FOUND", USER_ERROR),
            Self::ResourceAlreadyExists => ("RESOURCE_ALREADY_EXISTS", USER_ERROR),
            Self::FeatureDisabled => ("FEATURE_DISABLED", USER_ERROR),
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

/// An error of the API. The message is sent to the client: it must not contain secrets or SQL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Error {
    /// The error code.
    pub code: ErrorCode,
    /// The message for the caller.
    pub message: String,
    /// A more specific class than that of the code.
    pub class: Option<ErrorClass>,
}

/// Error classes that are more specific than the error code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorClass {
    /// There is no attribute with this name.
    AttributeNotFound,
    /// A model cannot be serialised or deserialised.
    ModelSerializationFailed,
    /// Data does not match the schema of a model.
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

/// A result with an API error.
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
    /// An error with the given code.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), class: None }
    }

    /// Sets the error class.
    #[must_use]
    pub fn with_class(self, class: ErrorClass) -> Self {
        Self { class: Some(class), ..self }
    }

    /// The response body: `error_code`, `message` and, if known, `sqlstate` and `error_class`.
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

    /// `TEMPORARILY_UNAVAILABLE`, 503: it is unknown whether the operation was executed.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::TemporarilyUnavailable, message)
    }

    /// `RESOURCE_EXHAUSTED`, 429: nothing was executed; the request may be repeated.
    pub fn busy(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::ResourceExhausted, message)
    }

    /// `INTERNAL_ERROR`, 500.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InternalError, message)
    }
}

/// An error with its sources in one line, for logs. Omits a source whose text is already included.
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

    /// Responses of the reference for `MlflowException("m", code)`: status and JSON.
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
        (500, r#"{"error_code":"FEATURE_DISABLED","message":"m","sqlstate":"KAM00","error_class":"FEATURE_DISABLED"}"#),
    ];

    #[test]
    fn every_code_answers_as_the_reference_does() {
        let ours: Vec<(u16, String)> =
            ErrorCode::ALL.iter().map(|code| (code.http_status(), Error::new(*code, "m").to_json())).collect();
        // The reference never sends `QUOTA_EXCEEDED`.
        assert_eq!(ours.len(), REFERENCE.len() + 1);
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
