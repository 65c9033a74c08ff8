//! Searches for evaluation datasets.

use ferroflow_model::Error;

use crate::{
    bounds,
    comparator::Comparator,
    field::{self, Field, Operands},
    filter, operand,
    order_by::{self, OrderBy},
    syntax::{clauses::Operand, lexer::Kind, python},
    value::{NumberOp, TextTest, Value},
};

/// A condition on datasets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// A text; only the name is tested against a list. NULL does not match.
    Text {
        /// The column.
        column: TextAttribute,
        /// The test of the value.
        test: TextTest,
    },
    /// A timestamp. NULL does not match.
    Time {
        /// The column.
        column: TimeAttribute,
        /// The operator.
        op: NumberOp,
        /// The operand, in milliseconds since 1970.
        value: i64,
    },
    /// A tag; a missing one does not match. Its value is never tested against a list.
    Tag {
        /// The key.
        key: String,
        /// The test of the value.
        test: TextTest,
    },
}

/// Text columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TextAttribute {
    /// The name.
    Name,
    /// The user who created it.
    CreatedBy,
    /// The user who changed it last.
    LastUpdatedBy,
}

/// Timestamp columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimeAttribute {
    /// The time of creation.
    CreatedTime,
    /// The time of the last update.
    LastUpdateTime,
}

/// Columns to order by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Column {
    /// The name.
    Name,
    /// A timestamp.
    Time(TimeAttribute),
    /// The id, which orders ties.
    Id,
}

/// What a filter may compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DatasetField {
    Text(TextAttribute),
    Time(TimeAttribute),
    Tag,
}

use DatasetField::{Tag, Text, Time};

const NAME: DatasetField = Text(TextAttribute::Name);

const ATTRIBUTES: [(&str, DatasetField); 5] = [
    ("name", NAME),
    ("created_time", Time(TimeAttribute::CreatedTime)),
    ("last_update_time", Time(TimeAttribute::LastUpdateTime)),
    ("created_by", Text(TextAttribute::CreatedBy)),
    ("last_updated_by", Text(TextAttribute::LastUpdatedBy)),
];

const ORDERED: [(&str, Column); 3] = [
    ("name", Column::Name),
    ("created_time", Column::Time(TimeAttribute::CreatedTime)),
    ("last_update_time", Column::Time(TimeAttribute::LastUpdateTime)),
];

/// Those of the name.
const NAME_COMPARATORS: &[Comparator] =
    &[Comparator::EQUAL, Comparator::NOT_EQUAL, Comparator::Like, Comparator::ILike, Comparator::In];

/// Parses a filter; an empty one has no conditions.
pub fn parse_filter(filter: &str) -> Result<Vec<Condition>, Error> {
    filter::parse::<DatasetField>(filter)
}

/// Parses ORDER BY clauses; without any, newest first. Ties are ordered by id, descending.
pub fn parse_order_by<S: AsRef<str>>(order_by: &[S]) -> Result<Vec<OrderBy<Column>>, Error> {
    bounds::order(order_by)?;
    let mut order = Vec::with_capacity(order_by.len() + 2);
    if order_by.is_empty() {
        order.push(OrderBy::descending(Column::Time(TimeAttribute::CreatedTime)));
    }
    for clause in order_by {
        let (name, ascending) = order_by::split(clause.as_ref())?;
        let Some(name) = attribute_name(&name)? else {
            return Err(Error::invalid("Invalid order_by entity: tag"));
        };
        // A repeated column is not an error here; the first clause wins.
        OrderBy { column: attribute(&ORDERED, name)?, ascending }.append(&mut order);
    }
    OrderBy::descending(Column::Id).append(&mut order);
    Ok(order)
}

/// The name of an attribute, or `None` for a tag.
fn attribute_name(text: &str) -> Result<Option<&str>, Error> {
    match text.split_once('.') {
        None => Ok(Some(text)),
        Some(("tags", _)) => Ok(None),
        Some((kind, _)) => Err(Error::invalid(format!("Invalid identifier token '{kind}' specified"))),
    }
}

fn attribute<A: Copy>(known: &[(&str, A)], name: &str) -> Result<A, Error> {
    field::find(known, name).ok_or_else(|| {
        let valid = python::repr_set(known.iter().map(|(name, _)| *name));
        Error::invalid(format!("Invalid attribute key '{name}' specified. Valid keys are: {valid}"))
    })
}

impl Field for DatasetField {
    type Condition = Condition;

    /// The reference fails on `like`.
    const ANY_CASE: bool = false;

    fn parse(text: &str) -> Result<(Self, &str), Error> {
        Ok(match attribute_name(text)? {
            Some(name) => (attribute(&ATTRIBUTES, name)?, name),
            None => (Tag, operand::unquoted(text.split_once('.').map_or("", |(_, key)| key))),
        })
    }

    fn operands(self) -> Operands {
        match self {
            NAME => Operands::TEXTS_AND_LISTS,
            Text(_) | Tag => Operands::TEXTS,
            Time(_) => Operands::NUMBERS,
        }
    }

