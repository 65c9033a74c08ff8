//! Errors in OTLP's form: `google.rpc.Status`, in the encoding of the request.

use axum::{
    body::Body,
    response::{IntoResponse as _, Response},
};
use ferroflow_model::Error;
use ferroflow_otlp::{Encoding, status};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::{content_type, encoding_of};
use crate::error::ApiError;

/// The beginning of the `User-Agent` of MLflow's own clients. They read the API's errors here too.
const MLFLOW: &str = "mlflow-python-client";

/// The answer to a request that failed.
pub(crate) fn failed(headers: &HeaderMap, error: Error) -> Response {
    answer(headers, None, error)
}

/// The answer to a request that failed, with another status than that of the error's code.
pub(super) fn answer(headers: &HeaderMap, status_code: Option<StatusCode>, error: Error) -> Response {
    let message = error.message.clone();
    let mut response = ApiError(error).into_response();
    if let Some(status_code) = status_code {
        *response.status_mut() = status_code;
    }
    let agent = headers.get(header::USER_AGENT).map(HeaderValue::as_bytes).unwrap_or_default();
    if agent.starts_with(MLFLOW.as_bytes()) {
        return response;
    }
    // A client that sends neither encoding reads the error as a person does.
    let encoding = encoding_of(headers).unwrap_or(Encoding::Json);
    *response.body_mut() = Body::from(status(code(response.status()), &message, encoding));
    response.headers_mut().insert(header::CONTENT_TYPE, content_type(encoding));
    response
}

/// The code of gRPC for a status of HTTP.
pub(crate) fn code(status: StatusCode) -> u8 {
    match status.as_u16() {
        401 => 16,
        403 => 7,
        404 => 5,
        409 => 10,
        413 | 429 => 8,
        400..=499 => 3,
        501 => 12,
        503 => 14,
        504 => 4,
        _ => 13,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn body(response: Response) -> Vec<u8> {
        axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap().into()
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[tokio::test]
    async fn an_error_has_the_encoding_of_the_request() {
        let error = || Error::not_found("no \"x\"");
        for (sent, expected) in [
            ("application/x-protobuf", b"\x08\x05\x12\x06no \"x\"".to_vec()),
            ("application/json; charset=utf-8", br#"{"code":5,"message":"no \"x\""}"#.to_vec()),
            ("text/plain", br#"{"code":5,"message":"no \"x\""}"#.to_vec()),
        ] {
            let response = failed(&headers(&[("content-type", sent)]), error());
            assert_eq!(response.status(), 404, "{sent}");
            assert_eq!(body(response).await, expected, "{sent}");
        }
        let sdk = headers(&[("content-type", "application/x-protobuf"), ("user-agent", "mlflow-python-client/3.17.2")]);
        let response = failed(&sdk, error());
        assert_eq!(response.headers()["content-type"], "application/json");
        let text = String::from_utf8(body(response).await).unwrap();
        assert!(text.contains("RESOURCE_DOES_NOT_EXIST"), "{text}");
    }

    #[test]
    fn a_full_server_says_when_to_try_again() {
        let response = failed(&HeaderMap::new(), Error::busy("full"));
        assert_eq!(response.status(), 429);
        assert!(response.headers().contains_key(header::RETRY_AFTER));
    }
}
