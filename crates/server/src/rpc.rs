//! The adapter between HTTP and handlers: reads the request, checks permissions, calls the handler, writes the
//! response.

use std::{future::Future, pin::Pin, sync::Arc, time::Instant};

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
use ferroflow_store::{
    db::Account,
    fairness::{CallerKey, Entered, as_caller},
};
use ferroflow_telemetry::{ActiveSpan, Kind, note};
use http::{Extensions, HeaderMap, HeaderValue, Method, header, request::Parts};
use serde::Serialize;

use crate::{
    access::{self, Needs, Refs, Subject},
    app::{App, Cx},
    body::{self, MemoryPermit, RequestBody},
    error::ApiError,
    large_response,
    middleware::client::Client,
    params::Params,
    running, workspace,
};

/// A handler for one type of input, with a type-erased future.
pub(crate) type Handler<T> = Arc<dyn Fn(Cx, T) -> ResponseFuture + Send + Sync>;

/// A type-erased message: the adapter is compiled once and not once per message.
pub(crate) trait Call: Send + Sync {
    fn refs<'a>(&'a self, cx: &'a Cx) -> Refs<'a>;

    /// Calls its handler.
    fn respond(self: Box<Self>, cx: Cx) -> ResponseFuture;
}

type ResponseFuture = Pin<Box<dyn Future<Output = Result<Response>> + Send>>;

/// Deserializes a message from a request's method, query, headers and body.
pub(crate) type Parser =
    Arc<dyn Fn(&Method, Option<&str>, &HeaderMap, Bytes) -> Result<Box<dyn Call>> + Send + Sync + 'static>;

