//! The one adapter between HTTP and handlers: reads the request, calls, writes the answer.

use std::{future::Future, net::IpAddr, pin::Pin, sync::Arc};

use axum::{
    body::{Body, Bytes},
    extract::{FromRequestParts as _, RawPathParams, Request},
    response::{IntoResponse, Response},
};
use ferroflow_auth::Caller;
use ferroflow_model::{
    Error, ErrorCode, Result,
    limits::{self, RequestSize},
    request,
    wire::{Message, Rpc},
};
use ferroflow_store::db::as_caller;
use http::{Extensions, HeaderMap, HeaderValue, Method, header, request::Parts};
use serde::Serialize;

use crate::{
    access::{self, Named, Needs, Subject},
    app::{App, Cx},
    body::{self, Held, Received},
    error::ApiError,
    middleware::client::Client,
    params::Params,
};

/// A handler of one kind of input, without the type of its future.
pub(crate) type Handler<T> = Arc<dyn Fn(Cx, T) -> Answer + Send + Sync>;

/// A message that was read, without its type: what a call goes through is compiled once, and not for each of them.
pub(crate) trait Read: Send + Sync {
    fn named(&self, cx: &Cx) -> Named;

    /// What its handler makes of it.
    fn answer(self: Box<Self>, cx: Cx) -> Answer;
}

type Answer = Pin<Box<dyn Future<Output = Result<Response>> + Send>>;

/// Reads a message from a request's method, query, headers and body.
pub(crate) type Reader =
    Arc<dyn Fn(&Method, Option<&str>, &HeaderMap, Bytes) -> Result<Box<dyn Read>> + Send + Sync + 'static>;

/// What reads the messages of a handler, of at most so many `values`.
pub(crate) fn reader<T: Rpc>(handler: Handler<T>, values: usize) -> Reader {
    struct Message<T> {
        message: T,
        handler: Handler<T>,
    }

    impl<T: Rpc> Read for Message<T> {
        fn named(&self, cx: &Cx) -> Named {
            Named::of_message(cx, &self.message)
        }

        fn answer(self: Box<Self>, cx: Cx) -> Answer {
            (self.handler)(cx, self.message)
        }
    }

    Arc::new(move |method, query, headers, bytes| {
        request::check_size::<T>(&bytes, values)?;
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let message = request::parse::<T>(method.as_str(), query, content_type, bytes)?;
        Ok(Box::new(Message { message, handler: Arc::clone(&handler) }))
    })
}

/// Answers a call with what its handler makes of the message, if its caller may make it.
pub(crate) async fn call(app: Arc<App>, needs: Needs, size: RequestSize, request: Request, reader: Reader) -> Response {
    let mut subject = None;
    let caller = share_of(request.extensions());
    let outcome = as_caller(caller, async {
        let (mut parts, body) = request.into_parts();
        let cx = context(app, &mut parts).await?;
        let body = receive(&cx, needs, &parts, body, size).await?;
        // Until it is answered.
        let (message, _room) = read(&cx, &parts, body, size, reader).await?;
        subject = access::subject(&cx, needs, &parts.method, || message.named(&cx));
        if !access::check(&cx, needs, || message.named(&cx)).await? {
            return Err(access::refused());
        }
        message.answer(cx).await
    });
    answered(outcome.await, subject)
}

/// Reads a body, a long one only of a caller who may do something of the kind at all.
async fn receive(cx: &Cx, needs: Needs, parts: &Parts, body: Body, size: RequestSize) -> Result<Received> {
    let is_long = body::may_be_long(&parts.headers, &body);
    if is_long && !access::may_at_all(cx, needs).await? {
        body::discard(&parts.headers, body).await;
        return Err(access::refused());
    }
    cx.app.bodies.read(&parts.headers, body, size.bytes).await
}

/// Reads a body as a message, with the memory that it takes.
async fn read(
    cx: &Cx,
    parts: &Parts,
    body: Received,
    size: RequestSize,
    reader: Reader,
) -> Result<(Box<dyn Read>, Held)> {
    let room = cx.app.bodies.admit(&body, size.values).await?;
    if !body.is_long() {
        return Ok((reader(&parts.method, cx.query.as_deref(), &parts.headers, body.bytes)?, room));
    }
    let (method, query, headers) = (parts.method.clone(), cx.query.clone(), parts.headers.clone());
    cx.app.bodies.parse(body, room, move |bytes| reader(&method, query.as_deref(), &headers, bytes)).await
}

/// Answers a call that has no message, only a path, a query and perhaps a body.
pub(crate) async fn raw(app: Arc<App>, needs: Needs, request: Request, handler: Handler<Request>) -> Response {
    let (mut parts, body) = request.into_parts();
    let mut subject = None;
    let caller = share_of(&parts.extensions);
    let outcome = as_caller(caller, async {
        let cx = context(app, &mut parts).await?;
        subject = access::subject(&cx, needs, &parts.method, || Named::of_query(&cx));
        if !access::check(&cx, needs, || Named::of_query(&cx)).await? {
            return Err(access::refused());
        }
        handler(cx, Request::from_parts(parts, body)).await
    });
    answered(outcome.await, subject)
}

/// Answers a call that has no message, only parameters.
pub(crate) async fn with_params(app: Arc<App>, needs: Needs, request: Request, handler: Handler<Params>) -> Response {
    let (mut parts, body) = request.into_parts();
    let mut subject = None;
    let caller = share_of(&parts.extensions);
    let outcome = as_caller(caller, async {
        let cx = context(app, &mut parts).await?;
        // Without users there is nothing to read.
        cx.user()?;
        let method = parts.method.clone();
        let (params, _room) = Params::read(&cx, Request::from_parts(parts, body)).await?;
        let named = || Named::of_parameters(params.map().clone());
        subject = access::subject(&cx, needs, &method, named);
        if !access::check(&cx, needs, named).await? {
            return Err(access::refused());
        }
        handler(cx, params).await
    });
    answered(outcome.await, subject)
}

fn answered(outcome: Result<Response>, subject: Option<Subject>) -> Response {
    let mut response = outcome.unwrap_or_else(|error| ApiError(error).into_response());
    if let Some(subject) = subject {
        response.extensions_mut().insert(subject);
    }
    response
}

/// Whose share of the database's connections a request takes: its user's, or without users that of its address. A host
/// with IPv6 has a network of 64 bits to itself.
fn share_of(extensions: &Extensions) -> Arc<str> {
    if let Some(caller) = extensions.get::<Arc<Caller>>() {
        return format!("user {}", caller.username).into();
    }
    match extensions.get::<Client>().map(|client| client.0.to_canonical()) {
        Some(IpAddr::V4(address)) => address.to_string().into(),
        Some(IpAddr::V6(address)) => format!("{:x}/64", address.to_bits() >> 64).into(),
        None => "".into(),
    }
}

async fn context(app: Arc<App>, parts: &mut http::request::Parts) -> Result<Cx> {
    let path = path_parameters(parts).await?;
    let query = parts.uri.query().map(str::to_owned);
    let pairs = query.as_deref().unwrap_or_default().bytes().filter(|byte| *byte == b'&').count();
    if pairs >= limits::QUERY_PARAMETERS {
        return Err(Error::invalid(format!(
            "The query of the URL has more than {} parameters.",
            limits::QUERY_PARAMETERS
        )));
    }
    Ok(Cx { app, path, query, caller: parts.extensions.get::<Arc<Caller>>().cloned() })
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
