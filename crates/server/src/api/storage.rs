//! Artifacts: of runs and models, through the proxy, and by presigned URLs.

pub(crate) mod artifacts;
pub(crate) mod proxied_artifacts;
pub(crate) mod transfers;
