//! Runbooks on Kubernetes, for what the chart installs: one server beside a cluster of CloudNativePG.
//!
//! Each runbook asks what there is before it does anything, and does a step only where its outcome is not there yet: one
//! that was interrupted is run again. What it has to remember is written at the objects themselves, as annotations. A
//! dry run asks the same questions, prints what it would change, and changes nothing.

mod api;
mod archives;
mod backup;
mod doctor;
mod drill;
mod probe;
mod recover;
mod release;
mod rollback;
mod upgrade;

pub use api::{Api, Target};
pub use backup::{BackupOptions, backup};
pub use doctor::doctor;
pub use drill::{DrillOptions, drill};
pub use recover::{RecoverOptions, abandon, recover};
pub use rollback::rollback;
pub use upgrade::{UpgradeOptions, upgrade};

/// The beginning of the names of annotations and labels that are ours.
const OURS: &str = "ferroflow-ops";
