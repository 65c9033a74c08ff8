//! The traces of a condition that few meet.
//!
//! A search reads traces in the order of their time and looks at the children of each, which ends early if many meet the
//! filter. If few do, it would read all traces of the experiment. No planner knows which is the case without statistics,
//! so the index of a condition is asked first, for a bounded number of rows. If there are more, the search reads the
//! first traces in the order of time ([`super::trace_window`]), and then asks the index for more: it takes about as long
//! as the better of both ways.

use std::collections::BTreeSet;

use ferroflow_model::{Result, python::json_dumps};
use ferroflow_search::{
    Number, NumberOp, PairTest, TextTest,
    traces::{AssessmentKind, AssessmentTest, Condition, SpanColumn, SpanCondition, TextAttribute, TimeAttribute},
};

use super::trace_filter::Access;
use crate::{
    Store,
    db::{Child, Plan, Row, Sql, Statement, Value, dialect::Dialect},
    schema::own_indexes::{METADATA, OwnIndex, TAGS, indexed, is_metadata, is_tag},
    statements::statements,
};

/// Maximum number of rows that are few. Reading their ids takes a few milliseconds; a condition that more rows meet is
/// met by a trace among 250 of a million.
pub(super) const FEW: usize = 4000;

/// Maximum number of conditions whose indexes are asked.
const ASKED: usize = 4;

/// Maximum number of different values of a key that are compared with a pattern.
const VALUES: i64 = 200;

