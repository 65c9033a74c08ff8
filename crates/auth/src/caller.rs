//! An authenticated user with its grants in a workspace.

mod credential;
mod namespace;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ferroflow_model::permission::{ANY, Action, DEFAULT_WORKSPACE, Permission, ResourceType};
use ferroflow_store::{Account, Grant, Member, Membership, User, Visible};

pub(crate) use self::credential::{Credential, Subject};
use crate::{
    namespaces::{Names, Rights},
    requirement::{Defaults, Key, Requirement, combine, manages_workspace, permission_on},
};

/// The authenticated user who sends a request, with its grants in the workspace of the request.
///
/// On a server with workspaces a user that was just authenticated has no grants: [`Caller::within`] is that user in a
/// workspace.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The name.
    pub username: String,
    /// The id in the users database.
    pub user_id: i64,
    /// Whether all permission checks are skipped.
    pub is_admin: bool,
    /// The workspace of the grants; `None` on a server without workspaces.
    workspace: Option<Arc<str>>,
    grants: Vec<Grant>,
    policy: Policy,
    manages_workspace: bool,
    /// Whether the user has a role in the workspace, or a grant of its own.
    is_present: bool,
    /// The workspaces that the user's list of workspaces has.
    listed: Arc<BTreeSet<Arc<str>>>,
    /// The user in each workspace where it has a role; none in these callers themselves.
    in_workspaces: BTreeMap<Arc<str>, Arc<Caller>>,
    /// What the cluster is asked with, if it is asked what it allows.
    credential: Option<Arc<Credential>>,
    /// What the cluster allows in the namespace that is the workspace; `None` if the grants are of the users database.
    namespace: Option<Rights>,
    /// What the cluster allows there on single resources.
    names: Arc<Names>,
    /// What the cluster allows to change, but not to read.
    writing: Writing,
}

/// How a caller may change what it may not read.
#[derive(Debug, Clone)]
enum Writing {
    /// Not at all.
    AsRead,
    /// By calls that show nothing, which are those of another caller.
    By(Arc<Caller>),
    /// This is the caller of such calls.
    Blind,
}

/// What is allowed without a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Policy {
    /// The default permission.
    pub(crate) default: Permission,
    /// Whether users have the default permission in the default workspace, on a server with workspaces. They never have
    /// it in another one.
    pub(crate) grants_default_workspace: bool,
}

impl Caller {
    /// A user of a server without workspaces.
    pub(crate) fn new(account: Account, policy: Policy) -> Self {
        let membership = Membership { grants: account.grants, has_shared_role: false };
        Self::in_workspace(&account.user, None, membership, policy, Arc::default())
    }

    /// A user of a server with workspaces.
    pub(crate) fn with_workspaces(member: Member, policy: Policy) -> Self {
        let Member { user, workspaces } = member;
        let workspaces: Vec<(Arc<str>, Membership)> =
            workspaces.into_iter().map(|(name, membership)| (name.into(), membership)).collect();
        let mut listed: BTreeSet<Arc<str>> = workspaces
            .iter()
            .filter(|(_, membership)| is_listed(membership))
            .map(|(name, _)| Arc::clone(name))
            .collect();
        if policy.grants_default_workspace {
            listed.insert(DEFAULT_WORKSPACE.into());
        }
        let listed = Arc::new(listed);
        let in_workspaces = workspaces
            .into_iter()
            .map(|(name, membership)| {
                let workspace = Some(Arc::clone(&name));
                let caller = Self::in_workspace(&user, workspace, membership, policy, Arc::clone(&listed));
                (name, Arc::new(caller))
            })
            .collect();
        let nowhere = Self::in_workspace(&user, Some("".into()), Membership::default(), policy, listed);
        Self { in_workspaces, ..nowhere }
    }

