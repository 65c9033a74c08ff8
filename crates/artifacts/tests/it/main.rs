//! The integration tests of `ferroflow-artifacts`: one module per subject, all in one binary, so that the crate is
//! linked once.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod local;
mod reference;
