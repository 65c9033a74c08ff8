//! Removes temporary files left by a server that was killed. They are not listed, and only found by a walk through all
//! directories.

use std::{io, time::SystemTime};

use cap_std::fs::{DirEntry, ReadDir};
use ferroflow_model::Result;

use super::{LocalRepository, TEMPORARY};
use crate::ArtifactPath;

/// Directory entries per step.
const STEP: usize = 1000;

/// Maximum depth of directories. Each level has an open handle.
const MAX_DEPTH: usize = 100;

/// An incremental walk through all directories.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    /// The open directories from the root to the current one.
    open: Vec<ReadDir>,
}

impl Walk {
    /// Whether the walk has finished, or not begun.
    pub(crate) fn is_over(&self) -> bool {
        self.open.is_empty()
    }

    fn step(&mut self, before: SystemTime) -> usize {
        let mut swept = 0;
        for _ in 0..STEP {
            let Some(entries) = self.open.last_mut() else { break };
            match entries.next() {
                Some(Ok(entry)) => match entry.file_type() {
                    Ok(kind) if kind.is_dir() => {
                        // One that has disappeared or is not accessible is skipped.
                        if self.open.len() < MAX_DEPTH
                            && let Ok(inside) = entry.open_dir().and_then(|dir| dir.entries())
                        {
                            self.open.push(inside);
                        }
                    }
                    Ok(kind) if kind.is_file() && is_left_behind(&entry, before) => {
                        swept += usize::from(remove_file(&entry));
                    }
                    _ => {}
                },
                Some(Err(_)) | None => drop(self.open.pop()),
            }
        }
        swept
    }
}

impl LocalRepository {
    /// Continues or begins a walk, and removes temporary files not modified since `before`. Returns their number.
    /// Replicas may do so concurrently.
    pub(crate) async fn sweep(&self, mut walk: Walk, before: SystemTime) -> Result<(Walk, usize)> {
        self.blocking(&ArtifactPath::root(), move |this, _| {
            if walk.is_over()
                && let Some(dir) = this.dir()?
            {
                walk.open.push(dir.entries()?);
            }
            let swept = walk.step(before);
            Ok((walk, swept))
        })
        .await
    }
}

/// Every write updates the modification time, whichever process it is from.
fn is_left_behind(entry: &DirEntry, before: SystemTime) -> bool {
    let name = entry.file_name();
    let random = name.to_str().and_then(|name| name.strip_prefix(TEMPORARY)).unwrap_or_default();
    random.len() == 32
        && random.bytes().all(|byte| byte.is_ascii_hexdigit())
        && entry.metadata().and_then(|metadata| metadata.modified()).is_ok_and(|modified| modified.into_std() < before)
}

fn remove_file(entry: &DirEntry) -> bool {
    match entry.remove_file() {
        Ok(()) => true,
        // Another replica was faster.
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => {
            tracing::warn!(name = %entry.file_name().display(), %error, "a leftover file of an upload could not be removed");
            false
        }
    }
}
