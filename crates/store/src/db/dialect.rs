//! Differences between PostgreSQL and SQLite that statements depend on.

/// The SQL dialect of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL 13 or newer.
    Postgres,
    /// SQLite 3.
    Sqlite,
}

impl Dialect {
    /// Picks one of two values, for a static statement that needs one text per dialect.
    #[must_use]
    pub const fn pick<T: Copy>(self, postgres: T, sqlite: T) -> T {
        match self {
            Self::Postgres => postgres,
            Self::Sqlite => sqlite,
        }
    }

    /// The condition that `column` is in the list bound to the placeholder `place`, such as `$3`.
    #[must_use]
    pub fn any(self, column: &str, place: &str) -> String {
        match self {
            Self::Postgres => format!("{column} = ANY({place})"),
            Self::Sqlite => format!("{column} IN (SELECT value FROM json_each({place}))"),
        }
    }
}
