//! Splits files into blocks.

use std::{
    collections::HashSet,
    fs::File,
    io::Read as _,
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use tokio::task::spawn_blocking;

use super::{manifest::Hash, vault::Vault};

/// Block size of databases in bytes: a change stores at least one new block.
pub(super) const OF_DATABASE: usize = 1 << 20;

/// Block size of artifacts in bytes, which rarely change.
pub(super) const OF_ARTIFACT: usize = 8 << 20;

/// Adds blocks to a vault, each once.
pub(super) struct Blocks<'a> {
    vault: &'a Vault,
    known: Mutex<HashSet<Hash>>,
    added: AtomicU64,
}

impl<'a> Blocks<'a> {
    /// `known` blocks exist already.
    pub(super) fn new(vault: &'a Vault, known: HashSet<Hash>) -> Self {
        Self { vault, known: Mutex::new(known), added: AtomicU64::new(0) }
    }

    /// Number of bytes added.
    pub(super) fn added(&self) -> u64 {
        self.added.load(Ordering::Relaxed)
    }

    /// Adds a file in blocks of `size` bytes; returns its blocks and its length in bytes.
    pub(super) async fn add(&self, path: &Path, size: usize) -> Result<(Vec<Hash>, u64)> {
        let mut file = File::open(path)?;
        let (mut hashes, mut bytes) = (Vec::new(), 0);
        loop {
            let (block, back) = spawn_blocking(move || -> std::io::Result<_> {
                let mut block = Vec::new();
                file.by_ref().take(size as u64).read_to_end(&mut block)?;
                let hash = (!block.is_empty()).then(|| Hash::of(&block));
                Ok((hash.map(|hash| (hash, Bytes::from(block))), file))
            })
            .await?
            .with_context(|| format!("{} cannot be read", path.display()))?;
            file = back;
            let Some((hash, block)) = block else { return Ok((hashes, bytes)) };
            hashes.push(hash);
            bytes += block.len() as u64;
            if !self.is_known(hash) {
                let length = block.len() as u64;
                self.vault.put_block(hash, block).await?;
                // Only after the write: another file with the same block must not rely on a write that may fail.
                if self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(hash) {
                    self.added.fetch_add(length, Ordering::Relaxed);
                }
            }
        }
    }

    fn is_known(&self, hash: Hash) -> bool {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).contains(&hash)
    }
}
