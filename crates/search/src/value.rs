//! Tests in conditions: of texts, of numbers, and of presence.

use ferroflow_model::Error;

use crate::{bounds, comparator::Comparator};

/// A comparison operator for numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberOp {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
}

impl NumberOp {
    /// The operator in SQL, which is the same as in filters.
    #[must_use]
    pub const fn sql(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Equal => "=",
            Self::NotEqual => "!=",
        }
    }
}

/// A number in a filter. An integer stays exact.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// Written without a fraction or an exponent.
    Int(i64),
    /// Any other number; infinite if it is out of range.
    Real(f64),
}

/// A test of a text.
///
/// Equality and `LIKE` are case-sensitive, `ILIKE` is not. In a pattern `%` matches any text, including the empty one,
/// and `_` matches one character; the language has no escape character. The rest depends on the database, as in the
/// reference: in PostgreSQL a backslash escapes, and `ILIKE` folds all letters; SQLite has no escape and folds only
/// ASCII letters (there `ILIKE` is `lower(x) LIKE lower(y)`, and `LIKE` is case-sensitive because the connection sets
/// `PRAGMA case_sensitive_like`). `RLIKE` searches for a regular expression of the database: PostgreSQL's `~`, or in
/// SQLite the syntax of the `regex` crate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextTest {
    /// `= 'a'`
    Equal(String),
    /// `!= 'a'`
    NotEqual(String),
    /// `LIKE 'a%'`
    Like(String),
    /// `ILIKE 'a%'`
    ILike(String),
    /// `RLIKE '^a'`
    RLike(String),
    /// `IN ('a', 'b')`
    In(Vec<String>),
    /// `NOT IN ('a', 'b')`
    NotIn(Vec<String>),
}

/// A test of a tag or param. If the key is missing, only [`PairTest::IsNull`] is true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PairTest {
    /// The key exists and its value passes the test.
    Value(TextTest),
    /// `IS NULL`: the key is missing.
    IsNull,
    /// `IS NOT NULL`: the key exists.
    IsNotNull,
}

/// The right operand of a comparison, before it is interpreted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Text(String),
    List(Vec<String>),
    Int(i64),
    /// An integer beyond 64 bits.
    Huge(String),
    Real(f64),
    /// No operand: `IS NULL`.
    Missing,
}

impl TextTest {
    /// The test for a comparator of texts.
    pub(crate) fn new(comparator: Comparator, value: Value) -> Result<Self, Error> {
        match (comparator, value) {
            (Comparator::EQUAL, Value::Text(text)) => Ok(Self::Equal(text)),
            (Comparator::NOT_EQUAL, Value::Text(text)) => Ok(Self::NotEqual(text)),
            (Comparator::Like, Value::Text(text)) => bounds::pattern(&text).map(|()| Self::Like(text)),
            (Comparator::ILike, Value::Text(text)) => bounds::pattern(&text).map(|()| Self::ILike(text)),
            (Comparator::RLike, Value::Text(text)) => bounds::expression(&text).map(|()| Self::RLike(text)),
            (Comparator::In, Value::List(items)) => Ok(Self::In(items)),
            (Comparator::NotIn, Value::List(items)) => Ok(Self::NotIn(items)),
            (_, Value::List(_)) => Err(Value::list_error(comparator)),
            _ => Err(comparator.unusable()),
        }
    }
}

impl PairTest {
    /// The test for a comparator of texts that may be missing.
    pub(crate) fn new(comparator: Comparator, value: Value) -> Result<Self, Error> {
        match comparator {
            Comparator::IsNull => Ok(Self::IsNull),
            Comparator::IsNotNull => Ok(Self::IsNotNull),
            _ => TextTest::new(comparator, value).map(Self::Value),
        }
    }
}

impl Value {
    /// The error for a list after a comparator that takes one value, which the reference's database rejects.
    pub(crate) fn list_error(comparator: Comparator) -> Error {
        Error::invalid(format!(
            "The comparator '{}' takes one quoted string value; a list of values needs IN or NOT IN.",
            comparator.text()
        ))
    }

    /// The error for an integer that no database column can hold.
    pub(crate) fn huge_error(attribute: &str, digits: &str) -> Error {
        Error::invalid(format!(
            "Invalid value for numeric attribute '{attribute}': '{digits}' is out of the range of a 64-bit integer"
        ))
    }
}
