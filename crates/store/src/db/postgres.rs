//! The PostgreSQL driver: statements over pipelined connections.

mod cancel;
mod connect;
mod identity;
mod password_file;
mod pool;
mod pooler;

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures_util::{TryStreamExt, pin_mut};
use tokio_postgres::{
    RowStream,
    types::{ToSql, Type},
};

pub(super) use self::{
    identity::identity,
    pool::{Client, PostgresPool},
};
use super::{
    Account, DbError, Insert, Op, Row, Statement, Value, Visit, VisitOf, dialect::Dialect, observe, share::Share,
    sqlite::changed, statement::Kind, value::Literal,
};

/// Runs a statement and passes every row to `visit` as it arrives. With `limit`, a statement of dynamic text runs under
/// `statement_timeout` in a transaction of its own, so that the server stops it without a cancel request. Not for use
/// within a transaction.
pub(super) async fn each(
    client: &Client,
    statement: &Statement,
    limit: Option<Duration>,
    account: Option<&Account>,
    visit: &mut Visit<'_>,
) -> Result<(), DbError> {
    if statement.plan.settings().is_some() && statement.is_static() && client.keeps_names() {
        // Before BEGIN: a statement that waits to be prepared would be sent after COMMIT.
        client.prepare_cached(statement.postgres()).await?;
    }
    let read = async move {
        let mut observed = observe::statement(statement, Dialect::Postgres);
        let rows = send(client, statement).await?;
        pin_mut!(rows);
        while let Some(row) = rows.try_next().await? {
            observed.row();
            visit(&Row::Postgres(&row))?;
            if let Some(account) = account {
                account.settle().await?;
            }
        }
        observed.done();
        Ok::<(), DbError>(())
    };
    let limit = limit.filter(|_| !statement.is_static());
    if limit.is_none() && statement.plan.settings().is_none() {
        return read.await;
    }
    // Everything is sent at the first poll, so the transaction ends even if the caller drops this future. `SET LOCAL`,
    // because PgBouncer may assign the session to another client after the transaction.
    let settings = statement.plan.settings().unwrap_or_default();
    // JIT compilation of a search with many conditions takes ten times as long as running it.
    let limit = statement_timeout(limit);
    let begin = format!("BEGIN READ ONLY; SET LOCAL jit = off; {limit}{settings}");
    let begin = client.batch_execute(&begin);
    let commit = client.batch_execute("COMMIT");
    let (begin, read, commit) = futures_util::future::join3(begin, read, commit).await;
    begin?;
    read?;
    Ok(commit?)
}

/// Runs several statements in one round trip and passes every row to `visit` with the index of its statement.
pub(super) async fn each_of(
    client: &Client,
    statements: &[Statement],
    account: Option<&Account>,
    visit: &mut VisitOf<'_>,
) -> Result<(), DbError> {
    // A message is sent when its future is first polled. All results are consumed concurrently: the connection buffers
    // few rows and stalls (back-pressure) while the rows of its current result are not consumed.
    let visit = Mutex::new(visit);
    let answers = statements.iter().enumerate().map(|(which, statement)| {
        let visit = &visit;
        async move {
            let mut observed = observe::statement(statement, Dialect::Postgres);
            let rows = send(client, statement).await?;
            pin_mut!(rows);
            while let Some(row) = rows.try_next().await? {
                observed.row();
                visit.lock().unwrap_or_else(PoisonError::into_inner)(which, &Row::Postgres(&row))?;
                if let Some(account) = account {
                    account.settle().await?;
                }
            }
            observed.done();
            Ok::<(), DbError>(())
        }
    });
    futures_util::future::try_join_all(answers).await?;
    Ok(())
}

/// `SET LOCAL statement_timeout`, or nothing without a limit.
pub(super) fn statement_timeout(limit: Option<Duration>) -> String {
    limit.map_or_else(String::new, |limit| format!("SET LOCAL statement_timeout = {}; ", limit.as_millis().max(1)))
}

async fn send(client: &Client, statement: &Statement) -> Result<RowStream, DbError> {
    let sql = statement.postgres();
    Ok(if !statement.is_static() {
        let typed = statement.params.iter().map(|value| (value, value.postgres_type()));
        client.query_typed_raw(sql, typed).await?
    } else if client.keeps_names() {
        let prepared = client.prepare_cached(sql).await?;
        client.query_raw(&prepared, &statement.params).await?
    } else {
        client.query_typed_raw(sql, statement.params.iter().map(Literal::typed)).await?
    })
}

/// Runs a statement and returns the number of changed rows.
pub(super) async fn execute(client: &Client, statement: &Statement) -> Result<u64, DbError> {
    let observed = observe::statement(statement, Dialect::Postgres);
    let changed = execute_unobserved(client, statement).await?;
    observed.done_with(changed);
    Ok(changed)
}

