//! `cargo xtask backup`: a backup of SQLite and its artifacts, and the way back.

use anyhow::Result;

use crate::{
    environment::{Environment, Profile},
    suite::{self, Options},
    tally::Tally,
};

/// Runs `tests/backup`.
pub(crate) fn run(environment: &mut Environment, options: &Options) -> Result<Tally> {
    environment.binary(Profile::Dev)?;
    let python = environment.reference()?;
    suite::run(environment, "backup", &python, options)
}
