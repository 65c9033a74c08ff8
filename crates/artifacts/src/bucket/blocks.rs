//! Uploads in blocks, as Azure has them: nothing is begun and nothing is taken back. A client puts blocks
//! under names, the server says which names make the blob, and what is left over is forgotten by the store
//! after a week (<https://learn.microsoft.com/rest/api/storageservices/put-block>).

use base64::{Engine as _, prelude::BASE64_STANDARD as STANDARD};
use ferroflow_model::{Error, Result};
use object_store::path::Path;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// Digits of an upload's id: the name of a block is as long as those that `object_store` gives, as all blocks of
/// a blob must have names of one length.
const ID: usize = 26;

/// The id of a new upload.
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
/// The id is not one of ours.
pub(super) fn names(id: &str, count: usize) -> Result<Vec<String>> {
    if id.len() != ID || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Error::not_found("The upload does not exist."));
    }
    Ok((1..=count as u64).map(|number| name(id, number)).collect())
}

/// Where a block is sent, by the signed address of its blob.
pub(super) fn url(signed: &str, id: &str, number: u64) -> String {
    let name = STANDARD.encode(name(id, number));
    let (place, signature) = signed.split_once('?').unwrap_or((signed, ""));
    format!("{place}?comp=block&blockid={}&{signature}", utf8_percent_encode(&name, NON_ALPHANUMERIC))
}

/// Whether an address spells a key as it is.
pub(super) fn is_plain(key: &Path) -> bool {
    key.as_ref().bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte))
}
