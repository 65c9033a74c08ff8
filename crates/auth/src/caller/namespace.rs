//! Callers whose permissions are those of the cluster in a namespace, not grants of the users database.

use std::{collections::BTreeMap, sync::Arc};

use ferroflow_model::permission::{Permission, ResourceType};

use super::{BearerToken, Caller};
use crate::namespaces::Rights;

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
    pub(crate) fn in_namespace(&self, namespace: &str, rights: Rights) -> Self {
        let mut policy = self.policy;
        (policy.default, policy.grants_default_workspace) = (Permission::NoPermissions, false);
        Self {
            username: self.username.clone(),
            user_id: self.user_id,
            is_admin: false,
            workspace: Some(namespace.into()),
            grants: rights.grants(),
            policy,
            manages_workspace: false,
            is_present: !rights.is_none(),
            listed: Arc::default(),
            in_workspaces: BTreeMap::new(),
            token: self.token.clone(),
            namespace: Some(rights),
        }
    }

    /// The caller of a request that names no namespace: it may do nothing that belongs to one.
    pub(crate) fn in_no_namespace(&self) -> Self {
        self.in_namespace("", Rights::default())
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
