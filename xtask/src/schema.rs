//! `cargo xtask schema`: the tables are those of the reference, fresh and upgraded from everything older.

use anyhow::Result;

use crate::{
    environment::{Durability, Environment, Profile},
    suite::{self, Options},
    tally::Tally,
};

/// Runs `tests/schema` and `tests/migrations`.
pub(crate) fn run(environment: &mut Environment, options: &Options) -> Result<Tally> {
    environment.binary(Profile::Dev)?;
    environment.postgres(Durability::Relaxed)?;
    let python = environment.reference()?;
    environment.releases()?;
    suite::spread(environment, &["schema", "migrations"], &python, options)
}
