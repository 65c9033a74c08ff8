//! The schema of the chart's values and their table in its README, from `chart/values.yaml`.

use anyhow::{Context, Result};
use serde::Deserialize;

use super::files::{Files, between};

/// A script that reads the values and prints both, with a Python that has `PyYAML`, as the reference's has.
pub(super) const DESCRIPTIONS: &str = "xtask/src/generate/chart.py";

const VALUES: &str = "chart/values.yaml";
const SCHEMA: &str = "chart/values.schema.json";
const README: &str = "chart/README.md";

#[derive(Deserialize)]
struct Printed {
    schema: String,
    table: String,
}

/// Adds both. `print` runs the script on a text.
pub(super) fn add(files: &mut Files, print: impl FnOnce(&str) -> Result<Vec<u8>>) -> Result<()> {
    let printed: Printed = serde_json::from_slice(&print(&files.text(VALUES)?)?)?;
    files.whole(SCHEMA, printed.schema);
    let readme = between(&files.text(README)?, "<!-- values -->\n", "<!-- /values -->\n", &printed.table);
    files.partly(README, readme.context(README)?);
    Ok(())
}
