//! The issues of the sample data: what the traces have in common that fail a scorer.

use std::fmt::Write as _;

use ferroflow_model::{
    Result, clock,
    evaluation::issues::PENDING,
    messages::{
        assessments::{Assessment, AssessmentSourceSourceType, IssueReference},
        issues::Issue,
        service::{RunStatus, RunTag, TraceInfoV3},
    },
};

use super::{
    CREATOR,
    data::{Data, IssueOfScorer},
    evaluation::{RUN_TYPE, source},
    traces::{AGENT_VERSION, MOST},
};
use crate::{IssueChange, IssueSearch, NewRun, Scoped};

/// The value of [`RUN_TYPE`] of the run that has found the issues.
const DETECTION: &str = "issue_detection";

/// The number of traces that refer to an issue.
const TRACES_PER_ISSUE: usize = 5;

impl Scoped<'_> {
    pub(super) async fn create_demo_issues(&self, data: &Data, experiment_id: &str) -> Result<()> {
        let mut traces = self.demo_traces(experiment_id, MOST).await?;
        traces.retain(|trace| trace.trace_metadata.get(AGENT_VERSION).is_some_and(|version| version == "v1"));
        let new = NewRun {
            experiment_id: experiment_id.to_owned(),
            start_time: clock::unix_millis(),
            run_name: "Demo search for issues".to_owned(),
            tags: vec![tag(RUN_TYPE, DETECTION)],
            ..NewRun::default()
        };
        let run = self.create_run(new).await?.info.unwrap_or_default();
        let (mut found, mut linked) = (Vec::new(), Vec::new());
        for given in &data.issues {
            let failing = traces.iter().filter_map(|trace| Some((trace, failure(trace, &given.scorer)?)));
            let failing: Vec<(&TraceInfoV3, &Assessment)> = failing.take(TRACES_PER_ISSUE).collect();
            if failing.is_empty() {
                continue;
            }
            let issue = self.create_issue(issue(given, experiment_id, run.run_id())).await?;
            for (trace, failure) in failing {
                let reference = reference(&issue, failure, run.run_id());
                self.create_assessment(trace.trace_id(), reference).await?;
                linked.push(trace.trace_id().to_owned());
            }
            found.push(given);
        }
        linked.sort_unstable();
        linked.dedup();
        self.link_traces_to_run(&linked, run.run_id()).await?;
        // The UI reads the result here.
        let result = |name: &str, value: &str| tag(&format!("mlflow.issueDetection.result.{name}"), value);
        let tags = vec![
            result("issues", &found.len().to_string()),
            result("totalTracesAnalyzed", &traces.len().to_string()),
            result("summary", &summary(&found, traces.len())),
        ];
        self.log_batch(run.run_id(), Vec::new(), Vec::new(), tags).await?;
        self.update_run(run.run_id(), Some(RunStatus::Finished), Some(clock::unix_millis()), None).await?;
        Ok(())
    }

    /// The ids of the issues of the sample data that are not closed, at most so many.
    pub(super) async fn demo_issues(&self, experiment_id: &str, most: i64) -> Result<Vec<String>> {
        let search = IssueSearch {
            experiment_id: Some(experiment_id.to_owned()),
            filter: format!("status = '{PENDING}'"),
            max_results: MOST,
            ..IssueSearch::default()
        };
        let (found, _) = self.search_issues(search).await?;
        let own = found.into_iter().filter(|issue| issue.created_by() == CREATOR).filter_map(|issue| issue.issue_id);
        Ok(own.take(usize::try_from(most).unwrap_or_default()).collect())
    }

    /// Deletes the run that has found the issues, and rejects them: issues cannot be deleted.
    pub(super) async fn delete_demo_issues(&self, experiment_id: &str) -> Result<()> {
        for run_id in self.demo_runs(experiment_id, format!("tags.`{RUN_TYPE}` = '{DETECTION}'"), MOST).await? {
            self.delete_run(&run_id).await?;
        }
        let rejected = IssueChange { status: Some("rejected".to_owned()), ..IssueChange::default() };
        for issue_id in self.demo_issues(experiment_id, MOST).await? {
            self.update_issue(&issue_id, &rejected).await?;
        }
        Ok(())
    }
}

fn tag(key: &str, value: &str) -> RunTag {
    RunTag { key: Some(key.to_owned()), value: Some(value.to_owned()) }
}

/// The assessment by which a trace fails a scorer.
fn failure<'a>(trace: &'a TraceInfoV3, scorer: &str) -> Option<&'a Assessment> {
    trace.assessments.iter().find(|assessment| {
        let value = assessment.feedback.as_ref().and_then(|feedback| feedback.value.as_ref());
        assessment.assessment_name() == scorer && value.is_some_and(|value| value == "no")
    })
}

fn issue(given: &IssueOfScorer, experiment_id: &str, run_id: &str) -> Issue {
    Issue {
        experiment_id: Some(experiment_id.to_owned()),
        name: Some(given.name.clone()),
        description: Some(given.description.clone()),
        status: Some(PENDING.to_owned()),
        severity: Some(given.severity.clone()),
        root_causes: given.root_causes.clone(),
        categories: given.categories.clone(),
        source_run_id: Some(run_id.to_owned()),
        created_by: Some(CREATOR.to_owned()),
        ..Issue::default()
    }
}

/// The assessment by which a trace refers to an issue: its name is the issue's id.
fn reference(issue: &Issue, failure: &Assessment, run_id: &str) -> Assessment {
    Assessment {
        assessment_name: issue.issue_id.clone(),
        source: Some(source(AssessmentSourceSourceType::LlmJudge, run_id)),
        issue: Some(IssueReference { issue_name: issue.name.clone() }),
        rationale: failure.rationale.clone(),
        ..Assessment::default()
    }
}

/// What was found, in Markdown.
fn summary(found: &[&IssueOfScorer], traces: usize) -> String {
    let mut out = format!("{traces} traces were read, and {} issues were found.\n", found.len());
    for issue in found {
        // Writing to a string cannot fail.
        let _ = write!(out, "\n## {}\n\n{} Severity: {}.\n\n", issue.name, issue.description, issue.severity);
        for cause in &issue.root_causes {
            let _ = writeln!(out, "- {cause}");
        }
    }
    out
}
