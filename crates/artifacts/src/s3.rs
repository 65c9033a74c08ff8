//! S3 and compatible stores: settings from the environment variables of the reference, its SDK and the AWS tools.

mod calls;
mod extra;
mod profile;

use std::{fmt, path::Path, sync::Arc};

use ferroflow_model::{Environment, Error, Result};
use http::{HeaderMap, HeaderName, HeaderValue};
use object_store::{
    Attributes, Certificate, ClientOptions, TagSet,
    aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, Checksum},
    client::{HttpConnector as _, ReqwestConnector},
};

pub(crate) use self::calls::{Calls, ListPage};
use self::profile::Profile;
use crate::{
    bucket::Bucket,
    client::{self, address, certificates, is_name, retries},
};

/// The settings of S3, validated on creation.
#[derive(Clone)]
pub struct Settings {
    builder: AmazonS3Builder,
    endpoint: Option<String>,
    public_endpoint: Option<String>,
    virtual_hosted: bool,
    unsigned: bool,
    tls: Tls,
    /// Headers of all requests.
    headers: HeaderMap,
    /// Headers of write requests.
    write_headers: HeaderMap,
    /// Headers that a client must send with a presigned URL, besides the content type.
    signed_headers: HeaderMap,
    attributes: Attributes,
    tags: TagSet,
}

#[derive(Clone, Default)]
struct Tls {
    /// CA certificates to trust instead of the system's.
    roots: Vec<Certificate>,
    ignore: bool,
}

impl fmt::Debug for Settings {
    /// Secrets are omitted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Settings {
    /// Settings from the environment.
    ///
    /// # Errors
    /// A variable is invalid, or a file that it names cannot be read.
    pub fn read(environment: &Environment) -> Result<Self> {
        let get = |name: &str| environment.get(name);
        let mut builder = AmazonS3Builder::new();
        for (name, value) in environment.iter().filter(|(name, _)| name.starts_with("AWS_")) {
            // Endpoint and TLS are configured below; the bucket comes from the location.
            if let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>()
                && !matches!(
                    key,
                    AmazonS3ConfigKey::Client(_)
                        | AmazonS3ConfigKey::Bucket
                        | AmazonS3ConfigKey::Endpoint
                        | AmazonS3ConfigKey::S3Endpoint
                        | AmazonS3ConfigKey::VirtualHostedStyleRequest
                )
            {
                builder = builder.with_config(key, value);
            }
        }
        if get("AWS_ACCESS_KEY_ID").is_none()
            && get("AWS_WEB_IDENTITY_TOKEN_FILE").is_none()
            && let Some(keys) = Profile::read(environment)?
        {
            builder = builder.with_access_key_id(keys.id).with_secret_access_key(keys.secret);
            if let Some(token) = keys.token {
                builder = builder.with_token(token);
            }
            if let Some(region) =
                keys.region.filter(|_| get("AWS_REGION").or_else(|| get("AWS_DEFAULT_REGION")).is_none())
            {
                builder = builder.with_region(region);
            }
        } else if get("AWS_ACCESS_KEY_ID").is_some() != get("AWS_SECRET_ACCESS_KEY").is_some() {
            return Err(Error::invalid("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY must be set both or neither"));
        }
        let unsigned =
            get("MLFLOW_EXPERIMENTAL_S3_SIGNATURE_VERSION").is_some_and(|text| text.eq_ignore_ascii_case("unsigned"));
        if unsigned {
            builder = builder.with_skip_signature(true);
        }
        if let Some(url) = get("AWS_EC2_METADATA_SERVICE_ENDPOINT") {
            builder = builder.with_metadata_endpoint(address("AWS_EC2_METADATA_SERVICE_ENDPOINT", url)?);
        }
        match get("AWS_REQUEST_CHECKSUM_CALCULATION").map(str::to_ascii_lowercase).as_deref() {
            // All compatible stores support a signed digest of the body without a checksum header.
            None | Some("when_required") => {}
            Some("when_supported") => builder = builder.with_checksum_algorithm(Checksum::SHA256),
            Some(other) => {
                return Err(Error::invalid(format!(
                    "AWS_REQUEST_CHECKSUM_CALCULATION={other} is not one of when_required, when_supported"
                )));
            }
        }
        let endpoint = ["MLFLOW_S3_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"].into_iter().find_map(get);
        let style = get("MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE").unwrap_or("auto");
        let virtual_hosted = match style {
            "virtual" => true,
            "path" => false,
            // A custom endpoint seldom has a host name per bucket.
            "auto" => endpoint.is_none(),
            _ => {
                return Err(Error::invalid(format!(
                    "MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE={style} is not one of auto, path, virtual"
                )));
            }
        };
        let bundle = ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"].into_iter().find_map(|name| Some((name, get(name)?)));
        let roots = match bundle {
            Some((name, file)) => certificates(name, Path::new(file))?,
            None => Vec::new(),
        };
        let ignore =
            get("MLFLOW_S3_IGNORE_TLS").is_some_and(|text| matches!(text.to_ascii_lowercase().as_str(), "true" | "1"));
        let mut headers = HeaderMap::new();
        if let Some(owner) = get("MLFLOW_S3_EXPECTED_BUCKET_OWNER") {
            headers.insert(
                HeaderName::from_static("x-amz-expected-bucket-owner"),
                header("MLFLOW_S3_EXPECTED_BUCKET_OWNER", owner)?,
            );
        }
        let mut settings = Self {
            builder,
            endpoint: endpoint.map(|url| address("the S3 endpoint", url)).transpose()?,
            public_endpoint: get("FERROFLOW_S3_PUBLIC_ENDPOINT_URL")
                .map(|url| address("FERROFLOW_S3_PUBLIC_ENDPOINT_URL", url))
                .transpose()?,
            virtual_hosted,
            unsigned,
            tls: Tls { roots, ignore },
            write_headers: headers.clone(),
            signed_headers: headers.clone(),
            headers,
            attributes: Attributes::new(),
            tags: TagSet::default(),
        };
        if let Some(text) = get("MLFLOW_S3_UPLOAD_EXTRA_ARGS") {
            settings.extra_arguments(text)?;
        }
        // Reports invalid settings now and not at the first request.
        settings.connect("ferroflow", None)?;
        Ok(settings)
    }