// Each reads the index of its condition, row by row: the settings of `Plan::IndexScan` leave PostgreSQL no other way. One
// of a range is in the order of its index, which tells it from others that begin with the same columns. The last parameter
// is the maximum number of rows.
statements! {
    static TAGGED: Child = "SELECT request_id, 0 FROM trace_tags WHERE key = $1 LIMIT $2";

    static WITH_METADATA: Child = "SELECT request_id, 0 FROM trace_request_metadata WHERE key = $1 LIMIT $2";

    /// `$2` is the part of `$3` that is in the index, as in the next statements. With `value = $3`, SQLite would replace
    /// the column in the expression of the index by `$3`.
    static WITH_TAG: Child =
        "SELECT request_id, 0 FROM trace_tags WHERE key = $1 AND substr(value, 1, 200) = $2 AND value {in $3} AND ",
        TAGS, " LIMIT $4";

    static WITH_METADATA_VALUE: Child =
        "SELECT request_id, 0 FROM trace_request_metadata WHERE key = $1 AND substr(value, 1, 200) = $2 \
         AND value {in $3} AND ", METADATA, " LIMIT $4";

    /// With one of several values, or another one that begins so.
    static WITH_TAGS: Child =
        "SELECT request_id, 0 FROM ", EACH_VALUE, "trace_tags", OF_VALUE, TAGS, " LIMIT $3";

    static WITH_METADATA_VALUES: Child =
        "SELECT request_id, 0 FROM ", EACH_VALUE, "trace_request_metadata", OF_VALUE, METADATA, " LIMIT $3";

    /// The values of a key that may match a pattern, one look at the index for each different value. A row with a number
    /// over `$2` says that there are more. A value that is not whole in the index may match.
    static TAGS_LIKE: Child = FIRST, TAGS_OF, TAGS, NEXT, TAGS_OF, TAGS, LAST, LIKE;
    static TAGS_ILIKE: Child = FIRST, TAGS_OF, TAGS, NEXT, TAGS_OF, TAGS, LAST, ILIKE;
    static METADATA_LIKE: Child = FIRST, METADATA_OF, METADATA, NEXT, METADATA_OF, METADATA, LAST, LIKE;
    static METADATA_ILIKE: Child = FIRST, METADATA_OF, METADATA, NEXT, METADATA_OF, METADATA, LAST, ILIKE;

    /// Two ranges, because an index does not serve `<>`.
    static WITH_OTHER_TAG: Child =
        "SELECT request_id, 0 FROM (SELECT request_id FROM trace_tags WHERE key = $1 AND substr(value, 1, 200) < $2 \
         AND ", TAGS,
        " UNION ALL SELECT request_id FROM trace_tags WHERE key = $1 AND substr(value, 1, 200) > $2 AND ", TAGS,
        " UNION ALL SELECT request_id FROM trace_tags WHERE key = $1 AND substr(value, 1, 200) = $2 \
         AND NOT (value {in $3}) AND ", TAGS, ") x LIMIT $4";

    static WITH_OTHER_METADATA_VALUE: Child =
        "SELECT request_id, 0 FROM (SELECT request_id FROM trace_request_metadata \
         WHERE key = $1 AND substr(value, 1, 200) < $2 AND ", METADATA,
        " UNION ALL SELECT request_id FROM trace_request_metadata \
         WHERE key = $1 AND substr(value, 1, 200) > $2 AND ", METADATA,
        " UNION ALL SELECT request_id FROM trace_request_metadata WHERE key = $1 AND substr(value, 1, 200) = $2 \
         AND NOT (value {in $3}) AND ", METADATA, ") x LIMIT $4";

    static IN_STATES: Child =
        "SELECT request_id, 0 FROM ", EACH, "trace_info", IN_IT, "status {in $2} LIMIT $3";

    static IN_OTHER_STATE: Child =
        "SELECT request_id, 0 FROM (SELECT request_id FROM ", EACH, "trace_info", IN_IT, "status < $2 \
         UNION ALL SELECT request_id FROM ", EACH, "trace_info", IN_IT, "status > $2) x LIMIT $3";

    static WITH_CLIENT_ID: Child =
        "SELECT request_id, 0 FROM trace_info WHERE client_request_id {in $1} AND client_request_id IS NOT NULL \
         LIMIT $2";

    static LASTING: Child =
        "SELECT request_id, 0 FROM trace_info WHERE experiment_id = $1 AND execution_time_ms BETWEEN $2 AND $3 \
         ORDER BY execution_time_ms LIMIT $4";

    static WITH_TYPE: Child =
        "SELECT trace_id, 0 FROM ", EACH, "spans", IN_IT, "type {in $2} LIMIT $3";

    static WITH_STATUS: Child =
        "SELECT trace_id, 0 FROM ", EACH, "spans", IN_IT, "status {in $2} LIMIT $3";

    static WITH_SPAN: Child =
        "SELECT trace_id, 0 FROM ", EACH, "spans", IN_IT, "substr(name, 1, 200) {in $2} AND name {in $3} LIMIT $4";

    /// An assessment about a session is one of all its traces.
    static ASSESSED: Child = "SELECT ", ASSESSMENT, EACH, "assessments", IN_IT, "name = $2 AND valid LIMIT $3";

    static ASSESSED_AS: Child =
        "SELECT ", ASSESSMENT, EACH, "assessments", IN_IT, "name = $2 AND valid AND substr(value, 1, 200) {in $3} \
         AND value {in $4} LIMIT $5";

    static ASSESSED_WITHIN: Child =
        "SELECT ", ASSESSMENT, "assessments WHERE experiment_id = $1 AND name = $2 AND valid AND is_numeric_value \
         AND aggregate_value BETWEEN $3 AND $4 ORDER BY aggregate_value LIMIT $5";

    static SESSIONS: Child =
        "SELECT DISTINCT session_id FROM trace_info WHERE request_id {in $1} AND session_id IS NOT NULL";

    static IN_SESSIONS: Child =
        "SELECT request_id, 0 FROM ", EACH, "trace_info", IN_IT, "session_id {in $2} LIMIT $3";
}

const ASSESSMENT: &str = "trace_id, CASE WHEN assessment_metadata LIKE '%\"mlflow.trace.session\":%' THEN 1 ELSE 0 END \
                          FROM ";

/// A table with the experiments in `$1`: SQLite, without statistics, scans a table rather than to combine two lists.
const EACH: &str = "{sqlite:(SELECT value AS one FROM json_each($1)) e CROSS JOIN }";
const IN_IT: &str = " WHERE experiment_id = {postgres:ANY($1)}{sqlite:e.one} AND ";

/// A table with the key `$1` and the values in `$2`, for the same reason.
const EACH_VALUE: &str = "{sqlite:(SELECT value AS one FROM json_each($2)) v CROSS JOIN }";
const OF_VALUE: &str = " WHERE key = $1 AND substr(value, 1, 200) = {postgres:ANY($2)}{sqlite:v.one} AND ";

/// The least value of a key, then the next one each time.
const FIRST: &str = "WITH RECURSIVE v(value, number) AS (SELECT (SELECT substr(value, 1, 200) FROM ";
const NEXT: &str = " AND substr(value, 1, 200) >= '' ORDER BY substr(value, 1, 200) LIMIT 1), CAST(1 AS BIGINT) \
                    UNION ALL SELECT (SELECT substr(value, 1, 200) FROM ";
