//! Files that a server was writing when it was killed. Nobody sees them, and only a look at every directory finds them.

use std::{io, time::SystemTime};

use cap_std::fs::{DirEntry, ReadDir};
use ferroflow_model::Result;

use super::{LocalRepository, TEMPORARY};
use crate::ArtifactPath;

/// Entries of directories that are looked at in one go.
const STEP: usize = 1000;

/// Directories in directories that are gone into. Each is open meanwhile.
const MAX_DEPTH: usize = 100;

/// A walk through all directories, a step at a time.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    /// The directories on the way to where it is.
    open: Vec<ReadDir>,
}

impl Walk {
    /// Whether it is at its end, or not begun.
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
                        // One that is gone meanwhile, or is not ours to look into, holds up nothing.
                        if self.open.len() < MAX_DEPTH
                            && let Ok(inside) = entry.open_dir().and_then(|dir| dir.entries())
                        {
                            self.open.push(inside);
                        }
                    }
                    Ok(kind) if kind.is_file() && is_left_behind(&entry, before) => {
                        swept += usize::from(take_back(&entry));
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
    /// Goes on with a walk, or begins it, and removes what was being written and has not grown since `before`. Gives the
    /// number. Replicas may do it at the same time: what is gone is gone.
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

/// Whatever is appended changes the time, whoever does it.
fn is_left_behind(entry: &DirEntry, before: SystemTime) -> bool {
    let name = entry.file_name();
    let random = name.to_str().and_then(|name| name.strip_prefix(TEMPORARY)).unwrap_or_default();
    random.len() == 32
        && random.bytes().all(|byte| byte.is_ascii_hexdigit())
        && entry.metadata().and_then(|metadata| metadata.modified()).is_ok_and(|modified| modified.into_std() < before)
}

fn take_back(entry: &DirEntry) -> bool {
    match entry.remove_file() {
        Ok(()) => true,
        // Another replica was faster.
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => {
            tracing::warn!(name = %entry.file_name().display(), %error, "what an upload left behind could not be removed");
            false
        }
    }
}
