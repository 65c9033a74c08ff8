//! Integration tests of `ferroflow-store`: one module per subject, all in one binary, so that the crate is linked once.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod artifact_refs;
mod assessments;
mod cancellation;
mod demo;
mod evaluation_datasets;
mod evaluation_gc;
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
mod own_indexes;
mod pooler;
mod registered_models;
mod registry_search;
mod review_queues;
mod run_pages;
mod schema;
mod scorers;
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
mod trace_search;
mod trace_search_few;
mod traces;
mod transactions;
mod users;
mod webhooks;
mod workspaces;
