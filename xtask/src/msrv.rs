//! The minimum Rust version of the workspace, compared with those that its dependencies declare.
//!
//! A build with that version would cost as much as the whole build. Without one, Clippy's `incompatible_msrv` finds
//! functions of the standard library that are newer, and this finds dependencies that need a newer version. Newer
//! syntax in the workspace's own source and dependencies that declare nothing are found only by the workflow file's
//! build.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{environment::Environment, tally::Tally};

/// Compares the version with that of every dependency which `Cargo.lock` has for this platform. Counts one test.
///
/// # Errors
///
/// `cargo metadata` fails, such as when `Cargo.lock` is out of date.
pub(crate) fn run(environment: &Environment) -> Result<Tally> {
    let mut rustc = environment.command("rustc");
    let host = rustc.args(["--print", "host-tuple"]).output()?;
    ensure!(host.status.success(), "rustc does not print its host");
    let mut cargo = environment.command("cargo");
    cargo.args(["metadata", "--format-version", "1", "--locked", "--filter-platform"]);
    let output = cargo.arg(String::from_utf8(host.stdout)?.trim()).output()?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let newer = newer(&serde_json::from_slice(&output.stdout)?)?;
    for dependency in &newer {
        println!("error: {dependency}");
    }
    println!("minimum Rust version {}", if newer.is_empty() { "ok" } else { "FAILED" });
    Ok(Tally { passed: u64::from(newer.is_empty()), failed: u64::from(!newer.is_empty()) })
}

/// The dependencies that need a newer version than the workspace promises.
fn newer(metadata: &Value) -> Result<Vec<String>> {
    let packages = metadata["packages"].as_array().context("cargo metadata has no packages")?;
    let version = |package: &Value| package["rust_version"].as_str().map(str::to_owned);
    // Members of the workspace have no source.
    let members = packages.iter().filter(|package| package["source"].is_null());
    let promised = members.filter_map(version).min_by_key(|text| numbers(text));
    let promised = promised.context("no member of the workspace has a rust-version")?;
    Ok(packages
        .iter()
        .filter_map(|package| {
            let needed = version(package).filter(|needed| numbers(needed) > numbers(&promised))?;
            let (name, release) = (package["name"].as_str()?, package["version"].as_str()?);
            Some(format!("{name} {release} needs Rust {needed}, and Cargo.toml promises {promised} (rust-version)"))
        })
        .collect())
}

/// The numbers of a version: `1.88` is `1.88.0`.
fn numbers(version: &str) -> [u32; 3] {
    let mut numbers = version.split('.').map(|number| number.parse().unwrap_or_default());
    [(); 3].map(|()| numbers.next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::newer;

    fn metadata(needed: &Value) -> Value {
        let source = "registry+https://index.example";
        json!({"packages": [
            {"name": "ours", "version": "0.1.0", "source": null, "rust_version": "1.88"},
            {"name": "its", "version": "2.0.0", "source": source, "rust_version": needed},
        ]})
    }

    #[test]
    fn a_dependency_that_needs_a_newer_rust_is_named() {
        for fine in [json!("1.88"), json!("1.88.0"), json!("1.9"), Value::Null] {
            assert_eq!(newer(&metadata(&fine)).expect("metadata"), [""; 0], "{fine}");
        }
        for too_new in ["1.89", "1.88.1", "1.100.0"] {
            let found = newer(&metadata(&json!(too_new))).expect("metadata");
            assert_eq!(found, [format!("its 2.0.0 needs Rust {too_new}, and Cargo.toml promises 1.88 (rust-version)")]);
        }
    }

    #[test]
    fn a_workspace_that_promises_nothing_is_an_error() {
        newer(&json!({"packages": []})).expect_err("nothing is promised");
    }
}
