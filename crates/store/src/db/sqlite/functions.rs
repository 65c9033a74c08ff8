//! SQL functions that PostgreSQL has and SQLite lacks: `REGEXP` and `percentile`.

use regex::{Regex, RegexBuilder};
use rusqlite::{
    Connection, Error,
    functions::{Aggregate, Context, FunctionFlags},
};

/// Maximum size of a compiled regular expression, in bytes. Matching takes time proportional to the text.
const REGEX_BYTES: usize = 1024 * 1024;

/// Registers the functions on a connection.
pub(super) fn register(connection: &Connection) -> Result<(), Error> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("regexp", 2, flags, regexp)?;
    connection.create_aggregate_function("percentile", 2, flags, Percentile)
}

/// `text REGEXP expression`: whether a part of the text matches. NULL matches nothing.
fn regexp(context: &Context<'_>) -> Result<bool, Error> {
    type Failure = Box<dyn std::error::Error + Send + Sync>;
    // Compiled once per statement.
    let regex = context.get_or_create_aux(0, |value| -> Result<Regex, Failure> {
        let expression = value.as_str()?;
        RegexBuilder::new(expression)
            .size_limit(REGEX_BYTES)
            .build()
            .map_err(|error| format!("invalid regular expression: {error}").into())
    })?;
    Ok(context.get_raw(1).as_str_or_null()?.is_some_and(|text| regex.is_match(text)))
}

/// `percentile(value, 0 to 100)`: with linear interpolation between the closest two, as PostgreSQL's `percentile_cont`.
/// NULL is left out.
struct Percentile;

#[derive(Default)]
struct Values {
    values: Vec<f64>,
    percentile: f64,
}

impl Aggregate<Values, Option<f64>> for Percentile {
    fn init(&self, _: &mut Context<'_>) -> Result<Values, Error> {
        Ok(Values::default())
    }

    fn step(&self, context: &mut Context<'_>, state: &mut Values) -> Result<(), Error> {
        state.values.extend(context.get::<Option<f64>>(0)?);
        state.percentile = context.get(1)?;
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, state: Option<Values>) -> Result<Option<f64>, Error> {
        Ok(state.and_then(|state| interpolated(state.values, state.percentile)))
    }
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
fn interpolated(mut values: Vec<f64>, percentile: f64) -> Option<f64> {
    let last = values.len().checked_sub(1)?;
    values.sort_unstable_by(f64::total_cmp);
    let place = percentile / 100.0 * last as f64;
    let low = (place as usize).min(last);
    let (first, second) = (values[low], values[(low + 1).min(last)]);
    Some(first + (place - low as f64) * (second - first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_between_the_closest_two() {
        let of = |values: &[f64], percentile| interpolated(values.to_vec(), percentile);
        assert_eq!(of(&[], 50.0), None);
        assert_eq!(of(&[7.0], 99.0), Some(7.0));
        assert_eq!(of(&[30.0, 10.0, 20.0, 40.0], 50.0), Some(25.0));
        assert_eq!(of(&[1.0, 2.0], 0.0), Some(1.0));
        assert_eq!(of(&[1.0, 2.0], 100.0), Some(2.0));
    }
}
