//! The checksums of a release.

use std::{fs, path::Path};

use anyhow::{Result, ensure};

use super::VERSION;
use crate::environment::Environment;

/// Writes `SHA256SUMS`, for `sha256sum --check`, of all files of this version in the folder.
pub(super) fn make(environment: &Environment, out: &Path) -> Result<()> {
    let mut names = Vec::new();
    for entry in fs::read_dir(out)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.retain(|name| name.starts_with(&format!("ferroflow-{VERSION}")));
    names.sort();
    ensure!(!names.is_empty(), "{} has nothing of version {VERSION}", out.display());
    let sums = environment.command("sha256sum").args(&names).current_dir(out).output()?;
    ensure!(sums.status.success(), "sha256sum: {}", String::from_utf8_lossy(&sums.stderr));
    let file = out.join("SHA256SUMS");
    fs::write(&file, sums.stdout)?;
    println!("{}", file.display());
    Ok(())
}
