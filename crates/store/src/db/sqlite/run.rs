//! Runs statements on a connection, in the thread that owns it.

use rusqlite::Connection;
use tokio::runtime::Handle;

use crate::db::{Account, DbError, Insert, Op, Row, Statement, Value, Visit, dialect::Dialect, observe};

/// Runs a statement and passes every row to `visit`, which charges it to the account. This thread waits for the turn of
/// a large result, on the runtime beside the account.
pub(in crate::db) fn each(
    connection: &Connection,
    statement: &Statement,
    account: Option<&(Account, Handle)>,
    visit: &mut Visit<'_>,
) -> Result<(), DbError> {
    let sql = statement.sqlite();
    let params = rusqlite::params_from_iter(&statement.params);
    let mut observed = observe::statement(statement, Dialect::Sqlite);
    let all = |prepared: &mut rusqlite::Statement<'_>| {
        let mut rows = prepared.query(params)?;
        while let Some(row) = rows.next()? {
            observed.row();
            visit(&Row::Sqlite(row))?;
            if let Some((account, runtime)) = account.filter(|(account, _)| account.must_settle()) {
                runtime.block_on(account.settle())?;
            }
        }
        observed.done();
        Ok(())
    };
    if statement.is_static() {
        all(&mut *connection.prepare_cached(&sql)?)
    } else {
        all(&mut connection.prepare(&sql)?)
    }
}

/// Runs a statement and returns the number of changed rows.
pub(in crate::db) fn execute(connection: &Connection, statement: &Statement) -> Result<u64, DbError> {
    let observed = observe::statement(statement, Dialect::Sqlite);
    let mut prepared = connection.prepare_cached(&statement.sqlite())?;
    let changed = prepared.execute(rusqlite::params_from_iter(&statement.params))? as u64;
    observed.done_with(changed);
    Ok(changed)
}

/// Inserts rows and returns the number of inserted ones.
pub(in crate::db) fn insert(connection: &Connection, insert: &Insert) -> Result<u64, DbError> {
    if insert.rows.is_empty() {
        return Ok(0);
    }
    let observed = observe::insert(insert, Dialect::Sqlite);
    let inserted = insert_unobserved(connection, insert)?;
    observed.done_with(inserted);
    Ok(inserted)
}

fn insert_unobserved(connection: &Connection, insert: &Insert) -> Result<u64, DbError> {
    let mut prepared = connection.prepare_cached(&insert.sqlite_sql())?;
    let Some(guard) = &insert.only_if else {
        return insert_rows(&mut prepared, &insert.rows);
    };
    let mut holds = connection.prepare_cached(guard.sqlite())?;
    let place = insert.columns.iter().position(|column| column.name == guard.key);
    let place = place.ok_or_else(|| DbError::Other(format!("no column {} in an insert", guard.key)))?;
    let mut count = 0;
    for rows in insert.rows.chunk_by(|a, b| a.get(place) == b.get(place)) {
        let key = rows.first().and_then(|row| row.get(place));
        let is_met = match guard.workspace.parameter() {
            None => holds.exists([key])?,
            Some(workspace) => holds.exists(rusqlite::params![key, &**workspace])?,
        };
        if is_met {
            count += insert_rows(&mut prepared, rows)?;
        }
    }
    Ok(count)
}

fn insert_rows(prepared: &mut rusqlite::Statement<'_>, rows: &[Vec<Value>]) -> Result<u64, DbError> {
    let mut count = 0;
    for row in rows {
        count += prepared.execute(rusqlite::params_from_iter(row))? as u64;
    }
    Ok(count)
}

/// Runs all steps in one transaction.
pub(in crate::db) fn unit(connection: &mut Connection, ops: &[Op]) -> Result<Vec<Vec<Vec<Value>>>, DbError> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate);
    let transaction = transaction.map_err(|error| DbError::from(error).before_begin())?;
    let answers = pipeline(&transaction, ops)?;
    let observed = observe::commit(Dialect::Sqlite);
    transaction.commit()?;
    observed.done();
    Ok(answers)
}

/// Runs all steps in the open transaction.
pub(in crate::db) fn pipeline(connection: &Connection, ops: &[Op]) -> Result<Vec<Vec<Vec<Value>>>, DbError> {
    let mut answers = Vec::with_capacity(ops.len());
    for op in ops {
        answers.push(match op {
            Op::Query(statement) => {
                let mut rows = Vec::new();
                each(connection, statement, None, &mut |row| {
                    rows.push(row_values(row)?);
                    Ok(())
                })?;
                rows
            }
            Op::Execute(statement) => changed(execute(connection, statement)?),
            Op::Insert(rows) => changed(insert(connection, rows)?),
        });
    }
    Ok(answers)
}

/// Runs the steps and commits the open transaction.
pub(in crate::db) fn commit(connection: &Connection, ops: &[Op]) -> Result<Vec<Vec<Vec<Value>>>, DbError> {
    let answers = pipeline(connection, ops)?;
    let observed = observe::commit(Dialect::Sqlite);
    connection.execute_batch("COMMIT")?;
    observed.done();
    Ok(answers)
}

/// Runs a script in one transaction.
pub(in crate::db) fn batch(connection: &mut Connection, sql: &str) -> Result<(), DbError> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    transaction.execute_batch(sql)?;
    Ok(transaction.commit()?)
}

/// The number of changed rows as a one-row, one-column answer.
pub(in crate::db) fn changed(count: u64) -> Vec<Vec<Value>> {
    vec![vec![Value::Int(i64::try_from(count).unwrap_or(i64::MAX))]]
}

fn row_values(row: &Row<'_>) -> Result<Vec<Value>, DbError> {
    let Row::Sqlite(inner) = row else { return Err(DbError::Other("a row of another driver".into())) };
    (0..inner.as_ref().column_count()).map(|index| row.get(index)).collect()
}
