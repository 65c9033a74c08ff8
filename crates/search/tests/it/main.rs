//! Integration tests of `ferroflow-search`: one module per subject, all in one binary, so that the crate is linked
//! once.

mod any_text;
mod orders;
mod reference;
