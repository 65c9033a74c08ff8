//! Statements with their parameters.

use std::borrow::Cow;

use ferroflow_telemetry::Statistics;

use super::{
    Value, observe,
    sql::{Key, Sql, Template, Unbound, Upkeep, has_workspace, in_workspace, numbered},
};
use crate::{db::dialect::Dialect, workspace::Workspace};

/// SQL text with placeholders `$1 …` and the parameters bound to them.
///
/// A statement of static text is prepared once per connection and cached. One of dynamic text (a search) is not, so
/// that the cache is bounded.
#[derive(Debug, Clone)]
pub struct Statement {
    sql: Source,
    pub(super) params: Vec<Value>,
    pub(super) plan: Plan,
}

/// Where the text comes from.
#[derive(Debug, Clone)]
enum Source {
    /// A template. With `by_parameter` the last parameter is the workspace.
    Template { template: &'static Template, by_parameter: bool },
    /// A text as it is, with the name of its statistics.
    Text(Cow<'static, str>, Name),
}

/// The name of a statement without a template.
#[derive(Debug, Clone, Copy)]
enum Name {
    /// A search of a table.
    Search(&'static str),
    /// Maintenance.
    Upkeep(Upkeep),
}

/// Planner settings for PostgreSQL, where it chooses badly without statistics: it estimates that an equality selects
/// one row in 200, and reads and sorts a whole table for its first page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Plan {
    /// The planner's own choice.
    #[default]
    Free,
    /// No sorting: reads an index in the requested order, if there is one.
    IndexOrder,
    /// No sorting, except of rows that are equal in the first keys: reads an index in the order of these.
    PartialOrder,
    /// Reads an index by the condition, row by row, so that LIMIT ends it: neither the whole table nor a bitmap of all rows.
    IndexScan,
    /// Reads the indexes of the conditions, and no whole table.
    NoTableScan,
    /// Joins by a hash table, from the indexes of the conditions: each table is read once, however many rows join.
    HashJoin,
    /// As [`Self::IndexScan`], and compares rows with a list of some ten thousand ids in a hash table.
    HashedList,
    /// As [`Self::IndexOrder`], and joins only by merging two indexes, so that LIMIT ends the scan of both.
    MergeJoin,
}

impl Plan {
    /// The `SET LOCAL` statements of the transaction that runs the statement.
    pub(super) fn settings(self) -> Option<&'static str> {
        match self {
            Self::Free => None,
            Self::IndexOrder => Some("SET LOCAL enable_sort = off; SET LOCAL enable_incremental_sort = off"),
            Self::PartialOrder => Some("SET LOCAL enable_sort = off"),
            Self::IndexScan => {
                Some("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off")
            }
            Self::NoTableScan => Some("SET LOCAL enable_seqscan = off"),
            Self::HashJoin => Some(
                "SET LOCAL enable_seqscan = off; SET LOCAL enable_nestloop = off; SET LOCAL enable_mergejoin = off; \
                 SET LOCAL work_mem = '32MB'",
            ),
            Self::HashedList => Some(
                "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off; \
                 SET LOCAL work_mem = '8MB'",
            ),
            Self::MergeJoin => Some(
                "SET LOCAL enable_sort = off; SET LOCAL enable_incremental_sort = off; \
                 SET LOCAL enable_hashjoin = off; SET LOCAL enable_nestloop = off",
            ),
        }
    }
}

impl Statement {
    /// A statement whose scope needs no workspace.
    #[must_use]
    pub(crate) fn new<S: Unbound>(sql: &'static Sql<S>, params: Vec<Value>) -> Self {
        Self::from_source(Source::Template { template: &sql.template, by_parameter: false }, params)
    }

    /// A statement in a workspace.
    #[must_use]
    pub(crate) fn within(workspace: &Workspace, sql: &'static Sql<Workspace>, mut params: Vec<Value>) -> Self {
        params.extend(workspace.parameter().map(|name| Value::from(&**name)));
        let by_parameter = workspace.parameter().is_some();
        Self::from_source(Source::Template { template: &sql.template, by_parameter }, params)
    }

    /// A statement on the children of a row, whose key is `$1`.
    #[must_use]
    pub(crate) fn of<K: Key>(key: &K, sql: &'static Sql<K>, rest: Vec<Value>) -> Self {
        let params = std::iter::once(key.value()).chain(rest).collect();
        Self::from_source(Source::Template { template: &sql.template, by_parameter: false }, params)
    }

