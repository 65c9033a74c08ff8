//! The traces of a condition that few meet.
//!
//! A search reads traces in the order of their time and looks at the children of each, which ends early if many meet the
//! filter. If few do, it would read all traces of the experiment. No planner knows which is the case without statistics,
//! so the index of a condition is asked first, for a bounded number of rows.

use std::collections::BTreeSet;

use ferroflow_model::{Result, python::json_dumps};
use ferroflow_search::{
    Number, NumberOp, PairTest, TextTest,
    traces::{AssessmentKind, AssessmentTest, Condition, SpanColumn, SpanCondition, TextAttribute, TimeAttribute},
};

use super::trace_filter::Access;
use crate::{
    Store,
    db::{Child, Db, Plan, Row, Sql, Statement, Value, dialect::Dialect},
    schema::own_indexes::{METADATA, OwnIndex, TAGS, indexed, is_metadata, is_tag},
    statements::statements,
};

/// Maximum number of rows that are few. Reading their ids takes a few milliseconds; a condition that more rows meet is
/// met by a trace among 250 of a million.
const FEW: usize = 4000;

/// Maximum number of conditions whose indexes are asked.
const ASKED: usize = 4;

// Each reads the index of its condition, row by row: the settings of `Plan::IndexScan` leave PostgreSQL no other way. One
// of a range is in the order of its index, which tells it from others that begin with the same columns.
statements! {
    static TAGGED: Child = "SELECT request_id, 0 FROM trace_tags WHERE key = $1 LIMIT 4001";

    static WITH_METADATA: Child = "SELECT request_id, 0 FROM trace_request_metadata WHERE key = $1 LIMIT 4001";

    /// `$2` is the part of `$3` that is in the index, as in the next statements. With `value = $3`, SQLite would replace
    /// the column in the expression of the index by `$3`.
    static WITH_TAG: Child =
        "SELECT request_id, 0 FROM trace_tags WHERE key = $1 AND substr(value, 1, 200) = $2 AND value {in $3} AND ",
        TAGS, " LIMIT 4001";

    static WITH_METADATA_VALUE: Child =
        "SELECT request_id, 0 FROM trace_request_metadata WHERE key = $1 AND substr(value, 1, 200) = $2 \
         AND value {in $3} AND ", METADATA, " LIMIT 4001";

    /// Two ranges, because an index does not serve `<>`.
    static WITH_OTHER_TAG: Child =
        "SELECT request_id, 0 FROM (SELECT request_id FROM trace_tags WHERE key = $1 AND substr(value, 1, 200) < $2 \
         AND ", TAGS,
        " UNION ALL SELECT request_id FROM trace_tags WHERE key = $1 AND substr(value, 1, 200) > $2 AND ", TAGS,
        " UNION ALL SELECT request_id FROM trace_tags WHERE key = $1 AND substr(value, 1, 200) = $2 \
         AND NOT (value {in $3}) AND ", TAGS, ") x LIMIT 4001";

    static WITH_OTHER_METADATA_VALUE: Child =
        "SELECT request_id, 0 FROM (SELECT request_id FROM trace_request_metadata \
         WHERE key = $1 AND substr(value, 1, 200) < $2 AND ", METADATA,
        " UNION ALL SELECT request_id FROM trace_request_metadata \
         WHERE key = $1 AND substr(value, 1, 200) > $2 AND ", METADATA,
        " UNION ALL SELECT request_id FROM trace_request_metadata WHERE key = $1 AND substr(value, 1, 200) = $2 \
         AND NOT (value {in $3}) AND ", METADATA, ") x LIMIT 4001";

    static IN_STATES: Child =
        "SELECT request_id, 0 FROM trace_info WHERE experiment_id = $1 AND status {in $2} LIMIT 4001";

    static IN_OTHER_STATE: Child =
        "SELECT request_id, 0 FROM (SELECT request_id FROM trace_info WHERE experiment_id = $1 AND status < $2 \
         UNION ALL SELECT request_id FROM trace_info WHERE experiment_id = $1 AND status > $2) x LIMIT 4001";

    static WITH_CLIENT_ID: Child =
        "SELECT request_id, 0 FROM trace_info WHERE client_request_id {in $1} AND client_request_id IS NOT NULL \
         LIMIT 4001";

    static LASTING: Child =
        "SELECT request_id, 0 FROM trace_info WHERE experiment_id = $1 AND execution_time_ms BETWEEN $2 AND $3 \
         ORDER BY execution_time_ms LIMIT 4001";

    static WITH_TYPE: Child =
        "SELECT trace_id, 0 FROM spans WHERE experiment_id = $1 AND type {in $2} LIMIT 4001";

    static WITH_STATUS: Child =
        "SELECT trace_id, 0 FROM spans WHERE experiment_id = $1 AND status {in $2} LIMIT 4001";

    static WITH_SPAN: Child =
        "SELECT trace_id, 0 FROM spans WHERE experiment_id = $1 AND substr(name, 1, 200) {in $2} AND name {in $3} \
         LIMIT 4001";

    /// An assessment about a session is one of all its traces.
    static ASSESSED: Child = "SELECT ", ASSESSMENT, " WHERE experiment_id = $1 AND name = $2 AND valid LIMIT 4001";

    static ASSESSED_AS: Child =
        "SELECT ", ASSESSMENT, " WHERE experiment_id = $1 AND name = $2 AND valid AND substr(value, 1, 200) {in $3} \
         AND value {in $4} LIMIT 4001";

    static ASSESSED_WITHIN: Child =
        "SELECT ", ASSESSMENT, " WHERE experiment_id = $1 AND name = $2 AND valid AND is_numeric_value \
         AND aggregate_value BETWEEN $3 AND $4 ORDER BY aggregate_value LIMIT 4001";

    static SESSIONS: Child =
        "SELECT DISTINCT session_id FROM trace_info WHERE request_id {in $1} AND session_id IS NOT NULL";

    static IN_SESSIONS: Child =
        "SELECT request_id, 0 FROM trace_info WHERE experiment_id = $1 AND session_id {in $2} LIMIT 4001";
}

