//! Pages of a search: keyset pagination over SQL that is built from literals of this crate and bind parameters.
//!
//! User input is only ever bound. The builder knows no tables; the searches do.

use ferroflow_model::{Error, Result};
use ferroflow_search::{KeyValue, PageToken};

use crate::db::{DbError, Plan, Row, Statement, Value};

/// A SELECT under construction.
#[derive(Debug, Default)]
pub(crate) struct Select {
    joins: String,
    conditions: Vec<String>,
    keys: Vec<SortKey>,
    params: Vec<Value>,
    plan: Plan,
}

/// The parts of the statement for a page, as SQL.
pub(crate) struct Parts {
    /// The sort keys, as a select list.
    pub(crate) keys: String,
    /// The conditions, joined with AND.
    pub(crate) conditions: String,
    /// The sort keys, as an ORDER BY list.
    pub(crate) order: String,
    /// `LIMIT` and `OFFSET`, with a leading space.
    pub(crate) limit: String,
}

/// A column or expression that rows are ordered by. All keys together are unique, and a nullable key follows one that
/// says whether it is NULL.
#[derive(Debug, Clone)]
pub(crate) struct SortKey {
    /// The expression.
    pub(crate) expression: String,
    /// Whether the order is descending.
    pub(crate) descending: bool,
    /// The type of its values that are not NULL.
    pub(crate) kind: KeyKind,
}

/// The type of a sort key's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyKind {
    /// Integers.
    Int,
    /// Doubles.
    Real,
    /// Texts.
    Text,
}

impl Select {
    /// Binds a parameter and returns its placeholder, such as `$3`.
    pub(crate) fn bind(&mut self, value: impl Into<Value>) -> String {
        self.params.push(value.into());
        format!("${}", self.params.len())
    }

    /// Whether a parameter is bound.
    pub(crate) fn has_values(&self) -> bool {
        !self.params.is_empty()
    }

    /// Adds a JOIN.
    pub(crate) fn join(&mut self, join: &str) {
        self.joins.push(' ');
        self.joins.push_str(join);
    }

    /// Adds a condition that every row meets.
    pub(crate) fn filter(&mut self, condition: String) {
        self.conditions.push(condition);
    }

    /// Appends a sort key.
    pub(crate) fn order_by(&mut self, expression: impl Into<String>, descending: bool, kind: KeyKind) {
        self.keys.push(SortKey { expression: expression.into(), descending, kind });
    }

    /// Orders rows where an expression is NULL after the others.
    pub(crate) fn nulls_last(&mut self, expression: &str) {
        self.order_by(format!("CASE WHEN {expression} IS NULL THEN 1 ELSE 0 END"), false, KeyKind::Int);
    }

    /// Sets the planner settings for PostgreSQL.
    pub(crate) fn plan(&mut self, plan: Plan) {
        self.plan = plan;
    }

    /// The statement for one page, with one row more than `limit` to detect whether there is a next page. It selects
    /// `columns`, then the sort keys.
    ///
    /// # Errors
    /// The token belongs to another search.
    pub(crate) fn page(self, columns: &str, from: &str, limit: i64, token: PageToken) -> Result<Page> {
        let joins = self.joins.clone();
        self.page_of(limit, token, |Parts { keys, conditions, order, limit }| {
            format!("SELECT {columns}, {keys} FROM {from}{joins} WHERE {conditions} ORDER BY {order}{limit}")
        })
    }

    /// [`Select::page`] for a statement whose text `write` builds.
    ///
    /// # Errors
    /// The token belongs to another search.
    pub(crate) fn page_of(mut self, limit: i64, token: PageToken, write: impl FnOnce(Parts) -> String) -> Result<Page> {
        let offset = match token {
            PageToken::Offset(0) => String::new(),
            PageToken::Offset(offset) => {
                format!(" OFFSET {}", self.bind(i64::try_from(offset).unwrap_or(i64::MAX)))
            }
            PageToken::Key(values) => {
                let condition = self.after(values)?;
                self.conditions.push(condition);
                String::new()
            }
        };
        let keys: Vec<&str> = self.keys.iter().map(|key| key.expression.as_str()).collect();
        let keys = keys.join(", ");
        let order = self
            .keys
            .iter()
            .map(|key| format!("{}{}", key.expression, if key.descending { " DESC" } else { "" }))
            .collect::<Vec<_>>()
            .join(", ");
        let rows = self.bind(limit.saturating_add(1));
        let conditions = if self.conditions.is_empty() { "TRUE".to_owned() } else { self.conditions.join(" AND ") };
        let sql = write(Parts { keys, conditions, order, limit: format!(" LIMIT {rows}{offset}") });
        let statement = Statement::dynamic(sql, self.params).planned(self.plan);
        Ok(Page { statement, keys: self.keys.len(), limit })
    }

