//! Operations besides serving: backup and restore, and runbooks on Kubernetes.

pub mod backup;
#[cfg(feature = "kubernetes")]
pub mod runbook;
pub mod sample;