    /// A statement of dynamic text that [`Select`](crate::query::select::Select) has written, on rows of `table`. User
    /// input is always in `params`: the text may be logged.
    #[must_use]
    pub(crate) fn select(table: &'static str, sql: String, params: Vec<Value>) -> Self {
        Self::from_source(Source::Text(Cow::Owned(sql), Name::Search(table)), params)
    }

    /// A statement without scope in the dialect of its database, for what cannot be in the list of statements. A
    /// `&'static str` is prepared and cached, a `String` is not.
    #[must_use]
    pub fn unscoped(why: Upkeep, sql: impl Into<Cow<'static, str>>, params: Vec<Value>) -> Self {
        Self::from_source(Source::Text(sql.into(), Name::Upkeep(why)), params)
    }

    fn from_source(sql: Source, params: Vec<Value>) -> Self {
        Self { sql, params, plan: Plan::default() }
    }

    /// Sets the planner settings. Not for use within a transaction.
    #[must_use]
    pub fn planned(self, plan: Plan) -> Self {
        Self { plan, ..self }
    }

    /// Whether the text is static, so that it is prepared and cached.
    pub(super) fn is_static(&self) -> bool {
        matches!(self.sql, Source::Template { .. } | Source::Text(Cow::Borrowed(_), _))
    }

    /// The text for PostgreSQL.
    pub(super) fn postgres(&self) -> &str {
        match &self.sql {
            Source::Template { template, by_parameter } => template.sql(Dialect::Postgres, *by_parameter),
            Source::Text(text, _) => text,
        }
    }

    /// The statistics of its executions.
    pub(super) fn statistics(&self) -> &'static Statistics {
        match self.sql {
            Source::Template { template, .. } => &template.statistics,
            Source::Text(_, Name::Search(table)) => observe::of_name("search", table),
            Source::Text(_, Name::Upkeep(why)) => observe::of_name("upkeep", why.name()),
        }
    }

    /// The text for logs and traces: empty if it may have more in it than the code, as that of a migration.
    pub(super) fn public_text(&self, dialect: Dialect) -> Cow<'static, str> {
        match &self.sql {
            Source::Template { template, by_parameter } => template.sql(dialect, *by_parameter).into(),
            Source::Text(text, Name::Search(_)) => text.clone(),
            Source::Text(Cow::Borrowed(text), Name::Upkeep(_)) => (*text).into(),
            Source::Text(Cow::Owned(_), Name::Upkeep(_)) => Cow::Borrowed(""),
        }
    }

    /// The name of a statement that is derived from this one.
    fn name(&self) -> Name {
        match self.sql {
            Source::Template { .. } => Name::Search("derived"),
            Source::Text(_, name) => name,
        }
    }

    /// The text for SQLite.
    pub(super) fn sqlite(&self) -> Cow<'_, str> {
        match &self.sql {
            Source::Template { template, by_parameter } => template.sql(Dialect::Sqlite, *by_parameter).into(),
            Source::Text(text, _) => numbered(text).into(),
        }
    }

    /// The statement that counts the rows of this one.
    pub(crate) fn counted(self, dialect: Dialect) -> Self {
        let sql = match dialect {
            Dialect::Postgres => format!("SELECT COUNT(*) FROM ({}) AS counted", self.postgres()),
            Dialect::Sqlite => format!("SELECT COUNT(*) FROM ({}) AS counted", self.sqlite()),
        };
        Self { sql: Source::Text(sql.into(), self.name()), ..self }
    }

    /// The statement that explains this one.
    pub(super) fn explained(self, dialect: Dialect) -> Self {
        let sql = match dialect {
            Dialect::Postgres => format!("EXPLAIN {}", self.postgres()),
            Dialect::Sqlite => format!("EXPLAIN QUERY PLAN {}", self.sqlite()),
        };
        Self { sql: Source::Text(sql.into(), self.name()), ..self }
    }
}

