//! Callers whose permissions are those of the cluster in a namespace, not grants of the users database.

use std::{collections::BTreeMap, sync::Arc};

use ferroflow_model::permission::{Action, Permission, ResourceType};

use super::{Caller, Credential, Writing};
use crate::{
    namespaces::{Names, Rights},
    requirement::Requirement,
};

impl Caller {
    /// The caller with what the cluster is asked with.
    pub(crate) fn with_credential(&self, credential: Credential) -> Self {
        Self { credential: Some(Arc::new(credential)), ..self.clone() }
    }

    /// The caller whom a proxy has authenticated, who is no admin unless `is_admin`.
    pub(crate) fn vouched(&self, credential: Credential, is_admin: bool) -> Self {
        Self { is_admin: self.is_admin && is_admin, ..self.with_credential(credential) }
    }

    /// What the cluster is asked with, if the server keeps it.
    pub(crate) fn credential(&self) -> Option<&Credential> {
        self.credential.as_deref()
    }

    /// The caller in a namespace, with what the cluster allows there and nothing else.
    pub(crate) fn in_namespace(&self, namespace: &str, rights: Rights, names: Arc<Names>) -> Self {
        let writing = if rights.change_unread() || names.change_unread() {
            let (rights, names) = (rights.as_writer(), Arc::new(names.as_writer()));
            Writing::By(Arc::new(Self { writing: Writing::Blind, ..self.with_rights(namespace, rights, names) }))
        } else {
            Writing::AsRead
        };
        Self { writing, ..self.with_rights(namespace, rights, names) }
    }

    fn with_rights(&self, namespace: &str, rights: Rights, names: Arc<Names>) -> Self {
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
            is_present: rights.read_some() || names.read_some(),
            listed: Arc::default(),
            in_workspaces: BTreeMap::new(),
            credential: self.credential.clone(),
            namespace: Some(rights),
            names,
            writing: Writing::AsRead,
        }
    }

    /// The caller of calls that show nothing of what is stored: it has the right to read what this caller may change
    /// without the right to read it. `None` if there is no such thing. It must not reach any other call.
    #[must_use]
    pub fn writer(&self) -> Option<&Arc<Self>> {
        match &self.writing {
            Writing::By(writer) => Some(writer),
            Writing::AsRead | Writing::Blind => None,
        }
    }

    /// Whether the caller is a [`Caller::writer`], who must be shown nothing of what is stored.
    #[must_use]
    pub fn is_blind(&self) -> bool {
        matches!(self.writing, Writing::Blind)
    }

    /// Whether the caller may read something in its namespace.
    pub(crate) fn reads_in_namespace(&self) -> bool {
        self.is_present
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
        let writing = match &self.writing {
            Writing::By(writer) => Writing::By(Arc::new(writer.with_experiments(ids))),
            other => other.clone(),
        };
        let mut there = Self { names: Arc::new(names), writing, ..self.clone() };
        there.grants.extend(on_experiments);
        there
    }

    /// Whether the cluster allows what is required in an experiment or model by its name: to change what is in it is to
    /// change it.
    pub(super) fn meets_by_name(&self, requirement: &Requirement) -> bool {
        if self.names.is_empty() {
            return false;
        }
        let in_parent =
            || requirement.child_and_parent().is_some_and(|(kind, parent)| self.names.allow_in(kind, parent));
        requirement.scorer().is_some_and(|(scorer, action)| self.names.allow_on_scorer(scorer, action)) || in_parent()
    }

    /// Whether a list of scorers has all those of the experiments that the caller may read, as the cluster has no
    /// resource for scorers.
    #[must_use]
    pub fn scorers_follow_experiments(&self) -> bool {
        self.is_of_cluster()
    }

    /// The names of the datasets that a search may find; `None` for all.
    #[must_use]
    pub fn readable_datasets(&self) -> Option<Vec<String>> {
        let rights = self.namespace?;
        (!rights.allows_on_datasets(Action::Read)).then(|| self.names.readable_datasets().map(str::to_owned).collect())
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
