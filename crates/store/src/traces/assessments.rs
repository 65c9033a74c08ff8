//! Assessments of traces: feedback, expectations and references to issues.

use ferroflow_model::{
    Error, Result, limits,
    messages::assessments::{Assessment, Expectation, Feedback},
    python, validation,
};
use serde_json::json;

use crate::{
    Scoped,
    db::{Row, Statement, Tx, Value, clock::now_ms},
    statements::statements,
    traces::{
        assessment_rows,
        keys::{LockedTrace, TraceKey},
        new_assessment::{Content, NewAssessment},
    },
    workspace::Workspace,
};

statements! {
    /// A trace, and its assessment with an id.
    static BY_ID: Workspace = "SELECT ", assessment_rows::COLUMNS, " FROM trace_info t \
         LEFT JOIN assessments a ON a.trace_id = t.request_id AND a.assessment_id = $2 \
         WHERE t.request_id = $1 AND {ws of t}";
    static GET: TraceKey =
        "SELECT ", assessment_rows::COLUMNS, " FROM assessments a WHERE a.trace_id = $1 AND a.assessment_id = $2";
    static SET_VALID: TraceKey = "UPDATE assessments SET valid = $3 WHERE trace_id = $1 AND assessment_id = $2";
    static UPDATE: TraceKey =
        "UPDATE assessments SET name = $3, rationale = $4, assessment_metadata = $5, valid = $6, \
         last_updated_timestamp = $7 WHERE trace_id = $1 AND assessment_id = $2";
    static SET_CONTENT: TraceKey =
        "UPDATE assessments SET value = $3, error = $4, aggregate_value = $5, is_numeric_value = $6 \
         WHERE trace_id = $1 AND assessment_id = $2";
    static DELETE: TraceKey = "DELETE FROM assessments WHERE trace_id = $1 AND assessment_id = $2 RETURNING overrides";
}

/// What of an assessment is changed; `None` is kept.
#[derive(Debug, Clone, Default)]
pub struct AssessmentChange {
    /// Its name.
    pub name: Option<String>,
    /// The value of an expectation.
    pub expectation: Option<Expectation>,
    /// The value and the error of feedback.
    pub feedback: Option<Feedback>,
    /// Why it is as it is.
    pub rationale: Option<String>,
    /// Metadata to add; a stored key gets the new value.
    pub metadata: Option<std::collections::BTreeMap<String, String>>,
    /// Whether it counts.
    pub valid: Option<bool>,
}

impl Scoped<'_> {
    /// Creates an assessment of a trace. The one that it overrides is no longer valid. A repetition of a request with
    /// an id returns the assessment that the first one created.
    ///
    /// # Errors
    /// No trace has the id, it has no assessment to override, or another assessment has the id.
    pub async fn create_assessment(&self, trace_id: &str, given: Assessment) -> Result<Assessment> {
        let new = &NewAssessment::of(given)?;
        let invalidation = &self.store.rollups.invalidation();
        self.store
            .db
            .transaction(|tx| async move {
                invalidation.begin(&tx).await?;
                let trace = self.lock_trace(&tx, trace_id).await?;
                invalidation.add(&tx, invalidation.of_assessment(trace.experiment_id, trace.timestamp_ms)).await?;
                let row = new.row(trace_id, trace.experiment_id, trace.timestamp_ms);
                let is_new = tx.insert(assessment_rows::insert(vec![row])).await? > 0;
                let stored = find(&tx, &trace.key, &new.id).await?;
                if !is_new {
                    return match stored {
                        Some(stored) if new.is_same(&stored) => Ok(stored),
                        _ => Err(NewAssessment::conflict(trace_id)),
                    };
                }
                if let Some(overridden) = &new.overrides
                    && (*overridden == new.id || !set_valid(&tx, &trace.key, overridden, false).await?)
                {
                    return Err(not_found(trace_id, overridden));
                }
                stored.ok_or_else(|| not_found(trace_id, &new.id))
            })
            .await
    }

    /// An assessment of a trace.
    ///
    /// # Errors
    /// No trace has the id, or it has no such assessment.
    pub async fn get_assessment(&self, trace_id: &str, assessment_id: &str) -> Result<Assessment> {
        let values = vec![trace_id.into(), assessment_id.into()];
        let read = |row: &Row<'_>| row.opt_str(1)?.is_some().then(|| assessment_rows::from_row(row)).transpose();
        let found = self.store.db.query(Statement::within(self.workspace, &BY_ID, values), read).await?.pop();
        match found {
            Some(found) => found.ok_or_else(|| not_found(trace_id, assessment_id)),
            None => Err(no_trace(trace_id)),
        }
    }

    /// Changes an assessment. Its source, its span and its kind stay.
    ///
    /// # Errors
    /// There is no such assessment, or the new value is of another kind.
    pub async fn update_assessment(
        &self,
        trace_id: &str,
        assessment_id: &str,
        change: AssessmentChange,
    ) -> Result<Assessment> {
        let (change, content) = (&change, &change.content()?);
        let invalidation = &self.store.rollups.invalidation();
        self.store
            .db
            .transaction(|tx| async move {
                invalidation.begin(&tx).await?;
                let trace = LockedTrace::find(self.workspace, &tx, trace_id).await?;
                let LockedTrace { key, experiment_id, timestamp_ms } = trace.ok_or_else(|| no_trace(trace_id))?;
                let stored = find(&tx, &key, assessment_id).await?;
                let stored = stored.ok_or_else(|| not_found(trace_id, assessment_id))?;
                change.check_kind(&stored)?;
                invalidation.add(&tx, invalidation.of_assessment(experiment_id, timestamp_ms)).await?;
                let values = [vec![assessment_id.into()], change.values(&stored)?].concat();
                tx.execute(Statement::of(&key, &UPDATE, values)).await?;
                if let Some(content) = content {
                    let values = vec![
                        assessment_id.into(),
                        content.value.as_str().into(),
                        content.error.as_deref().into(),
                        content.aggregate.into(),
                        content.is_number.into(),
                    ];
                    tx.execute(Statement::of(&key, &SET_CONTENT, values)).await?;
                }
                find(&tx, &key, assessment_id).await?.ok_or_else(|| not_found(trace_id, assessment_id))
            })
            .await
    }

    /// Deletes an assessment. The one that it overrode is valid again. There may be none.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn delete_assessment(&self, trace_id: &str, assessment_id: &str) -> Result<()> {
        let invalidation = &self.store.rollups.invalidation();
        self.store
            .db
            .transaction(|tx| async move {
                invalidation.begin(&tx).await?;
                let Some(trace) = LockedTrace::find(self.workspace, &tx, trace_id).await? else { return Ok(()) };
                let delete = Statement::of(&trace.key, &DELETE, vec![assessment_id.into()]);
                let deleted = tx.query_opt(delete, |row| row.get::<Option<String>>(0)).await?;
                let Some(overridden) = deleted else { return Ok(()) };
                if let Some(overridden) = overridden {
                    set_valid(&tx, &trace.key, &overridden, true).await?;
                }
                Ok(invalidation.add(&tx, invalidation.of_assessment(trace.experiment_id, trace.timestamp_ms)).await?)
            })
            .await
    }

    async fn lock_trace(&self, tx: &Tx, trace_id: &str) -> Result<LockedTrace> {
        let found = LockedTrace::find(self.workspace, tx, trace_id).await?;
        found.ok_or_else(|| Error::not_found(format!("Trace with ID '{trace_id}' not found.")))
    }
}

