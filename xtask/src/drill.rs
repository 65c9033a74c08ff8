//! `cargo xtask drill`: backups are restored and databases are upgraded, as a cluster would do it, without a cluster.

use anyhow::Result;

use crate::{
    environment::{Durability, Environment, Profile},
    suite::{self, Options},
    tally::Tally,
};

/// Runs `tests/drill`.
pub(crate) fn run(environment: &mut Environment, options: &Options) -> Result<Tally> {
    environment.binary(Profile::Dev)?;
    environment.postgres(Durability::Relaxed)?;
    environment.releases()?;
    environment.chart()?;
    environment.barman()?;
    let python = environment.reference()?;
    suite::run(environment, "drill", &python, options)
}
