//! Maintenance of a database: garbage collection, snapshots, the archival of traces, leases of jobs.

pub mod artifact_refs;
pub mod gc;
pub(crate) mod job_leases;
pub mod snapshot;
pub(crate) mod trace_archival;
