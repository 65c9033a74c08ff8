//! Comparisons of a filter as SQL: column names are literals of this crate, values are bind parameters.

use ferroflow_search::{NumberOp, PairTest, TextTest};

use crate::{
    db::{Value, dialect::Dialect},
    query::select::Select,
    schema::own_indexes::indexed,
};

/// A comparison of a text column.
pub(crate) fn text(select: &mut Select, dialect: Dialect, column: &str, test: &TextTest) -> String {
    match test {
        TextTest::Equal(value) => format!("{column} = {}", select.bind(value)),
        TextTest::NotEqual(value) => format!("{column} != {}", select.bind(value)),
        TextTest::Like(pattern) => format!("{column} LIKE {}", select.bind(pattern)),
        TextTest::ILike(pattern) => match dialect {
            Dialect::Postgres => format!("{column} ILIKE {}", select.bind(pattern)),
            Dialect::Sqlite => format!("lower({column}) LIKE lower({})", select.bind(pattern)),
        },
        TextTest::RLike(expression) => {
            format!("{column} {} {}", dialect.pick("~", "REGEXP"), select.bind(expression))
        }
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

/// A comparison of a text column that is no subquery. In PostgreSQL `ILIKE` converts both texts to wide characters, which
/// takes longer than comparing them: for ASCII alone this is not needed, except where `I` is not the capital of `i`.
pub(crate) fn column(select: &mut Select, dialect: Dialect, column: &str, test: &TextTest) -> String {
    let general = text(select, dialect, column, test);
    match (test, dialect) {
        (TextTest::ILike(pattern), Dialect::Postgres) if pattern.is_ascii() => format!(
            "CASE WHEN octet_length({column}) = char_length({column}) AND lower('I') = 'i' \
             THEN {general} COLLATE \"C\" ELSE {general} END"
        ),
        _ => general,
    }
}

/// A comparison of an integer or double column.
pub(crate) fn number(select: &mut Select, column: &str, op: NumberOp, value: impl Into<Value>) -> String {
    format!("{column} {} {}", op.sql(), select.bind(value))
}

/// A comparison of a metric's value. NaN is stored as 0 with `is_nan`: only `!=` is true for it. An index serves the others:
/// SQLite uses none for `NOT is_nan`.
pub(crate) fn metric(select: &mut Select, op: NumberOp, value: f64) -> String {
    let comparison = number(select, "value", op, value);
    match op {
        NumberOp::NotEqual => format!("({comparison} OR is_nan)"),
        _ => format!("({comparison} AND is_nan = FALSE)"),
    }
}

/// A child table of keys and values: tags or params.
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

/// How a condition on a child table is evaluated.
///
/// A positive condition may drive the query: the ids that meet it are collected from the child table. The others are
/// looked up by primary key for the remaining rows. If every condition collected ids, a database without statistics
/// would scan every child table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Approach {
    /// `id IN (SELECT owner …)`: the condition drives the query.
    Drive,
    /// `SELECT owner …`: the rows that drive the query, one for each owner.
    Owners,
    /// `EXISTS (SELECT … WHERE owner = id)`: evaluated for each row found by other means.
    LookUp,
    /// The same with an optimization fence (`OFFSET 0`). PostgreSQL turns the other forms into joins and may plan all
    /// join orders: planning twenty takes seconds, eighty takes minutes.
    FencedLookUp,
}

/// Number of conditions on child tables without a fence: a join may find few rows sooner.
const MAX_UNFENCED: usize = 5;

impl Approach {
    /// The approach for a condition that follows `earlier` others.
    pub(crate) fn after(self, earlier: usize) -> Self {
        if earlier < MAX_UNFENCED { self } else { Self::FencedLookUp }
    }

    /// The condition that a row of `table` with the owner `id` meets `test`.
    pub(crate) fn condition(self, table: &str, owner: &str, id: &str, test: &str) -> String {
        match self {
            Self::Drive => format!("{id} IN (SELECT {owner} FROM {table} WHERE {test})"),
            Self::Owners => format!("SELECT {owner} FROM {table} WHERE {test}"),
            Self::LookUp => format!("EXISTS (SELECT 1 FROM {table} WHERE {owner} = {id} AND {test})"),
            Self::FencedLookUp => {
                format!("EXISTS (SELECT 1 FROM {table} WHERE {owner} = {id} AND {test} LIMIT 1 OFFSET 0)")
            }
        }
    }
}

/// The condition that a tag or param has a key and exactly a value, for an own index of values, which has their
/// beginnings.
pub(crate) fn indexed_pair(select: &mut Select, dialect: Dialect, pairs: &Pairs, key: &str, value: &str) -> String {
    let Pairs { key: key_column, value: value_column, .. } = pairs;
    let (key, beginning) = (select.bind(key), select.bind(indexed(value)));
    // With `=`, SQLite would replace the column in the expression of the index by the value.
    let exact = text(select, dialect, value_column, &TextTest::In(vec![value.to_owned()]));
    format!("{key_column} = {key} AND substr({value_column}, 1, 200) = {beginning} AND {exact}")
}

/// The condition that the row with this `id` has a tag or param that meets `test`.
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
            let approach = if approach == Approach::Drive { Approach::LookUp } else { approach };
            format!("NOT {}", approach.condition(table, owner, id, &key))
        }
        PairTest::IsNotNull => approach.condition(table, owner, id, &key),
    }
}
