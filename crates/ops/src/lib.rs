//! Operations besides serving: backup and restore, and runbooks on Kubernetes.

pub mod backup;
mod clock;
#[cfg(feature = "kubernetes")]
pub mod runbook;
pub mod sample;