const LAST: &str = " AND substr(value, 1, 200) > v.value ORDER BY substr(value, 1, 200) LIMIT 1), v.number + 1 \
                    FROM v WHERE v.value IS NOT NULL AND v.number <= $2) \
                    SELECT v.value, v.number FROM v WHERE v.value IS NOT NULL ";
const TAGS_OF: &str = "trace_tags WHERE key = $1 AND ";
const METADATA_OF: &str = "trace_request_metadata WHERE key = $1 AND ";
const LIKE: &str = "AND (v.value LIKE $3 OR length(v.value) >= 200 OR v.number > $2)";
const ILIKE: &str = "AND ({postgres:v.value ILIKE $3}{sqlite:lower(v.value) LIKE lower($3)} \
                     OR length(v.value) >= 200 OR v.number > $2)";

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

    /// What to ask for at most `limit` rows; `None` if the index is missing.
    async fn statement(&self, store: &Store, limit: usize) -> Result<Option<Statement>> {
        let is_there = match self.index {
            Some(index) => store.own_indexes.has(&store.db, index).await?,
            None => true,
        };
        let asked = if is_there { Some(&self.asked) } else { self.without.as_ref() };
        Ok(asked.map(|(statement, params)| limited(statement, params.clone(), limit)))
    }
}

/// A statement that reads an index row by row, with its limit as the last parameter.
fn limited(statement: &'static Sql<Child>, mut params: Vec<Value>, limit: usize) -> Statement {
    params.push(i64::try_from(limit).unwrap_or(i64::MAX).into());
    planned(statement, params)
}

fn planned(statement: &'static Sql<Child>, params: Vec<Value>) -> Statement {
    Statement::new(statement, params).planned(Plan::IndexScan)
}

/// Adds a condition on the ids of the traces that may meet the conditions, if an index says that there are few.
///
/// # Errors
/// The database failed.
pub(super) async fn narrow(store: &Store, experiments: &[i64], conditions: &mut Vec<Condition>) -> Result<()> {
    let few = Probes::of(store, experiments, conditions).await?.few(FEW, false).await?;
    conditions.extend(few);
    Ok(())
}

/// The indexes that find the traces of the conditions of a search.
pub(super) struct Probes<'a> {
    store: &'a Store,
    experiments: Vec<i64>,
    probes: Vec<Probe>,
}

impl<'a> Probes<'a> {
    /// Those of a filter; none, if one of its conditions drives the query already.
    ///
    /// # Errors
    /// The database failed.
    pub(super) async fn of(store: &'a Store, experiments: &[i64], conditions: &[Condition]) -> Result<Self> {
        let mut found = Self { store, experiments: experiments.to_vec(), probes: Vec::new() };
        // Beyond the range of the column, it is no experiment's id.
        found.experiments.retain(|id| i32::try_from(*id).is_ok());
        if Access::of(conditions) == Access::Time {
            for condition in conditions {
                if found.probes.len() < ASKED {
                    let probe = found.probe(condition).await?;
                    found.probes.extend(probe);
                }
            }
        }
        Ok(found)
    }

    /// Whether there are some.
    pub(super) fn is_empty(&self) -> bool {
        self.probes.is_empty()
    }

    /// A condition on the ids of the traces that may meet the conditions, if an index says that there are at most so
    /// many. With `counts_first` rows are counted before they are fetched, which takes a fraction of the time: for numbers
    /// of which it is known that they may be large.
    ///
    /// # Errors
    /// The database failed.
    pub(super) async fn few(&self, most: usize, counts_first: bool) -> Result<Option<Condition>> {
        for probe in &self.probes {
            let Some(statement) = probe.statement(self.store, most + 1).await? else { continue };
            if counts_first && self.count(&statement).await? > most {
                continue;
            }
            let row = |row: &Row<'_>| Ok((row.get::<String>(0)?, row.get::<i64>(1)? != 0));
            let found = self.store.db.query(statement, row).await?;
            if found.len() > most {
                continue;
            }
            let of_sessions = found.iter().filter(|(_, is_of_session)| *is_of_session).map(|(id, _)| id.clone());
            let Some(in_sessions) = self.in_sessions(of_sessions.collect(), most).await? else { continue };
            let ids: BTreeSet<String> = found.into_iter().map(|(id, _)| id).chain(in_sessions).collect();
            let test = TextTest::In(ids.into_iter().collect());
            return Ok(Some(Condition::Text { column: TextAttribute::TraceId, test }));
        }
        Ok(None)
    }

