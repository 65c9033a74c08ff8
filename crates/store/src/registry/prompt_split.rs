//! A search of the registry returns either models or prompts, never both: models unless the filter selects prompts.

use ferroflow_model::prompts::IS_PROMPT_TAG;
use ferroflow_search::TextTest;

/// A condition on a tag: its key and the test of its value.
pub(crate) type TagTest<'a> = (&'a str, &'a TextTest);

/// The tag conditions of a filter.
pub(crate) struct Split<'a> {
    /// Whether to search prompts instead of models.
    pub(crate) prompts: bool,
    /// The tag that drives the query: only rows that have it are read.
    pub(crate) first: Option<TagTest<'a>>,
    /// The conditions on other tags.
    pub(crate) others: Vec<TagTest<'a>>,
}

/// Splits the tag conditions. The first one on the prompt tag decides between prompts and models. Models do not have
/// that tag, so its conditions are dropped for them.
pub(crate) fn split(mut tags: Vec<TagTest<'_>>) -> Split<'_> {
    let prompts = tags.iter().find(|(key, _)| *key == IS_PROMPT_TAG).is_some_and(|(_, test)| match test {
        TextTest::Equal(value) => value.to_lowercase() == "true",
        TextTest::NotEqual(value) => value.to_lowercase() == "false",
        _ => false,
    });
    if !prompts {
        tags.retain(|(key, _)| *key != IS_PROMPT_TAG);
    }
    // Every prompt has the prompt tag, so another one is more selective.
    let best = tags.iter().position(|(key, _)| *key != IS_PROMPT_TAG).unwrap_or_default();
    let first = (!tags.is_empty()).then(|| tags.remove(best));
    Split { prompts, first, others: tags }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn equal(value: &str) -> TextTest {
        TextTest::Equal(value.into())
    }

    #[test]
    fn the_first_condition_on_the_prompt_tag_decides() {
        let (yes, no, like) = (equal("TRUE"), equal("false"), TextTest::Like("true".into()));
        assert!(split(vec![(IS_PROMPT_TAG, &yes), (IS_PROMPT_TAG, &no)]).prompts);
        assert!(!split(vec![(IS_PROMPT_TAG, &no), (IS_PROMPT_TAG, &yes)]).prompts);
        assert!(split(vec![(IS_PROMPT_TAG, &TextTest::NotEqual("False".into()))]).prompts);
        for test in [&no, &like] {
            let split = split(vec![(IS_PROMPT_TAG, test)]);
            assert!(!split.prompts && split.first.is_none() && split.others.is_empty());
        }
    }

    #[test]
    fn the_search_begins_with_the_rarer_tag() {
        let (yes, other) = (equal("true"), equal("x"));
        let split = split(vec![(IS_PROMPT_TAG, &yes), ("team", &other)]);
        assert_eq!(split.first, Some(("team", &other)));
        assert_eq!(split.others, [(IS_PROMPT_TAG, &yes)]);
    }
}
