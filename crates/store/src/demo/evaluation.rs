//! The evaluation of the sample data: datasets, and a run for each group of traces whose scorers judge them.

use std::collections::BTreeMap;

use ferroflow_model::{
    Result, clock,
    evaluation::dataset_records,
    messages::{
        assessments::{Assessment, AssessmentSource, AssessmentSourceSourceType, Expectation, Feedback},
        service::{Dataset, DatasetInput, Metric, Param, RunStatus, RunTag, TraceInfoV3, ViewType},
    },
    wire::Timestamp,
};
use serde_json::{Value, json};

use super::{
    data::{Data, Item, Kind, Scorer, VERSIONS},
    traces::{AGENT_VERSION, ITEM, MOST},
};
use crate::{DatasetSearch, NewDataset, NewRun, RunSearch, Scope, Scoped};

/// The metadata of an assessment with the run that made it.
pub(super) const SOURCE_RUN: &str = "mlflow.assessment.sourceRunId";

/// The tag of a run with what it is for.
pub(super) const RUN_TYPE: &str = "mlflow.runType";

/// The param of the runs of the sample data.
const DEMO_PARAM: &str = "demo";

/// The datasets, with the beginning of the names of their runs.
const DATASETS: [(&str, &str); 2] = [("demo-answers", "answers"), ("demo-conversations", "conversations")];

/// The names of the reference's datasets, which are deleted too.
const DATASETS_OF_REFERENCE: [&str; 3] =
    ["demo-trace-level-dataset", "demo-baseline-session-dataset", "demo-improved-session-dataset"];

/// The ends of the names of runs, by the version of the agent.
const RUNS: [&str; VERSIONS] = ["baseline", "improved"];

/// A trace with what it answers.
struct Answer<'a> {
    trace: TraceInfoV3,
    item: &'a Item,
    version: usize,
}

