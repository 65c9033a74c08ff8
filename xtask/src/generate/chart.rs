//! Generates the schema of the chart's values and their table in its README, from `chart/values.yaml`.

use anyhow::{Context, Result};
use serde::Deserialize;

use super::files::{Files, between};

/// The script that reads the values and prints both; it needs `PyYAML`, which the reference's Python has.
pub(super) const DESCRIPTIONS: &str = "xtask/src/generate/chart.py";

const VALUES: &str = "chart/values.yaml";
const SCHEMA: &str = "chart/values.schema.json";
const README: &str = "chart/README.md";

#[derive(Deserialize)]
struct ScriptOutput {
    schema: String,
    table: String,
}

/// Adds both. `print` runs the script with an input.
pub(super) fn add(files: &mut Files, print: impl FnOnce(&str) -> Result<Vec<u8>>) -> Result<()> {
    let printed: ScriptOutput = serde_json::from_slice(&print(&files.text(VALUES)?)?)?;
    files.whole(SCHEMA, printed.schema);
    let readme = between(&files.text(README)?, "<!-- values -->\n", "<!-- /values -->\n", &printed.table);
    files.partly(README, readme.context(README)?);
    Ok(())
}
