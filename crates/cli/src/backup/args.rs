//! The flags.

use std::num::NonZeroUsize;

use clap::Args;

/// Flags of `ferroflow backup`.
#[derive(Debug, Clone, Args)]
#[allow(clippy::struct_excessive_bools, reason = "a flag is a bool")]
pub(crate) struct BackupArgs {
    /// Where backups are kept: a directory, or a bucket, as --artifacts-destination of the server takes it
    #[arg(value_name = "PLACE")]
    pub(super) place: String,

    /// The database, as for `ferroflow server`: a SQLite file
    #[arg(
        long,
        env = "MLFLOW_BACKEND_STORE_URI",
        value_name = "URI",
        default_value = "sqlite:///mlflow.db",
        hide_env_values = true
    )]
    pub(super) backend_store_uri: String,

    /// The users database of basic-auth, if users log in: a SQLite file
    #[arg(long, value_name = "URI")]
    pub(super) users_store_uri: Option<String>,

    /// The directory of the artifacts, as for `ferroflow server`
    #[arg(long, env = "MLFLOW_ARTIFACTS_DESTINATION", value_name = "DIR", default_value = "./mlartifacts")]
    pub(super) artifacts_destination: String,

    /// Only the databases
    #[arg(long)]
    pub(super) no_artifacts: bool,

    /// Keep this many backups, and remove older ones when this one is complete
    #[arg(long, value_name = "NUMBER")]
    pub(super) keep: Option<NonZeroUsize>,

    /// Read every artifact again, also where size and time are those of the last backup, and write everything again,
    /// also what older backups have
    #[arg(long)]
    pub(super) read_all: bool,

    /// List the backups, and take none
    #[arg(long, conflicts_with_all = ["check", "keep"])]
    pub(super) list: bool,

    /// Read all backups again and compare every checksum, and take none
    #[arg(long, conflicts_with = "keep")]
    pub(super) check: bool,
}

/// Flags of `ferroflow restore`.
#[derive(Debug, Clone, Args)]
#[allow(clippy::struct_excessive_bools, reason = "a flag is a bool")]
pub(crate) struct RestoreArgs {
    /// Where backups are kept
    #[arg(value_name = "PLACE")]
    pub(super) place: String,

    /// Which: `latest`, a name from `ferroflow backup --list`, or a time with its zone, such as
    /// 2026-01-02T03:04:05Z, for the newest backup that is not younger
    #[arg(long, value_name = "BACKUP|TIME", default_value = "latest")]
    pub(super) at: String,

    /// Where the database goes: a SQLite file
    #[arg(
        long,
        env = "MLFLOW_BACKEND_STORE_URI",
        value_name = "URI",
        default_value = "sqlite:///mlflow.db",
        hide_env_values = true
    )]
    pub(super) backend_store_uri: String,

    /// Where the users database goes: a SQLite file
    #[arg(long, value_name = "URI")]
    pub(super) users_store_uri: Option<String>,

    /// Leave the users out
    #[arg(long, conflicts_with = "users_store_uri")]
    pub(super) no_users: bool,

    /// Keep the users, passwords and grants that are there now, and not those of the backup: who was shut out since stays
    /// shut out. What is granted on something that the backup does not have goes
    #[arg(long, requires_all = ["users_store_uri", "force"])]
    pub(super) keep_users: bool,

    /// Where the artifacts go: a directory
    #[arg(long, env = "MLFLOW_ARTIFACTS_DESTINATION", value_name = "DIR", default_value = "./mlartifacts")]
    pub(super) artifacts_destination: String,

    /// Leave the artifacts out
    #[arg(long)]
    pub(super) no_artifacts: bool,

    /// Move aside what is there, instead of refusing to restore over it
    #[arg(long)]
    pub(super) force: bool,
}
