//! Extra arguments of all uploads: `MLFLOW_S3_UPLOAD_EXTRA_ARGS`.

use ferroflow_model::{Error, Result};
use http::HeaderName;
use object_store::{Attribute, aws::AmazonS3ConfigKey};

use super::{Settings, header};

/// Upload arguments that are request headers, by boto's name.
const HEADERS: &[(&str, &str)] = &[
    ("ACL", "x-amz-acl"),
    ("GrantFullControl", "x-amz-grant-full-control"),
    ("GrantRead", "x-amz-grant-read"),
    ("GrantReadACP", "x-amz-grant-read-acp"),
    ("GrantWriteACP", "x-amz-grant-write-acp"),
    ("RequestPayer", "x-amz-request-payer"),
    ("WebsiteRedirectLocation", "x-amz-website-redirect-location"),
];

impl Settings {
    /// `MLFLOW_S3_UPLOAD_EXTRA_ARGS`: arguments of boto's `upload_file` as JSON.
    pub(super) fn extra_arguments(&mut self, text: &str) -> Result<()> {
        const NAME: &str = "MLFLOW_S3_UPLOAD_EXTRA_ARGS";
        let arguments: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text)
            .map_err(|error| Error::invalid(format!("{NAME} is not a JSON object: {error}")))?;
        for (name, value) in arguments {
            let text = match &value {
                serde_json::Value::String(text) => text.clone(),
                serde_json::Value::Bool(_) | serde_json::Value::Number(_) => value.to_string(),
                serde_json::Value::Object(map) if name == "Metadata" => {
                    for (key, value) in map {
                        let value = value.as_str().unwrap_or_default().to_owned();
                        self.sign(&format!("x-amz-meta-{key}"), &value)?;
                        self.attributes.insert(Attribute::Metadata(key.clone().into()), value.into());
                    }
                    continue;
                }
                _ => return Err(Error::invalid(format!("{NAME}: '{name}' is not a string"))),
            };
            let mut attribute = |attribute: Attribute| {
                self.attributes.insert(attribute, text.clone().into());
            };
            let signed = match name.as_str() {
                "ServerSideEncryption" => {
                    self.encrypt("aws_server_side_encryption", &text)?;
                    "x-amz-server-side-encryption"
                }
                "SSEKMSKeyId" => {
                    self.encrypt("aws_sse_kms_key_id", &text)?;
                    "x-amz-server-side-encryption-aws-kms-key-id"
                }
                "BucketKeyEnabled" => {
                    self.encrypt("aws_sse_bucket_key_enabled", &text)?;
                    "x-amz-server-side-encryption-bucket-key-enabled"
                }
                "StorageClass" => {
                    attribute(Attribute::StorageClass);
                    "x-amz-storage-class"
                }
                "CacheControl" => {
                    attribute(Attribute::CacheControl);
                    "cache-control"
                }
                "ContentDisposition" => {
                    attribute(Attribute::ContentDisposition);
                    "content-disposition"
                }
                "ContentEncoding" => {
                    attribute(Attribute::ContentEncoding);
                    "content-encoding"
                }
                "ContentLanguage" => {
                    attribute(Attribute::ContentLanguage);
                    "content-language"
                }
                "ContentType" => {
                    attribute(Attribute::ContentType);
                    "content-type"
                }
                "Tagging" => {
                    // Encoded as a query string, like boto's argument and the S3 header; encoded again when it is sent.
                    for (key, value) in form_urlencoded::parse(text.as_bytes()) {
                        self.tags.push(&key, &value);
                    }
                    "x-amz-tagging"
                }
                name => {
                    let Some((_, known)) = HEADERS.iter().find(|(known, _)| *known == name) else {
                        return Err(Error::invalid(format!("{NAME}: '{name}' is not supported")));
                    };
                    self.write_headers.insert(HeaderName::from_static(known), header(NAME, &text)?);
                    known
                }
            };
            self.sign(signed, &text)?;
        }
        Ok(())
    }

    fn encrypt(&mut self, key: &str, value: &str) -> Result<()> {
        let key: AmazonS3ConfigKey = key.parse().map_err(|error| Error::internal(format!("{key}: {error}")))?;
        self.builder = self.builder.clone().with_config(key, value);
        Ok(())
    }

    fn sign(&mut self, name: &str, value: &str) -> Result<()> {
        let invalid = || Error::invalid(format!("MLFLOW_S3_UPLOAD_EXTRA_ARGS: '{name}' is not the name of a header"));
        let name = HeaderName::try_from(name).map_err(|_| invalid())?;
        let value = header("MLFLOW_S3_UPLOAD_EXTRA_ARGS", value)?;
        self.signed_headers.insert(name, value);
        Ok(())
    }
}
