//! What the cluster's RBAC allows on single resources, which rules name in `resourceNames`: experiments, registered models
//! and prompts, and datasets, by their names.
//!
//! An access review answers about one name, so names must be known before. The rules of the caller
//! (`SelfSubjectRulesReview`,
//! <https://kubernetes.io/docs/reference/kubernetes-api/authorization-resources/self-subject-rules-review-v1/>) have them.
//! That review is no decision, and may be incomplete: each name is reviewed before anything is allowed on it.

use std::collections::BTreeSet;

use ferroflow_model::permission::{ANY, Action, Permission, ResourceType};
use ferroflow_store::Grant;
use serde::Deserialize;

use super::rights::{GROUP, OF_EXPERIMENTS, OF_MODELS, Resource, Verbs, grant_on};
use crate::requirement::Key;

/// Maximum number of names in the rules of a caller in a namespace. Nothing is allowed on others.
const MAX_NAMES: usize = 50;

/// The longest name of a resource, in bytes: an experiment's has up to 500 characters.
const MAX_LENGTH: usize = 2000;

/// What is allowed on a resource with a name, if there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub(super) resource: Resource,
    pub(super) name: Box<str>,
    pub(super) verbs: Verbs,
}

/// The rules of a caller in a namespace. Lists without entries may be `null`.
#[derive(Deserialize)]
struct Rules {
    /// `rules` in the review of OpenShift.
    #[serde(rename = "resourceRules", alias = "rules", default)]
    rules: Option<Vec<Rule>>,
}

#[derive(Deserialize)]
struct Rule {
    #[serde(rename = "apiGroups", default)]
    groups: Option<Vec<String>>,
    #[serde(default)]
    resources: Option<Vec<String>>,
    #[serde(rename = "resourceNames", default)]
    names: Option<Vec<String>>,
}

/// The names that rules mention, for each kind of resource for which `is_wanted`; at most [`MAX_NAMES`].
///
/// # Errors
/// The status of the review is not one.
pub(super) fn mentioned(
    status: serde_json::Value,
    is_wanted: impl Fn(Resource) -> bool,
) -> Result<Vec<(Resource, Box<str>)>, String> {
    let Rules { rules } = Rules::deserialize(status).map_err(|error| format!("the response is invalid: {error}"))?;
    let has =
        |texts: &Option<Vec<String>>, wanted: &str| texts.iter().flatten().any(|text| text == wanted || text == "*");
    let mut found = BTreeSet::new();
    for rule in rules.iter().flatten().filter(|rule| has(&rule.groups, GROUP)) {
        for resource in Resource::ALL.into_iter().filter(|resource| is_wanted(*resource)) {
            if has(&rule.resources, resource.name()) {
                // The name `*` would be the pattern of all resources.
                let names = rule.names.iter().flatten().filter(|name| *name != ANY && name.len() <= MAX_LENGTH);
                found.extend(names.map(|name| (resource as usize, name.as_str())));
            }
        }
    }
    if found.len() > MAX_NAMES {
        tracing::warn!(names = found.len(), "the rules of a caller have more names than {MAX_NAMES}: some are ignored");
    }
    Ok(found.into_iter().take(MAX_NAMES).map(|(index, name)| (Resource::ALL[index], name.into())).collect())
}

/// What is allowed on single resources.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Names {
    all: Vec<Named>,
    /// The experiments, by id, and models of which everything in them may be changed.
    parents: Vec<Key>,
    /// The ids of the experiments that may be read.
    readable: Vec<Box<str>>,
}

