//! `cargo xtask ops`: the runbooks of `ferroflow ops`, on what stands in for a cluster.

use anyhow::Result;

use crate::{
    environment::{Environment, Profile},
    suite::{self, Options},
    tally::Tally,
};

/// Runs `tests/ops`.
pub(crate) fn run(environment: &mut Environment, options: &Options) -> Result<Tally> {
    environment.binary(Profile::Dev)?;
    environment.s3s(Profile::Dev)?;
    let python = environment.chart()?;
    suite::spread(environment, &["ops"], &python, options)
}
