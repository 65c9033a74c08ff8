//! gRPC: its connections (HTTP/2), its messages and its errors. The endpoints are in `router/grpc.rs`.
//!
//! A call passes the middleware of HTTP, so that logins, their limits, hosts, permissions, metrics and the audit log are
//! the same. What differs is at both ends: [`receive`] and [`answer`] undo and add the frame of a message, and
//! [`translate`] turns a response of HTTP with an error into a status of gRPC.

mod connection;
mod message;
mod status;

pub(crate) use self::{
    connection::Connections,
    message::{Incoming, answer, receive},
    status::translate,
};

/// The media type of calls.
const MEDIA_TYPE: http::HeaderValue = http::HeaderValue::from_static("application/grpc");
