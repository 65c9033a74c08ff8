//! Comparisons of a filter as SQL: the column is our text, the value is bound.

use ferroflow_search::{NumberOp, PairTest, TextTest};

use crate::{db::Value, dialect::Dialect, select::Select};

/// A test of a column of text.
pub(crate) fn text(select: &mut Select, dialect: Dialect, column: &str, test: &TextTest) -> String {
    match test {
        TextTest::Equal(value) => format!("{column} = {}", select.bind(value)),
        TextTest::NotEqual(value) => format!("{column} != {}", select.bind(value)),
        TextTest::Like(pattern) => format!("{column} LIKE {}", select.bind(pattern)),
        TextTest::ILike(pattern) => match dialect {
            Dialect::Postgres => format!("{column} ILIKE {}", select.bind(pattern)),
            Dialect::Sqlite => format!("lower({column}) LIKE lower({})", select.bind(pattern)),
        },
        TextTest::In(values) => {
            let place = select.bind(values.as_slice());
            dialect.any(column, &place)
        }
        TextTest::NotIn(values) => {
            let place = select.bind(values.as_slice());
            format!("NOT ({})", dialect.any(column, &place))
        }
    }
}

/// A test of a column of integers or doubles.
pub(crate) fn number(select: &mut Select, column: &str, op: NumberOp, value: impl Into<Value>) -> String {
    format!("{column} {} {}", op.sql(), select.bind(value))
}

/// A test of a metric's value. NaN is stored as 0 with a mark: only `!=` holds for it.
pub(crate) fn metric(select: &mut Select, op: NumberOp, value: f64) -> String {
    let comparison = number(select, "value", op, value);
    match op {
        NumberOp::NotEqual => format!("({comparison} OR is_nan)"),
        _ => format!("({comparison} AND NOT is_nan)"),
    }
}

/// A table of keys and values that belong to something: tags and params.
pub(crate) struct Pairs {
    /// The table.
    pub(crate) table: &'static str,
    /// Its column with the owner's id.
    pub(crate) owner: &'static str,
    /// Its column with the key.
    pub(crate) key: &'static str,
    /// Its column with the value.
    pub(crate) value: &'static str,
}

/// A test of a tag or param of the row whose id is `id`.
pub(crate) fn pair(
    select: &mut Select,
    dialect: Dialect,
    id: &str,
    pairs: &Pairs,
    key: &str,
    test: &PairTest,
) -> String {
    let Pairs { table, owner, key: key_column, value } = pairs;
    let place = select.bind(key);
    let list = format!("(SELECT {owner} FROM {table} WHERE {key_column} = {place}");
    match test {
        PairTest::Value(test) => format!("{id} IN {list} AND {})", text(select, dialect, value, test)),
        PairTest::IsNull => format!("{id} NOT IN {list})"),
        PairTest::IsNotNull => format!("{id} IN {list})"),
    }
}