    async fn count(&self, statement: &Statement) -> Result<usize> {
        let db = &self.store.db;
        let counted = db.query(statement.clone().counted(db.dialect()), |row| row.get::<i64>(0)).await?;
        Ok(usize::try_from(counted.into_iter().sum::<i64>()).unwrap_or(usize::MAX))
    }

    /// The query plans of what is asked, one line per step.
    ///
    /// # Errors
    /// The database failed.
    pub(super) async fn explain(&self, most: usize) -> Result<Vec<String>> {
        let mut plans = Vec::new();
        for probe in &self.probes {
            if let Some(statement) = probe.statement(self.store, most + 1).await? {
                plans.extend(self.store.db.explain(statement).await?);
            }
        }
        Ok(plans)
    }

    /// The traces in the sessions of these ones; `None` if they are more than `most`.
    async fn in_sessions(&self, traces: Vec<String>, most: usize) -> Result<Option<Vec<String>>> {
        if traces.is_empty() {
            return Ok(Some(traces));
        }
        let db = &self.store.db;
        let id = |row: &Row<'_>| row.get::<String>(0);
        let sessions = db.query(planned(&SESSIONS, vec![traces.into()]), id).await?;
        let params = vec![self.experiments.clone().into(), sessions.into()];
        let found = db.query(limited(&IN_SESSIONS, params, most + 1), id).await?;
        Ok((found.len() <= most).then_some(found))
    }

    /// How the traces of a condition are found by an index.
    async fn probe(&self, condition: &Condition) -> Result<Option<Probe>> {
        Ok(match condition {
            Condition::Tag { key, test } => self.pair(&OF_TAGS, key, test, is_tag(key)).await?,
            Condition::Metadata { key, test } => self.pair(&OF_METADATA, key, test, is_metadata(key)).await?,
            _ => probe(self.store.db.dialect(), &self.experiments, condition),
        })
    }

    /// By the value of a tag or of metadata, by other values, by those that match a pattern, or by the key.
    async fn pair(&self, of: &PairStatements, key: &str, test: &PairTest, is_indexed: bool) -> Result<Option<Probe>> {
        let by_key = Probe::of(of.by_key, vec![key.into()]);
        let (statement, params) = match test {
            PairTest::IsNull => return Ok(None),
            PairTest::Value(TextTest::Equal(value)) if is_indexed => (of.by_value, one_value(key, value)),
            PairTest::Value(TextTest::NotEqual(value)) if is_indexed => (of.by_other, one_value(key, value)),
            PairTest::Value(TextTest::Like(pattern)) if is_indexed => {
                return self.matching(of, of.like, key, pattern).await.map(|found| Some(found.unwrap_or(by_key)));
            }
            PairTest::Value(TextTest::ILike(pattern)) if is_indexed => {
                return self.matching(of, of.ilike, key, pattern).await.map(|found| Some(found.unwrap_or(by_key)));
            }
            PairTest::Value(_) | PairTest::IsNotNull => return Ok(Some(by_key)),
        };
        Ok(Some(Probe::by(of.index, statement, params).or(of.by_key, vec![key.into()])))
    }

    /// By the values of a key that match a pattern; `None` if it has many different values, or the index is missing.
    async fn matching(
        &self,
        of: &PairStatements,
        matches: &'static Sql<Child>,
        key: &str,
        pattern: &str,
    ) -> Result<Option<Probe>> {
        if !self.store.own_indexes.has(&self.store.db, of.index).await? {
            return Ok(None);
        }
        let statement = planned(matches, vec![key.into(), VALUES.into(), pattern.into()]);
        let found = self.store.db.query(statement, |row| Ok((row.get::<String>(0)?, row.get::<i64>(1)?))).await?;
        if found.iter().any(|(_, number)| *number > VALUES) {
            return Ok(None);
        }
        let values: Vec<String> = found.into_iter().map(|(value, _)| value).collect();
        Ok(Some(Probe::by(of.index, of.by_beginnings, vec![key.into(), values.into()])))
    }
}

