//! Maintenance of a database: garbage collection, snapshots, the archival of traces, their rollups, leases of jobs, moves
//! between workspaces.

pub(crate) mod abandoned_traces;
pub mod artifact_refs;
pub mod gc;
pub(crate) mod job_leases;
pub mod move_resources;
pub(crate) mod one_workspace;
pub(crate) mod scheduler_leases;
pub mod snapshot;
pub(crate) mod trace_archival;
pub(crate) mod trace_rollups;
pub mod usage;
pub mod workspace_summary;
