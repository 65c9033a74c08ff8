//! The traces of the server itself, and the log of slow statements: settings from flags and OpenTelemetry's variables.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use ferroflow_model::Environment;
use ferroflow_server::{Sampler, Telemetry, TraceSettings, log_slower_than};
use reqwest::{
    Url,
    header::{HeaderMap, HeaderName, HeaderValue},
};

use super::ServerArgs;
use crate::variables::{flag, number};

/// How long a request to the collector may take, in milliseconds, as in OpenTelemetry's specification.
const TIMEOUT_MS: u64 = 10_000;

/// The metrics of the server, with its traces if they have a collector.
pub(super) fn telemetry(args: &ServerArgs, environment: &Environment) -> Result<Telemetry> {
    log_slower_than((args.slow_statement > 0.0).then(|| Duration::from_secs_f64(args.slow_statement)));
    match settings(args.otel_traces_endpoint.as_deref(), environment)? {
        Some(settings) => {
            tracing::info!("this server's own traces are exported: {settings:?}");
            Ok(Telemetry::with_traces(settings)?)
        }
        None => Ok(Telemetry::default()),
    }
}

/// The settings of traces; `None` without a collector. The standard variable for its address does not switch traces on:
/// in notebooks and pods it names the collector of MLflow's own clients.
fn settings(endpoint: Option<&str>, environment: &Environment) -> Result<Option<TraceSettings>> {
    let Some(endpoint) = endpoint.filter(|endpoint| !endpoint.is_empty()) else { return Ok(None) };
    if flag(environment, "OTEL_SDK_DISABLED")?.unwrap_or_default() {
        return Ok(None);
    }
    let endpoint = Url::parse(endpoint).ok().filter(|url| ["http", "https"].contains(&url.scheme()));
    let endpoint = endpoint.context("--otel-traces-endpoint is not an http or https URL")?;
    let first = |names: [&str; 2]| names.into_iter().find_map(|name| environment.get(name));
    let headers = first(["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"]).unwrap_or_default();
    let mut timeout = TIMEOUT_MS;
    for name in ["OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT"] {
        timeout = number(environment, name)?.unwrap_or(timeout);
    }
    Ok(Some(TraceSettings {
        endpoint,
        headers: parse_headers(headers)?,
        resource: resource(environment)?,
        sampler: Sampler::named(environment.get("OTEL_TRACES_SAMPLER"), environment.get("OTEL_TRACES_SAMPLER_ARG"))?,
        timeout: Duration::from_millis(timeout.max(1)),
    }))
}

fn parse_headers(text: &str) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs(text).context("the headers for the collector are not name=value,…")? {
        // The message has no value: it may be a credential.
        let name = HeaderName::try_from(name).context("a header for the collector has no valid name")?;
        let mut value =
            HeaderValue::try_from(value).with_context(|| format!("the header {name} has no valid value"))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

/// The attributes of this server: `OTEL_RESOURCE_ATTRIBUTES`, and the name of the service.
fn resource(environment: &Environment) -> Result<Vec<(String, String)>> {
    let given = environment.get("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    let mut resource = pairs(given).context("OTEL_RESOURCE_ATTRIBUTES is not name=value,…")?;
    let mut set = |name: &str, value: &str, replaces: bool| {
        let found = resource.iter_mut().find(|(found, _)| found == name);
        match found {
            Some((_, found)) if replaces => value.clone_into(found),
            Some(_) => {}
            None => resource.push((name.to_owned(), value.to_owned())),
        }
    };
    let service = environment.get("OTEL_SERVICE_NAME");
    set("service.name", service.unwrap_or("ferroflow"), service.is_some());
    set("service.version", env!("CARGO_PKG_VERSION"), false);
    // The name of a pod.
    if let Some(host) = environment.get("HOSTNAME") {
        set("service.instance.id", host, false);
    }
    set("telemetry.sdk.name", "ferroflow", false);
    set("telemetry.sdk.language", "rust", false);
    Ok(resource)
}

/// The pairs of a list `name=value,…`, whose values are percent-encoded.
fn pairs(text: &str) -> Result<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let Some((name, value)) = pair.split_once('=') else { bail!("a part has no '='") };
        let value = percent_encoding::percent_decode_str(value.trim()).decode_utf8().context("a value is not UTF-8")?;
        pairs.push((name.trim().to_owned(), value.into_owned()));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(endpoint: Option<&str>, variables: &[(&str, &str)]) -> Result<Option<TraceSettings>> {
        settings(endpoint, &Environment::new(variables.iter().copied()))
    }

    #[test]
    fn only_the_explicit_setting_switches_traces_on() {
        let standard = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://collector:4318/v1/traces"),
        ];
        assert!(of(None, &standard).unwrap().is_none());
        assert!(of(Some(""), &standard).unwrap().is_none());
        let endpoint = Some("http://collector:4318/v1/traces");
        assert!(of(endpoint, &[]).unwrap().is_some());
        assert!(of(endpoint, &[("OTEL_SDK_DISABLED", "true")]).unwrap().is_none());
        for wrong in ["collector:4317", "grpc://collector:4317", "x"] {
            assert!(of(Some(wrong), &[]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_standard_variables_are_its_settings() {
        let settings = of(
            Some("https://collector/v1/traces"),
            &[
                ("OTEL_EXPORTER_OTLP_HEADERS", "ignored=1"),
                ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "authorization=Basic%20c2VjcmV0, x-team = a"),
                ("OTEL_EXPORTER_OTLP_TIMEOUT", "500"),
                ("OTEL_SERVICE_NAME", "mlflow"),
                ("OTEL_RESOURCE_ATTRIBUTES", "service.name=other,deployment.environment=test%2C1"),
                ("HOSTNAME", "mlflow-0"),
            ],
        );
        let settings = settings.unwrap().unwrap();
        assert_eq!(
            (settings.headers["authorization"].to_str().unwrap(), settings.headers.len()),
            ("Basic c2VjcmV0", 2)
        );
        assert_eq!(settings.timeout, Duration::from_millis(500));
        let value = |name: &str| settings.resource.iter().find(|(found, _)| found == name).unwrap().1.as_str();
        assert_eq!((value("service.name"), value("service.instance.id")), ("mlflow", "mlflow-0"));
        assert_eq!(value("deployment.environment"), "test,1");
        assert!(!format!("{settings:?}").contains("c2VjcmV0"));
    }

    #[test]
    fn invalid_settings_are_refused_without_their_values() {
        let endpoint = Some("http://collector/v1/traces");
        for (name, value) in [
            ("OTEL_TRACES_SAMPLER", "sometimes"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "c2VjcmV0"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=c2VjcmV0%0A"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
        ] {
            let error = of(endpoint, &[(name, value)]).unwrap_err();
            assert!(!format!("{error:#}").contains("c2VjcmV0"), "{error:#}");
        }
    }
}
