//! The files of the web UI that packages bring.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{
    environment::{self, Environment, variables::UI},
    python,
};

/// The file that names the wheel of the reference and its SHA-256, as the image is built with.
const PIN: &str = "Containerfile";

/// A folder with the files: the one in the variable, or of the reference's wheel, which is downloaded and verified.
pub(super) fn files(environment: &Environment) -> Result<PathBuf> {
    if let Some(folder) = environment.get(UI) {
        return Ok(folder.into());
    }
    let pin = fs::read_to_string(environment.root.join(PIN))?;
    let argument = |name: &str| {
        let value = pin.lines().find_map(|line| line.strip_prefix(&format!("ARG {name}=")));
        value.with_context(|| format!("{PIN} has no {name}"))
    };
    let (version, digest) = (argument("MLFLOW")?, argument("SHA256")?);
    let folder = environment.folder().join("tools").join(format!("mlflow-{version}"));
    if !folder.exists() {
        println!("downloading mlflow {version}");
        environment::complete(&folder, |begun| {
            let list = begun.join("requirements.txt");
            fs::write(&list, format!("mlflow=={version} --hash=sha256:{digest}\n"))?;
            python::download_verified(&list, begun)
        })?;
    }
    Ok(folder.join("mlflow/server/js/build"))
}

/// The catalogue of models in the package that the files of the UI are in.
pub(super) fn catalogue(files: &Path) -> PathBuf {
    files.join("../../../utils/model_catalog")
}

/// Where the program looks for the files, below the folder that has `bin`.
pub(super) fn place(environment: &Environment) -> Result<String> {
    Ok(format!("share/ferroflow/ui-{}", reference(environment)?))
}

/// Where the program looks for the catalogue of models.
pub(super) fn catalogue_place(environment: &Environment) -> Result<String> {
    Ok(format!("share/ferroflow/model-catalog-{}", reference(environment)?))
}

/// The version of the reference.
fn reference(environment: &Environment) -> Result<String> {
    let messages = fs::read_to_string(environment.root.join("crates/model/src/messages.rs"))?;
    let version = messages.split_once("REFERENCE: &str = \"").and_then(|(_, rest)| rest.split_once('"'));
    let (version, _) = version.context("the messages name no reference")?;
    Ok(version.to_owned())
}
