//! Text → comparisons, for every entity.
//!
//! The language is what the reference makes of SQL: its lexer (`sqlparse`) cuts the text into tokens
//! ([`lexer`]), tokens that belong together become one node ([`grouping`]), and what is left at the top level must be
//! comparisons joined by `AND` ([`clauses`]). The entities give those comparisons a meaning.

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
