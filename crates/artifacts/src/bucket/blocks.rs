//! Block uploads of Azure: they are neither begun nor aborted. A client uploads named blocks, the server commits the
//! list of names that form the blob, and the store discards uncommitted blocks after a week
//! (<https://learn.microsoft.com/rest/api/storageservices/put-block>).

use base64::{Engine as _, prelude::BASE64_STANDARD as STANDARD};
use ferroflow_model::{Error, Result};
use object_store::path::Path;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// Digits of an upload id. All block names of a blob must have the same length, which is the one that `object_store`
/// uses.
const ID: usize = 26;

/// A random upload id.
pub(super) fn new_id() -> String {
    let mut id = format!("{:032x}", rand::random::<u128>());
    id.truncate(ID);
    id
}

fn name(id: &str, number: u64) -> String {
    format!("{id}{number:06}")
}

/// The names of the blocks of an upload.
///
/// # Errors
/// The id is not valid.
pub(super) fn names(id: &str, count: usize) -> Result<Vec<String>> {
    if id.len() != ID || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Error::not_found("The upload does not exist."));
    }
    Ok((1..=count as u64).map(|number| name(id, number)).collect())
}

/// The URL to upload a block to, from the signed URL of its blob.
pub(super) fn url(signed: &str, id: &str, number: u64) -> String {
    let name = STANDARD.encode(name(id, number));
    let (place, signature) = signed.split_once('?').unwrap_or((signed, ""));
    format!("{place}?comp=block&blockid={}&{signature}", utf8_percent_encode(&name, NON_ALPHANUMERIC))
}

/// Whether a key needs no percent-encoding in a URL.
pub(super) fn is_plain(key: &Path) -> bool {
    key.as_ref().bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte))
}
