//! `cargo xtask auth`: who may do what is what the reference lets them.

use anyhow::Result;

use crate::{
    environment::{Durability, Environment, Profile},
    suite::{self, Options},
    tally::Tally,
};

/// Runs `tests/auth`.
pub(crate) fn run(environment: &mut Environment, options: &Options) -> Result<Tally> {
    environment.binary(Profile::Dev)?;
    environment.postgres(Durability::Relaxed)?;
    let python = environment.reference()?;
    environment.oidc_provider()?;
    suite::run(environment, "auth", &python, options)
}
