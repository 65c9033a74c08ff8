//! Generates the page that shows the benchmarks with its plots, and the figures in other pages, from `bench/results/`.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::files::{Files, between};

/// The script that prints them as JSON.
pub(super) const SCRIPT: &str = "bench/page.py";

#[derive(Deserialize)]
struct ScriptOutput {
    /// Files by path.
    whole: BTreeMap<String, String>,
    /// Texts by path and name of their marks.
    parts: BTreeMap<String, BTreeMap<String, String>>,
}

/// Adds what the script printed.
pub(super) fn add(files: &mut Files, printed: &[u8]) -> Result<()> {
    let printed: ScriptOutput = serde_json::from_slice(printed)?;
    for (path, text) in printed.whole {
        files.whole(&path, text);
    }
    for (path, parts) in printed.parts {
        for (name, content) in parts {
            let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->\n"));
            let text = between(&files.text(&path)?, &begin, &end, &content).context(path.clone())?;
            files.partly(&path, text);
        }
    }
    Ok(())
}
