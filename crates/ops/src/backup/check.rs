//! Verifies backups.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use futures_util::{StreamExt as _, stream};

use super::{Event, OnEvent, manifest::Manifest, vault::Vault};

/// The result of a verification.
#[derive(Debug, Clone)]
pub struct CheckOutcome {
    /// Number of backups.
    pub backups: usize,
    /// Number of distinct blocks.
    pub blocks: usize,
}

/// Reads every block of every backup and verifies its checksum.
///
/// # Errors
/// Something is missing or damaged; the message names the affected backups.
pub async fn check(vault: &Vault, on_event: &OnEvent) -> Result<CheckOutcome> {
    let mut broken = Vec::new();
    let manifests = vault.manifests(&mut |reason| broken.push(reason)).await?;
    let blocks: BTreeSet<_> = manifests.iter().flat_map(Manifest::blocks).collect();
    let total = blocks.len() as u64;
    let read = stream::iter(blocks.iter().copied()).map(|hash| async move { (hash, vault.block(hash).await.err()) });
    let mut read = read.buffer_unordered(4);
    let (mut done, mut damaged) = (0, BTreeSet::new());
    while let Some((hash, error)) = read.next().await {
        done += 1;
        on_event(Event::Blocks { done, total });
        if let Some(error) = error {
            on_event(Event::Note(format!("{error:#}")));
            damaged.insert(hash);
        }
    }
    let unusable = manifests.iter().filter(|manifest| manifest.blocks().any(|hash| damaged.contains(&hash)));
    broken.extend(unusable.map(|manifest| format!("the backup {} is damaged", manifest.id)));
    ensure!(broken.is_empty(), "{}", broken.join("; "));
    Ok(CheckOutcome { backups: manifests.len(), blocks: blocks.len() })
}
