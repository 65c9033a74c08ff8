//! Pages of a search: keyset pagination over SQL that is built from literals of this crate and bind parameters.
//!
//! User input is only ever bound. The builder knows no tables; the searches do.

use ferroflow_model::{Error, Result, limits::memory};
use ferroflow_search::{KeyValue, PageToken, QueryId};

use crate::{
    db::{Conn, DbError, Plan, Row, Statement, Value, dialect::Dialect, has_workspace, in_workspace},
    query::experiments::Experiments,
    workspace::Workspace,
};

/// Number of rows whose children are loaded in one round trip.
const ROWS_TOGETHER: usize = 2000;

/// A SELECT under construction, of rows in a workspace.
#[derive(Debug)]
pub(crate) struct Select {
    /// The table whose rows it selects.
    table: &'static str,
    from: String,
    /// The workspace as a value in SQL.
    workspace: String,
    /// Parameters bound for the workspace.
    own_params: usize,
    joins: String,
    conditions: Vec<String>,
    keys: Vec<SortKey>,
    params: Vec<Value>,
    plan: Plan,
    query: Option<QueryId>,
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
    /// Selects rows of a table in a workspace. Its conditions call the table by `alias`.
    pub(crate) fn new(workspace: &Workspace, table: &'static str, alias: &'static str) -> Self {
        let mut select = Self::everywhere(workspace, table, alias);
        if has_workspace(table) {
            select.conditions.push(select.in_workspace(alias));
        } else if select.own_params > 0 {
            select.conditions.push(in_workspace(alias, Some(&select.workspace)));
        }
        select
    }

    /// Selects rows of a table in some experiments, as far as these are in a workspace. `is_hidden` hides the experiment
    /// from indexes, by a sign.
    pub(crate) fn of_experiments(
        workspace: &Workspace,
        table: &'static str,
        alias: &'static str,
        dialect: Dialect,
        ids: Vec<i64>,
        is_hidden: bool,
    ) -> (Self, Experiments) {
        let (mut select, experiments) = Self::with_experiments(workspace, table, alias, dialect, ids);
        let sign = if is_hidden { "+" } else { "" };
        select.conditions.push(format!("{sign}{}", experiments.contain(alias)));
        (select, experiments)
    }

    /// Selects rows of a table, which the caller restricts by the experiments.
    pub(crate) fn with_experiments(
        workspace: &Workspace,
        table: &'static str,
        alias: &'static str,
        dialect: Dialect,
        ids: Vec<i64>,
    ) -> (Self, Experiments) {
        let mut select = Self::everywhere(workspace, table, alias);
        let workspace = (select.own_params > 0).then(|| select.workspace.clone());
        let experiments = Experiments::bind(&mut select, dialect, workspace, ids);
        (select, experiments)
    }

    /// Selects rows of a table without a condition.
    fn everywhere(workspace: &Workspace, table: &'static str, alias: &'static str) -> Self {
        let mut select = Self {
            table,
            from: format!("{table} {alias}"),
            workspace: "'default'".to_owned(),
            own_params: 0,
            joins: String::new(),
            conditions: Vec::new(),
            keys: Vec::new(),
            params: Vec::new(),
            plan: Plan::default(),
            query: None,
        };
        if let Some(name) = workspace.parameter() {
            select.workspace = select.bind(&**name);
            select.own_params = 1;
        }
        select
    }

    /// The condition that a row of a table with a workspace is in the workspace of the search.
    pub(crate) fn in_workspace(&self, alias: &str) -> String {
        format!("{alias}.workspace = {}", self.workspace)
    }

    /// The condition that the experiment of a row of another table is in the workspace of the search.
    pub(crate) fn within_workspace(&self, alias: &str) -> String {
        in_workspace(alias, (self.own_params > 0).then_some(self.workspace.as_str()))
    }

    /// Binds the page tokens to a query: they are refused by any other one.
    pub(crate) fn of_query(&mut self, query: impl Into<Option<QueryId>>) {
        self.query = query.into();
    }

    /// Reads another table first, one with a workspace, by `CROSS JOIN`, which SQLite never reorders.
    pub(crate) fn driven_by(&mut self, table: &'static str, alias: &'static str) {
        self.from = format!("{table} {alias} CROSS JOIN {}", self.from);
        self.conditions.push(self.in_workspace(alias));
    }

    /// Reads the rows of a list first, by `CROSS JOIN`, which SQLite never reorders.
    pub(crate) fn driven_by_list(&mut self, list: &str) {
        self.from = format!("{list} CROSS JOIN {}", self.from);
    }

    /// Reads rows of the table that `from` selects. It calls them by the same alias.
    pub(crate) fn read_from(&mut self, from: String) {
        self.from = from;
    }

    /// Binds a parameter and returns its placeholder, such as `$3`.
    pub(crate) fn bind(&mut self, value: impl Into<Value>) -> String {
        self.params.push(value.into());
        format!("${}", self.params.len())
    }

