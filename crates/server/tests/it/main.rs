//! The integration tests of `ferroflow-server`: one module per subject, all in one binary, so that the crate is linked
//! once.

#![allow(clippy::unwrap_used, reason = "a test that can not go on has failed")]

mod fairness;
mod hang_ups;
mod observability;
mod otlp_grpc;
mod otlp_grpc_workspaces;
#[path = "../../../../xtask/src/ports.rs"]
mod ports;
mod quotas;
mod span_log;
mod support;
mod trace_artifact;
mod ui;
mod webhooks;
mod workspaces;
