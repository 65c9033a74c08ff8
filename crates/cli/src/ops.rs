//! `ferroflow ops`: runbooks on Kubernetes.

use std::{path::Path, time::Duration};

use anyhow::Result;
use clap::{Args, Subcommand};
use ferroflow_model::Environment;
use ferroflow_ops::runbook::{self, Api, BackupOptions, DrillOptions, RecoverOptions, Target, UpgradeOptions};
use jiff::Timestamp;

use crate::logging::{self, LogFormat};

/// Flags of `ferroflow ops`.
#[derive(Debug, Clone, Args)]
pub(crate) struct OpsArgs {
    #[command(subcommand)]
    runbook: Runbook,

    /// The name of the release, which is that of its Deployment
    #[arg(long, global = true, value_name = "NAME", default_value = "mlflow")]
    release: String,

    /// Default: the namespace of the context
    #[arg(short, long, global = true, value_name = "NAME")]
    namespace: Option<String>,

    /// A context of the kubeconfig. Default: the current one
    #[arg(long, global = true, value_name = "NAME")]
    context: Option<String>,

    /// Print all changes without making them
    #[arg(long, global = true)]
    dry_run: bool,
}

#[derive(Debug, Clone, Subcommand)]
enum Runbook {
    /// Upgrade the server to another image: checks, a backup, a rolling update if no table changes, else with downtime
    Upgrade {
        /// The image, with its tag
        #[arg(long, value_name = "IMAGE")]
        image: String,
        /// Do not take a backup first
        #[arg(long)]
        no_backup: bool,
    },
    /// Return to the image before the last upgrade, if that changed no table
    Rollback,
    /// Take a base backup of the database now, and wait for it
    Backup {
        /// Its name. An existing backup with that name is awaited
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
    /// Recover the database into a new cluster, and point the server to it. The old cluster is kept
    Recover {
        /// The recovery target time with its zone, such as 2026-01-02T03:04:05Z. Default: the latest state
        #[arg(long, value_name = "TIME", value_parser = time)]
        to: Option<Timestamp>,
        /// The name of the new cluster. Default: the old one's with the next number
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// Do not check that artifacts of the recovered database exist in the bucket
        #[arg(long)]
        no_artifacts: bool,
        /// Recover a cluster that is itself the result of a recovery
        #[arg(long)]
        again: bool,
        /// Abandon a recovery that was begun: the server uses the old cluster again
        #[arg(long, conflicts_with_all = ["to", "name", "no_artifacts", "again"])]
        abandon: bool,
    },
    /// Restore the newest backup into a scratch cluster, compare it with the live one, and delete it
    Drill {
        /// Timeout of the restore
        #[arg(long, value_name = "SECONDS", default_value_t = 7200)]
        deadline: u64,
        /// Maximum lag of the newest change
        #[arg(long, value_name = "SECONDS", default_value_t = 900)]
        max_lag: u64,
        /// Do not check that artifacts of the restored database exist in the bucket
        #[arg(long)]
        no_artifacts: bool,
    },
    /// Check for known problems, and name the value to change. Changes nothing
    Doctor {
        /// Run a Job that also inspects the databases, and writes, reads and deletes a small file in the bucket
        #[arg(long)]
        look_inside: bool,
    },
}

/// The runbooks as a command of their own, if the program is called by the name of a plug-in: `kubectl ferroflow doctor`
/// runs `kubectl-ferroflow doctor`, which is `ferroflow ops doctor`. `oc` takes plug-ins of either name.
pub(crate) fn plugin(program: &Path) -> Option<clap::Command> {
    let caller = match program.file_stem()?.to_str()? {
        "kubectl-ferroflow" => "kubectl ferroflow",
        "oc-ferroflow" => "oc ferroflow",
        _ => return None,
    };
    let command = clap::Command::new("ferroflow").bin_name(caller).version(env!("CARGO_PKG_VERSION"));
    let command =
        command.about("Upgrade, back up, recover and check an installation on Kubernetes").max_term_width(100);
    Some(OpsArgs::augment_args(command))
}

fn time(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| format!("'{text}' is not a time with its zone (2026-01-02T03:04:05Z)"))
}

/// Runs a runbook.
pub(crate) fn run(args: OpsArgs, environment: &Environment) -> Result<()> {
    logging::init(LogFormat::Text, environment);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let target = Target { context: args.context, namespace: args.namespace, dry_run: args.dry_run };
        let (api, release) = (Api::connect(&target, environment).await?, args.release);
        match args.runbook {
            Runbook::Upgrade { image, no_backup } => {
                runbook::upgrade(&api, &release, &UpgradeOptions { image, no_backup }).await
            }
            Runbook::Rollback => runbook::rollback(&api, &release).await,
            Runbook::Backup { name } => runbook::backup(&api, &release, &BackupOptions { name }).await,
            Runbook::Recover { abandon: true, .. } => runbook::abandon(&api, &release).await,
            Runbook::Recover { to, name, no_artifacts, again, .. } => {
                runbook::recover(&api, &release, &RecoverOptions { to, name, no_artifacts, again }).await
            }
            Runbook::Drill { deadline, max_lag, no_artifacts } => {
                let deadline = Duration::from_secs(deadline);
                runbook::drill(&api, &release, &DrillOptions { deadline, max_lag, no_artifacts }).await
            }
            Runbook::Doctor { look_inside } => runbook::doctor(&api, &release, look_inside).await,
        }
    })
}
