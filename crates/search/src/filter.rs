//! Shared parts of the filters of all entities except logged models: clauses, identifiers and values.

use ferroflow_model::Error;

use crate::{
    bounds,
    syntax::{
        clauses::{self, Clause, Operand, Piece, Unparsable},
        lexer::Kind,
        list::{self, Literal},
        python::{self, Int},
    },
    value::Value,
};

/// The kind of entity that an identifier names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntityType {
    Attribute,
    Dataset,
    Metric,
    Param,
    Tag,
}

impl EntityType {
    /// The name used in error messages.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Attribute => "attribute",
            Self::Dataset => "dataset",
            Self::Metric => "metric",
            Self::Param => "parameter",
            Self::Tag => "tag",
        }
    }
}

/// The left operand of a comparator, or the subject of an ORDER BY clause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identifier {
    pub(crate) entity: EntityType,
    pub(crate) key: String,
}

/// A clause with parsed operands and a comparator that is not yet validated.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Parsed {
    pub(crate) entity: EntityType,
    pub(crate) key: String,
    /// As written in the filter; see [`Clause::sign`].
    pub(crate) sign: String,
    pub(crate) value: Value,
}

/// How the error message of an entity lists invalid clauses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listing {
    Quoted,
    Plain,
}

/// Parses a filter into clauses, each with an identifier on the left and two or three parts.
pub(crate) fn parse<'a>(
    filter: &'a str,
    listing: Listing,
    clause: impl Fn(&Clause<'a>) -> Result<Parsed, Error>,
) -> Result<Vec<Parsed>, Error> {
    if filter.is_empty() {
        return Ok(Vec::new());
    }
    bounds::check("bytes in its filter", filter.len(), bounds::TEXT)?;
    let pieces = clauses::pieces(filter).map_err(|reason| {
        Error::invalid(match reason {
            Unparsable::TooLarge(_) => format!("Error on parsing filter '{filter}'"),
            Unparsable::Empty => format!("Invalid filter '{filter}'. Could not be parsed."),
            Unparsable::Several => format!(
                "Search filter contained multiple expression {}. Provide AND-ed expression list.",
                python::repr(filter)
            ),
        })
    })?;
    let invalid: Vec<_> = pieces
        .iter()
        .filter_map(|piece| match (piece, listing) {
            (Piece::Other(text), Listing::Quoted) => Some(format!("'{text}'")),
            (Piece::Other(text), Listing::Plain) => Some((*text).to_owned()),
            _ => None,
        })
        .collect();
    if !invalid.is_empty() {
        return Err(Error::invalid(format!("Invalid clause(s) in filter string: {}", invalid.join(", "))));
    }
    let is_clause = |piece: &&Piece<'_>| matches!(piece, Piece::Clause(_));
    bounds::check("conditions in its filter", pieces.iter().filter(is_clause).count(), bounds::CONDITIONS)?;
    pieces
        .iter()
        .filter_map(|piece| match piece {
            Piece::Clause(found) => Some(found),
            _ => None,
        })
        .map(|found| {
            check_shape(found)?;
            clause(found)
        })
        .collect()
}

fn check_shape(clause: &Clause<'_>) -> Result<(), Error> {
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

/// Parses an identifier of experiments, registered models or model versions: an attribute or a tag.
pub(crate) fn attribute_or_tag(text: &str) -> Result<(EntityType, &str), Error> {
    match text.split_once('.') {
        None => Ok((EntityType::Attribute, text)),
        Some(("attribute", key)) => Ok((EntityType::Attribute, key)),
        Some(("tag" | "tags", key)) => Ok((EntityType::Tag, key)),
        Some((entity, _)) => Err(Error::invalid(format!(
            "Invalid entity type '{entity}'. Valid entity types are ('attribute', 'tag', 'tags')"
        ))),
    }
}

/// [`attribute_or_tag`], with one layer of quotes removed from the key and the attribute validated.
pub(crate) fn unquoted_identifier(text: &str, attributes: &[&str]) -> Result<Identifier, Error> {
    let (entity, key) = attribute_or_tag(text)?;
    let key = unquote_key(key);
    check_attribute(entity, key, attributes)?;
    Ok(Identifier { entity, key: key.to_owned() })
}

/// [`attribute_or_tag`], with the attribute validated as written: a quoted one is unknown.
pub(crate) fn registry_identifier(text: &str, attributes: &[&str]) -> Result<Identifier, Error> {
    let (entity, key) = attribute_or_tag(text)?;
    check_attribute(entity, key, attributes)?;
    Ok(Identifier { entity, key: unquote_key(key).to_owned() })
}

/// Refuses an unknown attribute.
pub(crate) fn check_attribute(entity: EntityType, key: &str, attributes: &[&str]) -> Result<(), Error> {
    if entity != EntityType::Attribute || attributes.contains(&key) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "Invalid attribute key '{key}' specified. Valid keys are '{}'",
        python::repr_set(attributes)
    )))
}

