//! Parser of filters: text → comparisons, for every entity.
//!
//! The language is derived from SQL as the reference parses it: a lexer (`sqlparse`) splits the text into tokens
//! ([`lexer`]), tokens are grouped into nodes ([`grouping`]), and the top level must consist of comparisons joined by
//! `AND` ([`clauses`]). The entities' modules interpret these comparisons.

pub(crate) mod chars;
pub(crate) mod clauses;
pub(crate) mod delimited;
pub(crate) mod grouping;
pub(crate) mod keywords;
pub(crate) mod lexer;
pub(crate) mod list;
pub(crate) mod nodes;
pub(crate) mod python;
pub(crate) mod scanner;
pub(crate) mod statement;
pub(crate) mod work;
