//! Permissions, the resource types they are granted on, and which grants are valid, with the names and error messages
//! of the reference (`server/auth/permissions.py`).

use crate::{Error, Result, python};

/// The only workspace if workspaces are not enabled.
pub const DEFAULT_WORKSPACE: &str = "default";

/// The pattern that matches all resources of a type.
pub const ANY: &str = "*";

/// The prefix of the names of per-user roles.
pub const USER_ROLE_PREFIX: &str = "__user_";

/// What a grant allows, in ascending order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    /// Nothing, overriding all other grants.
    Deny,
    /// Nothing.
    NoPermissions,
    /// To read.
    Read,
    /// To read and use.
    Use,
    /// To read, use and change.
    Edit,
    /// To read, use, change and delete, and to manage grants.
    Manage,
}

impl Permission {
    const ALL: [Self; 6] = [Self::Read, Self::Use, Self::Edit, Self::Manage, Self::NoPermissions, Self::Deny];

    /// The name on the wire and in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deny => "DENY",
            Self::NoPermissions => "NO_PERMISSIONS",
            Self::Read => "READ",
            Self::Use => "USE",
            Self::Edit => "EDIT",
            Self::Manage => "MANAGE",
        }
    }

    /// The permission with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|permission| permission.name() == name)
    }

    /// Whether it allows an action.
    #[must_use]
    pub const fn allows(self, action: Action) -> bool {
        match action {
            Action::NotDenied => !matches!(self, Self::Deny),
            Action::Read => matches!(self, Self::Read | Self::Use | Self::Edit | Self::Manage),
            Action::Use => matches!(self, Self::Use | Self::Edit | Self::Manage),
            Action::Update => matches!(self, Self::Edit | Self::Manage),
            Action::Delete | Action::Manage => matches!(self, Self::Manage),
        }
    }
}

/// An action on a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Requires only that the resource is not denied (veto).
    NotDenied,
    /// Reading.
    Read,
    /// Using.
    Use,
    /// Changing.
    Update,
    /// Deleting.
    Delete,
    /// Managing grants.
    Manage,
}

/// A type of resource that permissions are granted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is what its name says")]
pub enum ResourceType {
    Assessment,
    Experiment,
    GatewayEndpoint,
    GatewayModelDefinition,
    GatewaySecret,
    LoggedModel,
    McpServer,
    McpServerVersion,
    Prompt,
    PromptVersion,
    RegisteredModel,
    RegisteredModelVersion,
    ReviewQueue,
    Run,
    Scorer,
    ScorerVersion,
    Trace,
    Workspace,
}

impl ResourceType {
    /// All types, by name.
    pub const ALL: [Self; 18] = [
        Self::Assessment,
        Self::Experiment,
        Self::GatewayEndpoint,
        Self::GatewayModelDefinition,
        Self::GatewaySecret,
        Self::LoggedModel,
        Self::McpServer,
        Self::McpServerVersion,
        Self::Prompt,
        Self::PromptVersion,
        Self::RegisteredModel,
        Self::RegisteredModelVersion,
        Self::ReviewQueue,
        Self::Run,
        Self::Scorer,
        Self::ScorerVersion,
        Self::Trace,
        Self::Workspace,
    ];

    /// The name on the wire and in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Assessment => "assessment",
            Self::Experiment => "experiment",
            Self::GatewayEndpoint => "gateway_endpoint",
            Self::GatewayModelDefinition => "gateway_model_definition",
            Self::GatewaySecret => "gateway_secret",
            Self::LoggedModel => "logged_model",
            Self::McpServer => "mcp_server",
            Self::McpServerVersion => "mcp_server_version",
            Self::Prompt => "prompt",
            Self::PromptVersion => "prompt_version",
            Self::RegisteredModel => "registered_model",
            Self::RegisteredModelVersion => "registered_model_version",
            Self::ReviewQueue => "review_queue",
            Self::Run => "run",
            Self::Scorer => "scorer",
            Self::ScorerVersion => "scorer_version",
            Self::Trace => "trace",
            Self::Workspace => "workspace",
        }
    }

    /// The type with this name.
    ///
    /// # Errors
    /// There is no such type.
    pub fn parse(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
            let valid = tuple(Self::ALL.into_iter().map(Self::name));
            Error::invalid(format!("Invalid resource type '{name}'. Valid resource types are: {valid}"))
        })
    }

    /// Whether a grant may refer to a single resource of the type; otherwise it refers to all of them.
    #[must_use]
    pub const fn has_ids(self) -> bool {
        matches!(
            self,
            Self::Experiment
                | Self::RegisteredModel
                | Self::Prompt
                | Self::Scorer
                | Self::GatewaySecret
                | Self::GatewayEndpoint
                | Self::GatewayModelDefinition
                | Self::McpServer
        )
    }

    /// Whether a grant with this pattern applies to a resource.
    #[must_use]
    pub fn matches(self, pattern: &str, id: &str) -> bool {
        pattern == ANY || (self.has_ids() && pattern == id)
    }
}