/// The statements for tags, or for metadata.
struct PairStatements {
    index: OwnIndex,
    by_key: &'static Sql<Child>,
    by_value: &'static Sql<Child>,
    by_other: &'static Sql<Child>,
    by_beginnings: &'static Sql<Child>,
    like: &'static Sql<Child>,
    ilike: &'static Sql<Child>,
}

static OF_TAGS: PairStatements = PairStatements {
    index: OwnIndex::TagValue,
    by_key: &TAGGED,
    by_value: &WITH_TAG,
    by_other: &WITH_OTHER_TAG,
    by_beginnings: &WITH_TAGS,
    like: &TAGS_LIKE,
    ilike: &TAGS_ILIKE,
};

static OF_METADATA: PairStatements = PairStatements {
    index: OwnIndex::MetadataValue,
    by_key: &WITH_METADATA,
    by_value: &WITH_METADATA_VALUE,
    by_other: &WITH_OTHER_METADATA_VALUE,
    by_beginnings: &WITH_METADATA_VALUES,
    like: &METADATA_LIKE,
    ilike: &METADATA_ILIKE,
};

/// The parameters of a statement on one value of a key.
fn one_value(key: &str, value: &str) -> Vec<Value> {
    vec![key.into(), indexed(value).into(), vec![value.to_owned()].into()]
}

/// How the traces of a condition on something else than tags and metadata are found by an index.
fn probe(dialect: Dialect, experiments: &[i64], condition: &Condition) -> Option<Probe> {
    // An index has the numbers of a single experiment in order.
    let one = || match experiments {
        [id] => Some(*id),
        _ => None,
    };
    let all = || Value::from(experiments.to_vec());
    match condition {
        Condition::Text { column: TextAttribute::ClientRequestId, test } => {
            Some(Probe::by(OwnIndex::ClientRequestId, &WITH_CLIENT_ID, vec![listed(test)?.into()]))
        }
        // That of a single state is in the order of time.
        Condition::Text { column: TextAttribute::Status, test: TextTest::In(states) } => {
            Some(Probe::by(OwnIndex::TraceStatus, &IN_STATES, vec![all(), states.clone().into()]))
        }
        Condition::Text { column: TextAttribute::Status, test: TextTest::NotEqual(state) } => {
            Some(Probe::by(OwnIndex::TraceStatus, &IN_OTHER_STATE, vec![all(), state.into()]))
        }
        Condition::Time { column: TimeAttribute::ExecutionTime, op, value } => {
            let (least, most) = integers(*op, *value)?;
            Some(Probe::by(OwnIndex::ExecutionTime, &LASTING, vec![one()?.into(), least.into(), most.into()]))
        }
        Condition::Span(SpanCondition::Column { column, test }) => {
            let (experiments, names) = (all(), listed(test)?);
            match column {
                SpanColumn::Type => Some(Probe::of(&WITH_TYPE, vec![experiments, names.into()])),
                SpanColumn::Status => Some(Probe::of(&WITH_STATUS, vec![experiments, names.into()])),
                SpanColumn::Name => {
                    let params = vec![experiments, beginnings(&names), names.into()];
                    Some(Probe::by(OwnIndex::SpanName, &WITH_SPAN, params))
                }
                SpanColumn::Content => None,
            }
        }
        Condition::Assessment { kind: AssessmentKind::Feedback | AssessmentKind::Expectation, name, test } => {
            assessment(dialect, &all(), one(), name, test)
        }
        _ => None,
    }
}

fn assessment(
    dialect: Dialect,
    experiments: &Value,
    experiment: Option<i64>,
    name: &str,
    test: &AssessmentTest,
) -> Option<Probe> {
    let by_name = || vec![experiments.clone(), name.into()];
    let probe = match test {
        AssessmentTest::IsNull => return None,
        AssessmentTest::Text(TextTest::Equal(value)) => {
            let values = vec![value.clone(), json_dumps(&value.as_str().into())];
            let mut params = by_name();
            params.extend([beginnings(&values), values.into()]);
            Probe::by(OwnIndex::AssessmentValue, &ASSESSED_AS, params)
        }
        AssessmentTest::Number { op, value } if *op != NumberOp::NotEqual && experiment.is_some() => {
            let (least, most) = numbers(dialect, *op, *value);
            let params = vec![experiment.into(), name.into(), least.into(), most.into()];
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
