//! Backups of a server on SQLite and a directory of artifacts, taken while it serves.
//!
//! A backup is a list of files, and a file is a list of blocks, each kept once under the hash of its bytes. So what did
//! not change since an older backup is not copied again, neither an artifact nor a page of the database, and any
//! backup can go without the others noticing. The list is written last: what was ended before that is no backup.
//!
//! The order of copying is users, tracking database, artifacts. A client writes the row of a run before its artifacts,
//! and the row that says that a model is ready after them: so whatever a row of the copy points at was there when the
//! artifacts were copied, later. The other way round, a model that was logged in between would have a row and no
//! files; this way it may have files and no row, which nobody sees. Users come first for the same reason the other way
//! round: a permission without its experiment would pass to whatever gets the number of that experiment next.

mod blocks;
mod check;
mod create;
mod manifest;
mod restore;
mod retention;
mod vault;
mod walk;

use std::sync::Arc;

pub use check::{Checked, check};
pub use create::{Created, Sources, create};
pub use manifest::{Database, Manifest, Role};
pub use restore::{Restored, Targets, restore};
pub use retention::{Removed, keep_newest};
pub use vault::{Vault, Wanted};

/// What happens meanwhile.
#[derive(Debug, Clone)]
pub enum Event {
    /// Pages of a database that are copied, and all.
    Pages {
        /// Whose.
        role: Role,
        /// Copied.
        done: u64,
        /// All.
        total: u64,
    },
    /// Artifacts are looked for: found so far.
    Found(u64),
    /// Files that are done, and all.
    Files {
        /// Done.
        done: u64,
        /// All.
        total: u64,
    },
    /// Blocks that were read again, and all.
    Blocks {
        /// Done.
        done: u64,
        /// All.
        total: u64,
    },
    /// Something that the operator should know.
    Note(String),
}

/// Where events go; called from any thread.
pub type Tell = Arc<dyn Fn(Event) + Send + Sync>;
