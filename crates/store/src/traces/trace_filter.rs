//! Conditions of a filter for traces, as SQL on a row `t` of `trace_info`.
//!
//! Conditions on children are looked up by the id of the trace, so that a search reads traces in their order and looks
//! at the children of a few. They are looked up behind a fence (`OFFSET 0`): without one, PostgreSQL may read the spans of
//! all experiments, whose contents are large, or all values of a tag. What an index finds by its value (a linked run, a
//! prompt, an issue) may drive the query, and so may conditions that few traces meet ([`super::trace_few`]).

use ferroflow_search::{
    Number, NumberOp, PairTest, TextTest,
    traces::{
        AssessmentKind, AssessmentTest, Condition, OptionalAttribute, RUN_METADATA, SpanColumn, SpanCondition,
        TextAttribute, TimeAttribute, Usage, UsageTest,
    },
};

use crate::{
    db::{Value, dialect::Dialect},
    query::{
        compare::{self, Approach, Pairs},
        select::Select,
    },
    schema::own_indexes::{METADATA, indexed},
};

const TAG_PAIRS: Pairs = Pairs { table: "trace_tags", owner: "request_id", key: "key", value: "value" };
const METADATA_PAIRS: Pairs =
    Pairs { table: "trace_request_metadata", owner: "request_id", key: "key", value: "value" };

/// How much earlier than its trace a span may start, in milliseconds: clocks differ.
const CLOCK_SKEW_MS: i64 = 10_000;

/// The experiments of a search, as a bound value.
pub(crate) struct Experiments {
    place: String,
    is_one: bool,
    dialect: Dialect,
}

impl Experiments {
    /// Binds the ids. Those beyond the range of the column are no experiment's.
    pub(crate) fn bind(select: &mut Select, dialect: Dialect, mut ids: Vec<i64>) -> Self {
        ids.retain(|id| i32::try_from(*id).is_ok());
        ids.sort_unstable();
        ids.dedup();
        let is_one = ids.len() == 1;
        // An index has the rows of one experiment in order; those of several need to be sorted.
        let place = if is_one { select.bind(ids[0]) } else { select.bind(ids) };
        Self { place, is_one, dialect }
    }

    /// Whether it is a single one.
    pub(crate) fn is_one(&self) -> bool {
        self.is_one
    }

    /// A single one, as a bound value.
    pub(crate) fn one(&self) -> Option<&str> {
        self.is_one.then_some(self.place.as_str())
    }

    /// The experiments as rows `e` with a column `id`.
    pub(crate) fn rows(&self) -> String {
        let place = &self.place;
        match self.dialect {
            Dialect::Postgres => format!("unnest({place}::bigint[]) AS e(id)"),
            Dialect::Sqlite => format!("(SELECT value AS id FROM json_each({place})) e"),
        }
    }

    /// The condition that a row is in one of the experiments.
    pub(crate) fn contain(&self, alias: &str) -> String {
        let column = format!("{alias}.experiment_id");
        if self.is_one { format!("{column} = {}", self.place) } else { self.dialect.any(&column, &self.place) }
    }
}

/// Writes the conditions of a filter.
pub(crate) fn conditions_sql(
    select: &mut Select,
    dialect: Dialect,
    experiments: &Experiments,
    conditions: &[Condition],
) -> Vec<String> {
    let access = Access::of(conditions);
    let mut writer = Writer { select, dialect, experiments, access };
    let mut written = Vec::with_capacity(conditions.len());
    let mut spans = Vec::new();
    for condition in conditions {
        match condition {
            Condition::Span(condition) => spans.push(condition),
            _ => written.push(writer.condition(condition)),
        }
    }
    if !spans.is_empty() {
        let earliest = earliest(conditions);
        written.push(writer.spans(&spans, earliest));
    }
    written
}

/// The lower bound of the start time, in milliseconds.
fn earliest(conditions: &[Condition]) -> Option<i64> {
    let bounds = conditions.iter().filter_map(|condition| match condition {
        Condition::Time {
            column: TimeAttribute::Timestamp,
            op: NumberOp::Greater | NumberOp::GreaterOrEqual,
            value,
        } => Some(match value {
            Number::Int(value) => *value,
            #[expect(clippy::cast_possible_truncation, reason = "the cast saturates")]
            Number::Real(value) => value.floor() as i64,
        }),
        _ => None,
    });
    bounds.max()
}

struct Writer<'a> {
    select: &'a mut Select,
    dialect: Dialect,
    experiments: &'a Experiments,
    access: Access,
}

