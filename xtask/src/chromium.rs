//! Finds the browser.

use anyhow::{Context, Result};

use crate::{apt, process};

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const MAC: [&str; 2] = [
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
];

/// The path of Chromium or Chrome, which is installed first where possible.
pub(crate) fn find() -> Result<String> {
    if let Some(path) = installed() {
        return Ok(path);
    }
    apt::install("chromium")?;
    installed().context("Chromium or Google Chrome is needed on PATH, or its path in FERROFLOW_CHROMIUM")
}

fn installed() -> Option<String> {
    NAMES.into_iter().chain(MAC).find_map(process::find)?.to_str().map(str::to_owned)
}
