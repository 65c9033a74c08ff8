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

/// How a condition on a side table is asked.
///
/// One positive condition may be the way in: the ids that fulfil it are collected from the side table. Each
/// further one is looked up by primary key for the rows that are left. Collecting for all of them makes a
/// database without statistics read every side table whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Approach {
    /// `id IN (SELECT owner …)`: the rows come from here.
    WayIn,
    /// `EXISTS (SELECT … WHERE owner = id)`: asked of rows that come from elsewhere.
    LookUp,
    /// The same, and PostgreSQL leaves it as it is. It makes a join of every other one, and plans all orders of some
    /// joins: twenty take it seconds, and eighty minutes.
    LookUpAlone,
}

/// Conditions on side tables that PostgreSQL may make joins of, where that finds few rows sooner.
const JOINED: usize = 5;

impl Approach {
    /// The approach to a condition that comes after `earlier` others.
    pub(crate) fn after(self, earlier: usize) -> Self {
        if earlier < JOINED { self } else { Self::LookUpAlone }
    }

    /// The condition that a row of `table`, which belongs to `id`, meets `test`.
    pub(crate) fn condition(self, table: &str, owner: &str, id: &str, test: &str) -> String {
        match self {
            Self::WayIn => format!("{id} IN (SELECT {owner} FROM {table} WHERE {test})"),
            Self::LookUp => format!("EXISTS (SELECT 1 FROM {table} WHERE {owner} = {id} AND {test})"),
            Self::LookUpAlone => {
                format!("EXISTS (SELECT 1 FROM {table} WHERE {owner} = {id} AND {test} LIMIT 1 OFFSET 0)")
            }
        }
    }
}

/// A test of a tag or param of the row whose id is `id`.
pub(crate) fn pair(
    select: &mut Select,
    dialect: Dialect,
    id: &str,
    pairs: &Pairs,
    key: &str,
    test: &PairTest,
    approach: Approach,
) -> String {
    let Pairs { table, owner, key: key_column, value } = pairs;
    let key = format!("{key_column} = {}", select.bind(key));
    match test {
        PairTest::Value(test) => {
            let test = format!("{key} AND {}", text(select, dialect, value, test));
            approach.condition(table, owner, id, &test)
        }
        PairTest::IsNull => {
            let approach = if approach == Approach::WayIn { Approach::LookUp } else { approach };
            format!("NOT {}", approach.condition(table, owner, id, &key))
        }
        PairTest::IsNotNull => approach.condition(table, owner, id, &key),
    }
}
