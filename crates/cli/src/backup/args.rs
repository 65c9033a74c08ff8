//! The flags of `ferroflow backup` and `ferroflow restore`.

use std::num::NonZeroUsize;

use clap::Args;

use crate::backend_store::BackendStore;

/// Flags of `ferroflow backup`.
#[derive(Debug, Clone, Args)]
#[allow(clippy::struct_excessive_bools, reason = "a flag is a bool")]
pub(crate) struct BackupArgs {
    /// The storage of the backups: a directory or a bucket, as for --artifacts-destination of the server
    #[arg(value_name = "PLACE")]
    pub(super) place: String,

    #[command(flatten)]
    pub(super) backend: BackendStore,

    /// The users database of basic-auth, if the server has users: a SQLite file
    #[arg(long, value_name = "URI")]
    pub(super) users_store_uri: Option<String>,

    /// The artifact directory, as for `ferroflow server`
    #[arg(long, env = "MLFLOW_ARTIFACTS_DESTINATION", value_name = "DIR", default_value = "./mlartifacts")]
    pub(super) artifacts_destination: String,

    /// Back up the databases only
    #[arg(long)]
    pub(super) no_artifacts: bool,

    /// Keep this many backups, and delete older ones when this one is complete
    #[arg(long, value_name = "NUMBER")]
    pub(super) keep: Option<NonZeroUsize>,

    /// Read all artifacts instead of trusting size and modification time, and write all blocks again, including those
    /// of older backups
    #[arg(long)]
    pub(super) read_all: bool,

    /// List the backups instead of creating one
    #[arg(long, conflicts_with_all = ["check", "keep"])]
    pub(super) list: bool,

    /// Verify the checksums of all backups instead of creating one
    #[arg(long, conflicts_with = "keep")]
    pub(super) check: bool,
}

/// Flags of `ferroflow restore`.
#[derive(Debug, Clone, Args)]
#[allow(clippy::struct_excessive_bools, reason = "a flag is a bool")]
pub(crate) struct RestoreArgs {
    /// The storage of the backups
    #[arg(value_name = "PLACE")]
    pub(super) place: String,

    /// Which backup: `latest`, a name from `ferroflow backup --list`, or a time with its zone, such as
    /// 2026-01-02T03:04:05Z, for the newest backup that is not later
    #[arg(long, value_name = "BACKUP|TIME", default_value = "latest")]
    pub(super) at: String,

    #[command(flatten)]
    pub(super) backend: BackendStore,

    /// The target of the users database: a SQLite file
    #[arg(long, value_name = "URI")]
    pub(super) users_store_uri: Option<String>,

    /// Do not restore the users
    #[arg(long, conflicts_with = "users_store_uri")]
    pub(super) no_users: bool,

    /// Keep the existing users, passwords and grants instead of those in the backup: users deleted or restricted since
    /// then stay so. Grants on resources that the backup does not have are deleted
    #[arg(long, requires_all = ["users_store_uri", "force"])]
    pub(super) keep_users: bool,

    /// The target of the artifacts: a directory
    #[arg(long, env = "MLFLOW_ARTIFACTS_DESTINATION", value_name = "DIR", default_value = "./mlartifacts")]
    pub(super) artifacts_destination: String,

    /// Do not restore the artifacts
    #[arg(long)]
    pub(super) no_artifacts: bool,

    /// Move existing targets aside, instead of refusing to restore
    #[arg(long)]
    pub(super) force: bool,
}
