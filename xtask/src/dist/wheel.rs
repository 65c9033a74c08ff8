//! The wheel: the program, the plug-in of kubectl and the web UI, for `pip install ferroflow` and `uvx ferroflow`.
//!
//! maturin packs it by `pyproject.toml`: names, tags of the platform, metadata, SBOM. It would also compile, and then the
//! archive would have another program, and a test would build the workspace a second time. So it is given a `cargo`
//! that answers with the program which is built already.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::{VERSION, copy, done, script, ui};
use crate::{environment::Environment, python};

/// The package of the Python package index with the maturin binary.
const PACKAGE: &str = "maturin==1.16.0";

/// The folder beside `pyproject.toml` that maturin takes into the wheel. It is there only while the wheel is packed.
const DATA: &str = "ferroflow.data";

/// What `kubectl ferroflow` and `oc ferroflow` run. pip installs it beside the program.
const PLUGIN: &str = "#!/bin/sh\nexec \"$(dirname -- \"$(readlink -f -- \"$0\")\")/ferroflow\" ops \"$@\"\n";

/// Makes the wheel, and takes the SBOM of the crates out of it.
pub(super) fn make(environment: &Environment, program: &str, files: &Path, out: &Path) -> Result<()> {
    let stage = environment.folder().join("wheel");
    let data = environment.root.join(DATA);
    for folder in [&stage, &data] {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
    }
    fs::create_dir_all(data.join("scripts"))?;
    copy(files, &data.join("data").join(ui::place(environment)?))?;
    copy(&ui::catalogue(files), &data.join("data").join(ui::catalogue_place(environment)?))?;
    script(&data.join("scripts/kubectl-ferroflow"), PLUGIN)?;
    let packed = pack(environment, program, &stage);
    fs::remove_dir_all(&data)?;

    let packed = packed?;
    let wheel = out.join(packed.file_name().context("a file has a name")?);
    fs::copy(&packed, &wheel)?;
    println!("{}", wheel.display());
    let sbom = out.join(format!("ferroflow-{VERSION}.cdx.json"));
    let mut extract = environment.command("python3");
    done(extract.args(["-c", include_str!("sbom.py")]).args([&wheel, &sbom]))?;
    println!("{}", sbom.display());
    Ok(())
}

/// Packs the wheel in a folder of its own, and returns its path.
fn pack(environment: &Environment, program: &str, stage: &Path) -> Result<PathBuf> {
    // maturin moves the program away while it packs, and other tests run the one that was built.
    let copy = stage.join("program/ferroflow");
    fs::create_dir_all(stage.join("program"))?;
    fs::copy(program, &copy)?;
    let program = copy.to_str().context("the path of the repository is UTF-8")?;
    let cargo = stage.join("cargo");
    fs::write(stage.join("messages"), messages(environment, program)?)?;
    script(
        &cargo,
        "#!/bin/sh\n# Answers as `cargo rustc` does that finds the program up to date.\nexec cat \"${0%/*}/messages\"\n",
    )?;
    let mut maturin = environment.command(python::tool(environment, PACKAGE, "maturin")?);
    maturin.args(["build", "--quiet", "--out"]).arg(stage.join("out")).arg("--target-dir").arg(stage.join("target"));
    done(maturin.env("CARGO", cargo))?;
    let mut wheels = fs::read_dir(stage.join("out"))?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    ensure!(wheels.len() == 1, "maturin made {} files", wheels.len());
    wheels.pop().context("counted above")
}

/// The messages of `cargo rustc --message-format json` for the program.
fn messages(environment: &Environment, program: &str) -> Result<String> {
    ensure!(program.ends_with("/ferroflow"), "{program} is not named ferroflow, as the installed program would be");
    let output = environment.command("cargo").args(["pkgid", "--package", "ferroflow"]).output()?;
    ensure!(output.status.success(), "cargo pkgid: {}", String::from_utf8_lossy(&output.stderr));
    let package = environment.root.join("crates/cli");
    let artifact = json!({
        "reason": "compiler-artifact",
        "package_id": String::from_utf8(output.stdout)?.trim(),
        "manifest_path": package.join("Cargo.toml"),
        "target": {
            "name": "ferroflow", "kind": ["bin"], "crate_types": ["bin"], "src_path": package.join("src/main.rs"),
            "edition": "2024", "doc": true, "doctest": false, "test": true,
        },
        "profile": {
            "opt_level": "3", "debuginfo": 0, "debug_assertions": false, "overflow_checks": false, "test": false,
        },
        "features": [],
        "filenames": [program],
        "executable": program,
        "fresh": true,
    });
    Ok(format!("{artifact}\n{}\n", json!({"reason": "build-finished", "success": true})))
}