/// Rows to insert into one table with one statement: `unnest` of arrays in PostgreSQL; in SQLite, which has no round
/// trips, one prepared statement per row.
#[derive(Debug, Clone)]
pub struct Insert {
    /// The table.
    pub table: &'static str,
    /// The columns, in the order of `rows`.
    pub columns: &'static [Column],
    /// A condition that a row must meet to be inserted.
    pub only_if: Option<Guard>,
    /// The clause after the rows: `ON CONFLICT …`.
    pub on_conflict: &'static str,
    /// The rows, sorted by key so that concurrent transactions do not deadlock.
    pub rows: Vec<Vec<Value>>,
}

/// A condition on the row `r` of an [`Insert`].
#[derive(Debug, Clone)]
pub struct Guard {
    /// The workspace that the rows' run must be in.
    pub(crate) workspace: Workspace,
    /// The condition for PostgreSQL, planned once for all rows. `{list}` is the list, `{ws of o}` the condition on the
    /// workspace.
    pub(crate) postgres: &'static str,
    /// The query for SQLite, run once per value of [`key`](Self::key), its parameter. The condition is true if it
    /// returns a row.
    pub(crate) sqlite: &'static Sql<Workspace>,
    /// The column that the condition depends on. Rows with the same value must be adjacent.
    pub key: &'static str,
    /// The list that `{list}` is bound to.
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
    /// JSON, given as text.
    Json,
    /// A date, given as text.
    Date,
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

/// Shorthand for a column of JSON.
#[must_use]
pub const fn json(name: &'static str) -> Column {
    Column { name, kind: Kind::Json }
}

/// Shorthand for a column of dates.
#[must_use]
pub const fn date(name: &'static str) -> Column {
    Column { name, kind: Kind::Date }
}

/// Shorthand for a column of booleans.
#[must_use]
pub const fn bool(name: &'static str) -> Column {
    Column { name, kind: Kind::Bool }
}

impl Guard {
    /// The condition for PostgreSQL, with the list at the placeholder `place` and the workspace, if it is a parameter,
    /// at the next one.
    fn condition(&self, place: usize) -> String {
        let condition = self.postgres.replace("{list}", &format!("${place}::text[]"));
        match self.workspace.parameter() {
            None => condition.replace(" AND {ws of o}", ""),
            Some(_) => condition.replace("{ws of o}", &in_workspace("o", Some(&format!("${}", place + 1)))),
        }
    }

    /// The query for SQLite.
    pub(super) fn sqlite(&self) -> &'static str {
        self.sqlite.template.sql(Dialect::Sqlite, self.workspace.parameter().is_some())
    }
}

impl Insert {
    fn names(&self) -> String {
        let says_workspace = self.columns.iter().any(|column| column.name == "workspace");
        debug_assert!(says_workspace || !has_workspace(self.table), "rows of {} without a workspace", self.table);
        self.columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", ")
    }

    /// The statement for PostgreSQL: one array per column, then the guard's list.
    pub(super) fn postgres_sql(&self) -> String {
        let arrays: Vec<String> = self
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| {
                let ty = match column.kind {
                    Kind::Text | Kind::Json | Kind::Date => "text",
                    Kind::Int => "bigint",
                    Kind::Real => "double precision",
                    Kind::Bool => "boolean",
                };
                format!("${}::{ty}[]", index + 1)
            })
            .collect();
        // The text of JSON is kept as it is.
        let fields = |column: &Column| {
            let cast = match column.kind {
                Kind::Json => "::json",
                Kind::Date => "::date",
                _ => "",
            };
            format!("r.{}{cast}", column.name)
        };
        let guard =
            self.only_if.as_ref().map_or_else(|| "TRUE".to_owned(), |guard| guard.condition(self.columns.len() + 1));
        format!(
            "INSERT INTO {table} ({names}) SELECT {fields} FROM unnest({arrays}) AS r({names}) WHERE {guard} {conflict}",
            table = self.table,
            names = self.names(),
            fields = self.columns.iter().map(fields).collect::<Vec<_>>().join(", "),
            arrays = arrays.join(", "),
            conflict = self.on_conflict,
        )
    }

    /// The statement for SQLite: one row.
    pub(super) fn sqlite_sql(&self) -> String {
        let values: Vec<String> = (1..=self.columns.len()).map(|place| format!("?{place}")).collect();
        format!("INSERT INTO {} ({}) VALUES ({}) {}", self.table, self.names(), values.join(", "), self.on_conflict)
    }
}
