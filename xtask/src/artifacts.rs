//! `cargo xtask artifacts`: artifacts in buckets, on real servers of their protocols.

use anyhow::Result;

use crate::{
    environment::{Durability, Environment, Profile},
    suite::{self, Options},
    tally::Tally,
};

/// Runs `tests/artifacts`.
pub(crate) fn run(environment: &mut Environment, options: &Options) -> Result<Tally> {
    environment.binary(Profile::Dev)?;
    environment.postgres(Durability::Relaxed)?;
    let python = environment.reference()?;
    environment.s3s(Profile::Dev)?;
    environment.azurite()?;
    suite::run(environment, "artifacts", &python, options)
}
