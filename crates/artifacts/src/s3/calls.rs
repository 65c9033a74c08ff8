//! S3 calls made without `object_store`: a listing with exact names (`object_store` reads `a/` as `a` and fails at
//! `a//b`), deletion by such names, and calls that it lacks. Every header is signed: AWS refuses unsigned headers of
//! its own.

use std::{fmt::Write as _, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderMap, Method, Request, StatusCode, header};
use md5::{Digest as _, Md5};
use object_store::{
    Result,
    aws::{AwsAuthorizer, AwsCredentialProvider},
    client::{HttpClient, HttpRequestBody},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use quick_xml::escape::escape;
use serde::{Deserialize, de::DeserializeOwned};

use crate::client::with_retries;

/// The characters that a signature does not encode
/// (<https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The same for an object key, where slashes are not encoded.
const ENCODED_KEY: &AsciiSet = &ENCODED.remove(b'/');

/// Maximum number of objects in one delete request.
const MAX_DELETED: usize = 1_000;

/// Timeout of fetching credentials in a check: probes must be able to report the failure.
const CREDENTIALS_TIMEOUT: Duration = Duration::from_secs(3);

/// A client for a bucket.
pub(crate) struct Calls {
    pub(super) client: HttpClient,
    /// `None` for unsigned requests.
    pub(super) credentials: Option<AwsCredentialProvider>,
    pub(super) region: String,
    /// Whether the requester pays.
    pub(super) payer: bool,
    /// The URL of the bucket.
    pub(super) url: String,
    /// The headers of every request.
    pub(super) headers: HeaderMap,
    /// Whether the store supports deleting many objects with one request.
    pub(super) bulk: bool,
}

/// A page of a listing with exact names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ListPage {
    /// Names and sizes in bytes.
    pub(crate) objects: Vec<(String, u64)>,
    /// Common prefixes, including the trailing slash.
    pub(crate) directories: Vec<String>,
    /// The token of the next page.
    pub(crate) next: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Listing {
    contents: Vec<Content>,
    common_prefixes: Vec<Prefix>,
    next_continuation_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Content {
    key: String,
    size: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Prefix {
    prefix: String,
}

impl From<Listing> for ListPage {
    fn from(listing: Listing) -> Self {
        Self {
            objects: listing.contents.into_iter().map(|found| (found.key, found.size)).collect(),
            directories: listing.common_prefixes.into_iter().map(|found| found.prefix).collect(),
            next: listing.next_continuation_token.filter(|token| !token.is_empty()),
        }
    }
}

/// The objects that were not deleted.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Deleted {
    #[serde(rename = "Error")]
    errors: Vec<DeleteError>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct DeleteError {
    code: String,
    message: String,
}

impl Calls {
    /// Checks that there are credentials.
    ///
    /// # Errors
    /// There are none, or they cannot be fetched.
    pub(crate) async fn check_credentials(&self) -> Result<()> {
        let Some(credentials) = &self.credentials else { return Ok(()) };
        match tokio::time::timeout(CREDENTIALS_TIMEOUT, credentials.get_credential()).await {
            Ok(outcome) => outcome.map(drop),
            Err(_) => Err(failed(format!("no credentials within {} s", CREDENTIALS_TIMEOUT.as_secs()))),
        }
    }

    /// A page of the names with a prefix; with `one_level`, names are grouped at the next slash.
    pub(crate) async fn list(
        &self,
        prefix: &str,
        one_level: bool,
        page: Option<&str>,
        at_most: Option<usize>,
    ) -> Result<ListPage> {
        let at_most = at_most.map(|count| count.to_string());
        let mut query = vec![("list-type", "2"), ("prefix", prefix)];
        query.extend(one_level.then_some(("delimiter", "/")));
        query.extend(page.map(|token| ("continuation-token", token)));
        query.extend(at_most.as_deref().map(|count| ("max-keys", count)));
        Ok(self.query_object::<Listing>("", &query, "ListBucketResult").await?.unwrap_or_default().into())
    }

    /// Deletes objects by exact names. It is not an error if one does not exist.
    pub(crate) async fn delete(&self, keys: &[String]) -> Result<()> {
        if !self.bulk {
            for key in keys {
                // A URL cannot contain these components: they would be normalized away.
                if key.split('/').any(|part| matches!(part, "." | "..")) {
                    return Err(failed(format!("'{key}' can be deleted together with others only")));
                }
                self.send(Method::DELETE, key, &[], HeaderMap::new(), String::new()).await?;
            }
            return Ok(());
        }
        for keys in keys.chunks(MAX_DELETED) {
            let mut body =
                String::from("<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet>");
            for key in keys {
                // Writing to a string cannot fail.
                let _ = write!(body, "<Object><Key>{}</Key></Object>", escape(key.as_str()));
            }
            body += "</Delete>";
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/xml"));
            // Stores require a digest for this call, and all of them support MD5.
            let digest = BASE64_STANDARD.encode(Md5::digest(body.as_bytes()));
            headers.insert("content-md5", digest.try_into().map_err(failed)?);
            let said = self.send(Method::POST, "", &[("delete", "")], headers, body).await?.unwrap_or_default();
            let deleted: Deleted = read(&said, "DeleteResult")?;
            if let Some(error) = deleted.errors.into_iter().find(|error| error.code != "NoSuchKey") {
                return Err(failed(format!("<Code>{}</Code><Message>{}</Message>", error.code, error.message)));
            }
        }
        Ok(())
    }

    /// Sends a query; `None` if its object does not exist. A missing bucket is an error.
    pub(crate) async fn query_object<T: DeserializeOwned>(
        &self,
        key: &str,
        query: &[(&str, &str)],
        element: &str,
    ) -> Result<Option<T>> {
        let said = self.send(Method::GET, key, query, HeaderMap::new(), String::new()).await?;
        said.map(|said| read(&said, element)).transpose()
    }

    async fn send(
        &self,
        method: Method,
        key: &str,
        query: &[(&str, &str)],
        headers: HeaderMap,
        body: String,
    ) -> Result<Option<String>> {
        let answer = with_retries(|| async {
            let request = self.request(method.clone(), key, query, headers.clone(), body.clone()).await?;
            Ok(self.client.execute(request).await)
        });
        let answer = answer.await?;
        let status = answer.status();
        let said = answer.into_body().bytes().await.map_err(failed)?;
        let said = String::from_utf8_lossy(&said).into_owned();
        match status {
            _ if status.is_success() => Ok(Some(said)),
            StatusCode::NOT_FOUND if !said.contains("NoSuchBucket") && !key.is_empty() => Ok(None),
            _ if said.contains("<Code>") => Err(failed(said)),
            _ => Err(failed(format!("{status}: {}", said.lines().next().unwrap_or_default()))),
        }
    }

    async fn request(
        &self,
        method: Method,
        key: &str,
        query: &[(&str, &str)],
        headers: HeaderMap,
        body: String,
    ) -> Result<Request<HttpRequestBody>> {
        let mut url = self.url.clone();
        if !key.is_empty() {
            let _ = write!(url, "/{}", utf8_percent_encode(key, ENCODED_KEY));
        }
        for (index, (name, value)) in query.iter().enumerate() {
            let (start, value) = (if index == 0 { '?' } else { '&' }, utf8_percent_encode(value, ENCODED));
            let _ = write!(url, "{start}{name}={value}");
        }
        let mut request = Request::new(HttpRequestBody::from(body));
        (*request.method_mut(), *request.uri_mut()) = (method, url.parse().map_err(failed)?);
        request.headers_mut().extend(headers);
        request.headers_mut().extend(self.headers.clone());
        if let Some(credentials) = &self.credentials {
            let credential = credentials.get_credential().await?;
            let signer = AwsAuthorizer::new(&credential, "s3", &self.region).with_request_payer(self.payer);
            signer.try_authorize(&mut request, None)?;
        }
        Ok(request)
    }
}

/// Parses a response, all of whose elements are optional: one from anything but the store is an error.
fn read<T: DeserializeOwned>(said: &str, element: &str) -> Result<T> {
    let start = said.find(&format!("<{element}")).filter(|start| said[..*start].matches('<').count() <= 1);
    match start {
        Some(start) => quick_xml::de::from_str(&said[start..]).map_err(failed),
        None => Err(failed("the response is not from an object store")),
    }
}

fn failed(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> object_store::Error {
    object_store::Error::Generic { store: "S3", source: source.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are() {
        let page = "<ListBucketResult><Name>b</Name><Contents><Key> d/a+b%20&amp;c&#x1; </Key><Size>5</Size></Contents>\
                    <CommonPrefixes><Prefix>d//</Prefix></CommonPrefixes>\
                    <NextContinuationToken>t</NextContinuationToken></ListBucketResult>";
        let expected = ListPage {
            objects: vec![(" d/a+b%20&c\u{1} ".to_owned(), 5)],
            directories: vec!["d//".to_owned()],
            next: Some("t".to_owned()),
        };
        assert_eq!(ListPage::from(quick_xml::de::from_str::<Listing>(page).unwrap()), expected);
        let last = "<ListBucketResult><NextContinuationToken></NextContinuationToken></ListBucketResult>";
        assert_eq!(ListPage::from(quick_xml::de::from_str::<Listing>(last).unwrap()), ListPage::default());
    }
}
