//! Integration tests of `ferroflow-store`: one module per subject, all in one binary, so that the crate is linked once.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod abandoned_traces;
mod artifact_refs;
mod assessments;
mod cancellation;
mod evaluation_datasets;
mod experiments;
mod file_identity;
mod heads;
mod inputs;
mod issues;
mod job_leases;
mod label_schemas;
mod large_results;
mod list_tags;
mod logging;
mod metrics;
mod migrations;
mod pooler;
mod registered_models;
mod registry_search;
mod schema;
mod search;
mod search_bounds;
mod snapshot;
mod span_log;
mod span_log_order;
mod statements;
mod stopped_reads;
mod support;
mod token_users;
mod trace_archival;
mod trace_metrics;
mod trace_rollups;
mod trace_search;
mod traces;
mod transactions;
mod users;
mod webhooks;
mod workspaces;
