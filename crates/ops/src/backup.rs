//! Online backups of a server with SQLite and a local artifact directory.
//!
//! A backup is a manifest of files, and a file is a list of blocks, each stored once under the hash of its bytes
//! (deduplication). So unchanged artifacts and database pages are not copied again, and any backup can be deleted
//! without affecting others. The manifest is written last: an interrupted backup does not exist.
//!
//! The order is users, tracking database, artifacts. A client writes the row of a run before its artifacts, and the row
//! that marks a model as ready after them: so the artifacts that the copied rows refer to existed when the artifacts
//! were copied, later. In the reverse order, a model logged in between would have a row without files; this way it may
//! have files without a row, which are invisible. Users come first for a similar reason: a permission whose experiment
//! is missing would apply to the next experiment with that number.

mod blocks;
mod check;
mod create;
mod manifest;
mod restore;
mod retention;
mod vault;
mod walk;

use std::sync::Arc;

pub use check::{CheckOutcome, check};
pub use create::{CreateOutcome, Sources, create};
pub use manifest::{Database, Manifest, Role};
pub use restore::{RestoreOutcome, Targets, restore};
pub use retention::{RetentionOutcome, keep_newest};
pub use vault::{BackupSelector, Vault};

/// A progress event.
#[derive(Debug, Clone)]
pub enum Event {
    /// Pages of a database.
    Pages {
        /// The database.
        role: Role,
        /// Number of pages copied.
        done: u64,
        /// Total number of pages.
        total: u64,
    },
    /// Number of artifacts found so far.
    Found(u64),
    /// Files.
    Files {
        /// Number of files copied.
        done: u64,
        /// Total number of files.
        total: u64,
    },
    /// Blocks being verified.
    Blocks {
        /// Number of blocks read.
        done: u64,
        /// Total number of blocks.
        total: u64,
    },
    /// A message to the operator.
    Note(String),
}

/// The receiver of events; called from any thread.
pub type OnEvent = Arc<dyn Fn(Event) + Send + Sync>;