    /// The condition that a row follows the cursor: equal up to some key, and greater (or, if descending, less) in that
    /// key.
    fn after(&mut self, values: Vec<KeyValue>) -> Result<String> {
        let fits = |(key, value): (&SortKey, &KeyValue)| match value {
            KeyValue::Null => true,
            KeyValue::Int(_) => key.kind == KeyKind::Int,
            KeyValue::Real(_) => key.kind == KeyKind::Real,
            KeyValue::Text(_) => key.kind == KeyKind::Text,
        };
        if values.len() != self.keys.len() || !self.keys.iter().zip(&values).all(fits) {
            return Err(Error::invalid("Invalid page token: it belongs to a search with another order"));
        }
        let keys = self.keys.clone();
        let mut equal = String::new();
        let mut cases = Vec::new();
        for (key, value) in keys.iter().zip(values) {
            let expression = &key.expression;
            let place = match value {
                // The next keys distinguish rows that are NULL here.
                KeyValue::Null => {
                    equal.push_str(&format!("{expression} IS NULL AND "));
                    continue;
                }
                KeyValue::Int(value) => self.bind(value),
                KeyValue::Real(value) => self.bind(value),
                KeyValue::Text(value) => self.bind(value),
            };
            let comparison = if key.descending { "<" } else { ">" };
            cases.push(format!("({equal}{expression} {comparison} {place})"));
            equal.push_str(&format!("{expression} = {place} AND "));
        }
        // The last key is unique and never NULL, so a valid token has at least one case.
        if cases.is_empty() {
            return Err(Error::invalid("Invalid page token"));
        }
        Ok(format!("({})", cases.join(" OR ")))
    }
}

/// The statement for a page, and how to read its rows.
pub(crate) struct Page {
    pub(crate) statement: Statement,
    keys: usize,
    limit: i64,
}

impl Page {
    /// Maps a row to the result of `map` and the sort keys.
    pub(crate) fn mapping<T>(
        &self,
        columns: usize,
        map: impl Fn(&Row<'_>) -> Result<T, DbError> + Send + 'static,
    ) -> impl FnMut(&Row<'_>) -> Result<(T, Vec<KeyValue>), DbError> + Send + 'static {
        let keys = self.keys;
        move |row| {
            let values = (columns..columns + keys).map(|index| key_value(row, index)).collect::<Result<_, _>>()?;
            Ok((map(row)?, values))
        }
    }

    /// Drops the extra row, and returns the token of the next page if there is one.
    pub(crate) fn finish<T>(&self, mut rows: Vec<(T, Vec<KeyValue>)>) -> (Vec<T>, Option<String>) {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let mut token = None;
        if rows.len() > limit {
            rows.truncate(limit);
            token = rows.last().map(|(_, keys)| PageToken::Key(keys.clone()).encode());
        }
        (rows.into_iter().map(|(row, _)| row).collect(), token)
    }
}

fn key_value(row: &Row<'_>, index: usize) -> Result<KeyValue, DbError> {
    Ok(match row.get::<Value>(index)? {
        Value::Null => KeyValue::Null,
        Value::Int(value) => KeyValue::Int(value),
        Value::Bool(value) => KeyValue::Int(value.into()),
        Value::Real(value) => KeyValue::Real(value),
        Value::Text(value) => KeyValue::Text(value),
        Value::Bytes(_) | Value::Texts(_) | Value::Ints(_) => {
            return Err(DbError::Other(format!("column {index} cannot be a sort key")));
        }
    })
}
