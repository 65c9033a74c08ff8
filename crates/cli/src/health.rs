//! `ferroflow health`: asks a server whether it is ready, for the health checks of containers without `curl`.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use ferroflow_model::Environment;
use reqwest::{Client, StatusCode};

use crate::report::{self, out};

/// Flags of `ferroflow health`.
#[derive(Debug, Clone, Args)]
pub(crate) struct HealthArgs {
    /// The address of the server. Default: that of a server on this machine with the same `MLFLOW_HOST`, `MLFLOW_PORT`
    /// and `FERROFLOW_TLS_CERT`
    #[arg(long, value_name = "URL")]
    url: Option<String>,

    /// Only check that the process answers, not that its database and its artifact store do
    #[arg(long)]
    live: bool,

    /// The longest wait for an answer, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
}

/// Asks the server. Prints its answer.
///
/// # Errors
/// The server does not answer with 200; the message has its answer.
pub(crate) fn run(args: &HealthArgs, environment: &Environment) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(ask(args, environment))
}

async fn ask(args: &HealthArgs, environment: &Environment) -> Result<()> {
    let url = args.url.clone().unwrap_or_else(|| own(environment));
    let url = format!("{}/{}", url.trim_end_matches('/'), if args.live { "livez" } else { "readyz" });
    let answer = client(args)?.get(&url).send().await.map_err(reqwest::Error::without_url);
    let answer = answer.with_context(|| format!("{url} does not answer"))?;
    let status = answer.status();
    let text = answer.text().await.unwrap_or_default();
    if status != StatusCode::OK {
        bail!("{url} answers {status}: {text}");
    }
    out!("{text}");
    report::complete()
}

#[expect(clippy::disallowed_methods, reason = "the one place in this crate that builds an HTTP client")]
fn client(args: &HealthArgs) -> reqwest::Result<Client> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder().timeout(Duration::from_secs(args.timeout)).no_proxy();
    // The certificate names the host that clients use, not the loopback address.
    let client = if args.url.is_none() { client.tls_danger_accept_invalid_certs(true) } else { client };
    client.build()
}

/// The address of a server on this machine, from the variables of `ferroflow server`.
fn own(environment: &Environment) -> String {
    let host = environment.get("MLFLOW_HOST").unwrap_or_default();
    let host = match host.trim_start_matches('[').trim_end_matches(']') {
        // All addresses, the loopback address among them.
        "" | "0.0.0.0" => "127.0.0.1".to_owned(),
        "::" => "[::1]".to_owned(),
        address if address.contains(':') => format!("[{address}]"),
        name => name.to_owned(),
    };
    let scheme = if environment.get("FERROFLOW_TLS_CERT").is_some() { "https" } else { "http" };
    format!("{scheme}://{host}:{}", environment.get("MLFLOW_PORT").unwrap_or("5000"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_of_the_same_variables_is_asked() {
        let with = |pairs: &[(&str, &str)]| own(&Environment::new(pairs.iter().copied()));
        assert_eq!(with(&[]), "http://127.0.0.1:5000");
        assert_eq!(with(&[("MLFLOW_HOST", "0.0.0.0"), ("MLFLOW_PORT", "80")]), "http://127.0.0.1:80");
        assert_eq!(with(&[("MLFLOW_HOST", "::"), ("MLFLOW_PORT", "")]), "http://[::1]:5000");
        assert_eq!(with(&[("MLFLOW_HOST", "fd00::7")]), "http://[fd00::7]:5000");
        assert_eq!(with(&[("MLFLOW_HOST", "localhost"), ("FERROFLOW_TLS_CERT", "a.pem")]), "https://localhost:5000");
    }
}
