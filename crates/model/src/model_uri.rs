//! `models:/…` URIs of logged models and of versions of registered models.

use crate::{uri::SplitUri, validation::is_digit};

/// The target of a `models:/` URI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelUri {
    /// `models:/m-1234`: a logged model.
    Logged(String),
    /// `models:/name/3`
    Version {
        /// The registered model.
        name: String,
        /// The version number, as written.
        version: String,
    },
    /// `models:/name/Production`: the latest version in a stage.
    Stage {
        /// The registered model.
        name: String,
        /// The stage, as written.
        stage: String,
    },
    /// `models:/name/latest`: the latest version.
    Latest {
        /// The registered model.
        name: String,
    },
    /// `models:/name@champion`
    Alias {
        /// The registered model.
        name: String,
        /// The alias.
        alias: String,
    },
}

impl ModelUri {
    /// Parses a URI; `None` if it has none of these forms.
    #[must_use]
    pub fn parse(uri: &str) -> Option<Self> {
        let uri = SplitUri::parse_without_fragment(uri).ok().filter(|uri| uri.scheme == "models")?;
        let path = uri.path.strip_prefix('/').filter(|path| !path.is_empty())?.trim_start_matches('/');
        let (name, suffix) = match path.split_once('/') {
            Some((name, suffix)) => (name, Some(suffix)),
            None => (path, None),
        };
        if name.trim().is_empty() {
            return None;
        }
        let owned = str::to_owned;
        match suffix {
            Some(suffix) if suffix.contains('/') || suffix.trim().is_empty() => None,
            Some(version) if version.chars().all(is_digit) => {
                Some(Self::Version { name: owned(name), version: owned(version) })
            }
            Some(suffix) if suffix.eq_ignore_ascii_case("latest") => Some(Self::Latest { name: owned(name) }),
            Some(stage) => Some(Self::Stage { name: owned(name), stage: owned(stage) }),
            None => match name.rsplit_once('@') {
                Some((_, alias)) if alias.trim().is_empty() => None,
                Some((name, alias)) => Some(Self::Alias { name: owned(name), alias: owned(alias) }),
                None => Some(Self::Logged(owned(name))),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_names_something_else() {
        let name = "m".to_owned();
        for (uri, expected) in [
            ("models:/m-12", Some(ModelUri::Logged("m-12".into()))),
            ("models:/m/12", Some(ModelUri::Version { name: name.clone(), version: "12".into() })),
            ("models:///m/12", Some(ModelUri::Version { name: name.clone(), version: "12".into() })),
            ("models:/m/Production", Some(ModelUri::Stage { name: name.clone(), stage: "Production".into() })),
            ("models:/m/LATEST", Some(ModelUri::Latest { name: name.clone() })),
            ("models:/a@b@c", Some(ModelUri::Alias { name: "a@b".into(), alias: "c".into() })),
            ("models:/m#1", Some(ModelUri::Logged("m#1".into()))),
            ("models:/m/1?x=y", Some(ModelUri::Version { name, version: "1".into() })),
            ("models:/", None),
            ("models:m", None),
            ("models:/m/", None),
            ("models:/m/1/2", None),
            ("models:/ /1", None),
            ("models:/m@", None),
            ("runs:/m/1", None),
        ] {
            assert_eq!(ModelUri::parse(uri), expected, "{uri}");
        }
    }
}