/// Checks that a permission can be granted on a resource type.
///
/// # Errors
/// One of them does not exist, or the combination is not valid.
pub fn check_grant(permission: &str, resource_type: &str) -> Result<(Permission, ResourceType)> {
    let found = Permission::from_name(permission).ok_or_else(|| {
        let valid = tuple(Permission::ALL.into_iter().map(Permission::name));
        Error::invalid(format!("Invalid permission '{permission}'. Valid permissions are: {valid}"))
    })?;
    let kind = ResourceType::parse(resource_type)?;
    if kind == ResourceType::Workspace {
        return match found {
            Permission::Use | Permission::Manage => Ok((found, kind)),
            _ => Err(Error::invalid(format!(
                "Invalid permission '{permission}' for resource_type='workspace'. Workspace-wide grants accept only: \
                 ('MANAGE', 'USE')."
            ))),
        };
    }
    if found == Permission::NoPermissions {
        return Err(Error::invalid(format!(
            "Invalid permission '{permission}' for resource_type='{resource_type}'. Resource-level grants accept \
             only: ('DENY', 'EDIT', 'MANAGE', 'READ', 'USE')."
        )));
    }
    Ok((found, kind))
}

/// Checks that a pattern is valid for a resource type.
///
/// # Errors
/// The type does not exist, or supports only `*`.
pub fn check_pattern(pattern: &str, resource_type: &str) -> Result<()> {
    if ResourceType::parse(resource_type)?.has_ids() || pattern == ANY {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "Invalid resource_pattern '{pattern}' for resource_type='{resource_type}'. This resource type supports only \
         wildcard ('*') grants."
    )))
}

/// The name of the per-user role of a user.
#[must_use]
pub fn user_role(user_id: i64) -> String {
    format!("{USER_ROLE_PREFIX}{user_id}__")
}

/// Whether a role is a per-user role.
#[must_use]
pub fn is_user_role(name: &str) -> bool {
    name.strip_prefix(USER_ROLE_PREFIX)
        .and_then(|rest| rest.strip_suffix("__"))
        .is_some_and(|id| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The pattern of a grant on a scorer.
#[must_use]
pub fn scorer_pattern(experiment_id: &str, name: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    format!("{experiment_id}/{}", utf8_percent_encode(name, KEPT))
}

/// The experiment and the name in such a pattern, with a slash between them; `None` for another text.
#[must_use]
pub fn scorer_of_pattern(pattern: &str) -> Option<String> {
    let (experiment, name) = pattern.split_once('/')?;
    let name = percent_encoding::percent_decode_str(name).decode_utf8().ok()?;
    Some(format!("{experiment}/{name}"))
}

/// A tuple of names in Python's notation.
fn tuple(names: impl Iterator<Item = &'static str>) -> String {
    format!("({})", names.map(python::repr).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_is_the_lowest_permission_and_allows_nothing() {
        assert!(Permission::Deny < Permission::NoPermissions && Permission::Edit < Permission::Manage);
        for action in [Action::NotDenied, Action::Read, Action::Use, Action::Update, Action::Delete, Action::Manage] {
            assert!(!Permission::Deny.allows(action));
            assert!(Permission::Manage.allows(action));
        }
        assert!(Permission::NoPermissions.allows(Action::NotDenied) && !Permission::NoPermissions.allows(Action::Read));
        assert!(Permission::Edit.allows(Action::Update) && !Permission::Edit.allows(Action::Delete));
        assert!(!Permission::Read.allows(Action::Use));
    }

    #[test]
    fn grants_without_effect_are_refused() {
        assert!(check_grant("READ", "experiment").is_ok() && check_grant("DENY", "run").is_ok());
        assert!(check_grant("USE", "workspace").is_ok());
        for (permission, kind) in [("READ", "workspace"), ("NO_PERMISSIONS", "run"), ("WRITE", "run"), ("READ", "x")] {
            assert!(check_grant(permission, kind).is_err(), "{permission} on {kind}");
        }
        let error = check_grant("WRITE", "run").unwrap_err().message;
        assert!(error.ends_with("('READ', 'USE', 'EDIT', 'MANAGE', 'NO_PERMISSIONS', 'DENY')"), "{error}");
        assert!(check_pattern("7", "experiment").is_ok() && check_pattern("7", "run").is_err());
    }

    #[test]
    fn only_roles_named_after_a_user_are_user_roles() {
        assert!(is_user_role("__user_12__"));
        for name in ["__user___", "__user_x__", "__user_12", "user_12__", "__user_12__ "] {
            assert!(!is_user_role(name), "{name}");
        }
    }

    #[test]
    fn a_scorer_has_its_name_quoted() {
        assert_eq!(scorer_pattern("1", "a/b c~é"), "1/a%2Fb%20c~%C3%A9");
        assert_eq!(scorer_of_pattern("1/a%2Fb%20c~%C3%A9").as_deref(), Some("1/a/b c~é"));
        assert_eq!(scorer_of_pattern("1"), None);
    }
}
