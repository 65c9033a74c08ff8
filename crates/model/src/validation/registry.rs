//! Registered models and their versions.

use super::text;
use crate::{Error, Result, limits, number, prompts};

/// The stage of a model version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// No stage yet.
    None,
    /// Being tested.
    Staging,
    /// In production.
    Production,
    /// No longer used.
    Archived,
}

impl Stage {
    /// Every stage.
    pub const ALL: [Self; 4] = [Self::None, Self::Staging, Self::Production, Self::Archived];

    /// The stored name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Staging => "Staging",
            Self::Production => "Production",
            Self::Archived => "Archived",
        }
    }

    /// Whether a transition to this stage may archive the versions that are in it.
    #[must_use]
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Staging | Self::Production)
    }

    /// Parses a stage, ignoring case.
    pub fn parse(text: &str) -> Result<Self> {
        let lower = text.to_lowercase();
        Self::ALL.into_iter().find(|stage| stage.name().to_lowercase() == lower).ok_or_else(|| {
            Error::invalid(format!(
                "Invalid Model Version stage: {text}. Value must be one of {}.",
                Self::ALL.map(Self::name).join(", ")
            ))
        })
    }
}

/// Checks the name of a registered model.
pub fn model_name(name: &str) -> Result<()> {
    name_parameter("name", name)
}

/// Checks the new name of a registered model.
pub fn model_new_name(name: &str) -> Result<()> {
    name_parameter("new_name", name)
}

fn name_parameter(parameter: &str, name: &str) -> Result<()> {
    if name.trim().is_empty() {
        return Err(Error::invalid(text::missing_value(parameter)));
    }
    if name.contains(['/', ':']) {
        return Err(Error::invalid(format!("Invalid model name '{name}'. Names cannot contain '/' or ':'.")));
    }
    text::unchanged_path("name", name)
}

/// Parses a version number, which may be out of the range of version numbers.
pub fn model_version(version: &str) -> Result<i128> {
    number::parse_int(version)
        .ok_or_else(|| Error::invalid(format!("Parameter 'version' must be an integer, got '{version}'.")))
}

/// Checks the form of an alias.
pub fn model_alias(alias: &str) -> Result<()> {
    if alias.is_empty() {
        return Err(Error::invalid("Registered model alias name cannot be empty."));
    }
    if !text::all_but_newline(alias).chars().all(|c| text::is_word(c) || c == '-') {
        return Err(Error::invalid(format!(
            "Invalid alias name: '{alias}'. Names may only contain alphanumerics, underscores (_), and dashes (-)."
        )));
    }
    text::length("Registered model alias name", limits::REGISTERED_MODEL_ALIAS, alias)
}

/// Refuses reserved aliases: `latest`, and version aliases such as `v1`.
pub fn model_alias_not_reserved(alias: &str) -> Result<()> {
    if alias.to_lowercase() == "latest" {
        return Err(Error::invalid("'latest' alias name (case insensitive) is reserved."));
    }
    let digits = text::all_but_newline(alias).strip_prefix(['v', 'V']).unwrap_or_default();
    if !digits.is_empty() && digits.chars().all(is_digit) {
        return Err(Error::invalid(format!("Version alias name '{alias}' is reserved.")));
    }
    Ok(())
}

/// Python's `\d`: decimal digits of any script.
pub(crate) fn is_digit(c: char) -> bool {
    use unicode_general_category::{GeneralCategory, get_general_category};
    c.is_ascii_digit() || get_general_category(c) == GeneralCategory::DecimalNumber
}

/// Checks the key of a tag to delete.
pub fn registry_tag_key(key: &str) -> Result<()> {
    text::entity_name("key", key)
}

/// Checks a tag of a registered model.
pub fn registered_model_tag(key: &str, value: &str) -> Result<()> {
    registry_tag_key(key)?;
    text::length("key", limits::REGISTRY_TAG_KEY, key)?;
    text::length("value", limits::REGISTRY_TAG_VALUE, value)
}

/// Checks a tag of a model version.
pub fn model_version_tag(key: &str, value: &str) -> Result<()> {
    registry_tag_key(key)?;
    text::length("key", limits::REGISTRY_TAG_KEY, key)?;
    text::length("value", limits::REGISTRY_TAG_VALUE, value).map_err(|error| {
        if key == prompts::TEXT_TAG {
            Error::invalid(format!("Prompt text exceeds max length of {} characters.", limits::REGISTRY_TAG_VALUE))
        } else {
            error
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_has_a_plain_name() {
        assert_eq!(model_name("my model.v1 雪"), Ok(()));
        assert_eq!(model_name(" ").unwrap_err().message, "Missing value for required parameter 'name'.");
        assert_eq!(model_new_name("").unwrap_err().message, "Missing value for required parameter 'new_name'.");
        assert_eq!(
            model_name("a/b").unwrap_err().message,
            "Invalid model name 'a/b'. Names cannot contain '/' or ':'."
        );
        assert!(model_name("..").unwrap_err().message.ends_with("This name would resolve to '..'"));
    }

    #[test]
    fn a_version_is_a_number() {
        assert_eq!(model_version("3"), Ok(3));
        assert_eq!(model_version("x").unwrap_err().message, "Parameter 'version' must be an integer, got 'x'.");
    }

    #[test]
    fn a_stage_is_written_in_any_case() {
        assert_eq!(Stage::parse("pRODUCTION"), Ok(Stage::Production));
        assert_eq!(
            Stage::parse("x").unwrap_err().message,
            "Invalid Model Version stage: x. Value must be one of None, Staging, Production, Archived."
        );
    }

    #[test]
    fn reserved_aliases_are_refused() {
        assert_eq!(model_alias("champion-2_é"), Ok(()));
        assert!(model_alias("").is_err());
        assert!(model_alias("a b").unwrap_err().message.starts_with("Invalid alias name: 'a b'."));
        for alias in ["latest", "LATEST", "v1", "V20", "v٣"] {
            assert!(model_alias_not_reserved(alias).is_err(), "{alias}");
        }
        for alias in ["v", "v1a", "version1", "champion"] {
            assert_eq!(model_alias_not_reserved(alias), Ok(()), "{alias}");
        }
    }

    #[test]
    fn a_prompt_has_its_own_words() {
        let long = "x".repeat(100_001);
        assert_eq!(
            model_version_tag("mlflow.prompt.text", &long).unwrap_err().message,
            "Prompt text exceeds max length of 100000 characters."
        );
        assert_eq!(
            model_version_tag("k", &long).unwrap_err().message,
            "'value' exceeds the maximum length of 100000 characters"
        );
        assert!(registered_model_tag("k", &long).is_err());
        assert_eq!(registered_model_tag("k", "v"), Ok(()));
    }
}
