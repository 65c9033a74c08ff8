//! Limits of one search. Each is far above what the official clients and the web UI send (a handful of conditions and
//! one or two sort keys), and low enough for the largest search to end within the statement timeout. The number of
//! tokens of a filter (which bounds the items of its lists) and the nesting of its parentheses have the limits of the
//! reference (`syntax::nodes`).

use ferroflow_model::Error;

/// Maximum number of conditions in a filter. Each is a lookup for every row that meets the previous ones.
pub const CONDITIONS: usize = 100;

/// Maximum number of ORDER BY clauses. One by a metric, param or tag is another join, of which `SQLite` supports 64
/// tables, and the keyset condition of the next page grows quadratically.
pub const ORDERS: usize = 20;

/// Maximum number of aggregations, and of dimensions, in a query of metrics.
pub const AGGREGATIONS: usize = 50;

/// Maximum size of a filter or of an ORDER BY clause, in bytes: a list with as many run ids as tokens are allowed has
/// 180,000.
pub const TEXT: usize = 256 * 1024;

/// Maximum length of a pattern of `LIKE` or `ILIKE`, in characters. Matching takes time proportional to the product of
/// the lengths of text and pattern, and `SQLite` accepts 50,000 bytes.
pub const PATTERN: usize = 1000;

/// Maximum length of a regular expression of `RLIKE`, in characters. Its automaton grows with it.
pub const EXPRESSION: usize = 1000;

/// Maximum number of `%` in a pattern.
pub const WILDCARDS: usize = 16;

/// Maximum size of a page token, in bytes. ferroflow's tokens contain the sort keys of a row, at most [`ORDERS`] texts.
pub const TOKEN: usize = 2 * 1024 * 1024;

/// Maximum number of experiments in one search: more than the SDK finds in all pages of a large server.
pub const EXPERIMENTS: usize = 100_000;

/// Maximum number of datasets in a search for logged models. Each of its conditions on metrics compares with all of
/// them.
pub const DATASETS: usize = 50;

/// Checks a limit.
///
/// # Errors
/// `count` exceeds `most`; the message contains both.
pub fn check(what: &str, count: usize, most: usize) -> Result<(), Error> {
    if count <= most {
        return Ok(());
    }
    Err(Error::invalid(format!("The search has {count} {what}; at most {most} are allowed.")))
}

/// Checks the length of a pattern and the number of its wildcards.
pub(crate) fn pattern(text: &str) -> Result<(), Error> {
    check("characters in a pattern of LIKE or ILIKE", text.chars().count(), PATTERN)?;
    check("'%' in a pattern of LIKE or ILIKE", text.matches('%').count(), WILDCARDS)
}

/// Checks the length of a regular expression.
pub(crate) fn expression(text: &str) -> Result<(), Error> {
    check("characters in a pattern of RLIKE", text.chars().count(), EXPRESSION)
}

/// Checks the number of ORDER BY clauses and their lengths.
pub(crate) fn order<S: AsRef<str>>(order_by: &[S]) -> Result<(), Error> {
    check("clauses in `order_by`", order_by.len(), ORDERS)?;
    order_by.iter().try_for_each(|clause| check("bytes in a clause of `order_by`", clause.as_ref().len(), TEXT))
}