    /// Opens a bucket, without a request.
    ///
    /// # Errors
    /// The name is not a valid bucket name, or the settings contradict each other.
    pub(crate) fn bucket(&self, name: &str) -> Result<Bucket> {
        if !is_name(name) {
            return Err(Error::invalid(format!("'{name}' is not the name of a bucket.")));
        }
        let reads = Arc::new(self.connect(name, None)?);
        let signs = match &self.public_endpoint {
            Some(public) => {
                let settings = Self { endpoint: Some(public.clone()), ..self.clone() };
                Arc::new(settings.connect(name, Some(&reads))?)
            }
            None => Arc::clone(&reads),
        };
        let writes = if self.write_headers == self.headers {
            Arc::clone(&reads)
        } else {
            let settings = Self { headers: self.write_headers.clone(), ..self.clone() };
            Arc::new(settings.connect(name, Some(&reads))?)
        };
        let calls = self.calls(name, &reads)?;
        let asks = calls.client.clone();
        let bucket = Bucket::new(format!("s3://{name}"), reads, writes, signs).with_parts(asks).with_options(
            self.attributes.clone(),
            self.tags.clone(),
            self.signed_headers.clone(),
        );
        // Directory buckets need sessions, which only `object_store` supports.
        Ok(if self.is_set(AmazonS3ConfigKey::S3Express) { bucket } else { bucket.with_calls(calls) })
    }

    /// The calls made without `object_store`, with the credentials of its client.
    fn calls(&self, bucket: &str, store: &AmazonS3) -> Result<Calls> {
        // Headers must be on the requests rather than the client, as they are signed.
        let client = Self { headers: HeaderMap::new(), ..self.clone() }.client();
        let client = ReqwestConnector::default().connect(&client).map_err(|error| unusable(&error))?;
        let region = self.builder.get_config_value(&AmazonS3ConfigKey::Region);
        let region = region.unwrap_or_else(|| "us-east-1".to_owned());
        let aws = format!("https://s3.{region}.amazonaws.com");
        let endpoint = self.endpoint.as_ref().unwrap_or(&aws);
        Ok(Calls {
            client,
            credentials: (!self.unsigned).then(|| Arc::clone(store.credentials())),
            url: if self.in_host(bucket) { in_host(endpoint, bucket) } else { format!("{endpoint}/{bucket}") },
            region,
            payer: self.is_set(AmazonS3ConfigKey::RequestPayer),
            headers: self.headers.clone(),
            bulk: !self.is_set(AmazonS3ConfigKey::DisableBulkDelete),
        })
    }

    /// Whether a setting of `object_store` is true, by the spellings that it accepts.
    fn is_set(&self, key: AmazonS3ConfigKey) -> bool {
        let value = self.builder.get_config_value(&key).unwrap_or_default();
        matches!(value.to_ascii_lowercase().as_str(), "1" | "true" | "on" | "yes" | "y" | "t")
    }