    /// Whether a parameter is bound, other than the workspace.
    pub(crate) fn has_values(&self) -> bool {
        self.params.len() > self.own_params
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

    /// A statement that is no page. `write` is given the tables with their joins, and the conditions.
    pub(crate) fn statement(self, write: impl FnOnce(&str, &str) -> String) -> Statement {
        let conditions = if self.conditions.is_empty() { "TRUE".to_owned() } else { self.conditions.join(" AND ") };
        let sql = write(&format!("{}{}", self.from, self.joins), &conditions);
        Statement::select(self.table, sql, self.params).planned(self.plan)
    }

    /// The statement for one page, with one row more than `limit` to detect whether there is a next page. It selects
    /// `columns`, then the sort keys.
    ///
    /// # Errors
    /// The token belongs to another search.
    pub(crate) fn page(self, columns: &str, limit: i64, token: PageToken) -> Result<Page> {
        let (from, joins) = (self.from.clone(), self.joins.clone());
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
        let statement = Statement::select(self.table, sql, self.params).planned(self.plan);
        Ok(Page { statement, keys: self.keys.len(), limit, query: self.query })
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
        // Redundant, but an index of the first key serves this one.
        let mut first = String::new();
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
            if equal.is_empty() {
                first = format!("{expression} {comparison}= {place} AND ");
            }
            cases.push(format!("({equal}{expression} {comparison} {place})"));
            equal.push_str(&format!("{expression} = {place} AND "));
        }
        // The last key is unique and never NULL, so a valid token has at least one case.
        if cases.is_empty() {
            return Err(Error::invalid("Invalid page token"));
        }
        Ok(format!("({first}({}))", cases.join(" OR ")))
    }
}

/// The statement for a page, and how to read its rows.
pub(crate) struct Page {
    pub(crate) statement: Statement,
    keys: usize,
    limit: i64,
    query: Option<QueryId>,
}

impl Page {
    /// Reads the rows of the page; `map` reads the first `columns` columns of one. The page ends early where its rows
    /// would take more memory than a page may ([`memory::PAGE`]).
    ///
    /// # Errors
    /// The database failed.
    pub(crate) async fn read<T: Send + 'static>(
        self,
        conn: &Conn,
        columns: usize,
        map: impl Fn(&Row<'_>) -> Result<T, DbError> + Send + 'static,
    ) -> Result<Found<T>, DbError> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let keys = columns..columns + self.keys;
        let found = Found { rows: Vec::new(), has_more: false, query: self.query };
        let mut size = 0;
        conn.fold_counted(vec![self.statement], found, move |found, _, row| {
            if found.has_more || found.rows.len() == limit || size > memory::PAGE {
                found.has_more = true;
                return Ok(0);
            }
            let values = keys.clone().map(|index| key_value(row, index)).collect::<Result<_, _>>()?;
            found.rows.push((map(row)?, values));
            let row = row.size()?;
            size += row;
            Ok(row)
        })
        .await
    }
}

/// The rows of a page, and whether there are more.
pub(crate) struct Found<T> {
    rows: Vec<(T, Vec<KeyValue>)>,
    has_more: bool,
    query: Option<QueryId>,
}

/// No rows, and none behind them.
impl<T> Default for Found<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), has_more: false, query: None }
    }
}

impl<T> Found<T> {
    /// The rows.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &T> {
        self.rows.iter().map(|(row, _)| row)
    }

    /// Whether there are more rows behind the page.
    pub(crate) fn has_more(&self) -> bool {
        self.has_more
    }

    /// The rows with those of a page that begins where this one ends.
    pub(crate) fn followed_by(mut self, next: Self) -> Self {
        self.rows.extend(next.rows);
        Self { rows: self.rows, ..next }
    }

    /// Ends the page after `len` rows.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.has_more |= len < self.rows.len();
        self.rows.truncate(len);
    }

    /// The rows, and the token of the next page if there is one.
    pub(crate) fn finish(self) -> (Vec<T>, Option<String>) {
        let last = self.rows.last().filter(|_| self.has_more);
        let token = last.map(|(_, keys)| PageToken::Key(keys.clone()).encode_of(self.query));
        (self.rows.into_iter().map(|(row, _)| row).collect(), token)
    }
}

/// Loads the children of a page's rows, given by their keys, in order: all at once where the page is small, otherwise a
/// part at a time until the page has the size at which it ends. Returns the parts, and the number of rows that they are
/// of.
///
/// # Errors
/// Errors of `load`.
pub(crate) async fn load_children<K: Clone, C, Fut>(
    conn: &Conn,
    keys: Vec<K>,
    load: impl Fn(Vec<K>) -> Fut,
) -> Result<(Vec<C>, usize), DbError>
where
    Fut: Future<Output = Result<C, DbError>>,
{
    let (mut parts, mut done, mut step) = (Vec::new(), 0, ROWS_TOGETHER);
    let start = conn.charged();
    while done < keys.len() && (done == 0 || conn.charged() - start < memory::PAGE) {
        let end = keys.len().min(done + step);
        let before = conn.charged();
        match load(keys[done..end].to_vec()).await {
            Ok(part) => {
                parts.push(part);
                done = end;
            }
            // What was read is dropped; the page is made of fewer rows.
            Err(DbError::TooLarge(_)) if end - done > 1 => {
                conn.refund(conn.charged() - before);
                step = (end - done).div_ceil(4);
            }
            Err(DbError::TooLarge(_)) if done > 0 => {
                conn.refund(conn.charged() - before);
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok((parts, done))
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
