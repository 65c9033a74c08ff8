//! `cargo xtask dist`: the files of a release, from one build with the Cargo profile `dist`.
//!
//! A wheel, an archive of the program and its SBOM, for this machine's platform; the package of the chart; checksums.
//! Images and signatures need a registry: their commands are in `docs/releasing.md` and `.github/workflows/release.yml`.

mod archive;
mod chart;
mod checksums;
mod ui;
mod wheel;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};

use crate::{
    environment::{Environment, Profile},
    tally::Tally,
};

/// The version of everything in the workspace.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What to make, and where.
#[derive(Args)]
pub(crate) struct Options {
    /// What to make. Default: everything
    #[arg(value_enum)]
    what: Vec<What>,

    /// The folder for it. Default: `packages` in the folder of the build
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

/// A part of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// The wheel and, from it, the SBOM of the crates
    Wheel,
    /// The program with the web UI, to be unpacked anywhere
    Archive,
    /// The chart
    Chart,
    /// SHA-256 of all files of this release in the folder
    Checksums,
}

/// Makes the parts, and prints the path of each file.
///
/// # Errors
///
/// A program is missing, or fails.
pub(crate) fn run(environment: &Environment, options: &Options) -> Result<Tally> {
    let is_wanted = |what| options.what.is_empty() || options.what.contains(&what);
    let out = options.out.clone().unwrap_or_else(|| environment.folder().with_file_name("packages"));
    fs::create_dir_all(&out)?;
    // Programs that run elsewhere get the path, too.
    let out = fs::canonicalize(out)?;
    if is_wanted(What::Wheel) || is_wanted(What::Archive) {
        let program = environment.binary(Profile::Dist)?;
        let ui = ui::files(environment)?;
        if is_wanted(What::Wheel) {
            wheel::make(environment, &program, &ui, &out)?;
        }
        if is_wanted(What::Archive) {
            archive::make(environment, &program, &ui, &out)?;
        }
    }
    if is_wanted(What::Chart) {
        chart::make(environment, &out)?;
    }
    if is_wanted(What::Checksums) {
        checksums::make(environment, &out)?;
    }
    Ok(Tally::default())
}

/// Runs a command that makes something.
fn done(command: &mut Command) -> Result<()> {
    let status = command.status()?;
    ensure!(status.success(), "{} failed", command.get_program().display());
    Ok(())
}

/// Copies a folder with everything in it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Makes a program of text.
fn script(path: &Path, text: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    fs::write(path, text)?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}
