//! How much one search may ask for. Each bound is far above what the official clients and the web UI send, which is a
//! handful of conditions and one or two orders, and low enough for the largest search to end within the limit of a
//! statement. The tokens of a filter, and with them the items of its lists, and the nesting of its parentheses have the
//! bounds of the reference (`syntax::nodes`).

use ferroflow_model::Error;

/// Conditions of a filter. Each is a lookup for every row that meets those before it.
pub const CONDITIONS: usize = 100;

/// Clauses of an order. Each by a metric, param or tag is one more table to join, of which `SQLite` takes 64, and the
/// condition of the next page grows with the square of their number.
pub const ORDERS: usize = 20;

/// Bytes of a filter or of a clause of an order: a list of as many run ids as the bound of tokens allows has 180,000.
pub const TEXT: usize = 256 * 1024;

/// Characters of a pattern of `LIKE` or `ILIKE`. Databases compare a text with a pattern in a time that grows with the
/// product of their lengths, and `SQLite` takes 50,000 bytes.
pub const PATTERN: usize = 1000;

/// `%` in a pattern.
pub const WILDCARDS: usize = 16;

/// Bytes of a page token. One of ours holds the sort keys of a row, [`ORDERS`] texts at the most.
pub const TOKEN: usize = 2 * 1024 * 1024;

/// Experiments that one search is about: more than the SDK finds in all pages of a large server.
pub const EXPERIMENTS: usize = 100_000;

/// Datasets that a search for logged models names. They are looked for in each of its conditions on metrics.
pub const DATASETS: usize = 50;

/// Refuses more of something than there may be.
///
/// # Errors
/// `count` is larger than `most`; the message names both.
pub fn check(what: &str, count: usize, most: usize) -> Result<(), Error> {
    if count <= most {
        return Ok(());
    }
    Err(Error::invalid(format!("The search has {count} {what}; at most {most} are allowed.")))
}

/// Refuses a pattern that is too long or has too many wildcards.
pub(crate) fn pattern(text: &str) -> Result<(), Error> {
    check("characters in a pattern of LIKE or ILIKE", text.chars().count(), PATTERN)?;
    check("'%' in a pattern of LIKE or ILIKE", text.matches('%').count(), WILDCARDS)
}

/// Refuses an order of too many clauses, or with one that is too long.
pub(crate) fn order<S: AsRef<str>>(order_by: &[S]) -> Result<(), Error> {
    check("clauses in `order_by`", order_by.len(), ORDERS)?;
    order_by.iter().try_for_each(|clause| check("bytes in a clause of `order_by`", clause.as_ref().len(), TEXT))
}