async fn execute_unobserved(client: &Client, statement: &Statement) -> Result<u64, DbError> {
    if !client.keeps_names() {
        let params: Vec<(Literal<'_>, Type)> = statement.params.iter().map(Literal::typed).collect();
        let params: Vec<_> = params.iter().map(|(value, ty)| (value as &(dyn ToSql + Sync), ty.clone())).collect();
        return Ok(client.execute_typed(statement.postgres(), &params).await?);
    }
    let prepared = client.prepare_cached(statement.postgres()).await?;
    Ok(client.execute_raw(&prepared, &statement.params).await?)
}

/// Inserts rows with one statement and returns the number of inserted ones.
pub(super) async fn insert(client: &Client, insert: &Insert) -> Result<u64, DbError> {
    if insert.rows.is_empty() {
        return Ok(0);
    }
    let observed = observe::insert(insert, Dialect::Postgres);
    let inserted = insert_unobserved(client, insert).await?;
    observed.done_with(inserted);
    Ok(inserted)
}

async fn insert_unobserved(client: &Client, insert: &Insert) -> Result<u64, DbError> {
    let (sql, arrays) = (insert.postgres_sql(), arrays(insert)?);
    if !client.keeps_names() {
        let params: Vec<_> = arrays.iter().map(|(array, ty)| (&**array as &(dyn ToSql + Sync), ty.clone())).collect();
        return Ok(client.execute_typed(&sql, &params).await?);
    }
    let prepared = client.prepare_cached(&sql).await?;
    Ok(client.execute_raw(&prepared, arrays.into_iter().map(|(array, _)| array)).await?)
}

/// Runs a statement that may not be in a transaction and may take long, without the timeouts of the role's settings.
pub(super) async fn alone(client: &Client, sql: &str) -> Result<(), DbError> {
    if client.is_pooled() {
        // A setting would be that of another session.
        return Ok(client.batch_execute(sql).await?);
    }
    client.batch_execute("SET statement_timeout = 0; SET lock_timeout = 0").await?;
    let outcome = client.batch_execute(sql).await;
    client.batch_execute("RESET statement_timeout; RESET lock_timeout").await?;
    Ok(outcome?)
}

/// The setting of transactions that write: rows are found by indexes. PostgreSQL keeps the plan of a prepared statement
/// until the table is analyzed. One that was made while the table was empty scans it: without this, the first minute of
/// a new server that gets many traces takes more time with each trace.
pub(super) const BY_INDEX: &str = "SET LOCAL enable_seqscan = off";

/// Runs all steps in one transaction and one round trip.
pub(super) async fn unit(
    client: &Client,
    ops: &[Op],
    limit: Option<Duration>,
) -> Result<Vec<Vec<Vec<Value>>>, DbError> {
    if let [op] = ops {
        return Ok(vec![run(client, op).await?]);
    }
    // Before BEGIN, so that no statement of the transaction waits for a round trip of its own.
    prepare(client, ops).await.map_err(DbError::before_begin)?;
    // Futures are first polled in order, and a message is sent at the first poll: BEGIN, the statements and COMMIT are
    // pipelined. After a failed statement the server rejects the others and turns COMMIT into ROLLBACK.
    //
    // Generic plans: PostgreSQL cannot see the length of the arrays and would make a custom plan each time, and
    // planning takes ten times as long as logging one metric.
    let limit = statement_timeout(limit);
    let begin = format!("BEGIN; {limit}{BY_INDEX}; SET LOCAL plan_cache_mode = force_generic_plan");
    let begin = client.batch_execute(&begin);
    let body = futures_util::future::join_all(ops.iter().map(|op| run(client, op)));
    let commit = commit_alone(client);
    let (begin, body, commit) = futures_util::future::join3(begin, body, commit).await;
    begin?;
    let answers = body.into_iter().collect::<Result<Vec<_>, _>>()?;
    commit?;
    Ok(answers)
}

/// Prepares the statements that are not prepared yet, so that they are then pipelined in order.
async fn prepare(client: &Client, ops: &[Op]) -> Result<(), DbError> {
    if !client.keeps_names() {
        return Ok(());
    }
    for op in ops {
        match op {
            Op::Query(statement) | Op::Execute(statement) => {
                if statement.is_static() {
                    client.prepare_cached(statement.postgres()).await?;
                }
            }
            Op::Insert(insert) => {
                client.prepare_cached(&insert.postgres_sql()).await?;
            }
        }
    }
    Ok(())
}

/// Runs all steps in the open transaction, in order and in one round trip. After a failed statement the server rejects
/// the others.
pub(super) async fn pipeline(client: &Client, ops: &[Op]) -> Result<Vec<Vec<Vec<Value>>>, DbError> {
    prepare(client, ops).await?;
    futures_util::future::join_all(ops.iter().map(|op| run(client, op))).await.into_iter().collect()
}

/// Runs the steps and commits the open transaction, in one round trip. After a failed statement the server turns COMMIT
/// into ROLLBACK.
pub(super) async fn commit(client: &Client, ops: &[Op]) -> Result<Vec<Vec<Vec<Value>>>, DbError> {
    prepare(client, ops).await?;
    let body = futures_util::future::join_all(ops.iter().map(|op| run(client, op)));
    let (body, commit) = futures_util::future::join(body, commit_alone(client)).await;
    let answers = body.into_iter().collect::<Result<Vec<_>, _>>()?;
    commit?;
    Ok(answers)
}

/// Sends COMMIT. Its time includes that of the statements before it in the pipeline.
async fn commit_alone(client: &Client) -> Result<(), DbError> {
    let observed = observe::commit(Dialect::Postgres);
    client.batch_execute("COMMIT").await?;
    observed.done();
    Ok(())
}

async fn run(client: &Client, op: &Op) -> Result<Vec<Vec<Value>>, DbError> {
    match op {
        Op::Query(statement) => {
            let mut rows = Vec::new();
            each(client, statement, None, None, &mut |row| {
                rows.push(row_values(row)?);
                Ok(())
            })
            .await?;
            Ok(rows)
        }
        Op::Execute(statement) => execute(client, statement).await.map(changed),
        Op::Insert(rows) => insert(client, rows).await.map(changed),
    }
}

fn row_values(row: &Row<'_>) -> Result<Vec<Value>, DbError> {
    let Row::Postgres(inner) = row else { return Err(DbError::Other("a row of another driver".into())) };
    (0..inner.len()).map(|index| row.get(index)).collect()
}

/// A parameter of an [`Insert`] with its type: the array of a column, the list or the workspace of the guard.
type Array<'a> = (Box<dyn ToSql + Sync + Send + 'a>, Type);

