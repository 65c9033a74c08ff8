//! How the traces of a condition are found by an index.

use ferroflow_model::{Result, python::json_dumps};
use ferroflow_search::{
    Number, NumberOp, PairTest, TextTest,
    traces::{AssessmentKind, AssessmentTest, Condition, SpanColumn, SpanCondition, TextAttribute, TimeAttribute},
};

use super::{
    Probes, limited, planned,
    statements::{
        ASSESSED, ASSESSED_AS, ASSESSED_WITHIN, IN_OTHER_STATE, IN_STATES, LASTING, METADATA_ILIKE, METADATA_LIKE,
        TAGGED, TAGS_ILIKE, TAGS_LIKE, WITH_CLIENT_ID, WITH_METADATA, WITH_METADATA_VALUE, WITH_METADATA_VALUES,
        WITH_OTHER_METADATA_VALUE, WITH_OTHER_TAG, WITH_SPAN, WITH_STATUS, WITH_TAG, WITH_TAGS, WITH_TYPE,
    },
};
use crate::{
    Store,
    db::{Child, Sql, Statement, Value, dialect::Dialect},
    query::bound::extremes,
    schema::own_indexes::{OwnIndex, indexed, is_metadata, is_tag},
};

/// Maximum number of different values of a key that are compared with a pattern.
const VALUES: i64 = 200;

/// A statement and its parameters.
type Asked = (&'static Sql<Child>, Vec<Value>);

/// How the traces of a condition are found.
pub(super) struct Probe {
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
    pub(super) async fn statement(&self, store: &Store, limit: usize) -> Result<Option<Statement>> {
        let is_there = match self.index {
            Some(index) => store.own_indexes.has(&store.db, index).await?,
            None => true,
        };
        let asked = if is_there { Some(&self.asked) } else { self.without.as_ref() };
        Ok(asked.map(|(statement, params)| limited(statement, params.clone(), limit)))
    }
}

impl Probes<'_> {
    /// How the traces of a condition are found by an index.
    pub(super) async fn probe(&self, condition: &Condition) -> Result<Option<Probe>> {
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
            let (least, most) = extremes(dialect, *op, *value);
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
