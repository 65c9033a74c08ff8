//! Generates the table of requests whose responses differ from the reference's, and the number of compared requests,
//! from the recordings of the differential suite.

use std::{fs, process::Command};

use anyhow::{Context, Result, ensure};

use super::files::{Files, between};
use crate::environment::Environment;

const RECORDED: &str = "tests/differential/recorded";
const TABLE: &str = "tests/differential/differences.md";
const PAGE: &str = "docs/differences.md";

/// The command that prints the table.
pub(super) fn table(environment: &Environment, python: &str) -> Command {
    let mut command = environment.command(python);
    command.arg("tests/differential/table.py").env("PYTHONPATH", environment.root.join("tests"));
    command
}

/// Adds the printed table, and the number.
pub(super) fn add(files: &mut Files, table: &[u8]) -> Result<()> {
    files.whole(TABLE, String::from_utf8(table.to_vec())?);
    let mut requests = 0;
    for entry in files.root().join(RECORDED).read_dir().context(RECORDED)? {
        let path = entry?.path();
        let steps: Vec<serde::de::IgnoredAny> =
            serde_json::from_slice(&fs::read(&path)?).with_context(|| path.display().to_string())?;
        requests += steps.len();
    }
    ensure!(requests > 0, "{RECORDED} has no requests");
    let page = between(&files.text(PAGE)?, "<!-- requests -->", "<!-- /requests -->", &grouped(requests));
    files.partly(PAGE, page.context(PAGE)?);
    Ok(())
}

/// 4935 becomes `4,935`.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&[u8]> = digits.as_bytes().rchunks(3).rev().collect();
    String::from_utf8_lossy(&groups.join(&b',')).into_owned()
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn digits_are_grouped_by_three() {
        for (number, text) in [(7, "7"), (935, "935"), (4935, "4,935"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }
}
