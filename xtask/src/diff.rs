//! `cargo xtask diff`: the answers are those of the reference.

use anyhow::Result;

use crate::{
    environment::{Durability, Environment, Profile},
    suite::{self, Options},
    tally::Tally,
};

/// Runs `tests/differential`.
pub(crate) fn run(environment: &mut Environment, options: &Options) -> Result<Tally> {
    environment.binary(Profile::Dev)?;
    environment.postgres(Durability::Relaxed)?;
    let python = environment.reference()?;
    suite::run(environment, "differential", &python, options)
}
