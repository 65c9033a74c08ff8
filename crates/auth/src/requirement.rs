//! The requirements of an operation, and their evaluation against grants, by the rules of the reference
//! (`server/auth/requirements.py`).
//!
//! There are two levels. A user may have several grants on a key, from several roles: a denial wins, else the highest
//! permission. Across keys, the first one with any grant decides, so that a specific grant overrides a general one in
//! both directions; without any grant, the default permission applies.

use ferroflow_model::permission::{ANY, Action, Permission, ResourceType};
use ferroflow_store::Grant;

/// Resources that grants refer to: a type, and an id or `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    kind: ResourceType,
    id: String,
}

impl Key {
    /// A single resource.
    #[must_use]
    pub fn new(kind: ResourceType, id: impl Into<String>) -> Self {
        Self { kind, id: id.into() }
    }

    /// All resources of a type.
    #[must_use]
    pub fn any(kind: ResourceType) -> Self {
        Self::new(kind, ANY)
    }

    /// The type.
    #[must_use]
    pub fn kind(&self) -> ResourceType {
        self.kind
    }

    /// The id, or `*`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// A requirement of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// The keys that may decide, most specific first, each with the action that it must allow.
    alternatives: Vec<(Key, Action)>,
    /// A requirement that may be met instead.
    instead: Option<Box<Requirement>>,
}

impl Requirement {
    /// Requires an action on a resource.
    #[must_use]
    pub fn new(key: Key, action: Action) -> Self {
        Self { alternatives: vec![(key, action)], instead: None }
    }

    /// Adds a key that decides if there is no grant on the previous ones.
    #[must_use]
    pub fn or(self, key: &Key) -> Self {
        let action = self.alternatives[0].1;
        self.or_with_action(key, action)
    }

    /// [`Requirement::or`] with another action for that key.
    #[must_use]
    pub fn or_with_action(mut self, key: &Key, action: Action) -> Self {
        self.alternatives.push((key.clone(), action));
        self
    }

    /// It is enough to meet another requirement instead.
    #[must_use]
    pub fn or_instead(mut self, other: Self) -> Self {
        self.instead = Some(Box::new(other));
        self
    }

    /// Whether grants meet it. Not called for managers of the workspace.
    pub(crate) fn is_met(&self, grants: &[Grant], defaults: Defaults) -> bool {
        self.decides(grants, defaults) || self.instead.as_ref().is_some_and(|other| other.is_met(grants, defaults))
    }

    /// The kind that is required something of in an experiment or a model, and that experiment or model.
    pub(crate) fn child_and_parent(&self) -> Option<(ResourceType, &Key)> {
        match self.alternatives.as_slice() {
            [(child, _), (parent, _)] if child.id == ANY => Some((child.kind, parent)),
            _ => None,
        }
    }

    /// The pattern of the scorer that something is required of, and what.
    pub(crate) fn scorer(&self) -> Option<(&str, Action)> {
        let (key, action) = self.alternatives.last()?;
        (key.kind == ResourceType::Scorer).then_some((&*key.id, *action))
    }

    /// Whether the first key with a grant allows its action.
    fn decides(&self, grants: &[Grant], defaults: Defaults) -> bool {
        let mut action = Action::Read;
        for (key, wanted) in &self.alternatives {
            action = *wanted;
            if let Some(found) = permission_on(grants, key) {
                return defaults.raise(found).allows(action);
            }
        }
        defaults.absent.allows(action)
    }
}

/// Whether a grant makes its user a manager of the workspace.
pub(crate) fn manages_workspace(grant: &Grant) -> bool {
    grant.resource_type == ResourceType::Workspace.name()
        && grant.resource_pattern == ANY
        && grant.permission == Permission::Manage.name()
}

/// The permission granted on a key. `None` means that there is no grant, which is not a denial.
pub(crate) fn permission_on(grants: &[Grant], key: &Key) -> Option<Permission> {
    let found = grants
        .iter()
        .filter(|grant| grant.resource_type == key.kind.name() && key.kind.matches(&grant.resource_pattern, &key.id));
    combine(found.map(|grant| Permission::from_name(&grant.permission).unwrap_or(Permission::NoPermissions)))
}

/// Combines several grants on a key: a denial wins, else the highest permission.
pub(crate) fn combine(permissions: impl Iterator<Item = Permission>) -> Option<Permission> {
    permissions.reduce(|one, other| match (one, other) {
        (Permission::Deny, _) | (_, Permission::Deny) => Permission::Deny,
        _ => one.max(other),
    })
}

