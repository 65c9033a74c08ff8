//! The listeners of the server: addresses, TLS, the prefix of a proxy, keep-alive.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use ferroflow_model::Environment;
use ferroflow_server::{Config, Listeners, Tls, TlsFiles};
use tokio::net::TcpListener;

use super::{ServerArgs, process_opts::ProcessOptions};

/// The bound listeners.
pub(super) struct Port {
    pub(super) listening: Listeners,
    /// The address of `--host` and `--port`, with the actual port.
    pub(super) address: SocketAddr,
    pub(super) url_prefix: String,
    pub(super) keep_alive: Duration,
    addresses: Vec<SocketAddr>,
}

impl Port {
    /// `http` or `https`.
    pub(super) fn scheme(&self) -> &'static str {
        if self.listening.tls.is_some() { "https" } else { "http" }
    }

    /// Whether all addresses are loopback addresses.
    pub(super) fn is_local(&self) -> bool {
        self.addresses.iter().all(|address| address.ip().is_loopback())
    }
}

/// Binds all addresses. Certificates are loaded first: no address is bound without its encryption.
pub(super) async fn open(args: &ServerArgs, environment: &Environment) -> Result<Port> {
    let options = ProcessOptions::read(
        args.uvicorn_opts.as_deref(),
        args.gunicorn_opts.as_deref(),
        args.waitress_opts.as_deref(),
        environment,
    )?;
    if !options.ignored.is_empty() {
        tracing::warn!("{} ignored: there is no Python process to manage", options.ignored.join(", "));
    }
    let tls = files(args, &options)?.map(Tls::open).transpose().context("TLS cannot be served")?;
    let mut listeners = vec![listen(&args.host, args.port, "--port").await?];
    for address in &options.binds {
        // `process_opts` has added a port to every host.
        let (host, port) = address.rsplit_once(':').unwrap_or((address, "0"));
        listeners.push(listen(host, port.parse()?, "--port").await?);
    }
    let addresses: Result<Vec<_>, _> = listeners.iter().map(TcpListener::local_addr).collect();
    let addresses = addresses.context("the listener has no address")?;
    for address in &addresses[1..] {
        tracing::info!("listening on {address} as well");
    }
    let grpc = match args.otlp_grpc_port {
        Some(port) => Some(listen(&args.host, port, "--otlp-grpc-port").await?),
        None => None,
    };
    if let Some(listener) = &grpc {
        tracing::info!("listening for OTLP/gRPC on {}", listener.local_addr()?);
    }
    let keep_alive = args.keep_alive_timeout.map(Duration::from_secs).or(options.keep_alive);
    Ok(Port {
        address: addresses[0],
        url_prefix: options.url_prefix.unwrap_or_default(),
        keep_alive: keep_alive.unwrap_or(Config::KEEP_ALIVE),
        listening: Listeners { listeners, grpc, tls },
        addresses,
    })
}

fn files(args: &ServerArgs, options: &ProcessOptions) -> Result<Option<TlsFiles>> {
    let of_process = options.tls()?;
    let Some(cert) = args.tls_cert.clone() else {
        if args.tls_key.is_some() || args.tls_client_ca.is_some() {
            bail!("--tls-key and --tls-client-ca need --tls-cert: nothing would be encrypted");
        }
        return Ok(of_process);
    };
    if of_process.is_some() {
        bail!("--tls-cert and the certificate of --uvicorn-opts or --gunicorn-opts exclude each other");
    }
    let key = args.tls_key.clone().unwrap_or_else(|| cert.clone());
    Ok(Some(TlsFiles { cert, key, client_ca: args.tls_client_ca.clone(), client_optional: false }))
}

/// Binds an address. `flag` chooses its port.
async fn listen(host: &str, port: u16, flag: &str) -> Result<TcpListener> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let addresses: Vec<SocketAddr> = match host.parse::<IpAddr>() {
        Ok(ip) => vec![(ip, port).into()],
        Err(_) => tokio::net::lookup_host((host, port))
            .await
            .with_context(|| format!("the host '{host}' is not known"))?
            .collect(),
    };
    let mut last = None;
    for address in addresses {
        match TcpListener::bind(address).await {
            Ok(listener) => return Ok(listener),
            Err(error) => last = Some((address, error)),
        }
    }
    match last {
        Some((address, error)) if error.kind() == std::io::ErrorKind::AddrInUse => {
            bail!("the port {} of {} is in use: choose another with {flag}", address.port(), address.ip())
        }
        Some((address, error)) => Err(error).with_context(|| format!("cannot listen on {address}")),
        None => bail!("the host '{host}' has no address"),
    }
}
