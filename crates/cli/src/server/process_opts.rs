//! `--uvicorn-opts`, `--gunicorn-opts` and `--waitress-opts`: options of the processes that the reference starts. Those
//! about how the port is reached are used; unsupported security options are refused; the others have nothing to manage
//! here, and are ignored.

use std::{path::PathBuf, time::Duration};

use anyhow::{Result, bail};
use ferroflow_model::Environment;
use ferroflow_server::TlsFiles;

/// The options that are used.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ProcessOptions {
    pub(super) cert: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) client_ca: Option<PathBuf>,
    pub(super) client: ClientCertificate,
    /// Further addresses to listen on, `host:port`.
    pub(super) binds: Vec<String>,
    pub(super) url_prefix: Option<String>,
    pub(super) keep_alive: Option<Duration>,
    /// Options without effect.
    pub(super) ignored: Vec<String>,
}

/// Whether client certificates are requested (Python's `ssl.VerifyMode`: 0, 1, 2).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientCertificate {
    /// Not requested.
    #[default]
    None,
    /// Optional, but valid if sent.
    Optional,
    /// Required.
    Required,
}

/// The meaning of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Cert,
    Key,
    ClientCa,
    Client,
    Bind,
    Prefix,
    KeepAlive,
    /// The TLS version, by Python's numbers; only the default can be chosen.
    Version,
    /// Ignored, with a value.
    Ignored,
    /// Ignored, without a value.
    Flag,
    /// Affects security, and is not supported.
    Refused,
}

use Meaning::{Bind, Cert, Client, ClientCa, Flag, Ignored, KeepAlive, Key, Prefix, Refused, Version};

