//! The session and the user of a span.

use std::borrow::Cow;

use crate::{
    SpanError,
    attributes::Attributes,
    dialects,
    json::Json,
    keys,
    limits::{MAX_METADATA, MAX_SESSION},
    text,
};

/// The session and the user of a stored span.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct People {
    /// The session.
    pub session: Option<String>,
    /// The user.
    pub user: Option<String>,
}

impl People {
    /// Reads them from the content of a stored span.
    #[must_use]
    pub fn stored(content: &str) -> Self {
        let Some(span) = Json::parse(content) else { return Self::default() };
        let Some(Json::Object(pairs)) = span.get("attributes") else { return Self::default() };
        let attributes = Attributes::stored(pairs);
        Self { session: session(&attributes).ok().flatten(), user: user(&attributes) }
    }
}

/// The session of a span.
pub(crate) fn session(attributes: &Attributes<'_>) -> Result<Option<String>, SpanError> {
    let found = attributes.shown(keys::SESSION).or_else(|| attributes.shown(keys::CONVERSATION));
    let found = found.or_else(|| dialects::session(attributes).map(|index| shown(attributes, index)));
    match found {
        Some(found) if found.chars().count() > MAX_SESSION => Err(SpanError::Session),
        found => Ok(found.filter(|found| !found.is_empty()).map(|found| text::storable(&found))),
    }
}

/// The user of a span.
pub(crate) fn user(attributes: &Attributes<'_>) -> Option<String> {
    let found = attributes.shown(keys::USER);
    let found = found.or_else(|| dialects::user(attributes).map(|index| shown(attributes, index)));
    found.filter(|found| !found.is_empty()).map(|found| text::storable(text::cut(&found, MAX_METADATA)))
}

/// An attribute as a column shows it: the string, or the text of other types.
pub(crate) fn shown<'t>(attributes: &'t Attributes<'_>, index: usize) -> Cow<'t, str> {
    attributes.string(index).unwrap_or_else(|| attributes.text(index))
}
