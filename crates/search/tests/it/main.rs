//! The integration tests of `ferroflow-search`: one module for each subject, all in one binary, so that the crate is
//! linked once.

mod any_text;
mod orders;
mod reference;
