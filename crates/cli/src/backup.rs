//! `ferroflow backup` and `ferroflow restore`: for a server with SQLite and a local artifact directory.

mod args;
mod progress;

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use ferroflow_artifacts::{ArtifactRepository, Buckets};
use ferroflow_model::{Environment, uri};
use ferroflow_ops::backup::{self, BackupSelector, Manifest, RestoreOutcome, Role, Sources, Targets, Vault};
use ferroflow_store::db::BackendUri;
use indicatif::HumanBytes;

pub(crate) use self::args::{BackupArgs, RestoreArgs};
use self::progress::Reporter;
use crate::{
    logging::{self, LogFormat},
    report::{self, err, out},
    server::destination,
    workspace_store,
};

/// Creates, lists or verifies backups.
pub(crate) fn run(args: BackupArgs, environment: &Environment) -> Result<()> {
    start(environment, async {
        let (repository, directory) = place(&args.place, environment)?;
        if args.list {
            return list(&Vault::open_to_read(repository, directory).await?).await;
        }
        let reporter = Reporter::new();
        if args.check {
            let vault = Vault::open_to_read(repository, directory).await?;
            let checked = backup::check(&vault, &reporter.on_event()).await;
            reporter.end();
            let checked = checked?;
            out!("{} backups in {} are intact: {} blocks were read", checked.backups, vault.name(), checked.blocks);
            return Ok(());
        }
        let tracking = args.backend.parse(environment)?;
        if let Some(other) = workspace_store::of_environment(&tracking, environment)? {
            err!(
                "the workspaces are in {other}, which this backup does not contain: back it up by a command of its own"
            );
        }
        let sources = Sources {
            tracking: file(tracking)?,
            users: args.users_store_uri.as_deref().map(|uri| file(BackendUri::parse(uri, environment)?)).transpose()?,
            artifacts: (!args.no_artifacts).then(|| artifacts(&args.artifacts_destination, environment)).transpose()?,
            read_all: args.read_all,
        };
        let vault = Vault::open_to_write(repository, directory, &sources).await?;
        let created = backup::create(&vault, &sources, &reporter.on_event()).await;
        reporter.end();
        let created = created?;
        let manifest = &created.manifest;
        out!("backup {} in {}", manifest.id, vault.name());
        contents(manifest);
        out!("  {} of {} artifacts were in an older backup", created.unchanged, manifest.files());
        out!("  {} added", HumanBytes(manifest.added));
        if let Some(keep) = args.keep {
            let removed = backup::keep_newest(&vault, keep.get(), &manifest.id).await?;
            if !removed.backups.is_empty() {
                out!("removed {}: {} freed", removed.backups.join(", "), HumanBytes(removed.bytes));
            }
        }
        Ok(())
    })
}

/// Restores a backup.
pub(crate) fn restore(args: RestoreArgs, environment: &Environment) -> Result<()> {
    start(environment, async {
        let (repository, directory) = place(&args.place, environment)?;
        let vault = Vault::open_to_read(repository, directory).await?;
        let manifest = vault.find(&BackupSelector::parse(&args.at)?).await?;
        let has_users = manifest.databases.iter().any(|database| database.role == Role::Users);
        if has_users && args.users_store_uri.is_none() && !args.no_users {
            bail!("the backup {} has users: give their target with --users-store-uri, or pass --no-users", manifest.id);
        }
        let with_artifacts = manifest.artifacts.is_some() && !args.no_artifacts;
        let targets = Targets {
            tracking: file(args.backend.parse(environment)?)?,
            users: args.users_store_uri.as_deref().map(|uri| file(BackendUri::parse(uri, environment)?)).transpose()?,
            artifacts: with_artifacts.then(|| artifacts(&args.artifacts_destination, environment)).transpose()?,
            force: args.force,
            keep_users: args.keep_users,
        };
        let reporter = Reporter::new();
        let restored = backup::restore(&vault, &manifest, &targets, &reporter.on_event()).await;
        reporter.end();
        let restored = restored?;
        out!("restored {} of {}", manifest.id, manifest.time);
        contents(&manifest);
        out!("  all rows and checksums match the backup");
        print_user_changes(&restored, args.keep_users);
        Ok(())
    })
}

