//! The differences between PostgreSQL and SQLite that statements have to know.

/// Which SQL a database speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL 13 or newer.
    Postgres,
    /// SQLite 3.
    Sqlite,
}

impl Dialect {
    /// One of two texts, for a static statement that can not be written once.
    #[must_use]
    pub const fn pick<T: Copy>(self, postgres: T, sqlite: T) -> T {
        match self {
            Self::Postgres => postgres,
            Self::Sqlite => sqlite,
        }
    }

    /// The condition that `column` is in the list bound at `place`, such as `$3`.
    #[must_use]
    pub fn any(self, column: &str, place: &str) -> String {
        match self {
            Self::Postgres => format!("{column} = ANY({place})"),
            Self::Sqlite => format!("{column} IN (SELECT value FROM json_each({place}))"),
        }
    }
}
