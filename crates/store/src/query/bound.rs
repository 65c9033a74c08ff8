//! The range of times or numbers that a filter allows, for searches that read rows in the order of an index.

use ferroflow_search::{Number, NumberOp};

use crate::db::dialect::Dialect;

/// The latest time that a comparison allows, or the earliest one; `None` if it does not bound that side.
pub(crate) fn bound(op: NumberOp, value: Number, latest: bool) -> Option<i64> {
    let is_bound = match op {
        NumberOp::Equal => true,
        NumberOp::Less | NumberOp::LessOrEqual => latest,
        NumberOp::Greater | NumberOp::GreaterOrEqual => !latest,
        NumberOp::NotEqual => false,
    };
    #[expect(clippy::cast_possible_truncation, reason = "the cast saturates")]
    let time = match value {
        Number::Int(value) => value,
        Number::Real(value) if latest => value.ceil() as i64,
        Number::Real(value) => value.floor() as i64,
    };
    is_bound.then_some(time)
}

/// The least and the largest number that may meet a comparison. PostgreSQL orders NaN after all numbers.
pub(crate) fn extremes(dialect: Dialect, op: NumberOp, value: f64) -> (f64, f64) {
    let (lowest, highest) = (f64::NEG_INFINITY, dialect.pick(f64::NAN, f64::INFINITY));
    match op {
        NumberOp::Less | NumberOp::LessOrEqual => (lowest, value),
        NumberOp::Greater | NumberOp::GreaterOrEqual => (value, highest),
        NumberOp::Equal | NumberOp::NotEqual => (value, value),
    }
}
