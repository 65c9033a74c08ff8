//! The parser of filters, the same for every searched thing.

use ferroflow_model::Error;

use crate::{
    bounds,
    comparator::Comparator,
    field::Field,
    syntax::clauses::{self, Clause, Piece},
    value::Value,
};

/// Parses a filter into the conditions of a searched thing; an empty one has none.
pub(crate) fn parse<F: Field>(filter: &str) -> Result<Vec<F::Condition>, Error> {
    if filter.is_empty() {
        return Ok(Vec::new());
    }
    bounds::check("bytes in its filter", filter.len(), bounds::TEXT)?;
    let pieces = clauses::pieces(filter, F::TIMESTAMP_IS_FIELD).map_err(|reason| F::unparsable(filter, reason))?;
    let others: Vec<&str> = pieces.iter().filter_map(Piece::other).collect();
    if !others.is_empty() && !F::IN_ORDER {
        return Err(F::no_comparisons(filter, &others));
    }
    let count = pieces.iter().filter(|piece| matches!(piece, Piece::Clause(_))).count();
    bounds::check("conditions in its filter", count, bounds::CONDITIONS)?;
    let mut comparisons = Vec::with_capacity(count);
    for piece in &pieces {
        match piece {
            Piece::Clause(clause) => comparisons.push(Comparison::<F>::read(clause)?),
            Piece::And(_) => {}
            Piece::Other(_) => return Err(F::no_comparisons(filter, &others)),
        }
    }
    comparisons.into_iter().map(Comparison::condition).collect()
}

/// A comparison whose operands have been read.
struct Comparison<'a, F> {
    field: F,
    key: &'a str,
    sign: &'a str,
    /// `None` if the field does not have it.
    comparator: Option<Comparator>,
    value: Value,
}

impl<'a, F: Field> Comparison<'a, F> {
    fn read(clause: &Clause<'a>) -> Result<Self, Error> {
        F::check_shape(clause)?;
        let (field, key) = F::parse(clause.left.text)?;
        let sign = clause.sign;
        let comparator = Comparator::parse(sign, field.comparators(), F::ANY_CASE);
        if F::IN_ORDER && comparator.is_none() {
            return Err(wrong_comparator(field, key, sign));
        }
        let value = match clause.right {
            Some(right) => field.value(key, sign, right)?,
            None if comparator.is_some() => Value::Missing,
            None => field.no_null_test(key).map_or(Ok(Value::Missing), Err)?,
        };
        Ok(Self { field, key, sign, comparator, value })
    }

    fn condition(self) -> Result<F::Condition, Error> {
        let Self { field, key, sign, comparator, value } = self;
        let comparator = comparator.ok_or_else(|| wrong_comparator(field, key, sign))?;
        field.condition(key, comparator, value)
    }
}

fn wrong_comparator<F: Field>(field: F, key: &str, sign: &str) -> Error {
    if F::ANY_CASE { field.wrong_comparator(key, &sign.to_uppercase()) } else { field.wrong_comparator(key, sign) }
}