/// A process that can serve the reference, with its options.
struct Process {
    flag: &'static str,
    /// Whether long options may be abbreviated to an unambiguous prefix.
    shortens: bool,
    options: &'static [(&'static [&'static str], Meaning)],
}

const UVICORN: Process = Process {
    flag: "--uvicorn-opts",
    shortens: false,
    options: &[
        (&["--ssl-certfile"], Cert),
        (&["--ssl-keyfile"], Key),
        (&["--ssl-ca-certs"], ClientCa),
        (&["--ssl-cert-reqs"], Client),
        (&["--ssl-version"], Version),
        (&["--root-path"], Prefix),
        (&["--timeout-keep-alive"], KeepAlive),
        (&["--ssl-keyfile-password", "--ssl-ciphers", "--uds", "--fd", "--env-file", "--header"], Refused),
        // The address is that of --host and --port, which the reference appends after these options.
        (&["--host", "--port", "--workers"], Ignored),
        (&["--loop", "--http", "--ws", "--ws-max-size", "--ws-max-queue", "--ws-ping-interval"], Ignored),
        (&["--ws-ping-timeout", "--ws-per-message-deflate", "--lifespan", "--interface"], Ignored),
        (&["--log-config", "--log-level", "--forwarded-allow-ips", "--limit-concurrency", "--backlog"], Ignored),
        (&["--limit-max-requests", "--limit-max-requests-jitter", "--timeout-graceful-shutdown"], Ignored),
        (&["--timeout-worker-healthcheck", "--h11-max-incomplete-event-size", "--app-dir"], Ignored),
        (&["--reload-dir", "--reload-include", "--reload-exclude", "--reload-delay"], Ignored),
        (&["--reload", "--access-log", "--no-access-log", "--use-colors", "--no-use-colors"], Flag),
        (&["--proxy-headers", "--no-proxy-headers", "--server-header", "--no-server-header"], Flag),
        (&["--date-header", "--no-date-header", "--factory"], Flag),
    ],
};

const GUNICORN: Process = Process {
    flag: "--gunicorn-opts",
    shortens: true,
    options: &[
        (&["--certfile"], Cert),
        (&["--keyfile"], Key),
        (&["--ca-certs"], ClientCa),
        (&["--cert-reqs"], Client),
        (&["--ssl-version"], Version),
        (&["--bind", "-b"], Bind),
        (&["--keep-alive"], KeepAlive),
        (&["--ciphers", "--config", "-c", "--user", "-u", "--group", "-g", "--umask", "-m", "--chdir"], Refused),
        (&["--env", "-e", "--paste", "--paster", "--proxy-allow-from", "--proxy-protocol", "--initgroups"], Refused),
        (&["--workers", "-w", "--worker-class", "-k", "--threads", "--worker-connections", "--timeout", "-t"], Ignored),
        (&["--graceful-timeout", "--max-requests", "--max-requests-jitter", "--backlog", "--pid", "-p"], Ignored),
        (&["--access-logfile", "--access-logformat", "--error-logfile", "--log-file", "--log-level"], Ignored),
        (&["--logger-class", "--log-config", "--log-config-json", "--log-syslog-to", "--log-syslog-prefix"], Ignored),
        (&["--log-syslog-facility", "--statsd-host", "--statsd-prefix", "--dogstatsd-tags"], Ignored),
        (&["--limit-request-line", "--limit-request-fields", "--limit-request-field_size", "--name", "-n"], Ignored),
        (&["--worker-tmp-dir", "--pythonpath", "--forwarded-allow-ips", "--reload-engine"], Ignored),
        (&["--reload-extra-file", "--forwarder-headers", "--header-map"], Ignored),
        (&["--preload", "--reload", "--daemon", "-D", "--spew", "--check-config", "--print-config"], Flag),
        (&["--no-sendfile", "--reuse-port", "--capture-output", "--enable-stdio-inheritance", "-R"], Flag),
        (&["--disable-redirect-access-to-syslog", "--log-syslog", "--do-handshake-on-connect"], Flag),
        (&["--suppress-ragged-eofs"], Flag),
    ],
};

const WAITRESS: Process = Process {
    flag: "--waitress-opts",
    shortens: true,
    options: &[
        (&["--listen"], Bind),
        (&["--url-prefix"], Prefix),
        (&["--unix-socket", "--unix-socket-perms", "--sockets"], Refused),
        (&["--host", "--port", "--url-scheme", "--threads", "--backlog", "--recv-bytes", "--send-bytes"], Ignored),
        (&["--outbuf-overflow", "--outbuf-high-watermark", "--inbuf-overflow", "--connection-limit"], Ignored),
        (&["--cleanup-interval", "--channel-timeout", "--max-request-header-size", "--ident"], Ignored),
        (&["--max-request-body-size", "--asyncore-loop-timeout", "--channel-request-lookahead"], Ignored),
        (&["--trusted-proxy", "--trusted-proxy-count", "--trusted-proxy-headers"], Ignored),
        (&["--log-untrusted-proxy-headers", "--no-log-untrusted-proxy-headers", "--call", "--app"], Flag),
        (&["--clear-untrusted-proxy-headers", "--no-clear-untrusted-proxy-headers"], Flag),
        (&["--log-socket-errors", "--no-log-socket-errors", "--ipv4", "--no-ipv4", "--ipv6", "--no-ipv6"], Flag),
        (&["--expose-tracebacks", "--no-expose-tracebacks", "--asyncore-use-poll"], Flag),
        (&["--no-asyncore-use-poll"], Flag),
    ],
};

impl ProcessOptions {
    /// Reads the options of the one process that is given, and those from its environment.
    ///
    /// # Errors
    /// An option is unknown, has an invalid value, or is an unsupported security option.
    pub(super) fn read(
        uvicorn: Option<&str>,
        gunicorn: Option<&str>,
        waitress: Option<&str>,
        environment: &Environment,
    ) -> Result<Self> {
        let mut options = Self::default();
        if [uvicorn.is_some(), gunicorn.is_some(), waitress.is_some()].iter().filter(|given| **given).count() > 1 {
            bail!("--uvicorn-opts, --gunicorn-opts and --waitress-opts exclude each other");
        }
        if let Some(text) = gunicorn {
            if environment.get("GUNICORN_CMD_ARGS").is_some_and(|text| !text.trim().is_empty()) {
                bail!("GUNICORN_CMD_ARGS is not read: put its options into --gunicorn-opts");
            }
            options.take(&GUNICORN, text)?;
        } else if let Some(text) = waitress {
            options.take(&WAITRESS, text)?;
        } else {
            options.take_environment(environment)?;
            options.take(&UVICORN, uvicorn.unwrap_or_default())?;
        }
        options.ignored.sort();
        options.ignored.dedup();
        Ok(options)
    }