/// Removes one layer of quotes and then one of backticks from a key.
pub(crate) fn unquote_key(key: &str) -> &str {
    without(without_quotes(key).unwrap_or(key), '`')
}

/// Removes the quote character if it is at both ends of a text.
pub(crate) fn without(text: &str, quote: char) -> &str {
    text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote)).unwrap_or(text)
}

fn without_quotes(text: &str) -> Option<&str> {
    ['\'', '"'].into_iter().find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))
}

/// The text between quotes, as written: neither doubled nor escaped quotes are unescaped.
pub(crate) fn quoted(operand: Operand<'_>) -> Option<Result<Value, Error>> {
    if !matches!(operand.kind, Kind::SingleQuoted | Kind::Identifier) {
        return None;
    }
    Some(without_quotes(operand.text).map(|text| Value::Text(text.to_owned())).ok_or_else(|| {
        Error::invalid(format!(
            "Parameter value is either not quoted or unidentified quote types used for string value {}. Use either \
             single or double quotes.",
            operand.text
        ))
    }))
}

/// The value of a tag or param.
pub(crate) fn pair_value(entity: EntityType, operand: Operand<'_>) -> Result<Value, Error> {
    quoted(operand).unwrap_or_else(|| {
        Err(Error::invalid(format!(
            "Expected a quoted string value for {} (e.g. 'my-value'). Got value {}",
            entity.name(),
            operand.text
        )))
    })
}

/// An integer or a floating-point number.
pub(crate) fn number(operand: Operand<'_>) -> Option<Value> {
    match operand.kind {
        Kind::Integer => Some(match python::int(operand.text)? {
            Int::Value(value) => Value::Int(value),
            Int::TooLarge => Value::Huge(operand.text.to_owned()),
        }),
        Kind::Float => python::float(operand.text).map(Value::Real),
        _ => None,
    }
}

/// A list, for an attribute that supports lists.
pub(crate) fn attribute_list(key: &str, allowed: &[&str], operand: Operand<'_>) -> Result<Value, Error> {
    if !allowed.contains(&key) {
        return Err(Error::invalid(format!(
            "Only {} attributes support comparison with a list of quoted string values.",
            python::repr_list(allowed.iter().map(|key| python::repr(key)))
        )));
    }
    text_list(operand)
}

/// A list of at least one text.
pub(crate) fn text_list(operand: Operand<'_>) -> Result<Value, Error> {
    let literal = list::parse(operand.text).ok_or_else(|| {
        Error::invalid(
            "While parsing a list in the query, expected a non-empty list of string values, but got ill-formed list.",
        )
    })?;
    let items = match literal {
        Literal::Tuple(items) => items,
        single => vec![single],
    };
    if items.is_empty() {
        return Err(Error::invalid(
            "While parsing a list in the query, expected a non-empty list of string values, but got empty list",
        ));
    }
    let texts: Option<Vec<_>> = items
        .iter()
        .map(|item| match item {
            Literal::Text(text) => Some(text.clone()),
            _ => None,
        })
        .collect();
    texts.map(Value::List).ok_or_else(|| {
        Error::invalid(format!(
            "While parsing a list in the query, expected string value, punctuation, or whitespace, but got different \
             type in list: {}",
            Literal::Tuple(items).repr()
        ))
    })
}

/// A quoted text or, if `allowed` contains the attribute, a list of quoted texts.
pub(crate) fn attribute_text(key: &str, allowed: &[&str], operand: Operand<'_>) -> Option<Result<Value, Error>> {
    if operand.kind == Kind::Parenthesis {
        return Some(attribute_list(key, allowed, operand));
    }
    quoted(operand)
}
