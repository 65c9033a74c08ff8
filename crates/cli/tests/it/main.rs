//! The integration tests of `ferroflow`: one module per subject, all in one binary, so that the program is linked once.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod closed_output;
mod db;
mod large_responses;
mod large_traces;
mod memory;
mod plugin;
#[path = "../../../../xtask/src/ports.rs"]
mod ports;
mod server;
mod support;
