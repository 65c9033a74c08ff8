//! Evaluation data: what requests contain, and what is derived from it.

pub mod dataset_records;
pub mod dataset_schema;
pub mod dataset_tags;
pub mod issues;
pub mod label_schemas;
pub mod online_scoring;
pub mod review_queues;
pub mod scorers;

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// The tag that names the user of a change.
pub const USER_TAG: &str = "mlflow.user";

/// Maximum length of the name of a dataset, of a user, and of the key of a tag.
pub const NAME: usize = 255;
/// Maximum length of the value of a tag.
pub const TAG_VALUE: usize = 5000;
/// Maximum length of the id of a record's source.
pub const SOURCE_ID: usize = 36;
/// Maximum number of records in one request: more than fit into the largest one, unless they are nearly empty.
pub const RECORDS: usize = 100_000;
/// Maximum number of values in one record, nested ones too.
pub const RECORD_VALUES: usize = 200_000;
/// Maximum number of values in the tags of a dataset.
pub const TAGS_VALUES: usize = 20_000;

/// The digest of a dataset's state.
#[must_use]
pub fn dataset_digest(name: &str, last_update_time: i64) -> String {
    let mut digest = sha256(&format!("{name}:{last_update_time}"));
    digest.truncate(8);
    digest
}

/// The SHA-256 of a text in hexadecimal digits.
fn sha256(text: &str) -> String {
    let mut out = String::with_capacity(64);
    for byte in Sha256::digest(text.as_bytes()) {
        // Writing to a string cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}
