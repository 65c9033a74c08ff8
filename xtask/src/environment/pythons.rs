//! Python environments: the reference with the newest SDK, older SDKs and releases, and the tests of the chart.

use std::{env, path::PathBuf};

use anyhow::{Context, Result};

use super::{
    Environment, complete,
    variables::{CHART, NEWER, REFERENCE, RELEASES, SDK_2_22, SDK_3_5, UI},
};
use crate::python;

/// The Python that runs every release listed in `tests/requirements/releases`.
const RELEASES_PYTHON: &str = "3.11";

/// The newer MLflow whose databases are served, without its dependencies.
const NEWER_PACKAGE: &str = "mlflow==3.18.0";

impl Environment {
    /// Prepares the reference with the requirements of the suites. Returns its Python.
    pub(crate) fn reference(&self) -> Result<String> {
        let mut suites = self.root.join("tests").read_dir()?.map(|e| Ok(e?.path())).collect::<Result<Vec<_>>>()?;
        suites.sort();
        let lists = suites.iter().map(|suite| suite.join("requirements.txt")).collect();
        let python = self.python(REFERENCE, "reference", lists)?;
        self.once(UI, || {
            let files = python::run(&python, "import importlib.util as u; print(u.find_spec('mlflow').origin)")?;
            Ok(files.replace("__init__.py", "server/js/build"))
        })?;
        Ok(python)
    }

    /// Prepares the older SDKs with the requirements of the conformance suite.
    pub(super) fn sdks(&self) -> Result<()> {
        let list = self.root.join("tests/conformance/requirements.txt");
        for (variable, version) in [(SDK_3_5, "3.5.0"), (SDK_2_22, "2.22.5")] {
            let name = format!("sdk-{version}");
            if self.is_sampled(&name) {
                self.python(variable, &name, vec![list.clone()])?;
            }
        }
        Ok(())
    }

    /// Prepares old releases of `tests/requirements/releases` one at a time: each installation uses both processors.
    pub(super) fn releases(&self) -> Result<()> {
        self.once(RELEASES, || {
            let lists = self.root.join("tests/requirements/releases").read_dir()?;
            let mut lists = lists.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
            lists.sort();
            let folder = self.venvs().join("releases");
            for list in lists {
                let name = list.file_stem().unwrap_or_default().to_string_lossy();
                if self.is_sampled(&name) {
                    python::environment(&folder.join(&*name), std::slice::from_ref(&list), Some(RELEASES_PYTHON))?;
                }
            }
            Ok(folder.to_str().context("the path is not UTF-8")?.to_owned())
        })
        .map(drop)
    }

    /// Downloads the package of the newer release.
    pub(super) fn newer(&self) -> Result<()> {
        self.once(NEWER, || {
            let folder = self.venvs().join(NEWER_PACKAGE.replace("==", "-"));
            if !folder.exists() {
                println!("installing {NEWER_PACKAGE} into {}", folder.display());
                complete(&folder, |begun| python::download(NEWER_PACKAGE, begun))?;
            }
            Ok(folder.to_str().context("the path is not UTF-8")?.to_owned())
        })
        .map(drop)
    }

    /// Prepares the Python environment of the chart's tests and returns its Python.
    pub(crate) fn chart(&self) -> Result<String> {
        self.python(CHART, "chart", Vec::new())
    }

    /// The Python in a variable, or that of the environment described by `tests/requirements/<name>.txt` and `lists`.
    fn python(&self, variable: &'static str, name: &str, mut lists: Vec<PathBuf>) -> Result<String> {
        self.once(variable, || {
            lists.push(self.root.join(format!("tests/requirements/{name}.txt")));
            lists.retain(|list| list.exists());
            python::environment(&self.venvs().join(name), &lists, None)
        })
    }

    /// The directory of the Python environments.
    pub(super) fn venvs(&self) -> PathBuf {
        env::var_os("XTASK_VENVS").map_or_else(|| self.folder().join("venvs"), PathBuf::from)
    }
}