impl AssessmentChange {
    /// The new value, if there is one.
    fn content(&self) -> Result<Option<Content>> {
        match (&self.expectation, &self.feedback) {
            (Some(expectation), _) => Content::of_expectation(expectation).map(Some),
            (None, feedback) => Ok(feedback.as_ref().map(Content::of_feedback)),
        }
    }

    /// Refuses a value of another kind than the stored one.
    fn check_kind(&self, stored: &Assessment) -> Result<()> {
        match (&self.expectation, &self.feedback) {
            (Some(_), Some(_)) => Err(Error::invalid("Cannot specify both `expectation` and `feedback` parameters.")),
            (Some(_), None) if stored.expectation.is_none() => {
                Err(Error::invalid("Cannot update expectation value on a Feedback assessment."))
            }
            (None, Some(_)) if stored.feedback.is_none() => {
                Err(Error::invalid("Cannot update feedback value on an Expectation assessment."))
            }
            _ => Ok(()),
        }
    }

    /// The values of [`UPDATE`] behind the ids.
    fn values(&self, stored: &Assessment) -> Result<Vec<Value>> {
        let name = self.name.as_deref().unwrap_or(stored.assessment_name());
        validation::trace_text("assessment.assessment_name", limits::ASSESSMENT_NAME, name)?;
        // The reference keeps no rationale of expectations.
        let rationale = self.rationale.as_ref().or(stored.rationale.as_ref());
        let rationale = rationale.filter(|_| stored.expectation.is_none());
        let mut metadata = stored.metadata.clone();
        metadata.extend(self.metadata.iter().flatten().map(|(key, value)| (key.clone(), value.clone())));
        let metadata = (!metadata.is_empty()).then(|| python::json_dumps(&json!(metadata)));
        Ok(vec![
            name.into(),
            rationale.into(),
            metadata.into(),
            self.valid.unwrap_or(stored.valid()).into(),
            now_ms().into(),
        ])
    }
}

async fn find(tx: &Tx, key: &TraceKey, assessment_id: &str) -> Result<Option<Assessment>> {
    let statement = Statement::of(key, &GET, vec![assessment_id.into()]);
    Ok(tx.query_opt(statement, assessment_rows::from_row).await?)
}

/// Returns whether there is such an assessment.
async fn set_valid(tx: &Tx, key: &TraceKey, assessment_id: &str, valid: bool) -> Result<bool> {
    let values = vec![assessment_id.into(), valid.into()];
    Ok(tx.execute(Statement::of(key, &SET_VALID, values)).await? > 0)
}

fn not_found(trace_id: &str, assessment_id: &str) -> Error {
    Error::not_found(format!("Assessment with ID '{assessment_id}' not found for trace '{trace_id}'"))
}

fn no_trace(trace_id: &str) -> Error {
    Error::not_found(format!("Trace with request_id '{trace_id}' not found"))
}
