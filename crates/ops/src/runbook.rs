//! Runbooks on Kubernetes, for installations of the chart: one server with a CloudNativePG cluster.
//!
//! Runbooks are idempotent: each step checks the current state and only runs if its outcome is missing, so an
//! interrupted runbook can be run again. State is stored as annotations on the objects. A dry run makes the same
//! checks, prints the changes, and makes none. A lease excludes a second runbook on the same release.

mod api;
mod archives;
mod backup;
mod doctor;
mod drill;
mod exclusive;
mod helm;
mod images;
mod pods;
mod probe;
mod recover;
mod release;
mod rights;
mod rollback;
mod upgrade;

pub use api::{Api, Target};
pub use backup::{BackupOptions, backup};
pub use doctor::doctor;
pub use drill::{DrillOptions, drill};
pub use recover::{RecoverOptions, abandon, recover};
pub use rollback::rollback;
pub use upgrade::{UpgradeOptions, upgrade};

/// The prefix of ferroflow's own annotations and labels.
const ANNOTATION_PREFIX: &str = "ferroflow-ops";
