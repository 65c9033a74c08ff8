//! Searches for issues.

use ferroflow_model::Error;

use crate::{
    comparator::Comparator,
    field::{Field, Operands},
    filter,
    syntax::{
        clauses::{Clause, Operand},
        lexer::Kind,
        python,
    },
    value::{TextTest, Value},
};

/// A condition on issues: equality or inequality. NULL does not match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The column.
    pub column: Attribute,
    /// The test of the value.
    pub test: TextTest,
}

/// Columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Attribute {
    /// The status.
    Status,
    /// The run that found it.
    SourceRunId,
}

const COMPARATORS: &[Comparator] = &[Comparator::EQUAL, Comparator::NOT_EQUAL];

/// Parses a filter; an empty one has no conditions.
pub fn parse_filter(filter: &str) -> Result<Vec<Condition>, Error> {
    filter::parse::<Attribute>(filter)
}

/// Whether a filter names runs: its results say which of them found an issue. One that cannot be parsed may do so.
#[must_use]
pub fn selects_run(filter: &str) -> bool {
    parse_filter(filter)
        .map_or(true, |conditions| conditions.iter().any(|condition| condition.column == Attribute::SourceRunId))
}

/// A text without its quotes and the white space in them.
fn stripped(text: &str) -> &str {
    let inner = ['\'', '"'].into_iter().find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote));
    python::strip(inner.unwrap_or(text))
}

impl Field for Attribute {
    type Condition = Condition;

    fn parse(text: &str) -> Result<(Self, &str), Error> {
        match stripped(text) {
            key @ "status" => Ok((Self::Status, key)),
            key @ "source_run_id" => Ok((Self::SourceRunId, key)),
            key => Err(Error::invalid(format!(
                "Invalid filter field '{key}'. Supported fields: {}",
                python::repr_set(["status", "source_run_id"])
            ))),
        }
    }

    fn operands(self) -> Operands {
        Operands::TEXTS
    }

    fn comparators(self) -> &'static [Comparator] {
        COMPARATORS
    }

    /// Anything, with or without quotes.
    fn value(self, _key: &str, _sign: &str, right: Operand<'_>) -> Result<Value, Error> {
        Ok(Value::Text(stripped(right.text).to_owned()))
    }

    fn condition(self, _key: &str, comparator: Comparator, value: Value) -> Result<Condition, Error> {
        Ok(Condition { column: self, test: TextTest::new(comparator, value)? })
    }

    fn wrong_operand(self, key: &str, right: Operand<'_>) -> Error {
        Error::invalid(format!("Invalid value for {key}: {}", right.text))
    }

    fn wrong_comparator(self, _key: &str, sign: &str) -> Error {
        let valid = Comparator::repr_set(COMPARATORS);
        Error::invalid(format!("Invalid comparator '{sign}'. Supported comparators: {valid}"))
    }

    fn check_shape(clause: &Clause<'_>) -> Result<(), Error> {
        if clause.right.is_none() || clause.parts != 3 {
            let parts = if clause.right.is_none() { 2 } else { clause.parts };
            return Err(Error::invalid(format!("Invalid comparison: expected 3 tokens, got {parts}")));
        }
        if clause.left.kind != Kind::Identifier {
            return Err(Error::invalid(format!(
                "Invalid comparison: left side must be an identifier, got {}",
                clause.left.text
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_tests_status_and_run() {
        let equal = |column, text: &str| Condition { column, test: TextTest::Equal(text.into()) };
        let found = parse_filter("status = 'pending' AND source_run_id = \" r1 \"").unwrap();
        assert_eq!(found, [equal(Attribute::Status, "pending"), equal(Attribute::SourceRunId, "r1")]);
        assert!(selects_run("source_run_id != 'a'") && selects_run("nonsense") && !selects_run("status = 'a'"));
        for (filter, message) in [
            ("name = 'a'", "Invalid filter field 'name'. Supported fields: {'source_run_id', 'status'}"),
            ("status LIKE 'a'", "Invalid comparator 'LIKE'. Supported comparators: {'!=', '='}"),
            ("status IS NULL", "Invalid comparison: expected 3 tokens, got 2"),
            ("status = 'a' OR status = 'b'", "Invalid clause(s) in filter string: OR"),
        ] {
            assert_eq!(parse_filter(filter).unwrap_err().message, message, "{filter}");
        }
    }
}
