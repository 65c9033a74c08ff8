//! The log: text for people, JSON for machines, on standard error.

mod writer;

use std::io::IsTerminal as _;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

pub(crate) use self::writer::flush;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// A line for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Starts logging. `RUST_LOG` says what is logged, else `MLFLOW_LOGGING_LEVEL`, else everything
/// from `info` on.
pub(crate) fn init(format: LogFormat) {
    let level = std::env::var("MLFLOW_LOGGING_LEVEL").unwrap_or_default().to_ascii_lowercase();
    let level = match level.as_str() {
        "debug" => "debug",
        "warning" | "warn" => "warn",
        "error" | "critical" | "fatal" => "error",
        _ => "info",
    };
    let filter = std::env::var("RUST_LOG").ok().and_then(|directives| EnvFilter::try_new(directives).ok());
    // The libraries below are only interesting when something is looked for.
    let filter = filter.unwrap_or_else(|| {
        EnvFilter::new(format!(
            "warn,ferroflow={level},ferroflow_server={level},ferroflow_store={level},ferroflow_artifacts={level}"
        ))
    });
    // An event that can not be written must not end the process by the complaint about it.
    let builder = tracing_subscriber::fmt().with_env_filter(filter).log_internal_errors(false).with_writer(writer::Log);
    match format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}
