//! The archive: the program with its plug-in name and the web UI, to be unpacked anywhere.

use std::{
    env::consts::{ARCH, OS},
    fs,
    os::unix::fs::symlink,
    path::Path,
};

use anyhow::Result;

use super::{VERSION, copy, done, ui};
use crate::environment::Environment;

/// Makes the archive.
pub(super) fn make(environment: &Environment, program: &str, files: &Path, out: &Path) -> Result<()> {
    let name = format!("ferroflow-{VERSION}-{ARCH}-{OS}-gnu");
    let stage = environment.folder().join("archive");
    if stage.exists() {
        fs::remove_dir_all(&stage)?;
    }
    let folder = stage.join(&name);
    fs::create_dir_all(folder.join("bin"))?;
    fs::copy(program, folder.join("bin/ferroflow"))?;
    // kubectl and oc find their plug-ins by name, and the program knows by its name that it is one.
    symlink("ferroflow", folder.join("bin/kubectl-ferroflow"))?;
    copy(files, &folder.join(ui::place(environment)?))?;
    copy(&ui::catalogue(files), &folder.join(ui::catalogue_place(environment)?))?;
    for file in ["LICENSE", "NOTICE", "README.md"] {
        fs::copy(environment.root.join(file), folder.join(file))?;
    }
    let archive = out.join(format!("{name}.tar.gz"));
    // The same content gives the same archive on every machine: no owner, no time.
    let mut tar = environment.command("tar");
    tar.args([
        "--create",
        "--gzip",
        "--sort=name",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
        "--mtime=@0",
        "--file",
    ]);
    done(tar.arg(&archive).arg("--directory").arg(&stage).arg(&name))?;
    println!("{}", archive.display());
    Ok(())
}
