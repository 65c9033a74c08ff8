//! What runs are ordered by, as far as an index has them in that order: a column, or the metric, param or tag of a key.

use ferroflow_search::{
    KeyValue, NumberOp,
    runs::{Column, Condition, TextAttribute, TimeAttribute},
};

use super::run_window::Same;
use crate::{
    db::{Child, Plan, Sql, Statement, Value, dialect::Dialect},
    query::{bound::extremes, compare::Approach, select::Select},
    schema::own_indexes::{LONG, LONG_KEY, OwnIndex, RUN_TAGS, is_run_tag},
    statements::statements,
};

// Whether some values of a key are longer than what its index has of them.
statements! {
    static LONG_PARAM: Child =
        "SELECT COUNT(*) FROM (SELECT 1 FROM params WHERE ", LONG_KEY, " = $1 AND ", LONG, " LIMIT 1) x";

    static LONG_TAG: Child =
        "SELECT COUNT(*) FROM (SELECT 1 FROM tags WHERE ", LONG_KEY, " = $1 AND ", LONG, " LIMIT 1) x";
}

/// What runs are ordered by.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum By {
    /// A column of `runs`.
    Column(&'static str),
    Metric(String),
    Param(String),
    Tag(String),
}

impl By {
    /// What a clause orders by, and the indexes that it takes.
    pub(super) fn of(column: &Column, dialect: Dialect) -> Option<(Self, &'static [OwnIndex])> {
        Some(match column {
            Column::Text(TextAttribute::RunName) => (Self::Column("name"), &[OwnIndex::RunsName]),
            Column::Text(TextAttribute::Status) => (Self::Column("status"), &[OwnIndex::RunsStatus]),
            Column::Text(TextAttribute::UserId) => (Self::Column("user_id"), &[OwnIndex::RunsUser]),
            Column::Time(TimeAttribute::EndTime) => (Self::Column("end_time"), &[OwnIndex::RunsEndTime]),
            Column::Metric(key) => (Self::Metric(key.clone()), &[OwnIndex::MetricValue]),
            Column::Param(key) if dialect == Dialect::Postgres => {
                (Self::Param(key.clone()), &[OwnIndex::ParamValue, OwnIndex::LongParams])
            }
            Column::Tag(key) if dialect == Dialect::Postgres && is_run_tag(key) => {
                (Self::Tag(key.clone()), &[OwnIndex::RunTagValue, OwnIndex::LongTags])
            }
            Column::Text(TextAttribute::RunId | TextAttribute::ArtifactUri)
            | Column::Time(TimeAttribute::StartTime)
            | Column::Param(_)
            | Column::Tag(_) => return None,
        })
    }

    /// The runs with a value in a column, or without one, which have an index.
    pub(super) fn same(&self, value: Option<&Value>) -> Option<Same> {
        match self {
            Self::Column(column) => Some(Same { column, value: value.cloned() }),
            Self::Metric(_) | Self::Param(_) | Self::Tag(_) => None,
        }
    }

    /// The first value that the filter allows, if it bounds the same metric.
    pub(super) fn first_allowed(&self, dialect: Dialect, conditions: &[Condition], descending: bool) -> Option<Value> {
        let Self::Metric(key) = self else { return None };
        let of_metric = conditions.iter().filter_map(|condition| match condition {
            Condition::Metric { key: of, op, value } if of == key && *op != NumberOp::NotEqual => {
                let (least, most) = extremes(dialect, *op, *value);
                Some(if descending { most } else { least })
            }
            _ => None,
        });
        let value = if descending { of_metric.reduce(f64::min)? } else { of_metric.reduce(f64::max)? };
        Some(value.into())
    }

    /// What finds values that are longer than what the index has of them: in some languages, texts are not in the order of
    /// their beginnings.
    pub(super) fn unordered(&self) -> Option<Statement> {
        let (sql, key): (&'static Sql<Child>, _) = match self {
            Self::Param(key) => (&LONG_PARAM, key),
            Self::Tag(key) => (&LONG_TAG, key),
            Self::Column(_) | Self::Metric(_) => return None,
        };
        Some(Statement::new(sql, vec![key.into()]).planned(Plan::IndexScan))
    }

    /// The value of a page token, if it is one.
    pub(super) fn value_of(&self, key: &KeyValue) -> Option<Value> {
        match (key, self) {
            (KeyValue::Int(value), Self::Column("end_time")) => Some((*value).into()),
            (KeyValue::Real(value), Self::Metric(_)) => Some((*value).into()),
            (KeyValue::Text(_), Self::Column("end_time") | Self::Metric(_)) => None,
            (KeyValue::Text(value), _) => Some(value.into()),
            _ => None,
        }
    }

    pub(super) fn table(&self) -> &'static str {
        match self {
            Self::Column(_) => "runs",
            Self::Metric(_) => "latest_metrics",
            Self::Param(_) => "params",
            Self::Tag(_) => "tags",
        }
    }

    /// The key, if the values are rows of another table.
    pub(super) fn key(&self) -> Option<&str> {
        match self {
            Self::Column(_) => None,
            Self::Metric(key) | Self::Param(key) | Self::Tag(key) => Some(key),
        }
    }

    /// The value of a row of its table, as an index has it.
    pub(super) fn value(&self, row: &str) -> String {
        match self {
            Self::Column(column) => format!("{row}.{column}"),
            Self::Metric(_) => format!("{row}.value"),
            Self::Param(_) | Self::Tag(_) => format!("substr({row}.value, 1, 200)"),
        }
    }

    /// The condition that a row of another table is in the index of values, with the placeholder of the key.
    pub(super) fn with_value(&self, row: &str, key: &str) -> String {
        let only = match self {
            Self::Metric(_) => format!(" AND {row}.is_nan = FALSE"),
            Self::Tag(_) => format!(" AND {row}.{RUN_TAGS}"),
            Self::Column(_) | Self::Param(_) => String::new(),
        };
        format!("{row}.key = {key}{only}")
    }

    /// The condition that a run has a value, or none, if its index has not only these.
    pub(super) fn is_same(&self, select: &mut Select, value: Option<&Value>) -> Option<String> {
        let key = select.bind(self.key()?);
        let has = |test: String| Approach::FencedLookUp.condition(self.table(), "run_uuid", "r.run_uuid", &test);
        Some(match (value, self) {
            // The sign hides the value from indexes.
            (Some(value), Self::Metric(_)) => {
                has(format!("key = {key} AND is_nan = FALSE AND +value = {}", select.bind(value.clone())))
            }
            (Some(value), _) => has(format!("key = {key} AND value = {}", select.bind(value.clone()))),
            (None, _) => format!("NOT {}", has(format!("key = {key} AND value IS NOT NULL"))),
        })
    }
}
