//! Access keys from a shared credentials file of the AWS tools.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use ferroflow_model::{Environment, Error, Result};

/// Access keys of one profile.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Profile {
    pub(super) id: String,
    pub(super) secret: String,
    pub(super) token: Option<String>,
    pub(super) region: Option<String>,
}

impl Profile {
    /// The keys of the selected profile, or of the default one if the file exists.
    ///
    /// # Errors
    /// The selected profile or file cannot be read or does not exist.
    pub(super) fn read(environment: &Environment) -> Result<Option<Self>> {
        let get = |name| environment.get(name);
        let file = get("AWS_SHARED_CREDENTIALS_FILE")
            .map(PathBuf::from)
            .or_else(|| get("HOME").map(|home| Path::new(home).join(".aws/credentials")));
        let chosen = get("AWS_PROFILE");
        let text = match file.as_deref().map(std::fs::read_to_string) {
            Some(Ok(text)) => text,
            Some(Err(error)) if chosen.is_some() || get("AWS_SHARED_CREDENTIALS_FILE").is_some() => {
                return Err(Error::invalid(format!("The file of AWS credentials cannot be read: {error}")));
            }
            _ => return Ok(None),
        };
        match Self::parse(&text, chosen.unwrap_or("default")) {
            None if chosen.is_some() => Err(Error::invalid("the profile in AWS_PROFILE has no keys")),
            found => Ok(found),
        }
    }

    fn parse(text: &str, wanted: &str) -> Option<Self> {
        let mut section = "";
        let mut values = BTreeMap::new();
        for line in text.lines().map(str::trim) {
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                section = name.trim();
            } else if let Some((key, value)) =
                line.split_once('=').filter(|_| section == wanted && !line.starts_with('#'))
            {
                values.insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
            }
        }
        Some(Self {
            id: values.remove("aws_access_key_id")?,
            secret: values.remove("aws_secret_access_key")?,
            token: values.remove("aws_session_token"),
            region: values.remove("region"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_read_as_the_tools_write_it() {
        let text = "[default]\naws_access_key_id=D\naws_secret_access_key = d\n# aws_session_token = no\n[work]\naws_access_key_id = W\naws_secret_access_key = w=/+\naws_session_token = t\nregion = eu-west-1\n[half]\naws_access_key_id = H\n";
        assert_eq!(
            Profile::parse(text, "default").map(|p| (p.id, p.secret, p.token)),
            Some(("D".into(), "d".into(), None))
        );
        let work = Profile {
            id: "W".into(),
            secret: "w=/+".into(),
            token: Some("t".into()),
            region: Some("eu-west-1".into()),
        };
        assert_eq!(Profile::parse(text, "work"), Some(work));
        assert_eq!(Profile::parse(text, "half"), None);
        assert_eq!(Profile::parse(text, "none"), None);
    }
}
