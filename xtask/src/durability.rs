//! `cargo xtask durability`: what was acknowledged survives a kill.

use anyhow::Result;

use crate::{
    environment::{Durability, Environment, Profile},
    suite::{self, Options},
    tally::Tally,
};

/// Runs `tests/durability`.
pub(crate) fn run(environment: &mut Environment, options: &Options) -> Result<Tally> {
    environment.binary(Profile::Dev)?;
    environment.postgres(Durability::Relaxed)?;
    let python = environment.reference()?;
    suite::run(environment, "durability", &python, options)
}
