//! What the cluster's RBAC allows in a namespace, as grants.

use ferroflow_model::permission::{ANY, Action, Permission, ResourceType};
use ferroflow_store::Grant;

/// The API group of the resources. They need not exist: RBAC takes any name.
pub(super) const GROUP: &str = "mlflow.kubeflow.org";

/// A resource that the API server is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resource {
    /// Experiments and all that belongs to them: runs, traces, logged models, evaluation data, artifacts.
    Experiments,
    /// Registered models and prompts, with their versions.
    Models,
    /// Evaluation datasets.
    Datasets,
}

impl Resource {
    pub(super) const ALL: [Self; 3] = [Self::Experiments, Self::Models, Self::Datasets];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Experiments => "experiments",
            Self::Models => "registeredmodels",
            Self::Datasets => "datasets",
        }
    }
}

/// A verb of Kubernetes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    List,
    Get,
    Create,
    Update,
    Delete,
}

impl Verb {
    pub(super) const ALL: [Self; 5] = [Self::List, Self::Get, Self::Create, Self::Update, Self::Delete];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Get => "get",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// What is allowed on one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each verb is allowed or not")]
pub(super) struct Verbs {
    /// `get` and `list`: a search shows what can be read, so one without the other is nothing.
    pub(super) read: bool,
    pub(super) create: bool,
    pub(super) update: bool,
    pub(super) delete: bool,
}

impl Verbs {
    /// Whether nothing is left that could be allowed on single resources.
    pub(super) fn are_all(self) -> bool {
        self.read && self.update && self.delete
    }

    /// Whether changes are allowed, and reading is not.
    pub(super) fn change_unread(self) -> bool {
        self.update && !self.read
    }

    /// These, with the right to read what may be changed. Nothing must be shown by it.
    pub(super) fn as_writer(self) -> Self {
        Self { read: self.read || self.update, ..self }
    }

    /// Whether they allow an action.
    pub(super) fn allow(self, action: Action) -> bool {
        self.read
            && match action {
                Action::NotDenied | Action::Read | Action::Use => true,
                Action::Update | Action::Manage => self.update,
                Action::Delete => self.delete,
            }
    }

    /// The permission on the resource itself. `delete` includes what `update` allows, so it needs both.
    pub(super) fn level(self) -> Permission {
        match self {
            Self { read: false, .. } => Permission::NoPermissions,
            Self { update: true, delete: true, .. } => Permission::Manage,
            Self { update: true, .. } => Permission::Edit,
            _ => Permission::Read,
        }
    }

    /// The permission on what belongs to the resource: to delete a run is to update its experiment.
    fn level_of_children(self) -> Option<Permission> {
        match self {
            Self { read: false, .. } => None,
            Self { update: true, .. } => Some(Permission::Manage),
            _ => Some(Permission::Read),
        }
    }
}

/// What is allowed in a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Rights {
    pub(super) experiments: Verbs,
    pub(super) models: Verbs,
    pub(super) datasets: Verbs,
}

/// What belongs to an experiment, and to a model or prompt.
pub(super) const OF_EXPERIMENTS: [ResourceType; 6] = [
    ResourceType::Run,
    ResourceType::Trace,
    ResourceType::LoggedModel,
    ResourceType::Assessment,
    ResourceType::Scorer,
    ResourceType::ScorerVersion,
];
pub(super) const OF_MODELS: [ResourceType; 2] = [ResourceType::RegisteredModelVersion, ResourceType::PromptVersion];

impl Rights {
    fn all(self) -> [Verbs; 3] {
        [self.experiments, self.models, self.datasets]
    }

    /// Whether nothing can be read or changed.
    pub(super) fn is_none(self) -> bool {
        !self.read_some() && !self.change_unread()
    }

    /// Whether something can be read.
    pub(crate) fn read_some(self) -> bool {
        self.all().into_iter().any(|verbs| verbs.read)
    }

    /// Whether something can be changed that cannot be read.
    pub(crate) fn change_unread(self) -> bool {
        self.all().into_iter().any(Verbs::change_unread)
    }

    /// These, with the right to read what may be changed ([`Verbs::as_writer`]).
    pub(crate) fn as_writer(self) -> Self {
        let [experiments, models, datasets] = self.all().map(Verbs::as_writer);
        Self { experiments, models, datasets }
    }

    /// What is allowed on all resources of a kind.
    pub(super) fn of(self, resource: Resource) -> Verbs {
        match resource {
            Resource::Experiments => self.experiments,
            Resource::Models => self.models,
            Resource::Datasets => self.datasets,
        }
    }

