//! Runs, their params and tags, and batches.

use std::collections::HashSet;

use super::{Limits, lists, text};
use crate::{Error, Result, limits, python};

/// Checks the form of a run id.
pub fn run_id(run_id: &str) -> Result<()> {
    if text::is_id(run_id, 255) {
        Ok(())
    } else {
        Err(Error::invalid(text::invalid_value("run_id", &run_id.into(), None)))
    }
}

impl Limits {
    /// Checks a param and returns the value to store, truncated if it is too long and [`Limits::truncates`]. `path` is
    /// the position in the request, such as `params[3]`, or empty.
    pub fn param(self, key: &str, value: &str, path: &str) -> Result<String> {
        text::entity_name(&text::join(path, "key"), key)?;
        text::length("Param key", limits::ENTITY_KEY, key)?;
        text::shorten("Param value", limits::PARAM_VALUE, value, self.truncates)
    }

    /// Checks a run tag and returns the value to store, truncated if it is too long and [`Limits::truncates`]. A JSON
    /// list that SDKs extend ([`super::is_list_tag`]) loses its oldest elements instead of its end. `path` is the
    /// position in the request, such as `tags[3]`, or empty.
    pub fn tag(self, key: &str, value: &str, path: &str) -> Result<String> {
        tag_key(key, path)?;
        lists::shorten(key, &text::join(path, "value"), limits::TAG_VALUE, value, self.truncates)
    }

    /// [`Limits::tag`] for a database whose columns have no maximum length: a list that SDKs extend is not truncated.
    pub fn untruncated_tag(self, key: &str, value: &str, path: &str) -> Result<String> {
        if !lists::is_list_tag(key) || !self.truncates {
            return self.tag(key, value, path);
        }
        tag_key(key, path)?;
        Ok(value.to_owned())
    }
}

fn tag_key(key: &str, path: &str) -> Result<()> {
    let path = text::join(path, "key");
    text::entity_name(&path, key)?;
    text::length(&path, limits::ENTITY_KEY, key)
}

/// Checks the sizes of a batch.
pub fn batch_limits(metrics: usize, params: usize, tags: usize) -> Result<()> {
    for (what, limit, count) in [
        ("metrics", limits::METRICS_PER_BATCH, metrics),
        ("params", limits::PARAMS_TAGS_PER_BATCH, params),
        ("tags", limits::PARAMS_TAGS_PER_BATCH, tags),
        ("metrics, params, and tags", limits::ENTITIES_PER_BATCH, metrics + params + tags),
    ] {
        if count > limit {
            return Err(Error::invalid(format!(
                "A batch logging request can contain at most {limit} {what}. Got {count} {what}. \
                 Please split up {what} across multiple requests and try again."
            )));
        }
    }
    Ok(())
}

/// Refuses a batch with duplicate param keys.
pub fn unique_param_keys<T: AsRef<str>>(keys: &[T]) -> Result<()> {
    let mut seen = HashSet::new();
    let twice: Vec<&str> = keys.iter().map(AsRef::as_ref).filter(|key| !seen.insert(*key)).collect();
    if twice.is_empty() {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "Duplicate parameter keys have been submitted: {}. Please ensure the request contains only one param value \
         per param key.",
        python::repr_list(&twice)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_id_is_a_word() {
        for id in ["a", "0123456789abcdef0123456789abcdef", "A_b-c", "aé", "a\n"] {
            assert_eq!(run_id(id), Ok(()), "{id:?}");
        }
        assert_eq!(run_id(&"a".repeat(256)), Ok(()));
        for id in ["", "_a", "-a", "éa", "a b", "a/b", "a\n\n"] {
            assert!(run_id(id).is_err(), "{id:?}");
        }
        assert!(run_id(&"a".repeat(257)).is_err());
        assert_eq!(run_id("a b").unwrap_err().message, "Invalid value \"a b\" for parameter 'run_id' supplied.");
    }

    #[test]
    fn long_values_are_cut_and_long_keys_refused() {
        let limits = Limits::default();
        assert_eq!(limits.param("k", &"雪".repeat(6001), "").map(|v| v.chars().count()), Ok(6000));
        assert_eq!(limits.tag("k", &"x".repeat(9000), "").map(|v| v.len()), Ok(8000));
        let refusing = Limits { truncates: false, ..limits };
        assert!(refusing.param("k", &"雪".repeat(6001), "").is_err());
        assert!(refusing.tag("k", &"x".repeat(9000), "").is_err());
        let long = "k".repeat(251);
        assert_eq!(
            limits.param(&long, "", "params[0]").unwrap_err().message,
            "'Param key' exceeds the maximum length of 250 characters"
        );
        assert_eq!(
            limits.tag(&long, "", "tags[0]").unwrap_err().message,
            "'tags[0].key' exceeds the maximum length of 250 characters"
        );
        assert!(limits.tag("a,b", "", "").is_err());
    }

    #[test]
    fn a_batch_has_limits() {
        assert_eq!(batch_limits(800, 100, 100), Ok(()));
        assert_eq!(
            batch_limits(1001, 0, 0).unwrap_err().message,
            "A batch logging request can contain at most 1000 metrics. Got 1001 metrics. \
             Please split up metrics across multiple requests and try again."
        );
        assert!(batch_limits(0, 101, 0).unwrap_err().message.contains("at most 100 params"));
        assert!(batch_limits(0, 0, 101).unwrap_err().message.contains("at most 100 tags"));
        assert!(batch_limits(900, 100, 1).unwrap_err().message.contains("1001 metrics, params, and tags"));
    }

    #[test]
    fn a_param_is_given_once() {
        assert_eq!(unique_param_keys(&["a", "b"]), Ok(()));
        assert_eq!(
            unique_param_keys(&["a", "b'", "a", "b'", "a"]).unwrap_err().message,
            "Duplicate parameter keys have been submitted: ['a', \"b'\", 'a']. Please ensure the request contains \
             only one param value per param key."
        );
    }
}