    fn comparators(self) -> &'static [Comparator] {
        match self {
            NAME => NAME_COMPARATORS,
            Text(_) | Tag => Comparator::SINGLE_TEXTS,
            Time(_) => Comparator::NUMBERS,
        }
    }

    fn value(self, key: &str, sign: &str, right: Operand<'_>) -> Result<Value, Error> {
        let value = match (self, right.kind) {
            (Text(_) | Tag, Kind::SingleQuoted | Kind::Identifier) => return operand::quoted(right.text),
            (NAME, Kind::Parenthesis) => {
                let list = operand::text_list(right.text)?;
                if !sign.eq_ignore_ascii_case("IN") {
                    return Err(Error::invalid("List values for 'name' are only supported with the IN comparator."));
                }
                return Ok(list);
            }
            (Time(_), Kind::Integer | Kind::Float) => operand::number(right),
            _ => None,
        };
        value.ok_or_else(|| self.wrong_operand(key, right))
    }

    fn condition(self, key: &str, comparator: Comparator, value: Value) -> Result<Condition, Error> {
        Ok(match self {
            Text(column) => Condition::Text { column, test: TextTest::new(comparator, value)? },
            Time(column) => {
                let value = match value {
                    Value::Int(value) => value,
                    Value::Real(real) => {
                        let shown = python::repr_f64(real);
                        let text = format!("Invalid value for numeric attribute '{key}': '{shown}'");
                        return Err(Error::invalid(text));
                    }
                    Value::Huge(digits) => return Err(Value::huge_error(key, &digits)),
                    _ => return Err(comparator.unusable()),
                };
                Condition::Time { column, op: comparator.number()?, value }
            }
            Tag => Condition::Tag { key: key.to_owned(), test: TextTest::new(comparator, value)? },
        })
    }

    fn no_null_test(self, key: &str) -> Option<Error> {
        (self != Tag).then(|| {
            Error::invalid(format!(
                "IS NULL / IS NOT NULL is only supported for tags and params, not for 'attribute' '{key}'"
            ))
        })
    }

    fn wrong_operand(self, key: &str, right: Operand<'_>) -> Error {
        let found = right.text;
        match self {
            Tag => operand::expected_quoted("tag", found),
            Time(_) => {
                Error::invalid(format!("Expected numeric value type for numeric attribute: {key}. Found {found}"))
            }
            Text(_) if right.kind == Kind::Parenthesis => operand::no_lists(&["name"]),
            Text(_) => Error::invalid(format!("Expected a quoted string value for attributes. Got value {found}")),
        }
    }

    fn wrong_comparator(self, _key: &str, sign: &str) -> Error {
        let kind = match self {
            Tag => "tag",
            Time(_) => "numeric attribute",
            Text(_) => "string attribute",
        };
        Error::invalid(format!("Invalid comparator for {kind}: {sign}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(filter: &str) -> String {
        parse_filter(filter).unwrap_err().message
    }

    #[test]
    fn a_filter_tests_names_times_users_and_tags() {
        let text = |column, test| Condition::Text { column, test };
        let filter = "name IN ('a', 'b') AND created_by = 'x' AND created_time >= 5 AND tags.`a b` ILIKE '%y'";
        let expected = [
            text(TextAttribute::Name, TextTest::In(vec!["a".into(), "b".into()])),
            text(TextAttribute::CreatedBy, TextTest::Equal("x".into())),
            Condition::Time { column: TimeAttribute::CreatedTime, op: NumberOp::GreaterOrEqual, value: 5 },
            Condition::Tag { key: "a b".into(), test: TextTest::ILike("%y".into()) },
        ];
        assert_eq!(parse_filter(filter).unwrap(), expected);
        assert_eq!(parse_filter("").unwrap(), []);
    }

    #[test]
    fn errors_are_those_of_the_reference() {
        for (filter, message) in [
            ("name > 'a'", "Invalid comparator for string attribute: >"),
            ("created_by IN ('a')", "Only ['name'] attributes support comparison with a list of quoted string values."),
            ("name NOT IN ('a')", "List values for 'name' are only supported with the IN comparator."),
            ("created_time = 'a'", "Expected numeric value type for numeric attribute: created_time. Found 'a'"),
            ("created_time = 1.5", "Invalid value for numeric attribute 'created_time': '1.5'"),
            ("created_time LIKE 1", "Invalid comparator for numeric attribute: LIKE"),
            ("tags.a IN ('x')", "Expected a quoted string value for tag (e.g. 'my-value'). Got value ('x')"),
            ("tags.a IS NULL", "Invalid comparator for tag: IS NULL"),
            ("tag.a = 'x'", "Invalid identifier token 'tag' specified"),
            ("name = 'a' OR name = 'b'", "Invalid clause(s) in filter string: OR"),
        ] {
            assert_eq!(refused(filter), message, "{filter}");
        }
        assert!(refused("digest = 'a'").starts_with("Invalid attribute key 'digest' specified. Valid keys are: {"));
    }

    #[test]
    fn an_order_ends_with_the_id() {
        let order = |texts: &[&str]| parse_order_by(texts).unwrap();
        let created = Column::Time(TimeAttribute::CreatedTime);
        assert_eq!(order(&[]), [OrderBy::descending(created), OrderBy::descending(Column::Id)]);
        assert_eq!(
            order(&["name", "created_time DESC", "name DESC"]),
            [OrderBy::ascending(Column::Name), OrderBy::descending(created), OrderBy::descending(Column::Id)]
        );
        assert_eq!(parse_order_by(&["tags.a"]).unwrap_err().message, "Invalid order_by entity: tag");
        assert!(parse_order_by(&["created_by"]).is_err());
    }
}