    /// Whether an action is allowed on all datasets.
    pub(crate) fn allows_on_datasets(self, action: Action) -> bool {
        self.datasets.allow(action)
    }

    /// Whether all experiments, or all models and prompts, may be changed.
    pub(crate) fn allows_changes(self, kind: ResourceType) -> bool {
        let verbs = if kind == ResourceType::Experiment { self.experiments } else { self.models };
        verbs.allow(Action::Update)
    }

    /// Whether datasets may be created.
    pub(crate) fn creates_datasets(self) -> bool {
        self.datasets.read && self.datasets.create
    }

    /// Whether experiments may be created.
    pub(crate) fn creates_experiments(self) -> bool {
        self.experiments.read && self.experiments.create
    }

    /// Whether registered models and prompts may be created.
    pub(crate) fn creates_models(self) -> bool {
        self.models.read && self.models.create
    }

    /// The grants that say the same. Every resource has one, so that nothing is left to a default.
    pub(crate) fn grants(self) -> Vec<Grant> {
        let mut grants = vec![
            grant(ResourceType::Experiment, self.experiments.level()),
            grant(ResourceType::RegisteredModel, self.models.level()),
            grant(ResourceType::Prompt, self.models.level()),
        ];
        for (children, verbs) in [(&OF_EXPERIMENTS[..], self.experiments), (&OF_MODELS[..], self.models)] {
            if let Some(level) = verbs.level_of_children() {
                grants.extend(children.iter().map(|kind| grant(*kind, level)));
            }
        }
        if self.creates_experiments() || self.creates_models() {
            grants.push(grant(ResourceType::Workspace, Permission::Use));
        }
        grants
    }
}

fn grant(kind: ResourceType, permission: Permission) -> Grant {
    grant_on(kind, ANY, permission)
}

pub(super) fn grant_on(kind: ResourceType, pattern: &str, permission: Permission) -> Grant {
    Grant {
        resource_type: kind.name().to_owned(),
        resource_pattern: pattern.to_owned(),
        permission: permission.name().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verbs(text: &str) -> Verbs {
        let has = |verb: Verb| text.split(' ').any(|word| word == verb.name());
        let read = has(Verb::Get) && has(Verb::List);
        Verbs { read, create: has(Verb::Create), update: has(Verb::Update), delete: has(Verb::Delete) }
    }

    #[test]
    fn verbs_are_levels() {
        use Permission::{Edit, Manage, NoPermissions, Read};
        for (text, level, children) in [
            ("", NoPermissions, None),
            ("get", NoPermissions, None),
            ("list create update delete", NoPermissions, None),
            ("get list", Read, Some(Read)),
            ("get list create", Read, Some(Read)),
            ("get list delete", Read, Some(Read)),
            ("get list update", Edit, Some(Manage)),
            ("get list update delete", Manage, Some(Manage)),
        ] {
            let found = verbs(text);
            assert_eq!((found.level(), found.level_of_children()), (level, children), "{text}");
        }
    }

    #[test]
    fn who_may_only_change_has_no_rights_but_as_a_writer() {
        let rights = Rights { experiments: verbs("update"), models: verbs("get list"), datasets: verbs("get") };
        assert!(!rights.is_none() && rights.read_some() && rights.change_unread());
        assert_eq!(rights.experiments.level(), Permission::NoPermissions);
        let writer = rights.as_writer();
        assert_eq!((writer.experiments.level(), writer.models.level()), (Permission::Edit, Permission::Read));
        assert_eq!(writer.datasets.level(), Permission::NoPermissions);
        assert!(!writer.change_unread() && !writer.creates_experiments());
        let none = Rights { experiments: verbs("get create delete"), ..Rights::default() };
        assert!(none.is_none() && !none.change_unread() && none.as_writer() == none);
        // One verb of the two to read is none.
        let half = Rights { models: verbs("list update"), ..Rights::default() };
        assert!(half.change_unread() && !half.read_some());
    }

    #[test]
    fn only_those_who_may_create_may_use_the_workspace() {
        let uses = |experiments, models| {
            let rights = Rights { experiments: verbs(experiments), models: verbs(models), datasets: Verbs::default() };
            rights.grants().iter().any(|grant| grant.resource_type == "workspace")
        };
        assert!(uses("get list create", "") && uses("", "get list create"));
        assert!(!uses("get list update delete", "create") && !uses("", ""));
    }

    #[test]
    fn without_rights_there_are_grants_of_nothing() {
        let grants = Rights::default().grants();
        assert_eq!(grants.len(), 3);
        assert!(grants.iter().all(|grant| grant.permission == "NO_PERMISSIONS"));
    }
}
