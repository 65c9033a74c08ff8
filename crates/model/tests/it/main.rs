//! Integration tests of `ferroflow-model`: one module per subject, all in one binary, so that the crate is linked once.

mod derive;
mod messages;
mod python_json;
mod refs;
mod requests;
mod rules;
mod validation;