/// Prints what a restore means for users and sessions.
fn print_user_changes(restored: &RestoreOutcome, are_kept: bool) {
    if are_kept {
        out!("  the existing users were kept, not those of the backup");
        restored.dropped.iter().for_each(|what| out!("  dropped the grants on {what}: not in the backup"));
    } else if let Some(differences) = &restored.users {
        out!("  {} differences between the restored users and those that were moved aside", differences.len());
        for line in differences {
            out!("    {line}");
        }
        if !differences.is_empty() {
            out!("  to keep the newer users: --keep-users");
        }
    }
    if are_kept || restored.users.is_some() {
        out!("  all sessions of browsers have ended");
    }
}

fn start(environment: &Environment, work: impl Future<Output = Result<()>>) -> Result<()> {
    logging::init(LogFormat::Text, environment);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(work)
}

async fn list(vault: &Vault) -> Result<()> {
    let mut broken = Vec::new();
    let manifests = vault.manifests(&mut |reason| broken.push(reason)).await?;
    out!("{:<20} {:<20} {:>12} {:>12} {:>10} {:>10}", "BACKUP", "TIME", "SIZE", "ADDED", "RUNS", "ARTIFACTS");
    for manifest in &manifests {
        let (size, added) = (HumanBytes(manifest.size()).to_string(), HumanBytes(manifest.added).to_string());
        let (runs, files) = (rows(manifest, Role::Tracking, "runs"), manifest.files());
        let time = manifest.time.strftime("%Y-%m-%dT%H:%M:%SZ");
        out!("{:<20} {time:<20} {size:>12} {added:>12} {runs:>10} {files:>10}", manifest.id);
    }
    ensure!(broken.is_empty(), "{}", broken.join("; "));
    report::complete()
}

/// Prints the contents of a backup, in the terms of the UI.
fn contents(manifest: &Manifest) {
    let count = |table| rows(manifest, Role::Tracking, table);
    out!(
        "  {} experiments, {} runs, {} registered models, {} traces",
        count("experiments"),
        count("runs"),
        count("registered_models"),
        count("trace_info")
    );
    if manifest.databases.iter().any(|database| database.role == Role::Users) {
        out!("  {} users", rows(manifest, Role::Users, "users"));
    }
    for database in &manifest.databases {
        let chain = database.role.chain();
        out!("  the {} database is at {}", database.role, chain.named(database.revision.as_deref()));
    }
    out!("  {} artifacts, {} in all", manifest.files(), HumanBytes(manifest.size()));
}

fn rows(manifest: &Manifest, role: Role, table: &str) -> i64 {
    let database = manifest.databases.iter().find(|database| database.role == role);
    database.and_then(|database| database.rows.get(table)).copied().unwrap_or_default()
}

/// The storage of backups: a repository, with its directory if it is local.
fn place(text: &str, environment: &Environment) -> Result<(ArtifactRepository, Option<PathBuf>)> {
    let repository = destination(text, &Buckets::new(environment))?;
    let directory = matches!(repository, ArtifactRepository::Local(_)).then(|| repository.name().into());
    Ok((repository, directory))
}

/// The file of a SQLite database.
fn file(uri: BackendUri) -> Result<PathBuf> {
    match uri {
        BackendUri::Sqlite(path) => Ok(path),
        uri @ BackendUri::Postgres(_) => bail!(
            "{uri} is not a SQLite file. For PostgreSQL, use its own backups and its write-ahead log: docs/backup.md"
        ),
    }
}

fn artifacts(text: &str, environment: &Environment) -> Result<PathBuf> {
    match uri::scheme(text).as_deref() {
        None | Some("file") => {
            let (_, directory) = place(text, environment)?;
            directory.with_context(|| format!("{text} is not a directory"))
        }
        Some(_) => bail!(
            "{text} is not a directory. Keep versions of the objects in the bucket instead, and pass --no-artifacts"
        ),
    }
}
