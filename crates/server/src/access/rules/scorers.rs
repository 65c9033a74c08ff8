//! Scorers: grants on them decide, besides those on their experiment when one is registered.

use ferroflow_auth::{Key, Requirement};
use ferroflow_model::{
    Result,
    messages::service::DeleteScorer,
    permission::{Action, ResourceType, scorer_pattern},
    wire::RefKind,
};

use super::{Rules, canonical_id, evaluation::on_experiment, missing, not_denied};

impl Rules<'_> {
    /// To register a version of a scorer, and the scorer if it is new.
    pub(super) fn new_scorer(&self) -> Result<Option<Vec<Requirement>>> {
        let (experiment, scorer) = self.named_scorer()?;
        Ok(Some(vec![
            on_experiment(&experiment, Action::Update),
            Requirement::new(scorer, Action::NotDenied),
            not_denied(ResourceType::ScorerVersion),
        ]))
    }

    pub(super) fn scorer(&self, action: Action) -> Result<Option<Vec<Requirement>>> {
        let (_, scorer) = self.named_scorer()?;
        let versions = Key::any(ResourceType::ScorerVersion);
        let deletes_version = self.refs.message::<DeleteScorer>().is_some_and(|message| message.version.is_some());
        let (on_scorer, on_versions) = match action {
            Action::Delete if deletes_version => (Action::Read, Action::Delete),
            Action::Delete => (Action::Delete, Action::Delete),
            _ => (action, Action::NotDenied),
        };
        Ok(Some(vec![Requirement::new(scorer.clone(), on_scorer), Requirement::new(versions, on_versions).or(&scorer)]))
    }

    /// An action on the experiments of configurations; scorers without one require nothing.
    pub(super) async fn online_scoring(&self, action: Action) -> Result<Option<Vec<Requirement>>> {
        let found = self.cx.store().online_scoring(&self.refs.all(RefKind::Scorer)).await?;
        Ok(Some(found.iter().map(|config| on_experiment(config.experiment_id(), action)).collect()))
    }

    /// The experiment that a request names, and the scorer in it.
    fn named_scorer(&self) -> Result<(String, Key)> {
        let experiment = self.refs.one(RefKind::Experiment)?.ok_or_else(|| missing("experiment_id"))?;
        let name = self.refs.one(RefKind::Name)?.ok_or_else(|| missing("name"))?;
        let experiment = canonical_id(experiment);
        let pattern = scorer_pattern(&experiment, name);
        Ok((experiment, Key::new(ResourceType::Scorer, pattern)))
    }
}
