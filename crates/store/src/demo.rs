//! Sample data: an experiment with traces, their evaluation, prompts, issues and questions for reviewers, so that a new
//! user sees pages with content.
//!
//! The data is in `demo/data.json` and is written by the functions that clients' requests are. It consists of features.
//! The version of each is a tag of the experiment, with the names and numbers of the reference, so that either server
//! finds what the other has generated. A feature without its tag was interrupted: it is deleted and generated again.

mod data;
mod evaluation;
mod issues;
mod judges;
mod prompts;
mod questions;
mod queues;
mod spans;
mod traces;
mod views;

use std::time::Duration;

use ferroflow_model::{
    Error, Result, clock,
    messages::service::{Experiment, ExperimentTag},
};

use self::data::Data;
use crate::Scoped;

/// The experiment.
pub const DEMO_EXPERIMENT: &str = "MLflow Demo";

/// The beginning of the names of prompts.
const PROMPT_PREFIX: &str = "mlflow-demo";

/// The beginning of the tags with versions.
const VERSION_TAG: &str = "mlflow.demo.version.";

/// Who has created issues, for those who look at them.
const CREATOR: &str = "demo";

/// The lease that a server holds while it writes sample data.
const LEASE: &str = "sample data";

/// The term of the lease: far more than the time that it takes.
const TERM: Duration = Duration::from_secs(60);

/// How often, and how many times, a request asks for the lease that another one has.
const TURN: Duration = Duration::from_millis(250);
const TURNS: usize = 80;

/// A part of the sample data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DemoFeature {
    /// Prompts with versions.
    Prompts,
    /// Traces of two versions of an agent.
    Traces,
    /// A view of one trace.
    CustomView,
    /// A view of the table of traces.
    SavedViews,
    /// Datasets, and runs that evaluate the traces.
    Evaluation,
    /// Judges in the registry.
    Judges,
    /// Issues that the evaluation has found.
    Issues,
    /// What reviewers are asked, and their queues.
    ReviewQueues,
}

impl DemoFeature {
    /// All of them, in the order in which they are generated.
    const ALL: [Self; 8] = [
        Self::Prompts,
        Self::Traces,
        Self::CustomView,
        Self::SavedViews,
        Self::Evaluation,
        Self::Judges,
        Self::Issues,
        Self::ReviewQueues,
    ];

    /// The name that clients know it by.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Prompts => "prompts",
            Self::Traces => "traces",
            Self::CustomView => "custom_view",
            Self::SavedViews => "saved_views",
            Self::Evaluation => "evaluation",
            Self::Judges => "judges",
            Self::Issues => "issues",
            Self::ReviewQueues => "review_queues",
        }
    }

    /// The version of the reference whose data has the same form.
    fn version(self) -> &'static str {
        match self {
            Self::Prompts | Self::CustomView | Self::SavedViews | Self::Judges | Self::ReviewQueues => "1",
            Self::Evaluation => "2",
            Self::Traces => "3",
            Self::Issues => "4",
        }
    }

    /// The features that it is made from.
    fn needs(self) -> &'static [Self] {
        match self {
            Self::Prompts | Self::CustomView | Self::SavedViews | Self::Judges => &[],
            Self::Traces => &[Self::Prompts],
            Self::Evaluation | Self::ReviewQueues => &[Self::Prompts, Self::Traces],
            Self::Issues => &[Self::Prompts, Self::Traces, Self::Evaluation],
        }
    }
}

/// What a request for sample data has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneratedDemo {
    /// The experiment, if there is one.
    pub experiment_id: Option<String>,
    /// Whether everything was there before.
    pub existed: bool,
    /// The features that are new.
    pub features: Vec<DemoFeature>,
}

/// What a request to delete the sample data has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeletedDemo {
    /// The features that were there.
    pub features: Vec<DemoFeature>,
    /// Traces that are archived, with the location of their files; they are not deleted yet.
    pub archived: Vec<(String, Option<String>)>,
}

