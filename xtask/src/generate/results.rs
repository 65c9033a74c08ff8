//! Generates the page that shows the benchmarks, its plots, and the figures in the README, from `bench/results/`.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::files::{Files, between};

/// The script that prints them as JSON.
pub(super) const SCRIPT: &str = "bench/page.py";

const README: &str = "README.md";

/// Adds what the script printed: whole files, and the README's part.
pub(super) fn add(files: &mut Files, printed: &[u8]) -> Result<()> {
    let mut texts: BTreeMap<String, String> = serde_json::from_slice(printed)?;
    let figures = texts.remove(README).context(README)?;
    let readme = between(&files.text(README)?, "<!-- figures -->\n", "<!-- /figures -->\n", &figures);
    files.partly(README, readme.context(README)?);
    for (path, text) in texts {
        files.whole(&path, text);
    }
    Ok(())
}
