//! What a condition tests: texts, numbers and their presence.

use ferroflow_model::Error;

use crate::bounds;

/// How a number compares.
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
    /// The operator in SQL, which is the one of the filter.
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

    pub(crate) fn parse(sign: &str) -> Option<Self> {
        [Self::Less, Self::LessOrEqual, Self::Greater, Self::GreaterOrEqual, Self::Equal, Self::NotEqual]
            .into_iter()
            .find(|op| op.sql() == sign)
    }
}

/// A number of a filter. A whole number stays exact.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// Written without fraction and exponent.
    Int(i64),
    /// Anything else; infinite when it was too large.
    Real(f64),
}

/// A test of a text.
///
/// Equality and `LIKE` tell upper from lower case, `ILIKE` does not. In a pattern `%` stands for any text, the empty
/// one included, and `_` for one character; the language has no escape for them. The rest is up to the database, as in
/// the reference: PostgreSQL takes a backslash in a pattern as an escape and folds all letters in `ILIKE`; SQLite knows
/// no escape and folds ASCII letters only (there `ILIKE` is `lower(x) LIKE lower(y)`, and `LIKE` tells the case apart
/// because the connection sets `PRAGMA case_sensitive_like`).
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
    /// `IN ('a', 'b')`
    In(Vec<String>),
    /// `NOT IN ('a', 'b')`
    NotIn(Vec<String>),
}

/// A test of a tag or param that may be missing. Without the key only [`PairTest::IsNull`] holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PairTest {
    /// The key is there and its value passes the test.
    Value(TextTest),
    /// `IS NULL`: the key is missing.
    IsNull,
    /// `IS NOT NULL`: the key is there.
    IsNotNull,
}

/// The right side of a comparison before its meaning is known.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Text(String),
    List(Vec<String>),
    Int(i64),
    /// A whole number beyond 64 bits.
    Huge(String),
    Real(f64),
    /// There is none: `IS NULL`.
    Missing,
}

impl TextTest {
    /// The test of a comparator the caller has accepted for texts.
    pub(crate) fn new(sign: &str, value: Value) -> Result<Self, Error> {
        match (sign, value) {
            ("=", Value::Text(text)) => Ok(Self::Equal(text)),
            ("!=", Value::Text(text)) => Ok(Self::NotEqual(text)),
            ("LIKE", Value::Text(text)) => bounds::pattern(&text).map(|()| Self::Like(text)),
            ("ILIKE", Value::Text(text)) => bounds::pattern(&text).map(|()| Self::ILike(text)),
            ("IN", Value::List(items)) => Ok(Self::In(items)),
            ("NOT IN", Value::List(items)) => Ok(Self::NotIn(items)),
            (_, Value::List(_)) => Err(Value::list_error(sign)),
            _ => Err(Error::invalid(format!("The comparator '{sign}' can not be used with this value."))),
        }
    }
}

impl Value {
    /// The sentence for a list behind a comparator that takes one value; the database of the reference refuses it.
    pub(crate) fn list_error(sign: &str) -> Error {
        Error::invalid(format!(
            "The comparator '{sign}' takes one quoted string value; a list of values needs IN or NOT IN."
        ))
    }

    /// The sentence for a whole number that no database column can hold.
    pub(crate) fn huge_error(attribute: &str, digits: &str) -> Error {
        Error::invalid(format!(
            "Invalid value for numeric attribute '{attribute}': '{digits}' is out of the range of a 64-bit integer"
        ))
    }
}