impl Scoped<'_> {
    pub(super) async fn create_demo_evaluation(&self, data: &Data, experiment_id: &str) -> Result<()> {
        let traces = self.demo_traces(experiment_id, MOST).await?;
        let answers: Vec<Answer<'_>> = traces.into_iter().filter_map(|trace| Answer::of(data, trace)).collect();
        for (index, (name, runs)) in DATASETS.into_iter().enumerate() {
            let is_conversation = index == 1;
            let of_dataset: Vec<&Answer<'_>> =
                answers.iter().filter(|answer| (answer.item.kind == Kind::Session) == is_conversation).collect();
            let dataset = self.create_demo_dataset(experiment_id, name, &of_dataset).await?;
            for (version, run) in RUNS.into_iter().enumerate() {
                let of_run: Vec<&Answer<'_>> =
                    of_dataset.iter().copied().filter(|answer| answer.version == version).collect();
                self.create_demo_run(data, experiment_id, &format!("{runs}-{run}"), &dataset, &of_run).await?;
            }
        }
        Ok(())
    }

    /// Creates a dataset of what was asked, and returns it as an input of runs.
    async fn create_demo_dataset(&self, experiment_id: &str, name: &str, answers: &[&Answer<'_>]) -> Result<Dataset> {
        let description = "What visitors asked, and what the agent should answer.";
        let new = NewDataset {
            name: name.to_owned(),
            tags: json!({ "demo": "true", "description": description }).to_string(),
            experiment_ids: vec![experiment_id.to_owned()],
        };
        let created = self.create_dataset(&new).await?;
        let records: Vec<Value> = answers.iter().map(|answer| answer.record()).collect();
        self.upsert_dataset_records(created.dataset_id(), &dataset_records::parse(&json!(records).to_string())?)
            .await?;
        let dataset = self.get_dataset(created.dataset_id()).await?;
        Ok(Dataset {
            name: dataset.name,
            digest: dataset.digest,
            source_type: Some("mlflow_evaluation_dataset".to_owned()),
            source: Some(json!({ "dataset_id": dataset.dataset_id }).to_string()),
            schema: dataset.schema,
            profile: dataset.profile,
        })
    }

    /// Creates a run, with the feedback of its scorers on the traces and its means as metrics.
    async fn create_demo_run(
        &self,
        data: &Data,
        experiment_id: &str,
        name: &str,
        dataset: &Dataset,
        answers: &[&Answer<'_>],
    ) -> Result<()> {
        let now = clock::unix_millis();
        let tag = |(key, value): (&str, &str)| RunTag { key: Some(key.into()), value: Some(value.into()) };
        let new = NewRun {
            experiment_id: experiment_id.to_owned(),
            start_time: now,
            run_name: name.to_owned(),
            tags: [(RUN_TYPE, "genai_evaluate")].map(tag).into(),
            ..NewRun::default()
        };
        let run = self.create_run(new).await?.info.unwrap_or_default();
        let run_id = run.run_id();
        let input = DatasetInput { dataset: Some(dataset.clone()), tags: Vec::new() };
        self.log_inputs(run_id, vec![input], Vec::new()).await?;
        let ids: Vec<String> = answers.iter().map(|answer| answer.trace.trace_id().to_owned()).collect();
        self.link_traces_to_run(&ids, run_id).await?;
        for answer in answers {
            self.start_trace(answer.assessed(&data.scorers, run_id)).await?;
        }
        let metric = |scorer: &Scorer| Metric {
            key: Some(format!("{}/mean", scorer.name)),
            value: Some(mean(answers, &scorer.name)),
            timestamp: Some(now),
            dataset_name: dataset.name.clone(),
            dataset_digest: dataset.digest.clone(),
            ..Metric::default()
        };
        let metrics = data.scorers.iter().map(metric).collect();
        let params = vec![Param { key: Some(DEMO_PARAM.into()), value: Some("true".into()) }];
        self.log_batch(run_id, metrics, params, Vec::new()).await?;
        self.update_run(run_id, Some(RunStatus::Finished), Some(clock::unix_millis()), None).await?;
        Ok(())
    }

    /// The ids of the runs of the evaluation, at most so many.
    pub(super) async fn demo_evaluation_runs(&self, experiment_id: &str, most: i64) -> Result<Vec<String>> {
        self.demo_runs(experiment_id, format!("params.{DEMO_PARAM} = 'true'"), most).await
    }

    /// The ids of active runs.
    pub(super) async fn demo_runs(&self, experiment_id: &str, filter: String, most: i64) -> Result<Vec<String>> {
        let search = RunSearch {
            experiment_ids: vec![experiment_id.to_owned()],
            filter,
            view: ViewType::ActiveOnly,
            max_results: most,
            order_by: Vec::new(),
            page_token: None,
        };
        let (found, _) = self.search_runs(&Scope::everything(), search).await?;
        Ok(found.into_iter().filter_map(|run| run.info?.run_id).collect())
    }

    pub(super) async fn delete_demo_evaluation(&self, experiment_id: &str) -> Result<()> {
        for run_id in self.demo_evaluation_runs(experiment_id, MOST).await? {
            self.delete_run(&run_id).await?;
        }
        for name in DATASETS.iter().map(|(name, _)| *name).chain(DATASETS_OF_REFERENCE) {
            let search = DatasetSearch {
                experiment_ids: vec![experiment_id.to_owned()],
                filter: format!("name = '{name}'"),
                max_results: MOST,
                ..DatasetSearch::default()
            };
            for dataset in self.search_datasets_of(search).await?.0 {
                self.delete_dataset(dataset.dataset_id()).await?;
            }
        }
        Ok(())
    }
}

impl<'a> Answer<'a> {
    /// `None` for a trace that no item of this data belongs to.
    fn of(data: &'a Data, trace: TraceInfoV3) -> Option<Self> {
        let index: usize = trace.trace_metadata.get(ITEM)?.parse().ok()?;
        let version =
            trace.trace_metadata.get(AGENT_VERSION)?.strip_prefix('v')?.parse::<usize>().ok()?.checked_sub(1)?;
        Some(Self { item: data.traces.get(index).filter(|_| version < VERSIONS)?, trace, version })
    }

    /// A record of a dataset. Both versions of the agent were asked the same, and so their records are one.
    fn record(&self) -> Value {
        let mut source = json!({ "trace_id": self.trace.trace_id() });
        if let Some(session) = self.trace.trace_metadata.get("mlflow.trace.session") {
            source["session_id"] = json!(session);
        }
        json!({
            "inputs": { "messages": [{ "role": "user", "content": self.item.query }] },
            "expectations": { "expected_response": self.item.expected },
            "source": { "source_type": "TRACE", "source_data": source },
        })
    }

    fn passes(&self, scorer: &str) -> bool {
        !self.item.failed[self.version].iter().any(|failed| failed == scorer)
    }

    /// The trace with what is expected and what the scorers say.
    fn assessed(&self, scorers: &[Scorer], run_id: &str) -> TraceInfoV3 {
        let time = self.trace.request_time.unwrap_or_else(|| Timestamp::from_millis(clock::unix_millis()));
        let expectation = Assessment {
            assessment_name: Some("expected_response".to_owned()),
            source: Some(source(AssessmentSourceSourceType::Human, "reviewer-1")),
            create_time: Some(time),
            last_update_time: Some(time),
            expectation: Some(Expectation { value: Some(json!(self.item.expected)), ..Expectation::default() }),
            metadata: BTreeMap::from([("demo".to_owned(), "true".to_owned())]),
            ..Assessment::default()
        };
        let feedback = |scorer: &Scorer| {
            let passes = self.passes(&scorer.name);
            Assessment {
                assessment_name: Some(scorer.name.clone()),
                source: Some(source(AssessmentSourceSourceType::LlmJudge, &format!("judges/{}", scorer.name))),
                create_time: Some(time),
                last_update_time: Some(time),
                feedback: Some(Feedback {
                    value: Some(json!(if passes { "yes" } else { "no" })),
                    ..Feedback::default()
                }),
                rationale: Some(if passes { &scorer.passed } else { &scorer.failed }.clone()),
                metadata: BTreeMap::from([(SOURCE_RUN.to_owned(), run_id.to_owned())]),
                ..Assessment::default()
            }
        };
        let assessments = std::iter::once(expectation).chain(scorers.iter().map(feedback)).collect();
        TraceInfoV3 { assessments, ..self.trace.clone() }
    }
}

pub(super) fn source(kind: AssessmentSourceSourceType, id: &str) -> AssessmentSource {
    AssessmentSource { source_type: Some(kind), source_id: Some(id.to_owned()) }
}

/// The share of the answers that pass.
fn mean(answers: &[&Answer<'_>], scorer: &str) -> f64 {
    let passed = answers.iter().filter(|answer| answer.passes(scorer)).count();
    let number = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    if answers.is_empty() { 0.0 } else { number(passed) / number(answers.len()) }
}
