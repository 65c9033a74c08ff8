//! `cargo xtask chart`: the Helm chart renders to what a cluster accepts and an operator expects.

use anyhow::Result;

use crate::{
    environment::Environment,
    suite::{self, Options},
    tally::Tally,
};

/// Runs `tests/chart`.
pub(crate) fn run(environment: &mut Environment, options: &Options) -> Result<Tally> {
    let python = environment.chart()?;
    suite::spread(environment, &["chart"], &python, options)
}
