//! An authenticated user with its grants.

use std::collections::BTreeMap;

use ferroflow_model::permission::{ANY, Action, Permission, ResourceType};
use ferroflow_store::{Account, Grant, Visible};

use crate::requirement::{Key, Requirement, at_least_default, combine, manages_workspace, permission_on};

/// The authenticated user who sends a request.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The name.
    pub username: String,
    /// The id in the users database.
    pub user_id: i64,
    /// Whether all permission checks are skipped.
    pub is_admin: bool,
    grants: Vec<Grant>,
    default: Permission,
    manages_workspace: bool,
}

impl Caller {
    pub(crate) fn new(account: Account, default: Permission) -> Self {
        let manages_workspace = account.grants.iter().any(manages_workspace);
        let Account { user, grants } = account;
        let (username, user_id, is_admin) = (user.username, user.id, user.is_admin);
        Self { username, user_id, is_admin, grants, default, manages_workspace }
    }

    /// Whether permission checks are skipped: for admins, and for managers of the workspace.
    #[must_use]
    pub fn is_unrestricted(&self) -> bool {
        self.is_admin || self.manages_workspace
    }

    /// Whether the grants meet all requirements of an operation.
    #[must_use]
    pub fn meets(&self, requirements: &[Requirement]) -> bool {
        self.is_unrestricted() || requirements.iter().all(|requirement| requirement.is_met(&self.grants, self.default))
    }

    /// Whether an action on a resource is allowed, regardless of its parents.
    #[must_use]
    pub fn may(&self, key: Key, action: Action) -> bool {
        self.meets(&[Requirement::new(key, action)])
    }

    /// Whether an action is allowed on at least one resource: by a grant, or by the default permission.
    #[must_use]
    pub fn may_on_any_resource(&self, action: Action) -> bool {
        let mut granted = self.grants.iter().filter_map(|grant| Permission::from_name(&grant.permission));
        self.is_unrestricted()
            || self.default.allows(action)
            || granted.any(|permission| at_least_default(permission, self.default).allows(action))
    }

    /// Whether a resource type is denied as a whole. Other resources' references to it are redacted then.
    #[must_use]
    pub fn is_denied(&self, kind: ResourceType) -> bool {
        !self.may(Key::any(kind), Action::NotDenied)
    }

    /// The effective permission on a resource.
    #[must_use]
    pub fn permission(&self, key: &Key) -> Permission {
        if self.manages_workspace {
            return Permission::Manage;
        }
        permission_on(&self.grants, key).map_or(self.default, |found| at_least_default(found, self.default))
    }

    /// The resources of a type that a list may contain. Without a grant on a resource, one on the workspace decides,
    /// then the default permission.
    #[must_use]
    pub fn visible(&self, kind: ResourceType) -> Visible {
        if self.is_unrestricted() {
            return Visible::All;
        }
        let named = |permission: &str| Permission::from_name(permission).unwrap_or(Permission::NoPermissions);
        let readable = |permission| at_least_default(permission, self.default).allows(Action::Read);
        let mut by_id: BTreeMap<&str, Vec<Permission>> = BTreeMap::new();
        for grant in self.grants.iter().filter(|grant| grant.resource_type == kind.name()) {
            by_id.entry(&grant.resource_pattern).or_default().push(named(&grant.permission));
        }
        let of_all = combine(by_id.remove(ANY).unwrap_or_default().into_iter());
        let base = match of_all.or_else(|| permission_on(&self.grants, &Key::any(ResourceType::Workspace))) {
            Some(found) => readable(found),
            None => self.default.allows(Action::Read),
        };
        // Only exceptions from the rule for all resources are listed.
        let ids = by_id
            .into_iter()
            .filter(|_| kind.has_ids())
            .filter(|(_, found)| combine(found.iter().copied().chain(of_all)).is_some_and(readable) != base)
            .map(|(id, _)| id.to_owned())
            .collect();
        if base { Visible::Except(ids) } else { Visible::Only(ids) }
    }
}

#[cfg(test)]
mod tests {
    use ferroflow_store::User;

    use super::*;

    fn caller(default: Permission, grants: &[(&str, &str, &str)]) -> Caller {
        let user = User { id: 1, username: "u".into(), password_hash: String::new(), is_admin: false };
        let grants = grants
            .iter()
            .map(|(kind, pattern, permission)| Grant {
                resource_type: (*kind).into(),
                resource_pattern: (*pattern).into(),
                permission: (*permission).into(),
            })
            .collect();
        Caller::new(Account { user, grants }, default)
    }

    fn ids(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    #[test]
    fn a_list_has_only_the_exceptions() {
        use Permission::{NoPermissions, Read};
        let of = |default, grants: &[_]| caller(default, grants).visible(ResourceType::Experiment);
        assert_eq!(of(Read, &[]), Visible::Except(vec![]));
        assert_eq!(of(NoPermissions, &[]), Visible::nothing());
        let some = [("experiment", "1", "READ"), ("experiment", "2", "DENY"), ("prompt", "3", "READ")];
        assert_eq!(of(Read, &some), Visible::Except(ids(&["2"])));
        assert_eq!(of(NoPermissions, &some), Visible::Only(ids(&["1"])));
        let all_denied = [("experiment", "*", "DENY"), ("experiment", "1", "MANAGE")];
        assert_eq!(of(Read, &all_denied), Visible::nothing());
        let all_read = [("experiment", "*", "READ"), ("experiment", "1", "DENY")];
        assert_eq!(of(NoPermissions, &all_read), Visible::Except(ids(&["1"])));
        assert_eq!(of(NoPermissions, &[("workspace", "*", "USE")]), Visible::Except(vec![]));
        assert_eq!(of(NoPermissions, &[("workspace", "*", "MANAGE")]), Visible::All);
    }

    #[test]
    fn a_list_shows_exactly_the_readable_resources() {
        let levels = ["DENY", "READ", "EDIT", "NO_PERMISSIONS"];
        for default in [Permission::Read, Permission::NoPermissions] {
            for one in levels {
                for other in levels {
                    for whole in levels {
                        let grants = [("experiment", "1", one), ("experiment", "1", other), ("experiment", "*", whole)];
                        for grants in [&grants[..], &grants[..2], &grants[2..]] {
                            let caller = caller(default, grants);
                            let visible = caller.visible(ResourceType::Experiment);
                            for id in ["1", "2"] {
                                let may = caller.may(Key::new(ResourceType::Experiment, id), Action::Read);
                                assert_eq!(visible.has(id), may, "{default:?} {grants:?} {id}");
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn permissions_on_any_resource_need_no_resource() {
        use Permission::{Edit, NoPermissions, Read};
        let may = |default, grants: &[_]| caller(default, grants).may_on_any_resource(Action::Update);
        assert!(!may(Read, &[]) && !may(NoPermissions, &[("experiment", "1", "READ"), ("run", "*", "DENY")]));
        assert!(may(Edit, &[("experiment", "*", "DENY")]) && may(Read, &[("run", "*", "EDIT")]));
        assert!(may(NoPermissions, &[("workspace", "*", "MANAGE")]));
    }

    #[test]
    fn managers_of_the_workspace_are_never_denied() {
        let caller = caller(Permission::NoPermissions, &[("workspace", "*", "MANAGE"), ("run", "*", "DENY")]);
        assert!(!caller.is_denied(ResourceType::Run) && caller.is_unrestricted());
        assert_eq!(caller.permission(&Key::new(ResourceType::Experiment, "1")), Permission::Manage);
    }
}
