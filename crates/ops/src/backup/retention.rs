//! Deletes old backups.

use std::collections::HashSet;

use anyhow::{Result, ensure};

use super::{manifest::Manifest, vault::Vault};

/// The result of a deletion.
#[derive(Debug, Clone, Default)]
pub struct RetentionOutcome {
    /// The deleted backups.
    pub backups: Vec<String>,
    /// Number of deleted blocks that no backup refers to, including those of killed backups.
    pub blocks: u64,
    /// Their size in bytes.
    pub bytes: u64,
}

/// Keeps the newest backups, and `taken` whatever its time, and deletes the others with the blocks that only they refer
/// to.
///
/// # Errors
/// A manifest cannot be read, so its blocks are unknown; then nothing is deleted.
pub async fn keep_newest(vault: &Vault, keep: usize, taken: &str) -> Result<RetentionOutcome> {
    let mut broken = Vec::new();
    let mut manifests = vault.manifests(&mut |reason| broken.push(reason)).await?;
    ensure!(broken.is_empty(), "nothing was removed: {}", broken.join("; "));
    // A clock that was ahead has left newer ones. The backup that was just taken is always kept.
    let own = manifests.iter().position(|manifest| manifest.id == taken).map(|place| manifests.remove(place));
    let others = keep.saturating_sub(usize::from(own.is_some()));
    let mut kept = manifests.split_off(manifests.len().saturating_sub(others));
    kept.extend(own);
    let needed: HashSet<_> = kept.iter().flat_map(Manifest::blocks).collect();
    // Manifests are deleted first: at no time is there one with missing blocks.
    for manifest in &manifests {
        vault.delete_manifest(&manifest.id).await?;
    }
    let (blocks, bytes) = vault.sweep(&needed).await?;
    Ok(RetentionOutcome { backups: manifests.into_iter().map(|manifest| manifest.id).collect(), blocks, bytes })
}