impl Names {
    pub(crate) fn new(all: Vec<Named>) -> Self {
        let models = all.iter().filter(|named| named.resource == Resource::Models && named.verbs.allow(Action::Update));
        let parents = models
            .flat_map(|named| {
                [ResourceType::RegisteredModel, ResourceType::Prompt].map(|kind| Key::new(kind, &*named.name))
            })
            .collect();
        Self { all, parents, readable: Vec::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether one of them can be read.
    pub(crate) fn read_some(&self) -> bool {
        self.all.iter().any(|named| named.verbs.read)
    }

    /// Whether one of them can be changed and not read.
    pub(crate) fn change_unread(&self) -> bool {
        self.all.iter().any(|named| named.verbs.change_unread())
    }

    /// These, with the right to read what may be changed ([`Verbs::as_writer`]).
    pub(crate) fn as_writer(&self) -> Self {
        Self::new(self.all.iter().map(|named| Named { verbs: named.verbs.as_writer(), ..named.clone() }).collect())
    }

    /// The names of the datasets that may be read.
    pub(crate) fn readable_datasets(&self) -> impl Iterator<Item = &str> {
        self.of(Resource::Datasets).filter(|named| named.verbs.read).map(|named| &*named.name)
    }

    /// The names of the experiments on which something is allowed.
    pub(crate) fn experiments(&self) -> impl Iterator<Item = &str> {
        self.of(Resource::Experiments).map(|named| &*named.name)
    }

    fn of(&self, resource: Resource) -> impl Iterator<Item = &Named> {
        self.all.iter().filter(move |named| named.resource == resource)
    }

    /// Whether an action is allowed on a dataset, or on any.
    pub(crate) fn allow_on_dataset(&self, name: Option<&str>, action: Action) -> bool {
        self.of(Resource::Datasets)
            .any(|named| name.is_none_or(|name| *named.name == *name) && named.verbs.allow(action))
    }

    /// Whether the resource with a name may be changed, if there is one.
    pub(crate) fn allow_to_change(&self, kind: ResourceType, name: &str) -> bool {
        let resource = if kind == ResourceType::Experiment { Resource::Experiments } else { Resource::Models };
        self.of(resource).any(|named| *named.name == *name && named.verbs.allow(Action::Update))
    }

    /// The grants on models and prompts that say the same.
    pub(crate) fn grants_on_models(&self) -> Vec<Grant> {
        self.of(Resource::Models)
            .filter(|named| named.verbs.read)
            .flat_map(|named| {
                [ResourceType::RegisteredModel, ResourceType::Prompt]
                    .map(|kind| grant_on(kind, &named.name, named.verbs.level()))
            })
            .collect()
    }

    /// The names with the ids of the experiments that have them, and the grants on these that say the same.
    pub(crate) fn with_experiments(&self, ids: &[(String, String)]) -> (Self, Vec<Grant>) {
        let (mut names, mut grants) = (self.clone(), Vec::new());
        for named in self.of(Resource::Experiments).filter(|named| named.verbs.read) {
            for (_, id) in ids.iter().filter(|(name, _)| *named.name == **name) {
                grants.push(grant_on(ResourceType::Experiment, id, named.verbs.level()));
                names.readable.push(id.as_str().into());
                if named.verbs.level() >= Permission::Edit {
                    names.parents.push(Key::new(ResourceType::Experiment, id.as_str()));
                }
            }
        }
        (names, grants)
    }

    /// Whether everything of a kind may be changed in an experiment or model.
    pub(crate) fn allow_in(&self, kind: ResourceType, parent: &Key) -> bool {
        let kinds: &[ResourceType] = match parent.kind() {
            ResourceType::Experiment => &OF_EXPERIMENTS,
            ResourceType::RegisteredModel | ResourceType::Prompt => &OF_MODELS,
            _ => &[],
        };
        kinds.contains(&kind) && self.parents.contains(parent)
    }

    /// Whether an action is allowed on a scorer, whose pattern begins with the id of its experiment: to read it is to read
    /// the experiment, anything else is to change that.
    pub(crate) fn allow_on_scorer(&self, pattern: &str, action: Action) -> bool {
        let Some((experiment, _)) = pattern.split_once('/') else { return false };
        match action {
            Action::NotDenied => true,
            Action::Read | Action::Use => self.readable.iter().any(|id| **id == *experiment),
            Action::Update | Action::Delete | Action::Manage => {
                self.parents.contains(&Key::new(ResourceType::Experiment, experiment))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_those_of_rules_for_resources_of_mlflow() {
        let status = json!({"incomplete": false, "nonResourceRules": [], "resourceRules": [
            {"verbs": ["get"], "apiGroups": [GROUP], "resources": ["experiments"], "resourceNames": ["a", "b", "*"]},
            {"verbs": ["get"], "apiGroups": ["*"], "resources": ["*"], "resourceNames": ["a"]},
            {"verbs": ["get"], "apiGroups": ["apps"], "resources": ["experiments"], "resourceNames": ["other"]},
            {"verbs": ["get"], "apiGroups": [GROUP], "resources": ["pods"], "resourceNames": ["other"]},
            {"verbs": ["*"], "apiGroups": [GROUP], "resources": ["experiments"]},
        ]});
        let names = |wanted: &[Resource]| -> Vec<(Resource, String)> {
            let found = mentioned(status.clone(), |resource| wanted.contains(&resource)).unwrap();
            found.into_iter().map(|(resource, name)| (resource, name.into())).collect()
        };
        assert_eq!(
            names(&[Resource::Experiments, Resource::Datasets]),
            [
                (Resource::Experiments, "a".into()),
                (Resource::Experiments, "b".into()),
                (Resource::Datasets, "a".into())
            ]
        );
        assert_eq!(names(&[]), []);
        assert!(mentioned(json!({"resourceRules": "none"}), |_| true).is_err());
        assert_eq!(mentioned(json!({}), |_| true), Ok(Vec::new()));
        // That of OpenShift, about another user.
        let status = json!({"rules": [
            {"verbs": ["get"], "apiGroups": null, "resources": ["experiments"], "resourceNames": null},
            {"verbs": ["get"], "apiGroups": [GROUP], "resources": ["experiments"], "resourceNames": ["a"]},
            {"verbs": ["get"], "attributeRestrictions": null, "resources": null, "nonResourceURLs": ["/x"]},
        ]});
        assert_eq!(mentioned(status, |_| true), Ok(vec![(Resource::Experiments, "a".into())]));
        let many: Vec<String> = (0..99).map(|number| format!("n{number}")).collect();
        let rule = json!({"apiGroups": [GROUP], "resources": ["experiments"], "resourceNames": many});
        assert_eq!(mentioned(json!({"resourceRules": [rule]}), |_| true).unwrap().len(), MAX_NAMES);
    }

    #[test]
    fn what_may_only_be_changed_is_not_read() {
        let on = |resource, verbs| Named { resource, name: "a".into(), verbs };
        let update = Verbs { update: true, ..Verbs::default() };
        let names = Names::new(vec![
            on(Resource::Experiments, update),
            on(Resource::Models, update),
            on(Resource::Datasets, update),
        ]);
        assert!(!names.is_empty() && !names.read_some() && names.change_unread());
        let ids = [("a".to_owned(), "1".to_owned())];
        let (found, grants) = names.with_experiments(&ids);
        assert!(grants.is_empty() && found.grants_on_models().is_empty() && found.parents.is_empty());
        assert!(!found.allow_on_scorer("1/s", Action::Read) && found.readable_datasets().next().is_none());
        assert!(!found.allow_on_dataset(Some("a"), Action::Update));
        let writer = names.as_writer();
        let (writer, grants) = writer.with_experiments(&ids);
        assert_eq!((grants.len(), writer.grants_on_models().len()), (1, 2));
        assert!(writer.allow_in(ResourceType::Run, &Key::new(ResourceType::Experiment, "1")));
        assert!(writer.allow_on_dataset(Some("a"), Action::Update) && !writer.change_unread());
    }

    #[test]
    fn what_is_in_a_named_experiment_follows_it() {
        let verbs = |update| Verbs { read: true, update, ..Verbs::default() };
        let experiment =
            |name: &str, update| Named { resource: Resource::Experiments, name: name.into(), verbs: verbs(update) };
        let names = Names::new(vec![experiment("a", true), experiment("b", false), experiment("gone", true)]);
        let ids =
            [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned()), ("c".to_owned(), "3".to_owned())];
        let (names, grants) = names.with_experiments(&ids);
        let grants: Vec<_> =
            grants.iter().map(|grant| (grant.resource_pattern.as_str(), grant.permission.as_str())).collect();
        assert_eq!(grants, [("1", "EDIT"), ("2", "READ")]);
        let allows = |kind, id: &str| names.allow_in(kind, &Key::new(ResourceType::Experiment, id));
        assert!(allows(ResourceType::Run, "1") && allows(ResourceType::Trace, "1"));
        assert!(!allows(ResourceType::Run, "2") && !allows(ResourceType::Run, "3"));
        assert!(!allows(ResourceType::ReviewQueue, "1") && !allows(ResourceType::Experiment, "1"));
        let on_scorer = |pattern: &str, action| names.allow_on_scorer(pattern, action);
        assert!(on_scorer("1/a", Action::Read) && on_scorer("1/a%2Fb", Action::Delete));
        assert!(on_scorer("2/a", Action::Read) && !on_scorer("2/a", Action::Update));
        assert!(!on_scorer("3/a", Action::Read) && !on_scorer("1", Action::Read) && !on_scorer("12/a", Action::Read));
        assert!(names.allow_to_change(ResourceType::Experiment, "gone"));
        assert!(!names.allow_to_change(ResourceType::Experiment, "b"));
        assert!(!names.allow_to_change(ResourceType::RegisteredModel, "a"));
    }
}
