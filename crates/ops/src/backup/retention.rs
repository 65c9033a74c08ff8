//! Taking old backups away.

use std::collections::HashSet;

use anyhow::{Result, ensure};

use super::{manifest::Manifest, vault::Vault};

/// What was taken away.
#[derive(Debug, Clone, Default)]
pub struct Removed {
    /// The backups.
    pub backups: Vec<String>,
    /// Blocks that no backup has any more, and what killed backups left.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Keeps the newest backups, and `taken` whatever its time, and takes away the others with all that only they had.
///
/// # Errors
/// One can not be read, so that what it needs is not known; then nothing is taken away.
pub async fn keep_newest(vault: &Vault, keep: usize, taken: &str) -> Result<Removed> {
    let mut broken = Vec::new();
    let mut manifests = vault.manifests(&mut |reason| broken.push(reason)).await?;
    ensure!(broken.is_empty(), "nothing was removed: {}", broken.join("; "));
    // A clock that was ahead has left newer ones. The one that was just taken is no older than the database.
    let own = manifests.iter().position(|manifest| manifest.id == taken).map(|place| manifests.remove(place));
    let others = keep.saturating_sub(usize::from(own.is_some()));
    let mut kept = manifests.split_off(manifests.len().saturating_sub(others));
    kept.extend(own);
    let needed: HashSet<_> = kept.iter().flat_map(Manifest::blocks).collect();
    // The lists go first: at no moment is there one whose blocks are not there.
    for manifest in &manifests {
        vault.delete_manifest(&manifest.id).await?;
    }
    let (blocks, bytes) = vault.sweep(&needed).await?;
    Ok(Removed { backups: manifests.into_iter().map(|manifest| manifest.id).collect(), blocks, bytes })
}
