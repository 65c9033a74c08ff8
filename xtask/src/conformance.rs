//! `cargo xtask conformance`: three generations of the official SDK.

use anyhow::Result;

use crate::{
    environment::{Durability, Environment, Profile},
    suite::{self, Options},
    tally::Tally,
};

/// Runs `tests/conformance`.
pub(crate) fn run(environment: &mut Environment, options: &Options) -> Result<Tally> {
    environment.binary(Profile::Dev)?;
    environment.postgres(Durability::Relaxed)?;
    let python = environment.reference()?;
    environment.sdks()?;
    suite::run(environment, "conformance", &python, options)
}
