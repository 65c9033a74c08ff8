//! ORDER BY clauses and their parsing.

use ferroflow_model::Error;

use crate::{
    bounds,
    syntax::{
        clauses::{self, Unparsable, slice},
        lexer::Kind,
        python,
    },
};

/// One column of an order, with its direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderBy<C> {
    /// The column.
    pub column: C,
    /// The direction.
    pub ascending: bool,
}

impl<C> OrderBy<C> {
    /// Orders by a column, ascending.
    pub(crate) const fn ascending(column: C) -> Self {
        Self { column, ascending: true }
    }

    /// Orders by a column, descending.
    pub(crate) const fn descending(column: C) -> Self {
        Self { column, ascending: false }
    }
}

impl<C: PartialEq> OrderBy<C> {
    /// Appends a clause unless the column is already in the order, where it would have no effect.
    pub(crate) fn append(self, order: &mut Vec<Self>) {
        if !order.iter().any(|clause| clause.column == self.column) {
            order.push(self);
        }
    }
}

/// Parses the clauses of an order in which no column may be repeated.
pub(crate) fn distinct<C: PartialEq, S: AsRef<str>>(
    order_by: &[S],
    clause: impl Fn(&str) -> Result<OrderBy<C>, Error>,
) -> Result<Vec<OrderBy<C>>, Error> {
    bounds::order(order_by)?;
    let mut order: Vec<OrderBy<C>> = Vec::with_capacity(order_by.len());
    for text in order_by {
        let clause = clause(text.as_ref())?;
        if order.iter().any(|earlier| earlier.column == clause.column) {
            return Err(Error::invalid(format!(
                "`order_by` contains duplicate fields: {}",
                python::repr_list(order_by.iter().map(|text| python::repr(text.as_ref())))
            )));
        }
        order.push(clause);
    }
    Ok(order)
}

/// Splits a clause such as ``metrics.`a b` DESC`` into its identifier and whether it is ascending.
pub(crate) fn split(order_by: &str) -> Result<(String, bool), Error> {
    let unparsable = || Error::invalid(format!("Invalid order_by clause '{order_by}'. Could not be parsed."));
    let text = single(order_by)?.ok_or_else(unparsable)?;
    let words = shell_words(&text.replace('`', "\"")).ok_or_else(unparsable)?;
    let (identifier, direction) = match words.as_slice() {
        [] | [_] => return Ok((python::strip(&text).to_owned(), true)),
        [identifier, direction] => (identifier, direction.to_lowercase()),
        _ => return Err(unparsable()),
    };
    let ascending = match direction.as_str() {
        "asc" => true,
        "desc" => false,
        _ => return Err(Error::invalid(format!("Invalid ordering key in order_by clause '{order_by}'."))),
    };
    Ok((python::strip(identifier).to_owned(), ascending))
}

/// The clause if it is one identifier (or the word `timestamp`, which is tokenised as a type name) with an optional
/// direction.
fn single(order_by: &str) -> Result<Option<String>, Error> {
    let nodes = match clauses::nodes(order_by) {
        Ok(nodes) => nodes,
        Err(Unparsable::TooLarge(_)) => {
            return Err(Error::invalid(format!("Error on parsing order_by clause '{order_by}'")));
        }
        Err(Unparsable::Empty | Unparsable::Several) => return Ok(None),
    };
    let tokens: Vec<_> = nodes.iter().map(|node| node.token).collect();
    let is_timestamp = |at: usize| tokens[at].kind == Kind::Builtin && slice(order_by, tokens[at]) == "timestamp";
    Ok(match tokens.as_slice() {
        [only] if only.kind == Kind::Identifier || is_timestamp(0) => Some(slice(order_by, *only).to_owned()),
        [_, blanks @ .., last]
            if is_timestamp(0) && last.kind == Kind::Order && blanks.iter().all(|blank| blank.kind.is_space()) =>
        {
            Some(format!("timestamp {}", slice(order_by, *last)))
        }
        _ => None,
    })
}

/// Splits words as a POSIX shell does: quotes group, a backslash escapes. `None` if a quote or an escape is not closed.
fn shell_words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '\\' => word.get_or_insert_default().push(rest.next()?),
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                loop {
                    let inner = rest.next()?;
                    if inner == c {
                        break;
                    }
                    if inner == '\\' && c == '"' {
                        let escaped = rest.next()?;
                        if !matches!(escaped, '"' | '\\') {
                            word.push('\\');
                        }
                        word.push(escaped);
                    } else {
                        word.push(inner);
                    }
                }
            }
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}
