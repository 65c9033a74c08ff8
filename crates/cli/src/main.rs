//! The `ferroflow` binary: parses flags, wires the components, runs.

mod audit;
mod backend_store;
mod backup;
mod db;
mod gc;
mod health;
mod logging;
#[cfg(feature = "kubernetes")]
mod ops;
mod report;
mod server;
mod storage;
mod usage;
mod user;
mod variables;
mod workspace_store;

use std::{ffi::OsStr, process::ExitCode};

use clap::{
    Arg, ArgAction, CommandFactory as _, FromArgMatches as _, Parser, Subcommand,
    error::{ContextKind, ContextValue},
};
use ferroflow_model::Environment;

use self::report::err;

/// An MLflow tracking server in one binary.
#[derive(Parser)]
#[command(
    name = "ferroflow",
    version,
    about,
    max_term_width = 100,
    disable_help_flag = true,
    args_conflicts_with_subcommands = true
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    server: server::ServerArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Run the tracking server (UI + REST API). This is the default without a subcommand.
    Server(Box<server::ServerArgs>),
    /// Ask a running server whether it is ready; exit code 0 if it is
    Health(Box<health::HealthArgs>),
    /// Upgrade, inspect and clean up the database
    #[command(subcommand)]
    Db(db::DbCommand),
    /// Permanently delete runs, logged models and experiments that are marked as deleted, with their artifacts.
    Gc(Box<gc::GcArgs>),
    /// Test the artifact store; check that artifacts referred to by a database exist
    #[command(subcommand)]
    Storage(storage::StorageCommand),
    /// Back up a SQLite database and its artifacts online; list and verify backups
    Backup(Box<backup::BackupArgs>),
    /// Restore a backup
    Restore(Box<backup::RestoreArgs>),
    /// Show what takes the space of the database and of the artifacts, and what retention would free
    Usage(Box<usage::UsageArgs>),
    /// Manage users and their permissions in the users database of --app-name basic-auth
    #[command(subcommand)]
    User(user::UserCommand),
    /// Verify the audit log
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Upgrade, back up, recover and check an installation on Kubernetes
    #[cfg(feature = "kubernetes")]
    Ops(Box<ops::OpsArgs>),
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn main() -> ExitCode {
    let code = run(&Environment::new(std::env::vars_os()));
    logging::flush();
    code
}

fn run(environment: &Environment) -> ExitCode {
    #[cfg(feature = "kubernetes")]
    if let Some(command) = std::env::args_os().next().and_then(|name| ops::plugin(name.as_ref())) {
        let matches = without_empty_variables(command, environment).try_get_matches();
        return match matches.and_then(|matches| ops::OpsArgs::from_arg_matches(&matches)) {
            Ok(args) => exit(ops::run(args, environment)),
            Err(error) => refuse(&error),
        };
    }
    let command = without_empty_variables(Cli::command(), environment).mut_subcommands(with_help);
    let matches = command.try_get_matches();
    let cli = match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    let outcome = match cli.command {
        Some(Command::Server(args)) => server::run(*args, environment),
        Some(Command::Db(command)) => return db::run(command, environment),
        Some(Command::Health(args)) => health::run(&args, environment),
        Some(Command::Gc(args)) => gc::run(*args, environment),
        Some(Command::Storage(command)) => return storage::run(command, environment),
        Some(Command::Backup(args)) => backup::run(*args, environment),
        Some(Command::Restore(args)) => backup::restore(*args, environment),
        Some(Command::Usage(args)) => usage::run(&args, environment),
        Some(Command::User(command)) => return user::run(command, environment),
        Some(Command::Audit(command)) => return audit::run(command),
        #[cfg(feature = "kubernetes")]
        Some(Command::Ops(args)) => ops::run(*args, environment),
        None => server::run(cli.server, environment),
    };
    exit(outcome)
}

/// The exit code of a command.
fn exit(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line: what failed, then why.
            err!("Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Prints in one line what is wrong with the flags. A URI in the wrong place may contain a password, so only its scheme
/// is shown.
fn refuse(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // Help and version.
        error.exit();
    }
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    let line = line.strip_prefix("error: ").unwrap_or(line);
    let line = match (line.find("://"), line.rfind('\'')) {
        (Some(start), Some(end)) if start < end => format!("{}://…{}", &line[..start], &line[end..]),
        (Some(start), _) => format!("{}://…", &line[..start]),
        (None, _) => line.to_owned(),
    };
    let hint = match error.get(ContextKind::SuggestedArg) {
        Some(ContextValue::String(name)) => format!("did you mean '{name}'?"),
        _ => "see --help".to_owned(),
    };
    err!("Error: {line} ({hint})");
    ExitCode::from(2)
}

/// Adds `-h` and `--help` to a command and its subcommands. The server's `-h` is `--host`, as in the reference, which
/// disables the built-in flag everywhere.
fn with_help(command: clap::Command) -> clap::Command {
    let has_own = command.is_hide_set() || command.get_arguments().any(|arg| arg.get_long() == Some("help"));
    let command = command.mut_subcommands(with_help);
    if has_own {
        return command;
    }
    command.arg(Arg::new("help").short('h').long("help").action(ArgAction::Help).help("Print help"))
}

/// An empty environment variable is the same as an unset one, as in the reference.
fn without_empty_variables(command: clap::Command, environment: &Environment) -> clap::Command {
    let is_empty = |name: &OsStr| environment.os(name).is_some_and(OsStr::is_empty);
    command
        .mut_args(|arg| if arg.get_env().is_some_and(is_empty) { arg.env(None) } else { arg })
        .mut_subcommands(|command| without_empty_variables(command, environment))
}