impl Scoped<'_> {
    /// Generates the features with these names that are not there, or all of them. Unknown names are ignored.
    ///
    /// # Errors
    /// Another request is generating or deleting sample data for too long, or the database failed.
    pub async fn generate_demo(&self, only: Option<&[String]>) -> Result<GeneratedDemo> {
        let is_wanted = |feature: &DemoFeature| only.is_none_or(|only| only.iter().any(|name| name == feature.name()));
        let wanted: Vec<DemoFeature> = DemoFeature::ALL.into_iter().filter(is_wanted).collect();
        if let Some(experiment_id) = self.complete_demo(&wanted).await? {
            return Ok(GeneratedDemo { experiment_id: Some(experiment_id), existed: true, features: Vec::new() });
        }
        self.with_demo_lease(Box::pin(async {
            if let Some(experiment_id) = self.complete_demo(&wanted).await? {
                return Ok(GeneratedDemo { experiment_id: Some(experiment_id), existed: true, features: Vec::new() });
            }
            let needed =
                |feature: &DemoFeature| wanted.iter().any(|one| one == feature || one.needs().contains(feature));
            let needed: Vec<DemoFeature> = DemoFeature::ALL.into_iter().filter(needed).collect();
            let mut generated = GeneratedDemo { experiment_id: None, existed: false, features: Vec::new() };
            if needed.is_empty() {
                generated.experiment_id = self.demo_experiment().await?.and_then(|found| found.experiment_id);
                return Ok(generated);
            }
            let data = Data::read()?;
            let experiment = self.active_demo_experiment(&data).await?;
            for feature in needed {
                if has_version(&experiment, feature) && self.has_demo(&experiment, feature).await? {
                    continue;
                }
                // What is left of an interrupted or restored one.
                self.delete_demo_feature(&experiment, feature).await?;
                // On the heap: it contains the futures of every kind of write.
                Box::pin(self.generate_demo_feature(&data, experiment.experiment_id(), feature)).await?;
                let key = format!("{VERSION_TAG}{}", feature.name());
                self.set_experiment_tag(experiment.experiment_id(), &key, feature.version()).await?;
                generated.features.push(feature);
            }
            generated.experiment_id = experiment.experiment_id;
            Ok(generated)
        }))
        .await
    }

    /// Deletes what sample data there is, and then its experiment, as a client deletes them: runs and the experiment can
    /// be restored, and issues are rejected.
    ///
    /// # Errors
    /// Another request is generating or deleting sample data for too long, or the database failed.
    pub async fn delete_demo(&self) -> Result<DeletedDemo> {
        self.with_demo_lease(Box::pin(async {
            let mut deleted = DeletedDemo::default();
            let experiment = self.demo_experiment().await?;
            let active = experiment.filter(|found| found.lifecycle_stage() == "active");
            let Some(experiment) = active else {
                // Prompts are in no experiment.
                if !self.demo_prompts(1).await?.is_empty() {
                    self.delete_demo_prompts().await?;
                    deleted.features.push(DemoFeature::Prompts);
                }
                return Ok(deleted);
            };
            for feature in DemoFeature::ALL {
                if self.has_demo(&experiment, feature).await? {
                    deleted.archived.extend(self.delete_demo_feature(&experiment, feature).await?);
                    deleted.features.push(feature);
                }
            }
            // Restoring the experiment restores its runs: without their versions they are deleted and made again.
            for key in experiment.tags.iter().map(ExperimentTag::key).filter(|key| key.starts_with(VERSION_TAG)) {
                self.delete_experiment_tag(experiment.experiment_id(), key).await?;
            }
            self.delete_experiment(experiment.experiment_id()).await?;
            Ok(deleted)
        }))
        .await
    }

    /// Does something while no other request does, whichever server has it. `work` belongs on the heap: it contains the
    /// futures of every kind of write.
    async fn with_demo_lease<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let request = uuid::Uuid::new_v4().simple().to_string();
        for _ in 0..TURNS {
            if self.store.lease_job(LEASE, &request, TERM).await? {
                let outcome = work.await;
                // Without this the lease expires.
                let _ = self.store.release_job(LEASE, &request).await;
                return outcome;
            }
            tokio::time::sleep(TURN).await;
        }
        Err(Error::unavailable("Another request is generating or deleting the sample data. Try again later."))
    }

    /// The id of the experiment, if it has all these features.
    async fn complete_demo(&self, features: &[DemoFeature]) -> Result<Option<String>> {
        let experiment = self.demo_experiment().await?;
        let Some(experiment) = experiment.filter(|found| found.lifecycle_stage() == "active") else { return Ok(None) };
        for feature in features {
            if !has_version(&experiment, *feature) || !self.has_demo(&experiment, *feature).await? {
                return Ok(None);
            }
        }
        Ok(experiment.experiment_id)
    }

    async fn demo_experiment(&self) -> Result<Option<Experiment>> {
        self.get_experiment_by_name(DEMO_EXPERIMENT).await
    }

    /// The experiment, which is created or restored.
    async fn active_demo_experiment(&self, data: &Data) -> Result<Experiment> {
        match self.demo_experiment().await? {
            Some(found) if found.lifecycle_stage() == "active" => return Ok(found),
            Some(found) => self.restore_experiment(found.experiment_id()).await?,
            None => {
                let tags =
                    [("mlflow.experimentKind", "genai_development"), ("mlflow.note.content", data.note.as_str())];
                let tag =
                    |(key, value): (&str, &str)| ExperimentTag { key: Some(key.into()), value: Some(value.into()) };
                self.create_experiment(DEMO_EXPERIMENT, None, tags.map(tag).into()).await?;
            }
        }
        self.demo_experiment().await?.ok_or_else(|| Error::unavailable("The experiment of the sample data is gone."))
    }

    /// Whether there is data of a feature.
    async fn has_demo(&self, experiment: &Experiment, feature: DemoFeature) -> Result<bool> {
        let id = experiment.experiment_id();
        match feature {
            DemoFeature::Prompts => Ok(!self.demo_prompts(1).await?.is_empty()),
            DemoFeature::Traces => Ok(!self.demo_traces(id, 1).await?.is_empty()),
            DemoFeature::CustomView | DemoFeature::SavedViews => Ok(views::has(experiment, feature)),
            DemoFeature::Evaluation => Ok(!self.demo_evaluation_runs(id, 1).await?.is_empty()),
            DemoFeature::Judges => Ok(!self.demo_judges(id).await?.is_empty()),
            DemoFeature::Issues => Ok(!self.demo_issues(id, 1).await?.is_empty()),
            DemoFeature::ReviewQueues => self.has_demo_queue(&Data::read()?, id).await,
        }
    }

    async fn generate_demo_feature(&self, data: &Data, experiment_id: &str, feature: DemoFeature) -> Result<()> {
        match feature {
            DemoFeature::Prompts => self.create_demo_prompts(data, experiment_id).await,
            DemoFeature::Traces => self.create_demo_traces(data, experiment_id, clock::unix_millis()).await,
            DemoFeature::CustomView | DemoFeature::SavedViews => {
                let (key, value) = views::tag(data, feature, clock::unix_millis())?;
                self.set_experiment_tag(experiment_id, &key, &value).await
            }
            DemoFeature::Evaluation => self.create_demo_evaluation(data, experiment_id).await,
            DemoFeature::Judges => self.create_demo_judges(data, experiment_id).await,
            DemoFeature::Issues => self.create_demo_issues(data, experiment_id).await,
            DemoFeature::ReviewQueues => {
                let schemas = self.create_demo_questions(data, experiment_id).await?;
                self.create_demo_queues(data, experiment_id, &schemas).await
            }
        }
    }

    /// Deletes the data of a feature. Returns archived traces, with the location of their files, which are left.
    async fn delete_demo_feature(
        &self,
        experiment: &Experiment,
        feature: DemoFeature,
    ) -> Result<Vec<(String, Option<String>)>> {
        let id = experiment.experiment_id();
        match feature {
            DemoFeature::Prompts => self.delete_demo_prompts().await?,
            DemoFeature::Traces => return self.delete_demo_traces(id).await,
            DemoFeature::CustomView | DemoFeature::SavedViews => {
                for key in views::keys(experiment, feature) {
                    self.delete_experiment_tag(id, key).await?;
                }
            }
            DemoFeature::Evaluation => self.delete_demo_evaluation(id).await?,
            DemoFeature::Judges => self.delete_demo_judges(id).await?,
            DemoFeature::Issues => self.delete_demo_issues(id).await?,
            DemoFeature::ReviewQueues => {
                let data = Data::read()?;
                self.delete_demo_queues(&data, id).await?;
                self.delete_demo_questions(&data, id).await?;
            }
        }
        Ok(Vec::new())
    }
}

/// Whether the experiment has the tag with this version of a feature. The reference writes the name of the feature or,
/// with some versions of Python, that of its constant.
fn has_version(experiment: &Experiment, feature: DemoFeature) -> bool {
    let constant = format!("DemoFeature.{}", feature.name().to_uppercase());
    let has = |name: &str| {
        let key = format!("{VERSION_TAG}{name}");
        experiment.tags.iter().any(|tag| tag.key() == key && tag.value() == feature.version())
    };
    has(feature.name()) || has(&constant)
}