const ASSESSMENT: &str = "trace_id, CASE WHEN assessment_metadata LIKE '%\"mlflow.trace.session\":%' THEN 1 ELSE 0 END \
                          FROM assessments";

/// A statement and its parameters.
type Asked = (&'static Sql<Child>, Vec<Value>);

/// How the traces of a condition are found.
struct Probe {
    asked: Asked,
    /// The index, if it is ferroflow's own.
    index: Option<OwnIndex>,
    /// What is asked as long as that is missing.
    without: Option<Asked>,
}

impl Probe {
    /// By an index of the reference's.
    fn of(statement: &'static Sql<Child>, params: Vec<Value>) -> Self {
        Self { asked: (statement, params), index: None, without: None }
    }

    /// By an index of ferroflow's own.
    fn by(index: OwnIndex, statement: &'static Sql<Child>, params: Vec<Value>) -> Self {
        Self { index: Some(index), ..Self::of(statement, params) }
    }

    /// Asks another statement as long as the index is missing.
    fn or(self, statement: &'static Sql<Child>, params: Vec<Value>) -> Self {
        Self { without: Some((statement, params)), ..self }
    }

    /// What to ask; `None` if the index is missing.
    async fn statement(self, store: &Store) -> Result<Option<Statement>> {
        let is_there = match self.index {
            Some(index) => store.own_indexes.has(&store.db, index).await?,
            None => true,
        };
        let asked = if is_there { Some(self.asked) } else { self.without };
        Ok(asked.map(|(statement, params)| planned(statement, params)))
    }
}

fn planned(statement: &'static Sql<Child>, params: Vec<Value>) -> Statement {
    Statement::new(statement, params).planned(Plan::IndexScan)
}

/// Adds a condition on the ids of the traces that may meet the conditions, if an index says that there are few.
///
/// # Errors
/// The database failed.
pub(super) async fn narrow(store: &Store, experiments: &[i64], conditions: &mut Vec<Condition>) -> Result<()> {
    if Access::of(conditions) != Access::Time {
        return Ok(());
    }
    if let Some(ids) = few(store, one(experiments), conditions).await? {
        conditions.push(Condition::Text { column: TextAttribute::TraceId, test: TextTest::In(ids) });
    }
    Ok(())
}

/// The query plans of what [`narrow`] asks for each condition, one line per step.
///
/// # Errors
/// The database failed.
pub(super) async fn explain(store: &Store, experiments: &[i64], conditions: &[Condition]) -> Result<Vec<String>> {
    let mut plans = Vec::new();
    let probes = conditions.iter().filter_map(|condition| probe(store.db.dialect(), one(experiments), condition));
    for probe in probes {
        if let Some(statement) = probe.statement(store).await? {
            plans.extend(store.db.explain(statement).await?);
        }
    }
    Ok(plans)
}

/// A single experiment. Beyond the range of the column, it is no experiment's id.
fn one(experiments: &[i64]) -> Option<i64> {
    match experiments {
        [id] if i32::try_from(*id).is_ok() => Some(*id),
        _ => None,
    }
}

/// The ids, sorted. Without a single experiment, only indexes without experiments are asked.
async fn few(store: &Store, experiment: Option<i64>, conditions: &[Condition]) -> Result<Option<Vec<String>>> {
    let dialect = store.db.dialect();
    let probes = conditions.iter().filter_map(|condition| probe(dialect, experiment, condition));
    for probe in probes.take(ASKED) {
        let Some(statement) = probe.statement(store).await? else { continue };
        let found = store.db.query(statement, |row| Ok((row.get::<String>(0)?, row.get::<i64>(1)? != 0))).await?;
        if found.len() > FEW {
            continue;
        }
        let of_sessions = found.iter().filter(|(_, is_of_session)| *is_of_session).map(|(id, _)| id.clone()).collect();
        let Some(in_sessions) = in_sessions(&store.db, experiment, of_sessions).await? else { continue };
        let ids: BTreeSet<String> = found.into_iter().map(|(id, _)| id).chain(in_sessions).collect();
        return Ok(Some(ids.into_iter().collect()));
    }
    Ok(None)
}

/// The traces in the sessions of these ones; `None` if they are many.
async fn in_sessions(db: &Db, experiment: Option<i64>, traces: Vec<String>) -> Result<Option<Vec<String>>> {
    if traces.is_empty() {
        return Ok(Some(traces));
    }
    let Some(experiment) = experiment else { return Ok(None) };
    let id = |row: &Row<'_>| row.get::<String>(0);
    let sessions = db.query(planned(&SESSIONS, vec![traces.into()]), id).await?;
    let found = db.query(planned(&IN_SESSIONS, vec![experiment.into(), sessions.into()]), id).await?;
    Ok((found.len() <= FEW).then_some(found))
}

/// How the traces of a condition are found by an index.
fn probe(dialect: Dialect, experiment: Option<i64>, condition: &Condition) -> Option<Probe> {
    match condition {
        Condition::Text { column: TextAttribute::ClientRequestId, test } => {
            Some(Probe::by(OwnIndex::ClientRequestId, &WITH_CLIENT_ID, vec![listed(test)?.into()]))
        }
        // That of a single state is in the order of time.
        Condition::Text { column: TextAttribute::Status, test: TextTest::In(states) } => {
            Some(Probe::by(OwnIndex::TraceStatus, &IN_STATES, vec![experiment?.into(), states.clone().into()]))
        }
        Condition::Text { column: TextAttribute::Status, test: TextTest::NotEqual(state) } => {
            Some(Probe::by(OwnIndex::TraceStatus, &IN_OTHER_STATE, vec![experiment?.into(), state.into()]))
        }
        Condition::Time { column: TimeAttribute::ExecutionTime, op, value } => {
            let (least, most) = integers(*op, *value)?;
            Some(Probe::by(OwnIndex::ExecutionTime, &LASTING, vec![experiment?.into(), least.into(), most.into()]))
        }
        Condition::Tag { key, test } => {
            pair(key, test, is_tag(key), OwnIndex::TagValue, [&TAGGED, &WITH_TAG, &WITH_OTHER_TAG])
        }
        Condition::Metadata { key, test } => {
            let statements = [&WITH_METADATA, &WITH_METADATA_VALUE, &WITH_OTHER_METADATA_VALUE];
            pair(key, test, is_metadata(key), OwnIndex::MetadataValue, statements)
        }
        Condition::Span(SpanCondition::Column { column, test }) => {
            let (experiment, names) = (Value::from(experiment?), listed(test)?);
            match column {
                SpanColumn::Type => Some(Probe::of(&WITH_TYPE, vec![experiment, names.into()])),
                SpanColumn::Status => Some(Probe::of(&WITH_STATUS, vec![experiment, names.into()])),
                SpanColumn::Name => {
                    let params = vec![experiment, beginnings(&names), names.into()];
                    Some(Probe::by(OwnIndex::SpanName, &WITH_SPAN, params))
                }
                SpanColumn::Content => None,
            }
        }
        Condition::Assessment { kind: AssessmentKind::Feedback | AssessmentKind::Expectation, name, test } => {
            assessment(dialect, experiment?, name, test)
        }
        _ => None,
    }
}

/// By the value of a tag or of metadata, by another value, or by the key.
fn pair(
    key: &str,
    test: &PairTest,
    is_indexed: bool,
    index: OwnIndex,
    [by_key, by_value, by_other]: [&'static Sql<Child>; 3],
) -> Option<Probe> {
    let (statement, value) = match test {
        PairTest::IsNull => return None,
        PairTest::Value(TextTest::Equal(value)) if is_indexed => (by_value, value),
        PairTest::Value(TextTest::NotEqual(value)) if is_indexed => (by_other, value),
        PairTest::Value(_) | PairTest::IsNotNull => return Some(Probe::of(by_key, vec![key.into()])),
    };
    let params = vec![key.into(), indexed(value).into(), vec![value.clone()].into()];
    Some(Probe::by(index, statement, params).or(by_key, vec![key.into()]))
}

fn assessment(dialect: Dialect, experiment: i64, name: &str, test: &AssessmentTest) -> Option<Probe> {
    let by_name = || vec![experiment.into(), name.into()];
    let probe = match test {
        AssessmentTest::IsNull => return None,
        AssessmentTest::Text(TextTest::Equal(value)) => {
            let values = vec![value.clone(), json_dumps(&value.as_str().into())];
            let mut params = by_name();
            params.extend([beginnings(&values), values.into()]);
            Probe::by(OwnIndex::AssessmentValue, &ASSESSED_AS, params)
        }
        AssessmentTest::Number { op, value } if *op != NumberOp::NotEqual => {
            let (least, most) = numbers(dialect, *op, *value);
            let mut params = by_name();
            params.extend([least.into(), most.into()]);
            Probe::by(OwnIndex::AssessmentNumber, &ASSESSED_WITHIN, params)
        }
        _ => return Some(Probe::of(&ASSESSED, by_name())),
    };
    Some(probe.or(&ASSESSED, by_name()))
}

/// The values of a test that is met by these alone.
fn listed(test: &TextTest) -> Option<Vec<String>> {
    match test {
        TextTest::Equal(value) => Some(vec![value.clone()]),
        TextTest::In(values) => Some(values.clone()),
        _ => None,
    }
}

fn beginnings(values: &[String]) -> Value {
    values.iter().map(|value| indexed(value)).collect::<Vec<_>>().into()
}

/// The least and the largest integer that meet a test; `None` if the others are not all between them.
fn integers(op: NumberOp, value: Number) -> Option<(i64, i64)> {
    #[expect(clippy::cast_possible_truncation, reason = "the casts saturate")]
    let (floor, ceiling) = match value {
        Number::Int(value) => (value, value),
        Number::Real(value) => (value.floor() as i64, value.ceil() as i64),
    };
    Some(match op {
        NumberOp::Equal => (ceiling, floor),
        NumberOp::Less => (i64::MIN, ceiling.saturating_sub(1)),
        NumberOp::LessOrEqual => (i64::MIN, floor),
        NumberOp::Greater => (floor.saturating_add(1), i64::MAX),
        NumberOp::GreaterOrEqual => (ceiling, i64::MAX),
        NumberOp::NotEqual => return None,
    })
}

/// The same for doubles. PostgreSQL orders NaN after all numbers.
fn numbers(dialect: Dialect, op: NumberOp, value: f64) -> (f64, f64) {
    let (lowest, highest) = (f64::NEG_INFINITY, dialect.pick(f64::NAN, f64::INFINITY));
    match op {
        NumberOp::Less | NumberOp::LessOrEqual => (lowest, value),
        NumberOp::Greater | NumberOp::GreaterOrEqual => (value, highest),
        NumberOp::Equal | NumberOp::NotEqual => (value, value),
    }
}
