//! Maps tokens to users, and groups to roles.

use ferroflow_model::{permission::USER_ROLE_PREFIX, validation};
use ferroflow_store::{TokenRole, TokenUser, token_mark};
use sha2::{Digest as _, Sha256};

use crate::{ini::Section, password::hex};

/// The mapping of groups to roles.
#[derive(Debug, Clone, Default)]
pub(crate) struct Groups {
    roles: Vec<(String, TokenRole)>,
    admin: Option<String>,
}

impl Groups {
    /// Parses `group_roles`, `group_workspace_roles` and `admin_group` of a section.
    pub(crate) fn parse(section: &Section) -> Result<Self, String> {
        let mut roles = Vec::new();
        for (group, name) in pairs(section, "group_roles", "group = role")? {
            roles.push((group, TokenRole::of_default_workspace(&name)));
        }
        for (group, role) in pairs(section, "group_workspace_roles", "group = workspace/role")? {
            let found = role.split_once('/').map(|(workspace, name)| (workspace.trim(), name.trim()));
            let Some((workspace, name)) = found.filter(|(_, name)| !name.is_empty()) else {
                return Err(format!("group_workspace_roles: '{group} = {role}' is not 'group = workspace/role'"));
            };
            validation::workspace_name(workspace)
                .map_err(|error| format!("group_workspace_roles: {}", error.message))?;
            check_role("group_workspace_roles", name)?;
            roles.push((group, TokenRole { workspace: workspace.to_owned(), name: name.to_owned() }));
        }
        Ok(Self { roles, admin: text(section, "admin_group")? })
    }

    /// The user of a token. `owner` distinguishes accounts that have the same name at different times.
    pub(crate) fn user(&self, username: String, owner: &str, groups: &[String], links: bool) -> TokenUser {
        let mut governed: Vec<TokenRole> = self.roles.iter().map(|(_, role)| role.clone()).collect();
        governed.sort();
        governed.dedup();
        let is_granted = |role: &TokenRole| self.roles.iter().any(|(group, of)| of == role && groups.contains(group));
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

/// The lines `group = role` of a value.
fn pairs(section: &Section, key: &str, form: &str) -> Result<Vec<(String, String)>, String> {
    let mut found = Vec::new();
    for line in lines(section, key)? {
        // Group names of directories may contain equals signs.
        let parts = line.rsplit_once('=').map(|(group, role)| (group.trim(), role.trim()));
        let Some((group, role)) = parts.filter(|(group, role)| !group.is_empty() && !role.is_empty()) else {
            return Err(format!("{key}: '{line}' is not '{form}'"));
        };
        check_role(key, role)?;
        found.push((group.to_owned(), role.to_owned()));
    }
    Ok(found)
}

/// Checks that a role is not one of a single user.
fn check_role(key: &str, role: &str) -> Result<(), String> {
    if role.starts_with(USER_ROLE_PREFIX) {
        return Err(format!("{key}: the role {role} is reserved for a user's own grants"));
    }
    Ok(())
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

    fn role(name: &str) -> TokenRole {
        TokenRole::of_default_workspace(name)
    }

    #[test]
    fn groups_grant_roles_in_workspaces() {
        let groups =
            groups("group_roles = a = user\ngroup_workspace_roles =\n  a = team-a/user\n  b = team-b/user").unwrap();
        let user = groups.user("u".into(), "x", &["a".into()], false);
        let of_team = TokenRole { workspace: "team-a".into(), name: "user".into() };
        assert_eq!((user.roles, user.governed.len()), (vec![role("user"), of_team], 3));
    }

    #[test]
    fn groups_grant_roles_and_govern_the_others() {
        let groups =
            groups("group_roles =\n  cn=ml,o=x = makers\n  b = makers\n  c = readers\nadmin_group = root").unwrap();
        let user = groups.user("u".into(), "a", &["b".into(), "other".into()], false);
        assert_eq!((user.roles.as_slice(), user.governed.len()), ([role("makers")].as_slice(), 2));
        assert_eq!(user.is_admin, Some(false));
        assert_eq!(groups.user("u".into(), "a", &["cn=ml,o=x".into()], false).roles, [role("makers")]);
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
        for text in [
            "group_roles = a",
            "group_roles = a =",
            "group_roles = a = __user_1__",
            "group_workspace_roles = a = user",
            "group_workspace_roles = a = Team/user",
            "group_workspace_roles = a = team-a/",
            "group_workspace_roles = a = team-a/__user_1__",
        ] {
            assert!(groups(text).is_err(), "{text}");
        }
    }
}