    fn in_workspace(
        user: &User,
        workspace: Option<Arc<str>>,
        membership: Membership,
        policy: Policy,
        listed: Arc<BTreeSet<Arc<str>>>,
    ) -> Self {
        let is_present = is_present(&membership);
        let grants = membership.grants;
        Self {
            username: user.username.clone(),
            user_id: user.id,
            is_admin: user.is_admin,
            workspace,
            manages_workspace: grants.iter().any(manages_workspace),
            grants,
            policy,
            is_present,
            listed,
            in_workspaces: BTreeMap::new(),
            credential: None,
            namespace: None,
            names: Arc::default(),
            writing: Writing::AsRead,
        }
    }

    /// The user with its grants in a workspace; `None` on a server without workspaces.
    #[must_use]
    pub fn within(self: &Arc<Self>, workspace: Option<&str>) -> Arc<Self> {
        let Some(name) = workspace else { return Arc::clone(self) };
        if let Some(caller) = self.in_workspaces.get(name) {
            return Arc::clone(caller);
        }
        Arc::new(Self {
            username: self.username.clone(),
            user_id: self.user_id,
            is_admin: self.is_admin,
            workspace: Some(name.into()),
            manages_workspace: false,
            grants: Vec::new(),
            policy: self.policy,
            is_present: false,
            listed: Arc::clone(&self.listed),
            in_workspaces: BTreeMap::new(),
            credential: None,
            namespace: None,
            names: Arc::default(),
            writing: Writing::AsRead,
        })
    }

    /// The workspace that the grants are of; `None` on a server without workspaces.
    #[must_use]
    pub fn workspace(&self) -> Option<&str> {
        self.workspace.as_deref()
    }

    /// Whether the user may name a workspace as that of a request: it has a role there, or a grant of its own. The default
    /// workspace is that of requests that name none, and everybody may name it.
    #[must_use]
    pub fn may_enter(&self, workspace: &str) -> bool {
        let is_present = || self.in_workspaces.get(workspace).is_some_and(|caller| caller.is_present);
        self.is_admin || workspace == DEFAULT_WORKSPACE || is_present()
    }

    /// Whether a list of workspaces shows one to the user.
    #[must_use]
    pub fn lists_workspace(&self, workspace: &str) -> bool {
        self.is_admin || self.listed.contains(workspace)
    }

    /// Whether the user may create experiments, models and prompts in the workspace: a grant to use it allows that. On a
    /// server without workspaces everybody may.
    #[must_use]
    pub fn may_create(&self) -> bool {
        let of_workspace = || permission_on(&self.grants, &Key::any(ResourceType::Workspace));
        self.is_unrestricted()
            || self.workspace.is_none()
            || of_workspace().unwrap_or_else(|| self.defaults().absent).allows(Action::Use)
    }

    /// What applies without a grant. On a server with workspaces nothing is allowed then, but what the default workspace
    /// may be open for.
    fn defaults(&self) -> Defaults {
        let Policy { default, grants_default_workspace } = self.policy;
        let applies = match &self.workspace {
            None => true,
            Some(workspace) => grants_default_workspace && &**workspace == DEFAULT_WORKSPACE,
        };
        Defaults { least: default, absent: if applies { default } else { Permission::NoPermissions } }
    }

    /// Whether permission checks are skipped: for admins, and for managers of the workspace.
    #[must_use]
    pub fn is_unrestricted(&self) -> bool {
        self.is_admin || self.manages_workspace
    }

    /// Whether the grants meet all requirements of an operation.
    #[must_use]
    pub fn meets(&self, requirements: &[Requirement]) -> bool {
        self.is_unrestricted()
            || requirements
                .iter()
                .all(|requirement| requirement.is_met(&self.grants, self.defaults()) || self.meets_by_name(requirement))
    }

    /// Whether an action on a resource is allowed, regardless of its parents.
    #[must_use]
    pub fn may(&self, key: Key, action: Action) -> bool {
        self.meets(&[Requirement::new(key, action)])
    }

    /// Whether an action is allowed on at least one resource: by a grant, or by the default permission.
    #[must_use]
    pub fn may_on_any_resource(&self, action: Action) -> bool {
        let defaults = self.defaults();
        let mut granted = self.grants.iter().filter_map(|grant| Permission::from_name(&grant.permission));
        self.is_unrestricted()
            || defaults.absent.allows(action)
            || granted.any(|permission| defaults.raise(permission).allows(action))
            || self.may_on_dataset(None, action)
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
        let defaults = self.defaults();
        permission_on(&self.grants, key).map_or(defaults.absent, |found| defaults.raise(found))
    }

