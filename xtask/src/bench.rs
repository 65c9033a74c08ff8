//! `cargo xtask bench`: measures ferroflow and the reference on this machine, in one run.

use std::process::Command;

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

    /// Measure the same requests on a small and on large databases instead: `bench/grow.py`
    #[arg(long, conflicts_with_all = ["migrations", "artifacts", "auth", "evaluation", "traces", "soak", "ui"])]
    grow: bool,

    /// Measure requests a second against latencies, by number of connections, instead: `bench/throughput.py`
    #[arg(long, conflicts_with_all = ["migrations", "artifacts", "auth", "evaluation", "traces", "soak", "ui", "grow"])]
    throughput: bool,

    /// Measure a workspace among a thousand others instead: `bench/workspaces.py`
    #[arg(long, conflicts_with_all = ["migrations", "artifacts", "auth", "evaluation", "traces", "soak", "ui"])]
    workspaces: bool,

    /// Arguments of the script
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    bench: Vec<String>,
}

/// Options of the long run.
#[derive(Args)]
pub(crate) struct Soak {
    /// Duration on each database
    #[arg(long, default_value_t = 0.5)]
    hours: f64,

    /// Arguments of `bench/long_run.py`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    long_run: Vec<String>,
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
        if options.ui {
            environment.prepare(&[Need::Chromium])?;
        }
        let mut command = loaded(environment, python)?;
        command.arg(match options {
            Options { migrations: true, .. } => "bench/migrations.py",
            Options { auth: true, .. } => "bench/auth.py",
            Options { soak: true, .. } => "bench/soak.py",
            Options { ui: true, .. } => "bench/ui.py",
            Options { evaluation: true, .. } => "bench/evaluation.py",
            Options { traces: true, .. } => "bench/traces.py",
            Options { grow: true, .. } => "bench/grow.py",
            Options { throughput: true, .. } => "bench/throughput.py",
            Options { workspaces: true, .. } => "bench/workspaces.py",
            _ => "bench/side_by_side.py",
        });
        command
    };
    finished(command.args(&options.bench))
}

/// Builds what is published and runs `bench/long_run.py`.
pub(crate) fn soak(environment: &Environment, options: &Soak) -> Result<Tally> {
    environment.binary(Profile::Dist)?;
    environment.prepare(&[Need::Reference])?;
    let mut command = loaded(environment, environment.reference()?)?;
    command.args(["bench/long_run.py", "--hours", &options.hours.to_string()]);
    finished(command.args(&options.long_run))
}

/// A Python with the load generator and a PostgreSQL that flushes commits to disk.
fn loaded(environment: &Environment, python: String) -> Result<Command> {
    let load = environment.build("ferroflow-bench", Profile::Dist)?;
    environment.postgres(Durability::Full)?;
    let mut command = environment.command(python);
    command.env("FERROFLOW_BENCH", load);
    Ok(command)
}

fn finished(command: &mut Command) -> Result<Tally> {
    ensure!(command.status()?.success(), "the benchmark failed");
    Ok(Tally::default())
}
