//! What keeps an installation alive besides the server: backups and their way back, and runbooks on Kubernetes.

pub mod backup;
#[cfg(feature = "kubernetes")]
pub mod runbook;
pub mod sample;