    /// The resources of a type that a list may contain. Without a grant on a resource the default permission decides,
    /// and before it, on a server without workspaces, a grant on the workspace. With workspaces that grant makes a
    /// member, who may read nothing yet: a list shows what may be read.
    #[must_use]
    pub fn visible(&self, kind: ResourceType) -> Visible {
        if self.is_unrestricted() {
            return Visible::All;
        }
        let named = |permission: &str| Permission::from_name(permission).unwrap_or(Permission::NoPermissions);
        let defaults = self.defaults();
        let readable = |permission| defaults.raise(permission).allows(Action::Read);
        let mut by_id: BTreeMap<&str, Vec<Permission>> = BTreeMap::new();
        for grant in self.grants.iter().filter(|grant| grant.resource_type == kind.name()) {
            by_id.entry(&grant.resource_pattern).or_default().push(named(&grant.permission));
        }
        let of_all = combine(by_id.remove(ANY).unwrap_or_default().into_iter());
        let of_workspace = || match self.workspace {
            Some(_) => None,
            None => permission_on(&self.grants, &Key::any(ResourceType::Workspace)),
        };
        let base = of_all.or_else(of_workspace).map_or_else(|| defaults.absent.allows(Action::Read), readable);
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

/// Whether a list of workspaces has one in which a user has this. A shared role is enough, and of its own grants one on
/// the workspace.
fn is_listed(membership: &Membership) -> bool {
    membership.has_shared_role
        || permission_on(&membership.grants, &Key::any(ResourceType::Workspace))
            .is_some_and(|permission| permission.allows(Action::Read))
}

/// Whether a user who has this in a workspace is told that it exists.
fn is_present(membership: &Membership) -> bool {
    let allows =
        |grant: &Grant| Permission::from_name(&grant.permission).is_some_and(|found| found.allows(Action::Read));
    membership.has_shared_role || membership.grants.iter().any(allows)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Granted<'a> = (&'a str, &'a str, &'a str);

    fn user() -> User {
        User { id: 1, username: "u".into(), password_hash: String::new(), is_admin: false }
    }

    fn grants(grants: &[Granted<'_>]) -> Vec<Grant> {
        let grant = |(kind, pattern, permission): &Granted<'_>| Grant {
            resource_type: (*kind).into(),
            resource_pattern: (*pattern).into(),
            permission: (*permission).into(),
        };
        grants.iter().map(grant).collect()
    }

    fn caller(default: Permission, granted: &[Granted<'_>]) -> Caller {
        let (user, grants) = (user(), grants(granted));
        Caller::new(Account { user, grants }, Policy { default, grants_default_workspace: false })
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

    /// A member of workspaces: the grants in each, and whether it has a role besides its own.
    fn member(policy: Policy, workspaces: &[(&str, &[Granted<'_>], bool)]) -> Arc<Caller> {
        let membership = |(name, granted, has_shared_role): &(&str, &[Granted<'_>], bool)| {
            ((*name).to_owned(), Membership { grants: grants(granted), has_shared_role: *has_shared_role })
        };
        let workspaces = workspaces.iter().map(membership).collect();
        Arc::new(Caller::with_workspaces(Member { user: user(), workspaces }, policy))
    }

    const CLOSED: Policy = Policy { default: Permission::Manage, grants_default_workspace: false };
    const OPEN: Policy = Policy { default: Permission::Edit, grants_default_workspace: true };

    #[test]
    fn grants_are_those_of_one_workspace() {
        let experiment = || Key::new(ResourceType::Experiment, "1");
        let somebody = member(
            OPEN,
            &[("a", &[("experiment", "1", "READ")], false), ("b", &[("workspace", "*", "MANAGE")], false)],
        );
        let permission = |workspace| somebody.within(Some(workspace)).permission(&experiment());
        // A positive grant is at least the default permission, in every workspace.
        assert_eq!(permission("a"), Permission::Edit);
        assert_eq!(permission("b"), Permission::Manage);
        assert_eq!(permission("c"), Permission::NoPermissions);
        assert_eq!(permission(DEFAULT_WORKSPACE), Permission::Edit);
        let before = somebody.permission(&experiment());
        assert_eq!(before, Permission::NoPermissions, "before the workspace is known");
        assert!(somebody.within(Some("b")).is_unrestricted());
        assert!(!somebody.within(Some("a")).is_unrestricted() && !somebody.is_unrestricted());
        assert!(
            !somebody.may_on_any_resource(Action::Read)
                && !somebody.within(Some("c")).may_on_any_resource(Action::Read)
        );
        assert_eq!(somebody.within(Some("c")).visible(ResourceType::Experiment), Visible::nothing());
    }

    #[test]
    fn the_default_permission_is_that_of_the_default_workspace_if_it_is_open() {
        let read = [Requirement::new(Key::new(ResourceType::Experiment, "1"), Action::Read)];
        for (policy, is_open) in [(CLOSED, false), (OPEN, true)] {
            let somebody = member(policy, &[]);
            let there = somebody.within(Some(DEFAULT_WORKSPACE));
            assert_eq!(there.meets(&read), is_open);
            assert_eq!(there.may_create(), is_open);
            assert_eq!(there.visible(ResourceType::Experiment).has("1"), is_open);
            assert_eq!(somebody.lists_workspace(DEFAULT_WORKSPACE), is_open);
            assert!(!somebody.within(Some("a")).meets(&read) && !somebody.within(Some("a")).may_create());
        }
        let denied = member(OPEN, &[(DEFAULT_WORKSPACE, &[("experiment", "1", "DENY")], false)]);
        assert!(!denied.within(Some(DEFAULT_WORKSPACE)).meets(&read));
        let reads = Policy { default: Permission::Read, grants_default_workspace: true };
        assert!(!member(reads, &[]).within(Some(DEFAULT_WORKSPACE)).may_create());
    }

    #[test]
    fn a_member_may_create_and_reads_nothing() {
        let somebody = member(CLOSED, &[("a", &[("workspace", "*", "USE")], true)]).within(Some("a"));
        assert!(somebody.may_create() && !somebody.is_unrestricted());
        for kind in ResourceType::ALL.into_iter().filter(|kind| *kind != ResourceType::Workspace) {
            assert_eq!(somebody.visible(kind), Visible::nothing());
            assert!(!somebody.may(Key::any(kind), Action::Read), "{kind:?}");
        }
    }

    #[test]
    fn a_workspace_is_entered_with_a_role_or_a_grant_and_listed_to_members() {
        let somebody = member(
            CLOSED,
            &[
                ("role", &[], true),
                ("member", &[("workspace", "*", "USE")], false),
                ("grant", &[("experiment", "1", "READ")], false),
                ("hidden", &[("workspace", "*", "NO_PERMISSIONS")], false),
                ("denied", &[("experiment", "1", "DENY")], false),
                ("left", &[], false),
            ],
        );
        let of = |ask: &dyn Fn(&str) -> bool| {
            let all = ["role", "member", "grant", "hidden", "denied", "left", "other", DEFAULT_WORKSPACE];
            all.into_iter().filter(|name| ask(name)).collect::<Vec<_>>()
        };
        assert_eq!(of(&|name| somebody.may_enter(name)), ["role", "member", "grant", DEFAULT_WORKSPACE]);
        assert_eq!(of(&|name| somebody.lists_workspace(name)), ["role", "member"]);
        let inside = somebody.within(Some("role"));
        assert!(inside.lists_workspace("member") && !inside.lists_workspace("other"));
    }

    #[test]
    fn nothing_changes_without_workspaces() {
        let somebody = Arc::new(caller(Permission::Read, &[("workspace", "*", "USE")]));
        assert!(Arc::ptr_eq(&somebody, &somebody.within(None)));
        assert!(somebody.may_create() && somebody.workspace().is_none());
    }
}