    /// Whether the bucket name is part of the host (virtual-hosted style). A dot in it would not match the store's
    /// certificate.
    fn in_host(&self, bucket: &str) -> bool {
        self.virtual_hosted && !bucket.contains('.')
    }

    /// A client for a bucket; with the credentials of another client if given.
    fn connect(&self, bucket: &str, credentials: Option<&AmazonS3>) -> Result<AmazonS3> {
        let virtual_hosted = self.in_host(bucket);
        let mut builder = self
            .builder
            .clone()
            .with_bucket_name(bucket)
            .with_retry(retries())
            .with_client_options(self.client())
            .with_virtual_hosted_style_request(virtual_hosted)
            // TLS protects the body in transit, and a digest costs more than sending it.
            .with_unsigned_payload(self.endpoint.as_deref().is_none_or(|url| url.starts_with("https:")));
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(if virtual_hosted { in_host(endpoint, bucket) } else { endpoint.clone() });
        }
        if let Some(other) = credentials {
            builder = builder.with_credentials(Arc::clone(other.credentials()));
        }
        builder.build().map_err(|error| unusable(&error))
    }

    fn client(&self) -> ClientOptions {
        // The public endpoint is also accessed by the server, when the store is tested.
        let plain = [&self.endpoint, &self.public_endpoint].into_iter().flatten().find(|url| url.starts_with("http:"));
        let endpoint = plain.or(self.endpoint.as_ref()).map(String::as_str);
        let mut options = client::options(endpoint).with_allow_invalid_certificates(self.tls.ignore);
        if !self.headers.is_empty() {
            options = options.with_default_headers(self.headers.clone());
        }
        if !self.tls.roots.is_empty() {
            options = options.with_no_system_certificates(true);
            for root in &self.tls.roots {
                options = options.with_root_certificate(root.clone());
            }
        }
        options
    }
}

/// The URL of a bucket in virtual-hosted style.
fn in_host(endpoint: &str, bucket: &str) -> String {
    match endpoint.split_once("://") {
        Some((scheme, host)) => format!("{scheme}://{bucket}.{host}"),
        None => endpoint.to_owned(),
    }
}

fn unusable(error: &object_store::Error) -> Error {
    Error::invalid(format!("The settings of S3 are not usable: {error}"))
}

fn header(name: &str, value: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(value).map_err(|_| Error::invalid(format!("the value of {name} is not valid in a header")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Settings> {
        Settings::read(&Environment::new(variables.iter().copied()))
    }

    #[test]
    fn unusable_settings_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing").to_string_lossy().into_owned();
        for (variables, expected) in [
            (&[("AWS_ACCESS_KEY_ID", "a")][..], "both or neither"),
            (&[("MLFLOW_S3_ENDPOINT_URL", "minio:9000")], "the S3 endpoint must be"),
            (&[("AWS_CA_BUNDLE", missing.as_str())], &format!("AWS_CA_BUNDLE: {missing}")),
            (&[("REQUESTS_CA_BUNDLE", missing.as_str())], &format!("REQUESTS_CA_BUNDLE: {missing}")),
            (&[("MLFLOW_S3_UPLOAD_EXTRA_ARGS", "{")], "not a JSON object"),
            (&[("MLFLOW_S3_UPLOAD_EXTRA_ARGS", r#"{"Nonsense": "x"}"#)], "'Nonsense' is not supported"),
            (&[("MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE", "sideways")], "not one of auto, path, virtual"),
            (&[("AWS_REQUEST_CHECKSUM_CALCULATION", "maybe")], "when_required"),
            (&[("AWS_PROFILE", "x"), ("AWS_SHARED_CREDENTIALS_FILE", missing.as_str())], "cannot be read"),
        ] {
            let error = read(variables).map(drop).unwrap_err();
            assert!(error.message.contains(expected), "{variables:?}: {}", error.message);
        }
        // An empty variable is unset.
        assert!(read(&[("AWS_ACCESS_KEY_ID", ""), ("AWS_CA_BUNDLE", ""), ("MLFLOW_S3_ENDPOINT_URL", "")]).is_ok());
    }

    #[test]
    fn nothing_but_a_name_is_a_bucket() {
        let settings = read(&[("MLFLOW_S3_ENDPOINT_URL", "http://127.0.0.1:9000")]).unwrap();
        assert!(settings.bucket("my-bucket.1_x").is_ok());
        for name in ["", "ab", "a..b", "a/b", "evil@host", "a:80", "bücket", "-ab", "a?b", "a#bc", "a b"] {
            assert!(settings.bucket(name).is_err(), "{name}");
        }
    }
}
