//! Who asks the API server what a caller may do: the caller itself with its token (`self_subject_access_review`), or the
//! server about a user whom a trusted proxy has authenticated (`subject_access_review`). The names of the modes, headers
//! and variables are those of Open Data Hub's `kubernetes-auth`.

use ferroflow_model::Environment;

use crate::{ini::Section, tokens::identity::text};

/// The settings with the variables that stand for them.
const MODE: (&str, &str) = ("authorization_mode", "MLFLOW_K8S_AUTH_AUTHORIZATION_MODE");
const USER: (&str, &str) = ("remote_user_header", "MLFLOW_K8S_AUTH_REMOTE_USER_HEADER");
const GROUPS: (&str, &str) = ("remote_groups_header", "MLFLOW_K8S_AUTH_REMOTE_GROUPS_HEADER");
const SEPARATOR: (&str, &str) = ("remote_groups_separator", "MLFLOW_K8S_AUTH_REMOTE_GROUPS_SEPARATOR");

/// The keys in section `[kubernetes]`.
pub(super) const KEYS: [&str; 4] = [MODE.0, USER.0, GROUPS.0, SEPARATOR.0];

/// The variables.
pub(super) const VARIABLES: [&str; 4] = [MODE.1, USER.1, GROUPS.1, SEPARATOR.1];

/// The headers by which a trusted proxy names the user of a request. Their names are in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteHeaders {
    /// The header with the name of the user.
    pub user: String,
    /// The header with the groups.
    pub groups: String,
    /// What is between two groups.
    separator: String,
}

impl RemoteHeaders {
    /// Parses the settings; `None` if callers are asked about with their own tokens.
    pub(super) fn parse(section: &Section, environment: &Environment) -> Result<Option<Self>, String> {
        let either = |(key, variable): (&str, &str)| -> Result<Option<String>, String> {
            Ok(text(section, key)?.or_else(|| environment.get(variable).map(str::to_owned)))
        };
        match either(MODE)?.map(|mode| mode.to_lowercase()).as_deref() {
            None | Some("self_subject_access_review") => {
                for setting in [USER, GROUPS, SEPARATOR] {
                    if either(setting)?.is_some() {
                        return Err(format!(
                            "{} ({}) is set for [kubernetes], but {} = subject_access_review is not",
                            setting.0, setting.1, MODE.0
                        ));
                    }
                }
                return Ok(None);
            }
            Some("subject_access_review") => {}
            Some(other) => {
                return Err(format!(
                    "{} = {other} in [kubernetes] is neither self_subject_access_review nor subject_access_review",
                    MODE.0
                ));
            }
        }
        let header = |setting: (&str, &str), default: &str| {
            let name = either(setting)?.unwrap_or_else(|| default.to_owned()).to_lowercase();
            let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            // What clients send themselves is no statement of a proxy.
            let is_of_clients = ["authorization", "cookie", "host", "x-mlflow-workspace"].contains(&&*name);
            if is_plain && !is_of_clients {
                Ok(name)
            } else {
                Err(format!("{} = {name} is not a header that a proxy can set", setting.0))
            }
        };
        let found = Self {
            user: header(USER, "x-remote-user")?,
            groups: header(GROUPS, "x-remote-groups")?,
            separator: either(SEPARATOR)?.unwrap_or_else(|| "|".to_owned()),
        };
        if found.user == found.groups {
            return Err(format!("{} and {} are the same header", USER.0, GROUPS.0));
        }
        Ok(Some(found))
    }

    /// The groups in the header.
    #[must_use]
    pub fn groups(&self, text: &str) -> Vec<String> {
        text.split(&self.separator).map(str::trim).filter(|group| !group.is_empty()).map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, variables: &[(&str, &str)]) -> Result<Option<RemoteHeaders>, String> {
        let section = Section::parse(&format!("[x]\n{text}"), "x").unwrap().unwrap();
        RemoteHeaders::parse(&section, &Environment::new(variables.iter().copied()))
    }

    #[test]
    fn the_mode_says_whether_headers_name_users() {
        assert_eq!(parse("", &[]), Ok(None));
        assert_eq!(parse("authorization_mode = Self_Subject_Access_Review", &[]), Ok(None));
        let found = parse("authorization_mode = subject_access_review", &[]).unwrap().unwrap();
        assert_eq!((&*found.user, &*found.groups), ("x-remote-user", "x-remote-groups"));
        assert_eq!(found.groups(" a | system:authenticated||b,c "), ["a", "system:authenticated", "b,c"]);
        assert!(found.groups("").is_empty());
        let variables = [
            ("MLFLOW_K8S_AUTH_AUTHORIZATION_MODE", "subject_access_review"),
            ("MLFLOW_K8S_AUTH_REMOTE_USER_HEADER", "X-User"),
            ("MLFLOW_K8S_AUTH_REMOTE_GROUPS_SEPARATOR", ","),
        ];
        let found = parse("remote_groups_header = X-Groups", &variables).unwrap().unwrap();
        assert_eq!((&*found.user, &*found.groups), ("x-user", "x-groups"));
        assert_eq!(found.groups("a,b"), ["a", "b"]);
    }

    #[test]
    fn settings_that_would_trust_clients_are_refused() {
        let with = |more: &str| parse(&format!("authorization_mode = subject_access_review\n{more}"), &[]);
        for (result, word) in [
            (parse("authorization_mode = none", &[]), "none"),
            (parse("remote_user_header = x-user", &[]), "authorization_mode"),
            (parse("", &[("MLFLOW_K8S_AUTH_REMOTE_GROUPS_HEADER", "x")]), "REMOTE_GROUPS_HEADER"),
            (with("remote_user_header = Authorization"), "authorization"),
            (with("remote_user_header = x_user"), "x_user"),
            (with("remote_user_header = x-remote-groups"), "same"),
        ] {
            let error = result.unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
