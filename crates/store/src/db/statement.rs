//! A statement with its bound values.

use std::borrow::Cow;

use super::Value;
use crate::dialect::Dialect;

/// SQL text with `$1 …` and the values bound to them.
///
/// A statement of fixed text is prepared once per connection and kept; one that was put together
/// from user input (a search) is sent as it is, so that the number of kept statements is bounded.
#[derive(Debug, Clone)]
pub struct Statement {
    pub(super) sql: Cow<'static, str>,
    pub(super) params: Vec<Value>,
    pub(super) plan: Plan,
}

/// How PostgreSQL is to find the rows of a statement, where it would not see the best way without statistics: it
/// expects one row in two hundred behind an equality, and reads and sorts a whole table for the first page of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Plan {
    /// As it finds best.
    #[default]
    Free,
    /// In the order of an index, where one has the order that is asked for.
    IndexOrder,
    /// Likewise, and joins walk along two indexes side by side, so that a page ends the walk.
    MergeJoin,
}

impl Plan {
    /// The settings of the transaction that runs the statement.
    pub(super) fn settings(self) -> Option<&'static str> {
        match self {
            Self::Free => None,
            Self::IndexOrder => Some("SET LOCAL enable_sort = off; SET LOCAL enable_incremental_sort = off"),
            Self::MergeJoin => Some(
                "SET LOCAL enable_sort = off; SET LOCAL enable_incremental_sort = off; \
                 SET LOCAL enable_hashjoin = off; SET LOCAL enable_nestloop = off",
            ),
        }
    }
}

impl Statement {
    /// A statement of fixed text.
    #[must_use]
    pub fn new(sql: &'static str, params: Vec<Value>) -> Self {
        Self { sql: Cow::Borrowed(sql), params, plan: Plan::default() }
    }

    /// A statement whose text depends on the request. User text is always in `params`.
    #[must_use]
    pub fn dynamic(sql: String, params: Vec<Value>) -> Self {
        Self { sql: Cow::Owned(sql), params, plan: Plan::default() }
    }

    /// The same statement, found in another way. Not to be used within a transaction.
    #[must_use]
    pub fn planned(self, plan: Plan) -> Self {
        Self { plan, ..self }
    }

    /// The statement that asks how this one would be run.
    pub(super) fn explained(self, dialect: Dialect) -> Self {
        let sql = format!("{} {}", dialect.pick("EXPLAIN", "EXPLAIN QUERY PLAN"), self.sql);
        Self { sql: Cow::Owned(sql), ..self }
    }
}

/// Many rows for one table in one statement: `unnest` of arrays in PostgreSQL, one prepared
/// statement run for every row in SQLite (where a round trip costs nothing).
#[derive(Debug, Clone)]
pub struct Insert {
    /// The table.
    pub table: &'static str,
    /// The columns, in the order of `rows`.
    pub columns: &'static [Column],
    /// A condition that a row must meet to be inserted.
    pub only_if: Option<Guard>,
    /// What follows the rows: `ON CONFLICT …`.
    pub on_conflict: &'static str,
    /// The rows. Sort them by key: it keeps two writers from locking each other out.
    pub rows: Vec<Vec<Value>>,
}

/// A condition on the row `r` of an [`Insert`].
#[derive(Debug, Clone)]
pub struct Guard {
    /// For PostgreSQL, where it is planned once for all rows: `{list}` stands for the list.
    pub postgres: &'static str,
    /// For SQLite: a query of the column [`key`](Self::key), which finds a row where the condition
    /// holds. It is asked once for each key.
    pub sqlite: &'static str,
    /// The column that the condition depends on. Rows are sorted by it first.
    pub key: &'static str,
    /// What `{list}` is bound to.
    pub list: Vec<String>,
}

/// A column of an [`Insert`].
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
}

/// The type of an inserted column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text of any length.
    Text,
    /// A 32- or 64-bit integer.
    Int,
    /// A double.
    Real,
    /// A boolean.
    Bool,
}

/// Shorthand for a column of text.
#[must_use]
pub const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text }
}

/// Shorthand for a column of integers.
#[must_use]
pub const fn int(name: &'static str) -> Column {
    Column { name, kind: Kind::Int }
}

/// Shorthand for a column of doubles.
#[must_use]
pub const fn real(name: &'static str) -> Column {
    Column { name, kind: Kind::Real }
}

/// Shorthand for a column of booleans.
#[must_use]
pub const fn bool(name: &'static str) -> Column {
    Column { name, kind: Kind::Bool }
}

impl Insert {
    fn names(&self, prefix: &str) -> String {
        self.columns.iter().map(|column| format!("{prefix}{}", column.name)).collect::<Vec<_>>().join(", ")
    }

    /// The statement for PostgreSQL: one array per column, then the guard's list.
    pub(super) fn postgres_sql(&self) -> String {
        let arrays: Vec<String> = self
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| {
                let ty = match column.kind {
                    Kind::Text => "text",
                    Kind::Int => "bigint",
                    Kind::Real => "double precision",
                    Kind::Bool => "boolean",
                };
                format!("${}::{ty}[]", index + 1)
            })
            .collect();
        let guard = self.only_if.as_ref().map_or_else(
            || "TRUE".to_owned(),
            |guard| guard.postgres.replace("{list}", &format!("${}::text[]", self.columns.len() + 1)),
        );
        format!(
            "INSERT INTO {table} ({names}) SELECT {fields} FROM unnest({arrays}) AS r({names}) WHERE {guard} {conflict}",
            table = self.table,
            names = self.names(""),
            fields = self.names("r."),
            arrays = arrays.join(", "),
            conflict = self.on_conflict,
        )
    }

    /// The statement for SQLite: one row.
    pub(super) fn sqlite_sql(&self) -> String {
        let values: Vec<String> = (1..=self.columns.len()).map(|place| format!("?{place}")).collect();
        format!("INSERT INTO {} ({}) VALUES ({}) {}", self.table, self.names(""), values.join(", "), self.on_conflict)
    }
}
