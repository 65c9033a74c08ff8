//! Packages of Debian and its derivatives, where xtask may install them.

use std::{
    path::Path,
    process::Command,
    sync::{Mutex, PoisonError},
};

use anyhow::{Result, ensure};

use crate::process;

/// `apt-get` fails instead of waiting for another one.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Installs a package. `false` if this is not Debian or the user is not root.
pub(crate) fn install(package: &str) -> Result<bool> {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    if !Path::new("/etc/debian_version").exists() || !process::is_root() {
        return Ok(false);
    }
    println!("installing {package}");
    for arguments in [&["update", "-qq"][..], &["install", "-qq", "--no-install-recommends", package]] {
        let mut apt = Command::new("apt-get");
        // At run level 1, packages do not start services.
        apt.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1");
        let output = apt.output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "apt-get {} failed: {said}", arguments.join(" "));
    }
    Ok(true)
}
