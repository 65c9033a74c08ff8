//! Packages of Debian and its children, where we may install them.

use std::{path::Path, process::Command};

use anyhow::{Result, ensure};

use crate::process;

/// Installs a package. `false` when this is no Debian or we are not root.
pub(crate) fn install(package: &str) -> Result<bool> {
    if !Path::new("/etc/debian_version").exists() || !process::is_root() {
        return Ok(false);
    }
    println!("installing {package}");
    for arguments in [&["update", "-qq"][..], &["install", "-qq", "--no-install-recommends", package]] {
        let mut apt = Command::new("apt-get");
        // At run level 1 no service is started behind our back.
        apt.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1");
        ensure!(apt.status()?.success(), "apt-get {} failed", arguments.join(" "));
    }
    Ok(true)
}
