//! `cargo xtask bench`: measures ferroflow and the reference on this machine, in one run.

use anyhow::{Result, ensure};
use clap::Args;

use crate::{
    environment::{Durability, Environment, Need, Profile},
    tally::Tally,
};

/// Options of the benchmark.
#[derive(Args)]
#[allow(clippy::struct_excessive_bools, reason = "a flag is a bool")]
pub(crate) struct Options {
    /// Measure the upgrade of old databases instead: `bench/migrations.py`
    #[arg(long)]
    migrations: bool,

    /// Measure artifacts in a directory and in a bucket instead: `bench/artifacts.py`
    #[arg(long, conflicts_with = "migrations")]
    artifacts: bool,

    /// Measure the overhead of users instead: `bench/auth.py`
    #[arg(long, conflicts_with_all = ["migrations", "artifacts"])]
    auth: bool,

    /// Measure records of an evaluation dataset instead: `bench/evaluation.py`
    #[arg(long, conflicts_with_all = ["migrations", "artifacts", "auth", "traces"])]
    evaluation: bool,

    /// Measure traces instead: `bench/traces.py`
    #[arg(long, conflicts_with_all = ["migrations", "artifacts", "auth"])]
    traces: bool,

    /// Send spans at a steady rate for minutes instead: `bench/soak.py`
    #[arg(long, conflicts_with_all = ["migrations", "artifacts", "auth", "evaluation", "traces", "ui"])]
    soak: bool,

    /// Measure pages of the web UI in a browser instead: `bench/ui.py`
    #[arg(long, conflicts_with_all = ["migrations", "artifacts", "auth", "evaluation", "traces"])]
    ui: bool,

    /// Measure a workspace among a thousand others instead: `bench/workspaces.py`
    #[arg(long, conflicts_with_all = ["migrations", "artifacts", "auth", "evaluation", "traces", "soak", "ui"])]
    workspaces: bool,

    /// Arguments of the script
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    bench: Vec<String>,
}

/// Builds what is published and runs `bench/side_by_side.py` or the selected script.
pub(crate) fn run(environment: &Environment, options: &Options) -> Result<Tally> {
    environment.binary(Profile::Dist)?;
    environment.prepare(&[Need::Reference])?;
    let python = environment.reference()?;
    let mut command = if options.artifacts {
        environment.prepare(&[Need::S3s(Profile::Dist)])?;
        let mut command = environment.command(python);
        command.arg("bench/artifacts.py");
        command
    } else {
        let load = environment.build("ferroflow-bench", Profile::Dist)?;
        environment.postgres(Durability::Full)?;
        if options.ui {
            environment.prepare(&[Need::Chromium])?;
        }
        let mut command = environment.command(python);
        command.env("FERROFLOW_BENCH", load);
        command.arg(match options {
            Options { migrations: true, .. } => "bench/migrations.py",
            Options { auth: true, .. } => "bench/auth.py",
            Options { soak: true, .. } => "bench/soak.py",
            Options { ui: true, .. } => "bench/ui.py",
            Options { evaluation: true, .. } => "bench/evaluation.py",
            Options { traces: true, .. } => "bench/traces.py",
            Options { workspaces: true, .. } => "bench/workspaces.py",
            _ => "bench/side_by_side.py",
        });
        command
    };
    let status = command.args(&options.bench).status()?;
    ensure!(status.success(), "the benchmark failed");
    Ok(Tally::default())
}
