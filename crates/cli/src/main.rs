//! The `ferroflow` binary: reads flags, wires the parts, runs. No logic.

mod audit;
mod backup;
mod db;
mod gc;
mod logging;
#[cfg(feature = "kubernetes")]
mod ops;
mod report;
mod server;
mod storage;
mod user;

use std::process::ExitCode;

use clap::{
    Arg, ArgAction, CommandFactory as _, FromArgMatches as _, Parser, Subcommand,
    error::{ContextKind, ContextValue},
};

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
    /// Run the tracking server (UI + REST API). This is also what happens without a subcommand.
    Server(Box<server::ServerArgs>),
    /// Upgrade, inspect and tidy the database
    #[command(subcommand)]
    Db(db::DbCommand),
    /// Delete for good the runs, logged models and experiments that are marked as deleted, with their
    /// artifacts.
    Gc(Box<gc::GcArgs>),
    /// Try the storage of artifacts; see whether artifacts are where a database says
    #[command(subcommand)]
    Storage(storage::StorageCommand),
    /// Back up a SQLite database and its artifacts while the server serves; list and check backups
    Backup(Box<backup::BackupArgs>),
    /// Restore a backup
    Restore(Box<backup::RestoreArgs>),
    /// Users, and what they may do, in the users database of --app-name basic-auth
    #[command(subcommand)]
    User(user::UserCommand),
    /// Check the audit log
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Upgrade, back up, recover and examine an installation on Kubernetes
    #[cfg(feature = "kubernetes")]
    Ops(Box<ops::OpsArgs>),
}

fn main() -> ExitCode {
    let code = run();
    logging::flush();
    code
}

fn run() -> ExitCode {
    let command = without_empty_variables(Cli::command()).mut_subcommands(with_help);
    let matches = command.try_get_matches();
    let cli = match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    let outcome = match cli.command {
        Some(Command::Server(args)) => server::run(*args),
        Some(Command::Db(command)) => return db::run(command),
        Some(Command::Gc(args)) => gc::run(*args),
        Some(Command::Storage(command)) => return storage::run(command),
        Some(Command::Backup(args)) => backup::run(*args),
        Some(Command::Restore(args)) => backup::restore(*args),
        Some(Command::User(command)) => return user::run(command),
        Some(Command::Audit(command)) => return audit::run(command),
        #[cfg(feature = "kubernetes")]
        Some(Command::Ops(args)) => ops::run(*args),
        None => server::run(cli.server),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line: what failed, then why.
            err!("Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Says in one line what is wrong with the flags. A URI in the wrong place may hold a password, so
/// nothing of it is shown but its scheme.
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

/// Gives `-h` and `--help` to a command and to what is below it. The server's `-h` is `--host`, as in the reference, and
/// that switches the flag off everywhere.
fn with_help(command: clap::Command) -> clap::Command {
    let has_own = command.is_hide_set() || command.get_arguments().any(|arg| arg.get_long() == Some("help"));
    let command = command.mut_subcommands(with_help);
    if has_own {
        return command;
    }
    command.arg(Arg::new("help").short('h').long("help").action(ArgAction::Help).help("Print help"))
}

/// An environment variable that is set to nothing says nothing, as with the reference.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty = |name: &std::ffi::OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    command
        .mut_args(|arg| if arg.get_env().is_some_and(is_empty) { arg.env(None) } else { arg })
        .mut_subcommands(without_empty_variables)
}
