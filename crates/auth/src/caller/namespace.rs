//! Callers whose permissions are those of the cluster in a namespace, not grants of the users database.

use std::{collections::BTreeMap, sync::Arc};

use ferroflow_model::permission::{Action, Permission, ResourceType};

use super::{BearerToken, Caller};
use crate::{
    namespaces::{Names, Rights},
    requirement::Requirement,
};

impl Caller {
    /// The caller with the token that it has sent.
    pub(crate) fn with_token(&self, token: BearerToken) -> Self {
        Self { token: Some(Arc::new(token)), ..self.clone() }
    }

    /// The token that the caller has sent, if the server keeps it.
    pub(crate) fn token(&self) -> Option<&BearerToken> {
        self.token.as_deref()
    }

    /// The caller in a namespace, with what the cluster allows there and nothing else.
    pub(crate) fn in_namespace(&self, namespace: &str, rights: Rights, names: Arc<Names>) -> Self {
        let mut policy = self.policy;
        let mut grants = rights.grants();
        grants.extend(names.grants_on_models());
        (policy.default, policy.grants_default_workspace) = (Permission::NoPermissions, false);
        Self {
            username: self.username.clone(),
            user_id: self.user_id,
            is_admin: false,
            workspace: Some(namespace.into()),
            grants,
            policy,
            manages_workspace: false,
            is_present: !rights.is_none() || !names.is_empty(),
            listed: Arc::default(),
            in_workspaces: BTreeMap::new(),
            token: self.token.clone(),
            namespace: Some(rights),
            names,
        }
    }

    /// The caller of a request that names no namespace: it may do nothing that belongs to one.
    pub(crate) fn in_no_namespace(&self) -> Self {
        self.in_namespace("", Rights::default(), Arc::default())
    }

    /// The names of the experiments on which the cluster allows something by their names. Their ids are needed for that
    /// ([`Caller::with_experiments`]).
    #[must_use]
    pub fn named_experiments(&self) -> Vec<String> {
        self.names.experiments().map(str::to_owned).collect()
    }

    /// The caller with what the cluster allows on experiments by their names. `ids` has pairs of name and id.
    #[must_use]
    pub fn with_experiments(&self, ids: &[(String, String)]) -> Self {
        let (names, on_experiments) = self.names.with_experiments(ids);
        let mut there = Self { names: Arc::new(names), ..self.clone() };
        there.grants.extend(on_experiments);
        there
    }

    /// Whether the cluster allows what is required in an experiment or model by its name: to change what is in it is to
    /// change it.
    pub(super) fn meets_by_name(&self, requirement: &Requirement) -> bool {
        !self.names.is_empty()
            && requirement.child_and_parent().is_some_and(|(kind, parent)| self.names.allow_in(kind, parent))
    }

    /// Whether the cluster says who may do what with datasets. Otherwise their experiments do.
    #[must_use]
    pub fn has_rights_on_datasets(&self) -> bool {
        self.is_of_cluster()
    }

    /// Whether the cluster allows an action on a dataset by its name, or on any dataset.
    #[must_use]
    pub fn may_on_dataset(&self, name: Option<&str>, action: Action) -> bool {
        self.may_on_all_datasets(action) || self.names.allow_on_dataset(name, action)
    }

    /// Whether the cluster allows an action on all datasets.
    #[must_use]
    pub fn may_on_all_datasets(&self, action: Action) -> bool {
        self.namespace.is_some_and(|rights| rights.allows_on_datasets(action))
    }

    /// Whether the cluster allows datasets to be created.
    #[must_use]
    pub fn may_create_datasets(&self) -> bool {
        self.namespace.is_some_and(Rights::creates_datasets)
    }

    /// Whether the caller may give a resource another name: where the cluster allows changes by name, that of the new name
    /// too.
    #[must_use]
    pub fn may_rename_to(&self, kind: ResourceType, name: &str) -> bool {
        self.namespace.is_none_or(|rights| rights.allows_changes(kind) || self.names.allow_to_change(kind, name))
    }

    /// Whether the permissions are those of the cluster in a namespace.
    pub(crate) fn is_of_cluster(&self) -> bool {
        self.namespace.is_some()
    }

    /// Whether the request must name a namespace, but does not.
    #[must_use]
    pub fn lacks_workspace(&self) -> bool {
        self.is_of_cluster() && self.workspace.as_deref() == Some("")
    }

    /// Whether the cluster keeps the caller from creating resources of a type, which it allows one by one. Grants of the
    /// users database allow it for a workspace ([`Caller::may_create`]).
    #[must_use]
    pub fn is_kept_from_creating(&self, kind: ResourceType) -> bool {
        self.namespace.is_some_and(|rights| match kind {
            ResourceType::Experiment => !rights.creates_experiments(),
            ResourceType::RegisteredModel | ResourceType::Prompt => !rights.creates_models(),
            _ => false,
        })
    }
}
