//! What a filter may compare. Each searched thing has a type of its own for it, an enum that implements [`Field`]: which
//! attributes and kinds of keys it has, with what they are compared and how, and what the errors say.

use ferroflow_model::Error;

use crate::{
    comparator::Comparator,
    operand,
    syntax::{
        clauses::{Clause, Operand, Unparsable},
        lexer::Kind,
        python,
    },
    value::Value,
};

/// The left operand of a comparison, without the key of a tag, a param or a metric. The default methods are what most
/// filters of the reference have in common.
pub(crate) trait Field: Copy {
    /// What a comparison becomes.
    type Condition;

    /// Whether comparators may be written in lower case.
    const ANY_CASE: bool = true;

    /// Whether the first error in the filter is the one that is reported. Otherwise elements that are no comparisons are
    /// found first, then the errors of operands, and those of comparators last.
    const IN_ORDER: bool = false;

    /// Whether the word `timestamp`, which the lexer reads as the name of a type, may begin a comparison.
    const TIMESTAMP_IS_FIELD: bool = false;

    /// Whether the error for elements that are no comparisons quotes them.
    const QUOTES_ELEMENTS: bool = false;

    /// The field with this name, and its key: that of a tag, or the name of an attribute.
    fn parse(text: &str) -> Result<(Self, &str), Error>;

    /// What it may be compared with.
    fn operands(self) -> Operands;

    /// The comparators that it has.
    fn comparators(self) -> &'static [Comparator];

    /// The condition of a comparison by one of [`Self::comparators`].
    fn condition(self, key: &str, comparator: Comparator, value: Value) -> Result<Self::Condition, Error>;

    /// The error for a right operand that it cannot be compared with.
    fn wrong_operand(self, key: &str, right: Operand<'_>) -> Error;

    /// The error for a comparator that it does not have.
    fn wrong_comparator(self, key: &str, sign: &str) -> Error;

    /// The error for `IS NULL` and `IS NOT NULL` on a field without these; `None` if it is that of any other comparator.
    fn no_null_test(self, _key: &str) -> Option<Error> {
        None
    }

    /// Reads the right operand of a comparison. `sign` is the comparator as written, which the field may not have.
    fn value(self, key: &str, _sign: &str, right: Operand<'_>) -> Result<Value, Error> {
        let Operands { texts, lists, numbers } = self.operands();
        let value = match right.kind {
            Kind::SingleQuoted | Kind::Identifier if texts => return operand::quoted(right.text),
            Kind::Parenthesis if lists => return operand::text_list(right.text),
            Kind::Integer | Kind::Float if numbers => operand::number(right),
            _ => None,
        };
        value.ok_or_else(|| self.wrong_operand(key, right))
    }

    /// Refuses a comparison that is not written as one.
    fn check_shape(clause: &Clause<'_>) -> Result<(), Error> {
        check_shape(clause)
    }

    /// The error for a filter that is not one expression.
    fn unparsable(filter: &str, reason: Unparsable) -> Error {
        Error::invalid(match reason {
            Unparsable::TooLarge(_) => format!("Error on parsing filter '{filter}'"),
            Unparsable::Empty => format!("Invalid filter '{filter}'. Could not be parsed."),
            Unparsable::Several => format!(
                "Search filter contained multiple expression {}. Provide AND-ed expression list.",
                python::repr(filter)
            ),
        })
    }

    /// The error for elements of a filter that are no comparisons.
    fn no_comparisons(_filter: &str, elements: &[&str]) -> Error {
        let quote = if Self::QUOTES_ELEMENTS { "'" } else { "" };
        let elements: Vec<_> = elements.iter().map(|element| format!("{quote}{element}{quote}")).collect();
        Error::invalid(format!("Invalid clause(s) in filter string: {}", elements.join(", ")))
    }
}

/// With what a field may be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Operands {
    /// Quoted texts.
    pub(crate) texts: bool,
    /// Lists of quoted texts.
    pub(crate) lists: bool,
    /// Numbers.
    pub(crate) numbers: bool,
}

impl Operands {
    pub(crate) const TEXTS: Self = Self { texts: true, lists: false, numbers: false };
    pub(crate) const TEXTS_AND_LISTS: Self = Self { lists: true, ..Self::TEXTS };
    pub(crate) const TEXTS_AND_NUMBERS: Self = Self { numbers: true, ..Self::TEXTS };
    pub(crate) const NUMBERS: Self = Self { texts: false, lists: false, numbers: true };
}

/// Refuses a comparison without an identifier on its left, or with comments in it.
pub(crate) fn check_shape(clause: &Clause<'_>) -> Result<(), Error> {
    if clause.right.is_some() && clause.parts != 3 {
        return Err(Error::invalid(format!("Invalid comparison clause. Expected 3 tokens found {}", clause.parts)));
    }
    if clause.left.kind != Kind::Identifier {
        return Err(Error::invalid(format!(
            "Invalid comparison clause. Expected 'Identifier' found '{}'",
            clause.left.text
        )));
    }
    Ok(())
}

/// The attribute with a name, from a table of all of them.
pub(crate) fn attribute<A: Copy>(known: &[(&str, A)], name: &str) -> Result<A, Error> {
    find(known, name).ok_or_else(|| {
        Error::invalid(format!(
            "Invalid attribute key '{name}' specified. Valid keys are '{}'",
            python::repr_set(known.iter().map(|(name, _)| *name))
        ))
    })
}

/// The value with a name in a table.
pub(crate) fn find<A: Copy>(known: &[(&str, A)], name: &str) -> Option<A> {
    known.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
}

/// The name of an attribute, or the key of a tag, of the things that have no other kind of key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AttributeOrTag<'a> {
    Attribute(&'a str),
    Tag(&'a str),
}

impl<'a> AttributeOrTag<'a> {
    /// Splits `tags.a`; quotes of keys are left.
    pub(crate) fn parse(text: &'a str) -> Result<Self, Error> {
        match text.split_once('.') {
            None => Ok(Self::Attribute(text)),
            Some(("attribute", name)) => Ok(Self::Attribute(name)),
            Some(("tag" | "tags", key)) => Ok(Self::Tag(key)),
            Some((kind, _)) => Err(Error::invalid(format!(
                "Invalid entity type '{kind}'. Valid entity types are ('attribute', 'tag', 'tags')"
            ))),
        }
    }
}
