//! Prompts: registered models whose versions have their text in a tag.

use crate::{
    Error, Result,
    messages::model_registry::{ModelVersionTag, RegisteredModelTag},
};

/// The tag that marks prompts and their versions.
pub const IS_PROMPT_TAG: &str = "mlflow.prompt.is_prompt";

/// The tag of a version with the text of the prompt.
pub const TEXT_TAG: &str = "mlflow.prompt.text";

/// The tag that distinguishes text from chat prompts. Like the other tags of this module, it is omitted from webhook
/// events.
pub const TYPE_TAG: &str = "_mlflow_prompt_type";

/// Placeholders for the source of prompt versions, which have none.
const SOURCES: [&str; 2] = ["dummy-source", "prompt-template"];

/// A tag of a registered model or of a version.
pub trait Tag {
    /// Key and value.
    fn pair(&self) -> (&str, &str);
}

impl Tag for RegisteredModelTag {
    fn pair(&self) -> (&str, &str) {
        (self.key(), self.value())
    }
}

impl Tag for ModelVersionTag {
    fn pair(&self) -> (&str, &str) {
        (self.key(), self.value())
    }
}

impl Tag for (&str, &str) {
    fn pair(&self) -> (&str, &str) {
        *self
    }
}

/// Whether tags mark a prompt; the last one of a key wins.
#[must_use]
pub fn is_prompt<T: Tag>(tags: &[T]) -> bool {
    mark(tags) == Some(true)
}

/// Whether tags mark a prompt; `None` if none says so or the contrary.
#[must_use]
pub fn mark<T: Tag>(tags: &[T]) -> Option<bool> {
    let last = tags.iter().map(Tag::pair).rev().find(|(key, _)| *key == IS_PROMPT_TAG);
    last.map(|(_, value)| value.eq_ignore_ascii_case("true"))
}

/// Checks the source of a prompt version: the tag that marks a prompt must not bypass the validation of sources.
///
/// # Errors
/// It is not one of the placeholders.
pub fn check_source(source: &str) -> Result<()> {
    if SOURCES.contains(&source) {
        return Ok(());
    }
    Err(Error::invalid(format!("Invalid prompt source: '{source}'. Prompt sources must use an MLflow placeholder.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(key: &str, value: &str) -> ModelVersionTag {
        ModelVersionTag { key: Some(key.into()), value: Some(value.into()) }
    }

    #[test]
    fn the_last_tag_of_a_key_counts() {
        assert!(is_prompt(&[tag(IS_PROMPT_TAG, "True"), tag("other", "false")]));
        assert!(!is_prompt(&[tag(IS_PROMPT_TAG, "true"), tag(IS_PROMPT_TAG, "no")]));
        assert!(!is_prompt::<ModelVersionTag>(&[]));
    }

    #[test]
    fn a_prompt_has_no_source() {
        assert_eq!(check_source("dummy-source"), Ok(()));
        assert!(check_source("/etc").unwrap_err().message.starts_with("Invalid prompt source: '/etc'."));
    }
}