impl Writer<'_> {
    fn bind(&mut self, value: impl Into<Value>) -> String {
        self.select.bind(value)
    }

    fn text(&mut self, column: &str, test: &TextTest) -> String {
        compare::text(self.select, self.dialect, column, test)
    }

    fn condition(&mut self, condition: &Condition) -> String {
        let approach = Approach::FencedLookUp;
        match condition {
            Condition::Text { column, test } => {
                let column = match column {
                    TextAttribute::TraceId => "t.request_id",
                    TextAttribute::Status => "t.status",
                    TextAttribute::ClientRequestId => "t.client_request_id",
                };
                self.text(column, test)
            }
            Condition::Optional { column, test } => {
                let (name, column) = (*column, optional_column(*column));
                match test {
                    PairTest::Value(TextTest::Equal(value)) if name == OptionalAttribute::Name => {
                        // The index of names has their beginnings. With `=`, SQLite would replace the column in its
                        // expression by the value.
                        let (beginning, whole) = (self.bind(indexed(value)), self.bind(vec![value.clone()]));
                        format!("substr({column}, 1, 200) = {beginning} AND {}", self.dialect.any(column, &whole))
                    }
                    PairTest::Value(test) => self.text(column, test),
                    PairTest::IsNull => format!("{column} IS NULL"),
                    PairTest::IsNotNull => format!("{column} IS NOT NULL"),
                }
            }
            Condition::Time { column, op, value } => {
                let column = time_column(*column, self.access);
                match value {
                    Number::Int(value) => compare::number(self.select, column, *op, *value),
                    Number::Real(value) => compare::number(self.select, column, *op, *value),
                }
            }
            Condition::Usage { usage, test } => self.usage(*usage, test),
            Condition::Tag { key, test } => {
                compare::pair(self.select, self.dialect, "t.request_id", &TAG_PAIRS, key, test, approach)
            }
            Condition::Metadata { key, test } => {
                compare::pair(self.select, self.dialect, "t.request_id", &METADATA_PAIRS, key, test, approach)
            }
            Condition::Run(id) => {
                let (beginning, ids, id) = (self.bind(indexed(id)), self.bind(vec![id.clone()]), self.bind(id));
                let is_one = self.dialect.any("value", &ids);
                format!(
                    "t.request_id IN (SELECT source_id FROM entity_associations WHERE destination_type = 'run' \
                     AND destination_id = {id} AND source_type = 'trace' \
                     UNION ALL SELECT request_id FROM trace_request_metadata WHERE key = '{RUN_METADATA}' \
                     AND substr(value, 1, 200) = {beginning} AND {is_one} AND {METADATA})"
                )
            }
            Condition::Prompt(id) => {
                let id = self.bind(id);
                format!(
                    "t.request_id IN (SELECT source_id FROM entity_associations \
                     WHERE destination_type = 'prompt_version' AND destination_id = {id} AND source_type = 'trace')"
                )
            }
            Condition::Assessment { kind, name, test } => self.assessment(*kind, name, test),
            Condition::Issue(id) => {
                let id = self.bind(id);
                format!(
                    "t.request_id IN (SELECT a.trace_id FROM assessments a WHERE {} AND a.name = {id} \
                     AND a.assessment_type = 'issue')",
                    self.experiments.contain("a")
                )
            }
            Condition::Span(condition) => self.spans(&[condition], None),
        }
    }

    fn usage(&mut self, usage: Usage, test: &UsageTest) -> String {
        let each = |test: &str, joined: &str| {
            let tests: Vec<String> = usage.columns().iter().map(|column| format!("t.{column} {test}")).collect();
            format!("({})", tests.join(joined))
        };
        match test {
            UsageTest::IsNull => each("IS NULL", " AND "),
            UsageTest::IsNotNull | UsageTest::NotEqual(None) => each("IS NOT NULL", " OR "),
            UsageTest::Equal(None) => "FALSE".to_owned(),
            UsageTest::Equal(Some(values)) => self.usage_is(usage, values),
            UsageTest::NotEqual(Some(values)) => {
                let exists = each("IS NOT NULL", " OR ");
                format!("({exists} AND NOT {})", self.usage_is(usage, values))
            }
        }
    }

    fn usage_is(&mut self, usage: Usage, values: &[(&'static str, Number)]) -> String {
        let tests: Vec<String> = usage
            .columns()
            .iter()
            .map(|column| match values.iter().find(|(name, _)| name == column) {
                None => format!("t.{column} IS NULL"),
                Some((_, value)) => {
                    let place = match value {
                        Number::Int(value) => self.bind(*value),
                        Number::Real(value) => self.bind(*value),
                    };
                    format!("(t.{column} IS NOT NULL AND t.{column} = {place})")
                }
            })
            .collect();
        format!("({})", tests.join(" AND "))
    }

    /// An assessment of the trace, or one of another trace that is about their session.
    fn assessment(&mut self, kind: AssessmentKind, name: &str, test: &AssessmentTest) -> String {
        // Not by the index of types: nearly all assessments have one of two.
        let (place, kind) = (self.bind(name), kind.name());
        let mut found = format!("a.name = {place} AND COALESCE(a.assessment_type, '') = '{kind}' AND a.valid");
        match test {
            AssessmentTest::IsNull | AssessmentTest::IsNotNull => {}
            AssessmentTest::Number { op, value } => {
                let test = compare::number(self.select, "a.aggregate_value", *op, *value);
                found.push_str(&format!(" AND a.is_numeric_value AND {test}"));
            }
            AssessmentTest::Text(test @ (TextTest::Equal(value) | TextTest::NotEqual(value))) => {
                let json = ferroflow_model::python::json_dumps(&value.as_str().into());
                let (plain, json) = (self.bind(value), self.bind(json));
                let not = if matches!(test, TextTest::NotEqual(_)) { "NOT " } else { "" };
                found.push_str(&format!(" AND {not}(a.value = {plain} OR a.value = {json})"));
            }
            AssessmentTest::Text(test) => {
                let test = self.text("a.value", test);
                found.push_str(&format!(" AND {test}"));
            }
        }
        let (experiments, workspace) = (self.experiments.contain("u"), self.select.within_workspace("u"));
        let either = format!(
            "(EXISTS (SELECT 1 FROM assessments a WHERE a.trace_id = t.request_id AND {found} LIMIT 1 OFFSET 0) \
             OR (t.session_id IS NOT NULL AND EXISTS (SELECT 1 FROM trace_info u \
             JOIN assessments a ON a.trace_id = u.request_id \
             WHERE u.session_id = t.session_id AND {experiments} AND {workspace} AND {found} \
             AND a.assessment_metadata LIKE '%\"mlflow.trace.session\":%' LIMIT 1 OFFSET 0)))"
        );
        if *test == AssessmentTest::IsNull { format!("NOT {either}") } else { either }
    }

    /// One span that meets all conditions. It is in the experiment of its trace, and does not start long before the
    /// earliest trace.
    fn spans(&mut self, conditions: &[&SpanCondition], earliest_ms: Option<i64>) -> String {
        // Spans are looked up by the id of their trace. A sign makes an expression of a column, which no index serves:
        // SQLite would read all spans of a type for each trace.
        let mut tests = vec![format!("+{}", self.experiments.contain("s"))];
        if let Some(earliest) = earliest_ms {
            let earliest = earliest.saturating_sub(CLOCK_SKEW_MS).saturating_mul(1_000_000);
            tests.push(format!("+s.start_time_unix_nano >= {}", self.bind(earliest)));
        }
        for condition in conditions {
            tests.push(match condition {
                SpanCondition::Column { column: SpanColumn::Content, test: TextTest::ILike(pattern) } => {
                    self.content_ilike(pattern)
                }
                SpanCondition::Column { column, test } => {
                    let column = match column {
                        SpanColumn::Name => "s.name",
                        SpanColumn::Type => "s.type",
                        SpanColumn::Status => "s.status",
                        SpanColumn::Content => "s.content",
                    };
                    self.text(column, test)
                }
                SpanCondition::Attribute { key, test } => self.span_attribute(key, test),
            });
        }
        Approach::FencedLookUp.condition("spans s", "s.trace_id", "t.request_id", &tests.join(" AND "))
    }

    /// `ILIKE` on the content of a span. PostgreSQL takes three times as long for the lower case of a database's locale as
    /// for that of ASCII, which is all that a pattern of ASCII needs.
    fn content_ilike(&mut self, pattern: &str) -> String {
        if self.dialect == Dialect::Sqlite || !pattern.is_ascii() {
            return self.text("s.content", &TextTest::ILike(pattern.to_owned()));
        }
        let content = "s.content COLLATE \"C\"";
        let part = pattern.strip_prefix('%').and_then(|rest| rest.strip_suffix('%'));
        match part.filter(|part| !part.contains(['%', '_', '\\'])) {
            Some(part) => format!("strpos(lower({content}), {}) > 0", self.bind(part.to_ascii_lowercase())),
            None => self.text(content, &TextTest::ILike(pattern.to_owned())),
        }
    }

    /// An attribute within the JSON of a span: `"key": "…"`, where the value is the JSON text of the attribute.
    fn span_attribute(&mut self, key: &str, test: &TextTest) -> String {
        let contains = |writer: &mut Self, text: &str| {
            let place = writer.bind(text);
            writer.dialect.pick("strpos", "instr").to_owned() + &format!("(s.content, {place}) > 0")
        };
        // The forms in which a text is stored: as a string, and as the text of another value, such as a number.
        let equals = |writer: &mut Self, value: &str| {
            let written = json_string(&json_string(value));
            let string = contains(writer, &format!("{}: {written}", json_string(key)));
            let other = contains(writer, &format!("{}: {}", json_string(key), json_string(value)));
            format!("({string} OR {other})")
        };
        let any = |writer: &mut Self, values: &[String]| {
            let tests: Vec<String> = values.iter().map(|value| equals(writer, value)).collect();
            format!("({})", tests.join(" OR "))
        };
        let exists = |writer: &mut Self| contains(writer, &format!("{}: ", json_string(key)));
        match test {
            TextTest::Equal(value) => equals(self, value),
            TextTest::In(values) => any(self, values),
            TextTest::NotEqual(value) => format!("{} AND NOT {}", exists(self), equals(self, value)),
            TextTest::NotIn(values) => format!("{} AND NOT {}", exists(self), any(self, values)),
            TextTest::Like(pattern) => self.text("s.content", &TextTest::Like(format!("%\"{key}\"{pattern}%"))),
            TextTest::ILike(pattern) => self.content_ilike(&format!("%\"{key}\"{pattern}%")),
            TextTest::RLike(expression) => {
                let expression = attribute_expression(key, expression);
                self.text("s.content", &TextTest::RLike(expression))
            }
        }
    }
}

/// The regular expression for an attribute within the JSON of a span. An anchor stands at the quote of the value.
fn attribute_expression(key: &str, expression: &str) -> String {
    let (before, expression) = match expression.strip_prefix('^') {
        Some(rest) => (r#""\\""#, rest),
        None => (r#""\\".*"#, expression),
    };
    let (expression, behind) = match expression.strip_suffix('$') {
        Some(rest) => (rest, r#"\\""#),
        None => (expression, ""),
    };
    let mut escaped = String::with_capacity(key.len());
    for c in key.chars() {
        if r".^$*+?()[]{}|\".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    format!("\"{escaped}\": {before}{expression}{behind}")
}

/// A text as a JSON string, without escapes of letters beyond ASCII.
fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The column of a tag or of metadata.
pub(crate) fn optional_column(column: OptionalAttribute) -> &'static str {
    match column {
        OptionalAttribute::Name => "t.trace_name",
        OptionalAttribute::Session => "t.session_id",
    }
}

/// The index of traces that shall serve a search. Without statistics, databases prefer that of the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// By experiment and time, which ends early.
    Time,
    /// By experiment and session, which has few traces.
    Session,
    /// By ids, which a condition finds.
    Id,
}

impl Access {
    pub(crate) fn of(conditions: &[Condition]) -> Self {
        let is_one = |test: &TextTest| matches!(test, TextTest::Equal(_) | TextTest::In(_));
        let of_condition = |condition: &Condition| match condition {
            Condition::Text { column: TextAttribute::TraceId, test } if is_one(test) => Some(Self::Id),
            Condition::Run(_) | Condition::Prompt(_) | Condition::Issue(_) => Some(Self::Id),
            Condition::Optional { column: OptionalAttribute::Session, test: PairTest::Value(test) } if is_one(test) => {
                Some(Self::Session)
            }
            _ => None,
        };
        conditions.iter().find_map(of_condition).unwrap_or(Self::Time)
    }
}

/// The column or expression of a number.
pub(crate) fn time_column(column: TimeAttribute, access: Access) -> &'static str {
    match column {
        TimeAttribute::Timestamp if access == Access::Time => "t.timestamp_ms",
        // A sign makes an expression of a column, which no index serves.
        TimeAttribute::Timestamp => "+t.timestamp_ms",
        TimeAttribute::ExecutionTime => "+t.execution_time_ms",
        TimeAttribute::EndTime => "(t.timestamp_ms + COALESCE(t.execution_time_ms, 0))",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anchor_stands_at_the_quote_of_the_value() {
        assert_eq!(attribute_expression("a", "x"), r#""a": "\\".*x"#);
        assert_eq!(attribute_expression("a.b", "^x$"), r#""a\.b": "\\"x\\""#);
    }
}
