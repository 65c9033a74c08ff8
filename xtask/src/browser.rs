//! `cargo xtask browser`: the official web UI in a real browser.

use anyhow::Result;

use crate::{
    environment::{Durability, Environment, Profile},
    suite::{self, Options},
    tally::Tally,
};

/// Runs `tests/browser`.
pub(crate) fn run(environment: &mut Environment, options: &Options) -> Result<Tally> {
    environment.binary(Profile::Dev)?;
    environment.postgres(Durability::Relaxed)?;
    let python = environment.reference()?;
    environment.chromium()?;
    environment.oidc_provider()?;
    suite::run(environment, "browser", &python, options)
}