/// What applies besides grants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Defaults {
    /// What every positive grant is raised to: the default permission.
    pub(crate) least: Permission,
    /// The permission without a grant.
    pub(crate) absent: Permission,
}

impl Defaults {
    /// A positive grant is at least the default permission.
    pub(crate) fn raise(self, permission: Permission) -> Permission {
        match permission {
            Permission::Deny | Permission::NoPermissions => permission,
            positive => positive.max(self.least),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Permission::{NoPermissions, Read};
    use ResourceType::{Experiment, Run};

    fn met(requirement: &Requirement, grants: &[Grant], default: Permission) -> bool {
        requirement.is_met(grants, Defaults { least: default, absent: default })
    }

    fn grant(kind: &str, pattern: &str, permission: &str) -> Grant {
        Grant { resource_type: kind.into(), resource_pattern: pattern.into(), permission: permission.into() }
    }

    fn run(action: Action) -> Requirement {
        Requirement::new(Key::any(Run), action).or(&Key::new(Experiment, "1"))
    }

    #[test]
    fn without_a_grant_the_default_decides() {
        let read = Requirement::new(Key::new(Experiment, "1"), Action::Read);
        assert!(met(&read, &[], Read) && !met(&read, &[], NoPermissions));
        let other = [grant("experiment", "2", "MANAGE"), grant("registered_model", "1", "MANAGE")];
        assert!(!met(&read, &other, NoPermissions));
        assert!(!met(&run(Action::Update), &[], Read) && met(&run(Action::Read), &[], Read));
    }

    #[test]
    fn without_a_grant_a_closed_workspace_allows_nothing() {
        let read = Requirement::new(Key::new(Experiment, "1"), Action::Read);
        let closed = Defaults { least: Permission::Edit, absent: NoPermissions };
        assert!(!read.is_met(&[], closed) && read.is_met(&[grant("experiment", "*", "READ")], closed));
        let update = Requirement::new(Key::new(Experiment, "1"), Action::Update);
        assert!(update.is_met(&[grant("experiment", "1", "READ")], closed));
        // What only must not be denied is not.
        assert!(Requirement::new(Key::any(Run), Action::NotDenied).is_met(&[], closed));
    }

    #[test]
    fn a_positive_grant_is_at_least_the_default() {
        let update = Requirement::new(Key::new(Experiment, "1"), Action::Update);
        assert!(met(&update, &[grant("experiment", "1", "READ")], Permission::Edit));
        assert!(!met(&update, &[grant("experiment", "1", "DENY")], Permission::Manage));
        assert!(!met(&update, &[grant("experiment", "*", "DENY"), grant("experiment", "1", "MANAGE")], Read));
        assert!(met(&update, &[grant("experiment", "*", "READ"), grant("experiment", "1", "EDIT")], Read));
    }

    #[test]
    fn the_specific_grant_decides_in_both_directions() {
        let both = |run: &str| [grant("experiment", "1", "EDIT"), grant("run", "*", run)];
        assert!(met(&run(Action::Update), &both("EDIT"), Read) && !met(&run(Action::Update), &both("READ"), Read));
        assert!(met(&run(Action::Delete), &both("MANAGE"), Read) && !met(&run(Action::Read), &both("DENY"), Read));
        // There are no grants on single runs, only on all of them.
        assert!(!met(&run(Action::Delete), &[grant("run", "abc", "MANAGE")], Read));
    }

    #[test]
    fn an_alternative_may_require_a_lesser_action() {
        let delete =
            Requirement::new(Key::any(Run), Action::Delete).or_with_action(&Key::new(Experiment, "1"), Action::Update);
        assert!(met(&delete, &[grant("experiment", "1", "EDIT")], Read));
        assert!(!met(&delete, &[grant("experiment", "1", "MANAGE"), grant("run", "*", "EDIT")], Read));
    }

    #[test]
    fn one_of_two_requirements_may_be_enough() {
        let write = Requirement::new(Key::new(Experiment, "1"), Action::Update)
            .or_instead(Requirement::new(Key::any(Run), Action::Update));
        assert!(met(&write, &[grant("experiment", "1", "EDIT"), grant("run", "*", "READ")], Read));
        assert!(met(&write, &[grant("experiment", "1", "READ"), grant("run", "*", "EDIT")], Read));
        assert!(!met(&write, &[grant("experiment", "1", "READ"), grant("run", "*", "READ")], Read));
    }
}
