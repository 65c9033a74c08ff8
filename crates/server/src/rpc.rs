//! The one adapter between HTTP and handlers: reads the request, calls, writes the answer.

use std::{future::Future, pin::Pin, sync::Arc};

use axum::{
    body::{Body, Bytes},
    extract::{FromRequestParts as _, RawPathParams, Request},
    response::{IntoResponse, Response},
};
use ferroflow_auth::Caller;
use ferroflow_model::{
    Error, ErrorCode, Result, request,
    wire::{Message, Rpc},
};
use http::{HeaderValue, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::Serialize;

use crate::{
    access::{self, Named, Needs, Subject},
    app::{App, Cx},
    error::ApiError,
    params::Params,
};

/// The largest body of a call, in bytes. A dataset's profile alone may have 16 MiB.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// A handler of one kind of input, without the type of its future.
pub(crate) type Handler<T> = Arc<dyn Fn(Cx, T) -> Pin<Box<dyn Future<Output = Result<Response>> + Send>> + Send + Sync>;

/// Answers a call with what its handler makes of the message, if its caller may make it.
pub(crate) async fn call<T: Rpc>(app: Arc<App>, needs: Needs, request: Request, handler: Handler<T>) -> Response {
    let mut subject = None;
    let outcome = async {
        let (mut parts, body) = request.into_parts();
        let cx = context(app, &mut parts).await?;
        let bytes = read(body).await?;
        let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let message = request::parse::<T>(parts.method.as_str(), cx.query.as_deref(), content_type, &bytes)?;
        drop(bytes);
        subject = access::subject(&cx, needs, &parts.method, || Named::of_message(&cx, &message));
        if !access::check(&cx, needs, || Named::of_message(&cx, &message)).await? {
            return Err(access::refused());
        }
        handler(cx, message).await
    };
    answered(outcome.await, subject)
}

/// Answers a call that has no message, only a path, a query and perhaps a body.
pub(crate) async fn raw(app: Arc<App>, needs: Needs, request: Request, handler: Handler<Request>) -> Response {
    let (mut parts, body) = request.into_parts();
    let mut subject = None;
    let outcome = async {
        let cx = context(app, &mut parts).await?;
        subject = access::subject(&cx, needs, &parts.method, || Named::of_query(&cx));
        if !access::check(&cx, needs, || Named::of_query(&cx)).await? {
            return Err(access::refused());
        }
        handler(cx, Request::from_parts(parts, body)).await
    };
    answered(outcome.await, subject)
}

/// Answers a call that has no message, only parameters.
pub(crate) async fn with_params(app: Arc<App>, needs: Needs, request: Request, handler: Handler<Params>) -> Response {
    let (mut parts, body) = request.into_parts();
    let mut subject = None;
    let outcome = async {
        let cx = context(app, &mut parts).await?;
        // Without users there is nothing to read.
        cx.user()?;
        let method = parts.method.clone();
        let params = Params::read(Request::from_parts(parts, body)).await?;
        let named = || Named::of_parameters(params.map().clone());
        subject = access::subject(&cx, needs, &method, named);
        if !access::check(&cx, needs, named).await? {
            return Err(access::refused());
        }
        handler(cx, params).await
    };
    answered(outcome.await, subject)
}

fn answered(outcome: Result<Response>, subject: Option<Subject>) -> Response {
    let mut response = outcome.unwrap_or_else(|error| ApiError(error).into_response());
    if let Some(subject) = subject {
        response.extensions_mut().insert(subject);
    }
    response
}

async fn context(app: Arc<App>, parts: &mut http::request::Parts) -> Result<Cx> {
    let path = path_parameters(parts).await?;
    let query = parts.uri.query().map(str::to_owned);
    Ok(Cx { app, path, query, caller: parts.extensions.get::<Arc<Caller>>().cloned() })
}

/// The whole body, up to the limit.
pub(crate) async fn read(body: Body) -> Result<Bytes> {
    match Limited::new(body, MAX_BODY).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Error::invalid(format!("The request is larger than {MAX_BODY} bytes.")))
        }
        Err(_) => Err(Error::bad_request("The request ended before it was complete.")),
    }
}

/// A JSON answer.
pub(crate) fn json<T: Serialize>(value: &T) -> Result<Response> {
    json_bytes(serde_json::to_vec(value))
}

/// A JSON answer that is written already.
pub(crate) fn json_bytes(written: serde_json::Result<Vec<u8>>) -> Result<Response> {
    let bytes = written
        .map_err(|error| Error::new(ErrorCode::InternalError, format!("The answer can not be written: {error}")))?;
    let mut response = Response::new(Body::from(bytes));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

async fn path_parameters(parts: &mut http::request::Parts) -> Result<Vec<(String, String)>> {
    let parameters = RawPathParams::from_request_parts(parts, &())
        .await
        .map_err(|_| Error::bad_request("The path of the URL is not UTF-8 after percent-decoding."))?;
    Ok(parameters.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// The empty answer of calls that have nothing to say.
pub(crate) fn done<T: Message>() -> T {
    T::default()
}
