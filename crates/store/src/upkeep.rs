//! Maintenance of a database: garbage collection, snapshots, the archival of traces.

pub mod artifact_refs;
pub mod gc;
pub mod snapshot;
pub(crate) mod trace_archival;