/// The reader for a handler's messages, of at most `values` values.
pub(crate) fn parser<T: Rpc>(handler: Handler<T>, values: usize) -> Parser {
    struct Message<T> {
        message: T,
        handler: Handler<T>,
    }

    impl<T: Rpc> Call for Message<T> {
        fn refs<'a>(&'a self, cx: &'a Cx) -> Refs<'a> {
            Refs::from_message(&cx.path, &self.message)
        }

        fn respond(self: Box<Self>, cx: Cx) -> ResponseFuture {
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

/// The body of an endpoint that has JSON of its own form instead of a message.
pub(crate) trait Document: Sized + Send + Sync + 'static {
    /// Parses a body of at most `values` values.
    fn parse(headers: &HeaderMap, body: &[u8], values: usize) -> Result<Self>;

    /// The experiment that it names.
    fn experiment_id(&self) -> Option<&str>;
}

/// The reader for a handler's documents, of at most `values` values.
pub(crate) fn document_parser<T: Document>(handler: Handler<T>, values: usize) -> Parser {
    struct Body<T> {
        document: T,
        handler: Handler<T>,
    }

    impl<T: Document> Call for Body<T> {
        fn refs<'a>(&'a self, _: &'a Cx) -> Refs<'a> {
            Refs::from_experiment(self.document.experiment_id().unwrap_or_default())
        }

        fn respond(self: Box<Self>, cx: Cx) -> ResponseFuture {
            (self.handler)(cx, self.document)
        }
    }

    Arc::new(move |_, _, headers, bytes| {
        request::check_values(&bytes, values)?;
        let document = T::parse(headers, &bytes, values)?;
        Ok(Box::new(Body { document, handler: Arc::clone(&handler) }))
    })
}

/// Answers a call with a message: reads it, authorizes the caller, and calls the handler.
pub(crate) async fn call(app: Arc<App>, needs: Needs, size: RequestSize, request: Request, parser: Parser) -> Response {
    let entered = match enter(&app, request.extensions()) {
        Ok(entered) => entered,
        Err(error) => return refuse(request, error).await,
    };
    let mut subject = None;
    let account = app.results.account_of(entered.caller());
    let outcome = as_caller(
        Arc::clone(entered.caller()),
        account.clone().scope(Box::pin(async {
            let (mut parts, body) = request.into_parts();
            let cx = context(app, &mut parts).await?;
            let body = receive(&cx, needs, &parts, body, size).await?;
            // `_permit` holds the memory until the response is ready.
            let (message, _permit) = parse(&cx, &parts, body, size, parser).await?;
            subject = access::subject(&cx, needs, &parts.method, || message.refs(&cx));
            if access::check(&cx, needs, || message.refs(&cx)).await? {
                return message.respond(cx).await;
            }
            let writer = Box::pin(access::writer(&cx, needs, || message.refs(&cx))).await?;
            Box::pin(access::answer(writer, cx, |cx| message.respond(cx))).await
        })),
    );
    large_response::hold(respond(outcome.await, subject), account)
}

/// Reads a body; a long one only from a caller who has the permission on any resource at all.
async fn receive(cx: &Cx, needs: Needs, parts: &Parts, body: Body, size: RequestSize) -> Result<RequestBody> {
    let is_long = body::may_be_long(&parts.headers, &body);
    if is_long && !access::may_on_any_resource(cx, needs).await? {
        body::discard(&parts.headers, body).await;
        return Err(access::permission_denied());
    }
    cx.app.bodies.read(&parts.headers, body, size.bytes).await
}

/// Deserializes a body, with the memory that the message takes.
async fn parse(
    cx: &Cx,
    parts: &Parts,
    body: RequestBody,
    size: RequestSize,
    parser: Parser,
) -> Result<(Box<dyn Call>, MemoryPermit)> {
    let permit = cx.app.bodies.acquire_for_values(&body, size.values).await?;
    if !body.is_long() {
        return Ok((parser(&parts.method, cx.query.as_deref(), &parts.headers, body.bytes)?, permit));
    }
    let (method, query, headers) = (parts.method.clone(), cx.query.clone(), parts.headers.clone());
    cx.app.bodies.parse(body, permit, move |bytes| parser(&method, query.as_deref(), &headers, bytes)).await
}

/// Answers an endpoint without a message, which has only a path, a query and perhaps a body.
pub(crate) async fn raw(app: Arc<App>, needs: Needs, request: Request, handler: Handler<Request>) -> Response {
    let entered = match enter(&app, request.extensions()) {
        Ok(entered) => entered,
        Err(error) => return refuse(request, error).await,
    };
    let (mut parts, body) = request.into_parts();
    let mut subject = None;
    let account = app.results.account_of(entered.caller());
    let outcome = as_caller(
        Arc::clone(entered.caller()),
        account.clone().scope(Box::pin(async {
            let cx = context(app, &mut parts).await?;
            subject = access::subject(&cx, needs, &parts.method, || Refs::from_url(&cx.path, cx.query.as_deref()));
            let refs = || Refs::from_url(&cx.path, cx.query.as_deref());
            if access::check(&cx, needs, refs).await? {
                return handler(cx, Request::from_parts(parts, body)).await;
            }
            let writer = Box::pin(access::writer(&cx, needs, refs)).await?;
            Box::pin(access::answer(writer, cx, |cx| handler(cx, Request::from_parts(parts, body)))).await
        })),
    );
    running::while_sent(large_response::hold(respond(outcome.await, subject), account), entered)
}

/// Answers OpenTelemetry's clients: the headers name what a request is about, and errors have the form that `failed`
/// gives them.
pub(crate) async fn otlp(
    app: Arc<App>,
    needs: Needs,
    request: Request,
    handler: Handler<Request>,
    failed: fn(&HeaderMap, Error) -> Response,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let headers = parts.headers.clone();
    let (server, start) = (Arc::clone(&app), Instant::now());
    let entered = match enter(&app, &parts.extensions) {
        Ok(entered) => entered,
        Err(error) => {
            body::discard(&headers, body).await;
            return failed(&headers, error);
        }
    };
    let mut subject = None;
    let account = app.results.account_of(entered.caller());
    let outcome = as_caller(
        Arc::clone(entered.caller()),
        account.clone().scope(Box::pin(async {
            let cx = context(app, &mut parts).await?;
            let refs = || Refs::from_headers(&headers);
            subject = access::subject(&cx, needs, &parts.method, refs);
            let error = match access::check(&cx, needs, refs).await {
                Ok(true) => return handler(cx, Request::from_parts(parts, body)).await,
                Ok(false) => match Box::pin(access::writer(&cx, needs, refs)).await {
                    Ok(writer) => {
                        let respond = |cx| handler(cx, Request::from_parts(parts, body));
                        return Box::pin(access::answer(writer, cx, respond)).await;
                    }
                    Err(error) => error,
                },
                Err(error) => error,
            };
            body::discard(&parts.headers, body).await;
            Err(error)
        })),
    );
    let answer = outcome.await.unwrap_or_else(|error| failed(&headers, error));
    server.telemetry.ingest().record_response(answer.status().as_u16(), start.elapsed());
    large_response::hold(respond(Ok(answer), subject), account)
}

/// Answers an endpoint with parameters instead of a message.
pub(crate) async fn with_params(app: Arc<App>, needs: Needs, request: Request, handler: Handler<Params>) -> Response {
    let entered = match enter(&app, request.extensions()) {
        Ok(entered) => entered,
        Err(error) => return refuse(request, error).await,
    };
    let (mut parts, body) = request.into_parts();
    let mut subject = None;
    let account = app.results.account_of(entered.caller());
    let outcome = as_caller(
        Arc::clone(entered.caller()),
        account.clone().scope(Box::pin(async {
            let cx = context(app, &mut parts).await?;
            // These endpoints only exist on a server with users.
            cx.user()?;
            let method = parts.method.clone();
            let (params, _permit) = Params::read(&cx, Request::from_parts(parts, body)).await?;
            let refs = || Refs::from_params(&params);
            subject = access::subject(&cx, needs, &method, refs);
            if !access::check(&cx, needs, refs).await? {
                return Err(access::permission_denied());
            }
            handler(cx, params).await
        })),
    );
    large_response::hold(respond(outcome.await, subject), account)
}

fn respond(outcome: Result<Response>, subject: Option<Subject>) -> Response {
    let mut response = outcome.unwrap_or_else(|error| ApiError(error).into_response());
    if let Some(subject) = subject {
        response.extensions_mut().insert(subject);
    }
    response
}

/// Counts a request as running: of its user, or without users of the client's address.
///
/// # Errors
/// Too many requests run.
fn enter(app: &App, extensions: &Extensions) -> Result<Entered> {
    let key = match (extensions.get::<Arc<Caller>>(), extensions.get::<Client>()) {
        (Some(caller), _) => CallerKey::User(&caller.username),
        (None, Some(client)) => CallerKey::Address(client.0),
        (None, None) => CallerKey::Unknown,
    };
    app.callers.enter(key).map_err(|refused| {
        refused.error(
            "Too many requests of this caller are running. Try again later.",
            "Too many requests are running. Try again later.",
        )
    })
}

/// Answers a request that may not begin.
async fn refuse(request: Request, error: Error) -> Response {
    let (parts, body) = request.into_parts();
    body::discard(&parts.headers, body).await;
    ApiError(error).into_response()
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
    let (workspace, caller) = workspace::of_request(&app, parts).await?;
    note("ferroflow.workspace", || workspace.name().to_owned());
    note("ferroflow.caller", || match &caller {
        Some(caller) if caller.is_admin => "admin",
        Some(_) => "user",
        None => "anonymous",
    });
    Ok(Cx { app, workspace, path, query, caller })
}

/// A JSON response with a message. A large one is serialized on a blocking thread: that takes up to a second of CPU, in
/// which this thread answers others.
pub(crate) async fn answer<T: Serialize + Send + 'static>(message: T) -> Result<Response> {
    if !Account::is_current_large() {
        return json(&message);
    }
    serialized(Box::new(move || json(&message))).await
}

async fn serialized(serialize: Box<dyn FnOnce() -> Result<Response> + Send>) -> Result<Response> {
    let serialized = tokio::task::spawn_blocking(serialize).await;
    serialized.map_err(|error| Error::internal(format!("The response cannot be serialized: {error}")))?
}

/// A JSON response.
pub(crate) fn json<T: Serialize>(value: &T) -> Result<Response> {
    let span = ActiveSpan::start("encode the response", Kind::Internal);
    let serialized = serde_json::to_vec(value);
    drop(span);
    json_bytes(serialized)
}

/// A JSON response that is already serialized.
pub(crate) fn json_bytes(serialized: serde_json::Result<Vec<u8>>) -> Result<Response> {
    let bytes = serialized
        .map_err(|error| Error::new(ErrorCode::InternalError, format!("The response cannot be serialized: {error}")))?;
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

/// An empty response message.
pub(crate) fn empty<T: Message>() -> T {
    T::default()
}
