//! The traces of a condition that few meet.
//!
//! A search reads traces in the order of their time and looks at the children of each, which ends early if many meet the
//! filter. If few do, it would read all traces of the experiment. No planner knows which is the case without statistics,
//! so the index of a condition is asked first, for a bounded number of rows.

use ferroflow_model::Result;
use ferroflow_search::{
    PairTest, TextTest,
    traces::{AssessmentKind, AssessmentTest, Condition, SpanColumn, SpanCondition},
};

use crate::{
    db::{Child, Db, Row, Statement},
    statements::statements,
};

/// Maximum number of rows that are few. Reading their ids takes a few milliseconds; a condition that more rows meet is
/// met by a trace among 250 of a million.
const FEW: usize = 4000;

/// Maximum number of conditions whose indexes are asked.
const ASKED: usize = 4;

// Each is in the order of its index: no estimate makes PostgreSQL read the table instead.
statements! {
    static TAGGED: Child = "SELECT request_id, 0 FROM trace_tags WHERE key = $1 ORDER BY key, request_id LIMIT 4001";

    static WITH_METADATA: Child =
        "SELECT request_id, 0 FROM trace_request_metadata WHERE key = $1 ORDER BY key, request_id LIMIT 4001";

    static WITH_TYPE: Child =
        "SELECT trace_id, 0 FROM spans WHERE experiment_id = $1 AND type = $2 \
         ORDER BY experiment_id, type, status LIMIT 4001";

    static WITH_STATUS: Child =
        "SELECT trace_id, 0 FROM spans WHERE experiment_id = $1 AND status = $2 \
         ORDER BY experiment_id, status, type LIMIT 4001";

    /// An assessment about a session is one of all its traces.
    static ASSESSED: Child =
        "SELECT trace_id, CASE WHEN assessment_metadata LIKE '%\"mlflow.trace.session\":%' THEN 1 ELSE 0 END \
         FROM assessments WHERE experiment_id = $1 AND name = $2 AND valid \
         ORDER BY experiment_id, name, valid LIMIT 4001";
}

/// The ids of the traces that may meet the conditions, if an index says that there are few; sorted. Without a single
/// experiment, only indexes without experiments are asked.
pub(super) async fn few(db: &Db, experiment: Option<i64>, conditions: &[Condition]) -> Result<Option<Vec<String>>> {
    let statements = conditions.iter().filter_map(|condition| statement(experiment, condition));
    for statement in statements.take(ASKED) {
        let read = |row: &Row<'_>| Ok((row.get::<String>(0)?, row.get::<i64>(1)? != 0));
        let found = db.query(statement, read).await?;
        if found.len() <= FEW && !found.iter().any(|(_, is_of_session)| *is_of_session) {
            let mut ids: Vec<String> = found.into_iter().map(|(id, _)| id).collect();
            ids.sort_unstable();
            ids.dedup();
            return Ok(Some(ids));
        }
    }
    Ok(None)
}

/// The statement that finds the traces of a condition by an index.
fn statement(experiment: Option<i64>, condition: &Condition) -> Option<Statement> {
    match condition {
        Condition::Tag { key, test } if *test != PairTest::IsNull => {
            Some(Statement::new(&TAGGED, vec![key.as_str().into()]))
        }
        Condition::Metadata { key, test } if *test != PairTest::IsNull => {
            Some(Statement::new(&WITH_METADATA, vec![key.as_str().into()]))
        }
        Condition::Span(SpanCondition::Column { column, test: TextTest::Equal(value) }) => {
            let text = match column {
                SpanColumn::Type => &WITH_TYPE,
                SpanColumn::Status => &WITH_STATUS,
                SpanColumn::Name | SpanColumn::Content => return None,
            };
            Some(Statement::new(text, vec![experiment?.into(), value.as_str().into()]))
        }
        Condition::Assessment { kind: AssessmentKind::Feedback | AssessmentKind::Expectation, name, test }
            if *test != AssessmentTest::IsNull =>
        {
            Some(Statement::new(&ASSESSED, vec![experiment?.into(), name.as_str().into()]))
        }
        _ => None,
    }
}
