//! The comparators of filters.

use ferroflow_model::Error;

use crate::{syntax::python, value::NumberOp};

/// A comparator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparator {
    /// A comparison of numbers; `=` and `!=` are also for texts.
    Number(NumberOp),
    /// `LIKE`
    Like,
    /// `ILIKE`
    ILike,
    /// `RLIKE`
    RLike,
    /// `IN`
    In,
    /// `NOT IN`
    NotIn,
    /// `IS NULL`
    IsNull,
    /// `IS NOT NULL`
    IsNotNull,
}

impl Comparator {
    pub(crate) const EQUAL: Self = Self::Number(NumberOp::Equal);
    pub(crate) const NOT_EQUAL: Self = Self::Number(NumberOp::NotEqual);

    /// Those of numbers.
    pub(crate) const NUMBERS: &[Self] = &[
        Self::Number(NumberOp::Less),
        Self::Number(NumberOp::LessOrEqual),
        Self::Number(NumberOp::Greater),
        Self::Number(NumberOp::GreaterOrEqual),
        Self::EQUAL,
        Self::NOT_EQUAL,
    ];
    /// Those of texts.
    pub(crate) const TEXTS: &[Self] = &[Self::EQUAL, Self::NOT_EQUAL, Self::Like, Self::ILike, Self::In, Self::NotIn];
    /// Those of texts that are not compared with lists.
    pub(crate) const SINGLE_TEXTS: &[Self] = &[Self::EQUAL, Self::NOT_EQUAL, Self::Like, Self::ILike];
    /// Those of texts that may be missing.
    pub(crate) const OPTIONAL_TEXTS: &[Self] =
        &[Self::EQUAL, Self::NOT_EQUAL, Self::Like, Self::ILike, Self::IsNull, Self::IsNotNull];
    /// Those of ids.
    pub(crate) const IDS: &[Self] = &[Self::EQUAL, Self::NOT_EQUAL, Self::In, Self::NotIn];

    /// Its spelling in filters and messages.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Number(op) => op.sql(),
            Self::Like => "LIKE",
            Self::ILike => "ILIKE",
            Self::RLike => "RLIKE",
            Self::In => "IN",
            Self::NotIn => "NOT IN",
            Self::IsNull => "IS NULL",
            Self::IsNotNull => "IS NOT NULL",
        }
    }

    /// The set of some, as Python prints it.
    pub(crate) fn repr_set(comparators: &[Self]) -> String {
        python::repr_set(comparators.iter().map(|comparator| comparator.text()))
    }

    /// The operator, if it compares numbers.
    ///
    /// # Errors
    /// It does not.
    pub(crate) fn number(self) -> Result<NumberOp, Error> {
        match self {
            Self::Number(op) => Ok(op),
            _ => Err(self.unusable()),
        }
    }

    /// The error for a value of another kind than it compares.
    pub(crate) fn unusable(self) -> Error {
        Error::invalid(format!("The comparator '{}' cannot be used with this value.", self.text()))
    }

    /// The one among `known` with this spelling, in upper case or, if `any_case` is set, in any.
    pub(crate) fn parse(sign: &str, known: &[Self], any_case: bool) -> Option<Self> {
        known.iter().copied().find(|comparator| {
            let text = comparator.text();
            sign == text || (any_case && sign.chars().flat_map(char::to_uppercase).eq(text.chars()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comparator_is_found_by_its_spelling_among_the_known() {
        let parse = |sign, any_case| Comparator::parse(sign, Comparator::TEXTS, any_case);
        assert_eq!(parse("NOT IN", false), Some(Comparator::NotIn));
        assert_eq!(parse("Like", true), Some(Comparator::Like));
        assert_eq!(parse("Like", false), None);
        assert_eq!(parse("<", true), None);
        // As in Python: the upper case of a dotless i is I, a Kelvin sign is upper case already.
        assert_eq!(parse("l\u{131}ke", true), Some(Comparator::Like));
        assert_eq!(parse("li\u{212a}e", true), None);
    }
}
