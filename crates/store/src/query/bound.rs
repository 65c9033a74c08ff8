//! The range of times that a filter allows, for searches that read rows in the order of time.

use ferroflow_search::{Number, NumberOp};

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