    /// The TLS files, if there is a certificate.
    pub(super) fn tls(&self) -> Result<Option<TlsFiles>> {
        let Some(cert) = self.cert.clone() else {
            if self.key.is_some() || self.client_ca.is_some() || self.client != ClientCertificate::None {
                bail!("a TLS key or authority without a certificate: nothing would be encrypted");
            }
            return Ok(None);
        };
        if self.client != ClientCertificate::None && self.client_ca.is_none() {
            bail!("client certificates are requested, but there is no file with their CA");
        }
        if self.client_ca.is_some() && self.client == ClientCertificate::None {
            tracing::warn!(
                "client certificates are not requested, as in the reference: that needs --ssl-cert-reqs 2 \
                 (--cert-reqs of gunicorn), or --tls-client-ca"
            );
        }
        let client_ca = self.client_ca.clone().filter(|_| self.client != ClientCertificate::None);
        let key = self.key.clone().unwrap_or_else(|| cert.clone());
        Ok(Some(TlsFiles { cert, key, client_ca, client_optional: self.client == ClientCertificate::Optional }))
    }

    /// uvicorn reads `UVICORN_SSL_KEYFILE` for `--ssl-keyfile`, and so on.
    fn take_environment(&mut self, environment: &Environment) -> Result<()> {
        for (names, meaning) in UVICORN.options {
            for name in *names {
                let variable = format!("UVICORN_{}", name.trim_start_matches('-').replace('-', "_").to_uppercase());
                if *meaning != Flag
                    && let Some(value) = environment.get(&variable)
                {
                    self.set(&variable, *meaning, value)?;
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, process: &Process, text: &str) -> Result<()> {
        let flag = process.flag;
        let Some(words) = shlex::split(text) else { bail!("{flag} has a quote that is not closed") };
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let (name, attached) = split(&word);
            let Some((name, meaning)) = process.find(name) else { bail!("{flag}: the option '{name}' is not known") };
            if meaning == Flag {
                self.ignored.push(name.to_owned());
                continue;
            }
            let is_switch = meaning == Refused && ["--proxy-protocol", "--initgroups"].contains(&name);
            let value = match attached {
                Some(value) => value.to_owned(),
                None if is_switch => String::new(),
                None => match words.next() {
                    Some(value) => value,
                    None => bail!("{flag}: {name} has no value"),
                },
            };
            self.set(name, meaning, &value)?;
        }
        Ok(())
    }

    fn set(&mut self, name: &str, meaning: Meaning, value: &str) -> Result<()> {
        match meaning {
            Cert => self.cert = Some(value.into()),
            Key => self.key = Some(value.into()),
            ClientCa => self.client_ca = Some(value.into()),
            Client => {
                self.client = match value {
                    "0" => ClientCertificate::None,
                    "1" => ClientCertificate::Optional,
                    "2" => ClientCertificate::Required,
                    _ => bail!("{name} {value} is not one of 0, 1, 2"),
                }
            }
            // PROTOCOL_TLS and PROTOCOL_TLS_SERVER: the newest version supported by both sides, here at least 1.2.
            Version if ["2", "17", "TLS", "TLS_SERVER"].contains(&value) => {}
            Version => bail!("{name} {value} is not supported: TLS 1.2 and 1.3 are served"),
            Bind => self.binds.push(bound(name, value)?),
            Prefix => self.url_prefix = prefix(name, value)?,
            KeepAlive => match value.parse() {
                Ok(seconds) => self.keep_alive = Some(Duration::from_secs(seconds)),
                Err(_) => bail!("{name} {value} is not a number of seconds"),
            },
            Ignored | Flag => self.ignored.push(name.to_owned()),
            Refused => bail!("{name} affects security and is not supported: remove it to start without it"),
        }
        Ok(())
    }
}

impl Process {
    fn find(&self, name: &str) -> Option<(&'static str, Meaning)> {
        let all = || self.options.iter().flat_map(|(names, meaning)| names.iter().map(|name| (*name, *meaning)));
        if let Some(found) = all().find(|(known, _)| *known == name) {
            return Some(found);
        }
        let mut longer = all().filter(|(known, _)| self.shortens && name.len() > 2 && known.starts_with(name));
        let first = longer.next()?;
        longer.next().is_none().then_some(first)
    }
}

/// Splits an option from its attached value: `--bind=x`, `-bx`.
fn split(word: &str) -> (&str, Option<&str>) {
    if word.starts_with("--") {
        return word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
    }
    match word.char_indices().nth(2) {
        Some((end, _)) if word.starts_with('-') => (&word[..end], Some(word[end..].trim_start_matches('='))),
        _ => (word, None),
    }
}

/// The `host:port` of an address in the format of gunicorn and waitress.
fn bound(name: &str, value: &str) -> Result<String> {
    if value.starts_with("unix:") || value.starts_with("fd:") || value.starts_with('/') {
        bail!("{name} {value}: only TCP is served");
    }
    let value = value.strip_prefix("tcp://").unwrap_or(value);
    let (host, port) = match value.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (value, "8000"),
    };
    if port.parse::<u16>().is_err() {
        bail!("{name} {value}: '{port}' is not a port (0 to 65535)");
    }
    let host = if host.is_empty() || host == "*" { "0.0.0.0" } else { host };
    Ok(format!("{host}:{port}"))
}

fn prefix(name: &str, value: &str) -> Result<Option<String>> {
    let path = value.trim_matches('/');
    if path.is_empty() {
        return Ok(None);
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    if !path.bytes().all(is_plain) || path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        bail!("{name} {value} is not a path such as /mlflow");
    }
    Ok(Some(format!("/{path}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none() -> Environment {
        Environment::default()
    }

    fn gunicorn(text: &str) -> Result<ProcessOptions> {
        ProcessOptions::read(None, Some(text), None, &none())
    }

    fn uvicorn(text: &str) -> Result<ProcessOptions> {
        ProcessOptions::read(Some(text), None, None, &none())
    }

    #[test]
    fn options_of_the_listener_are_used() {
        let found =
            gunicorn("-b0.0.0.0:8443 --bind=[::1]:80 --certf 'my cert.pem' --keyfile k --keep-alive 9 -D").unwrap();
        assert_eq!(found.binds, ["0.0.0.0:8443", "[::1]:80"]);
        assert_eq!(found.keep_alive, Some(Duration::from_secs(9)));
        assert_eq!(found.ignored, ["-D"]);
        let tls = found.tls().unwrap().unwrap();
        assert_eq!((tls.cert, tls.key, tls.client_ca), ("my cert.pem".into(), "k".into(), None));
        assert_eq!(gunicorn("-b [::1]").unwrap().binds, ["[::1]:8000"]);
        assert_eq!(uvicorn("--root-path=/ml/flow/").unwrap().url_prefix.as_deref(), Some("/ml/flow"));
        let waitress = ProcessOptions::read(None, None, Some("--listen=*:80 --url-prefix=ml"), &none()).unwrap();
        assert_eq!((waitress.binds[0].as_str(), waitress.url_prefix.as_deref()), ("0.0.0.0:80", Some("/ml")));
    }

    #[test]
    fn options_of_uvicorn_override_its_variables() {
        let variables = Environment::new([
            ("UVICORN_SSL_CERTFILE", "c"),
            ("UVICORN_SSL_CERT_REQS", "2"),
            ("UVICORN_SSL_CA_CERTS", "ca"),
        ]);
        let found = ProcessOptions::read(Some("--ssl-certfile d"), None, None, &variables).unwrap();
        let tls = found.tls().unwrap().unwrap();
        assert_eq!((tls.cert, tls.client_ca, tls.client_optional), ("d".into(), Some("ca".into()), false));
        // Other processes do not read them.
        assert!(ProcessOptions::read(None, Some(""), None, &variables).unwrap().cert.is_none());
    }

    #[test]
    fn unsupported_security_options_are_refused() {
        for text in
            ["--ssl-keyfile-password x", "--uds /run/x", "--ssl-ciphers=HIGH", "--ssl-version 3", "--nonsense 1"]
        {
            assert!(uvicorn(text).is_err(), "{text}");
        }
        for text in
            ["-c conf.py", "--user nobody", "-b unix:/x", "--proxy-protocol", "--cert x", "--bind", "-b x:y", "'"]
        {
            assert!(gunicorn(text).is_err(), "{text}");
        }
        assert!(uvicorn("--ssl-keyfile k").unwrap().tls().is_err(), "a key alone");
        assert!(uvicorn("--ssl-certfile c --ssl-cert-reqs 2").unwrap().tls().is_err(), "no CA file");
        for prefix in ["a b", "/a/../b", "/a//b", "{x}"] {
            assert!(
                ProcessOptions::read(None, None, Some(&format!("--url-prefix='{prefix}'")), &none()).is_err(),
                "{prefix}"
            );
        }
        let both = ProcessOptions::read(Some(""), Some(""), None, &none());
        assert!(both.is_err());
    }
}