fn arrays(insert: &Insert) -> Result<Vec<Array<'_>>, DbError> {
    let rows = &insert.rows;
    let guard = insert
        .only_if
        .iter()
        .map(|guard| -> Result<Array<'_>, DbError> { Ok((Box::new(guard.list.clone()), Type::TEXT_ARRAY)) });
    let workspace = insert
        .only_if
        .iter()
        .filter_map(|guard| guard.workspace.parameter())
        .map(|name| -> Result<Array<'_>, DbError> { Ok((Box::new(name.to_string()), Type::TEXT)) });
    insert
        .columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let array: Array<'_> = match column.kind {
                Kind::Text | Kind::Json | Kind::Date => {
                    let texts = collect(rows, index, |value| match value {
                        Value::Text(text) => Some(text.as_str()),
                        _ => None,
                    })?;
                    (Box::new(texts), Type::TEXT_ARRAY)
                }
                Kind::Int => {
                    let ints = collect(rows, index, |value| match value {
                        Value::Int(int) => Some(*int),
                        _ => None,
                    })?;
                    (Box::new(ints), Type::INT8_ARRAY)
                }
                Kind::Real => {
                    let reals = collect(rows, index, |value| match value {
                        Value::Real(real) => Some(*real),
                        _ => None,
                    })?;
                    (Box::new(reals), Type::FLOAT8_ARRAY)
                }
                Kind::Bool => {
                    let bools = collect(rows, index, |value| match value {
                        Value::Bool(bool) => Some(*bool),
                        _ => None,
                    })?;
                    (Box::new(bools), Type::BOOL_ARRAY)
                }
            };
            Ok(array)
        })
        .chain(guard)
        .chain(workspace)
        .collect()
}

fn collect<'a, T>(
    rows: &'a [Vec<Value>],
    index: usize,
    get: impl Fn(&'a Value) -> Option<T>,
) -> Result<Vec<Option<T>>, DbError> {
    rows.iter()
        .map(|row| match row.get(index) {
            Some(Value::Null) => Ok(None),
            Some(value) => get(value)
                .map(Some)
                .ok_or_else(|| DbError::Other(format!("column {index} of an insert got a value of another type"))),
            None => Err(DbError::Other(format!("a row of an insert has no column {index}"))),
        })
        .collect()
}

/// Rolls back, in the background, a transaction that was dropped. Only then the connection returns to the pool, and the
/// caller's share is released.
pub(super) fn abandon(client: Client, share: Option<Share>) {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => {
            runtime.spawn(async move {
                if client.batch_execute("ROLLBACK").await.is_err() {
                    client.close();
                }
                drop(share);
            });
        }
        Err(_) => client.close(),
    }
}
