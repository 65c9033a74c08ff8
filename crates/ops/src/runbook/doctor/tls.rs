//! Checks the validity period and the names of certificates.

use anyhow::{Context as _, Result};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use jiff::{SignedDuration, Timestamp};
use x509_cert::{
    Certificate,
    der::{Decode as _, oid::AssociatedOid as _},
    ext::pkix::{SubjectAltName, name::GeneralName},
};

use super::{Findings, ok};
use crate::clock;

/// Remaining validity that is a problem: automatic renewal would have happened before.
const SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

/// The fields of a certificate that browsers check.
#[derive(Debug, PartialEq, Eq)]
struct CertificateFields {
    from: Timestamp,
    until: Timestamp,
    names: Vec<String>,
}

/// Checks the first certificate of a PEM text, which is the server's own.
pub(super) fn check(pem: &str, what: &str, hosts: &[&str], found: &mut Findings) {
    let seen = match read(pem) {
        Ok(seen) => seen,
        Err(error) => {
            found.wrong(&format!("{what} cannot be read: {error:#}"), "put the server's own certificate first, as PEM");
            return;
        }
    };
    let (now, until) = (clock::now(), seen.until);
    if until <= now {
        found.wrong(&format!("{what} has expired at {until}"), "renew it");
    } else if until.duration_since(now) < SOON {
        found.wrong(&format!("{what} expires soon, at {until}"), "renew it");
    } else if seen.from > now {
        found.wrong(&format!("{what} is not valid before {}", seen.from), "wait, or check the clock of its issuer");
    } else {
        ok(&format!("{what} is valid until {until}"));
    }
    for host in hosts.iter().filter(|host| !host.is_empty()) {
        let names = seen.names.join(", ");
        found.check(
            seen.names.iter().any(|name| covers(name, host)),
            &format!("{what} is for {host}"),
            &format!("{what} is for {names}, not for {host}"),
            &format!("get one for {host}, or use a host name that it is for"),
        );
    }
}

fn read(pem: &str) -> Result<CertificateFields> {
    let body = pem.split_once("-----BEGIN CERTIFICATE-----").context("there is no certificate in it")?.1;
    let body = body.split_once("-----END CERTIFICATE-----").context("it is truncated")?.0;
    let body: String = body.split_whitespace().collect();
    let der = BASE64_STANDARD.decode(body).context("it is not base64")?;
    let certificate = Certificate::from_der(&der).context("it is not a certificate")?.tbs_certificate;
    let time = |time: &x509_cert::time::Time| {
        let seconds = i64::try_from(time.to_unix_duration().as_secs()).context("its time is out of range")?;
        Timestamp::from_second(seconds).context("its time is out of range")
    };
    let mut names = Vec::new();
    for extension in certificate.extensions.iter().flatten().filter(|one| one.extn_id == SubjectAltName::OID) {
        let alternatives =
            SubjectAltName::from_der(extension.extn_value.as_bytes()).context("its names cannot be parsed")?;
        names.extend(alternatives.0.iter().filter_map(|name| match name {
            GeneralName::DnsName(name) => Some(name.to_string().to_ascii_lowercase()),
            _ => None,
        }));
    }
    Ok(CertificateFields {
        from: time(&certificate.validity.not_before)?,
        until: time(&certificate.validity.not_after)?,
        names,
    })
}

/// Whether a DNS name of a certificate, in which `*` is exactly one label, matches a host.
fn covers(name: &str, host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    match name.strip_prefix("*.") {
        Some(domain) => host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == domain),
        None => name == host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_one_label() {
        assert!(covers("*.example.org", "mlflow.Example.org"));
        assert!(covers("mlflow.example.org", "mlflow.example.org"));
        assert!(!covers("*.example.org", "a.b.example.org"));
        assert!(!covers("*.example.org", "example.org"));
        assert!(!covers("example.org", "mlflow.example.org"));
    }

    #[test]
    fn something_else_than_a_certificate_is_refused() {
        for text in ["", "-----BEGIN CERTIFICATE-----", "-----BEGIN CERTIFICATE-----AAAA-----END CERTIFICATE-----"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
