//! The package of the chart.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};

use super::{VERSION, done};
use crate::environment::{Environment, Need, variables::HELM_4_BIN};

/// Makes the package. The chart has the version of the program.
pub(super) fn make(environment: &Environment, out: &Path) -> Result<()> {
    let chart = fs::read_to_string(environment.root.join("chart/Chart.yaml"))?;
    let version = chart.lines().find_map(|line| line.strip_prefix("version: ")).context("Chart.yaml has no version")?;
    ensure!(version == VERSION, "chart/Chart.yaml has the version {version}, and Cargo.toml {VERSION}");
    environment.prepare(&[Need::Helm])?;
    let mut helm = environment.command(environment.get(HELM_4_BIN).context("it was prepared")?);
    done(helm.args(["package", "chart", "--destination"]).arg(out))
}
