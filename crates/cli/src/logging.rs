//! The log on standard error, as text or JSON.

mod writer;

use std::io::IsTerminal as _;

use clap::ValueEnum;
use ferroflow_model::Environment;
use tracing_subscriber::EnvFilter;

pub(crate) use self::writer::flush;

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// One human-readable line per event.
    Text,
    /// One JSON object per event.
    Json,
}

/// Initializes logging. The level is that of `RUST_LOG`, else of `MLFLOW_LOGGING_LEVEL`, else `info`.
pub(crate) fn init(format: LogFormat, environment: &Environment) {
    let level = environment.get("MLFLOW_LOGGING_LEVEL").unwrap_or_default().to_ascii_lowercase();
    let level = match level.as_str() {
        "debug" => "debug",
        "warning" | "warn" => "warn",
        "error" | "critical" | "fatal" => "error",
        _ => "info",
    };
    let filter = environment.raw("RUST_LOG").and_then(|directives| EnvFilter::try_new(directives).ok());
    // Libraries log only warnings by default.
    let filter = filter.unwrap_or_else(|| {
        EnvFilter::new(format!(
            "warn,ferroflow={level},ferroflow_server={level},ferroflow_store={level},ferroflow_artifacts={level},\
             ferroflow_telemetry={level}"
        ))
    });
    // An event that cannot be written must not panic while that is reported.
    let builder = tracing_subscriber::fmt().with_env_filter(filter).log_internal_errors(false).with_writer(writer::Log);
    match format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}
