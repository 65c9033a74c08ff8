//! Maps tokens to users, and groups to roles.

use ferroflow_model::permission::USER_ROLE_PREFIX;
use ferroflow_store::{TokenUser, token_mark};
use sha2::{Digest as _, Sha256};

use crate::{ini::Section, password::hex};

/// The mapping of groups to roles.
#[derive(Debug, Clone, Default)]
pub(crate) struct Groups {
    roles: Vec<(String, String)>,
    admin: Option<String>,
}

impl Groups {
    /// Parses `group_roles` and `admin_group` of a section.
    pub(crate) fn parse(section: &Section) -> Result<Self, String> {
        let mut roles = Vec::new();
        for line in lines(section, "group_roles")? {
            // Group names of directories may contain equals signs.
            let parts = line.rsplit_once('=').map(|(group, role)| (group.trim(), role.trim()));
            match parts.filter(|(group, role)| !group.is_empty() && !role.is_empty()) {
                Some((_, role)) if role.starts_with(USER_ROLE_PREFIX) => {
                    return Err(format!("group_roles: the role {role} is reserved for a user's own grants"));
                }
                Some((group, role)) => roles.push((group.to_owned(), role.to_owned())),
                None => return Err(format!("group_roles: '{line}' is not 'group = role'")),
            }
        }
        Ok(Self { roles, admin: text(section, "admin_group")? })
    }

    /// The user of a token. `owner` distinguishes accounts that have the same name at different times.
    pub(crate) fn user(&self, username: String, owner: &str, groups: &[String], links: bool) -> TokenUser {
        let mut governed: Vec<String> = self.roles.iter().map(|(_, role)| role.clone()).collect();
        governed.sort();
        governed.dedup();
        let is_granted = |role: &String| self.roles.iter().any(|(group, of)| of == role && groups.contains(group));
        TokenUser {
            username,
            mark: token_mark(&hex(&Sha256::digest(owner.as_bytes()))[..32]),
            links,
            is_admin: self.admin.as_ref().map(|admin| groups.contains(admin)),
            roles: governed.iter().filter(|role| is_granted(role)).cloned().collect(),
            governed,
        }
    }
}

/// An optional value; an empty one is `None`.
pub(crate) fn text(section: &Section, key: &str) -> Result<Option<String>, String> {
    Ok(section.get(key)?.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty()))
}

/// A required value.
pub(crate) fn required(section: &Section, name: &str, key: &str) -> Result<String, String> {
    text(section, key)?.ok_or_else(|| format!("it has no {key} in [{name}]"))
}

/// The lines of a value, without empty ones.
pub(crate) fn lines(section: &Section, key: &str) -> Result<Vec<String>, String> {
    let value = section.get(key)?.unwrap_or_default();
    Ok(value.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

/// The words of a value, separated by commas or white space.
pub(crate) fn words(section: &Section, key: &str) -> Result<Vec<String>, String> {
    let value = section.get(key)?.unwrap_or_default();
    let words = value.split(|char: char| char == ',' || char.is_whitespace());
    Ok(words.filter(|word| !word.is_empty()).map(str::to_owned).collect())
}

/// An integer from 0 to `most`.
pub(crate) fn number(section: &Section, key: &str, default: u64, max: u64) -> Result<u64, String> {
    let Some(value) = text(section, key)? else { return Ok(default) };
    let parsed = value.parse().ok().filter(|number| *number <= max);
    parsed.ok_or_else(|| format!("{key} = {value} is not a number from 0 to {max}"))
}

/// A boolean.
pub(crate) fn flag(section: &Section, key: &str) -> Result<bool, String> {
    match text(section, key)?.map(|value| value.to_lowercase()).as_deref() {
        None | Some("0" | "no" | "false" | "off") => Ok(false),
        Some("1" | "yes" | "true" | "on") => Ok(true),
        Some(other) => Err(format!("{key} = {other} is neither true nor false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(text: &str) -> Result<Groups, String> {
        Groups::parse(&Section::parse(&format!("[x]\n{text}"), "x").unwrap().unwrap())
    }

    #[test]
    fn groups_grant_roles_and_govern_the_others() {
        let groups =
            groups("group_roles =\n  cn=ml,o=x = makers\n  b = makers\n  c = readers\nadmin_group = root").unwrap();
        let user = groups.user("u".into(), "a", &["b".into(), "other".into()], false);
        assert_eq!((user.roles.as_slice(), user.governed.len()), (["makers".to_owned()].as_slice(), 2));
        assert_eq!(user.is_admin, Some(false));
        assert_eq!(groups.user("u".into(), "a", &["cn=ml,o=x".into()], false).roles, ["makers"]);
        assert_eq!(groups.user("u".into(), "a", &["root".into()], false).is_admin, Some(true));
        assert_eq!(Groups::default().user("u".into(), "a", &["root".into()], false).is_admin, None);
    }

    #[test]
    fn a_mark_identifies_one_account_and_fits_into_the_database() {
        let of = |owner: &str| Groups::default().user("u".into(), owner, &[], false).mark;
        assert_ne!(of("a"), of("b"));
        assert!(of("a").len() <= 255);
        assert!(!crate::password::verify(&of("a"), ""));
    }

    #[test]
    fn invalid_group_roles_are_refused() {
        for text in ["group_roles = a", "group_roles = a =", "group_roles = a = __user_1__"] {
            assert!(groups(text).is_err(), "{text}");
        }
    }
}
