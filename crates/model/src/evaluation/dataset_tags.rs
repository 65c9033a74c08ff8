//! The tags of a dataset in a request: an object in JSON.

use super::{NAME, TAG_VALUE, TAGS_VALUES, USER_TAG};
use crate::{Error, Result, python_json::Json, validation::exceeds_maximum_length};

/// The tags in a text; each value is text or absent. Sorted by key.
///
/// # Errors
/// The text is no JSON object, or a key or value is too long.
pub fn parse(text: &str) -> Result<Vec<(String, Option<String>)>> {
    let invalid = || Error::invalid("Invalid value for parameter 'tags' supplied: it is not a JSON object.");
    let json = Json::parse(text, TAGS_VALUES).map_err(|refusal| refusal.of("tags"))?;
    if json == Json::Null {
        return Ok(Vec::new());
    }
    let mut tags = Vec::new();
    for (key, value) in json.object().ok_or_else(invalid)? {
        let key = key.decode().ok_or_else(invalid)?;
        let value = match value {
            Json::Null => None,
            value => Some(value.to_str().ok_or_else(invalid)?),
        };
        if key.chars().count() > NAME {
            return Err(Error::invalid(exceeds_maximum_length("key", NAME)));
        }
        if value.as_ref().is_some_and(|value| value.chars().count() > TAG_VALUE) {
            return Err(Error::invalid(exceeds_maximum_length("value", TAG_VALUE)));
        }
        tags.push((key, value));
    }
    tags.sort();
    Ok(tags)
}

/// The user that the tags name.
///
/// # Errors
/// The name is too long.
pub fn user(tags: &[(String, Option<String>)]) -> Result<Option<String>> {
    let user = tags.iter().find(|(key, _)| key == USER_TAG).and_then(|(_, value)| value.clone());
    if user.as_ref().is_some_and(|user| user.chars().count() > NAME) {
        return Err(Error::invalid(exceeds_maximum_length(USER_TAG, NAME)));
    }
    Ok(user)
}
