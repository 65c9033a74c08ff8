//! The PostgreSQL driver: statements over pipelined connections.

mod cancel;
mod connect;
mod password_file;
mod pool;
mod pooler;

use std::{
    borrow::Cow,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures_util::{TryStreamExt, pin_mut};
use tokio_postgres::{
    RowStream,
    types::{ToSql, Type},
};

pub(super) use self::pool::{Client, PostgresPool};
use super::{
    DbError, Insert, Op, Row, Statement, Value, Visit, VisitOf, share::Share, sqlite::changed, statement::Kind,
    value::Literal,
};

/// Runs a statement and hands over every row as it arrives. `limit` is how long a statement whose text depends on the
/// request may run in the database, which then needs no message of ours to stop; not to be used within a transaction.
pub(super) async fn each(
    client: &Client,
    statement: &Statement,
    limit: Option<Duration>,
    visit: &mut Visit<'_>,
) -> Result<(), DbError> {
    let read = async move {
        let rows = send(client, statement).await?;
        pin_mut!(rows);
        while let Some(row) = rows.try_next().await? {
            visit(&Row::Postgres(&row))?;
        }
        Ok::<(), DbError>(())
    };
    let limit = limit.filter(|_| matches!(statement.sql, Cow::Owned(_)));
    if limit.is_none() && statement.plan.settings().is_none() {
        return read.await;
    }
    // All is sent at the first poll: whoever waits may go away, the transaction ends. The settings are those of a
    // transaction, because PgBouncer may give the session to somebody else after it.
    let settings = statement.plan.settings().unwrap_or_default();
    // Compiling the plan of a search with many conditions takes ten times longer than running it.
    let limit = statement_timeout(limit);
    let begin = format!("BEGIN READ ONLY; SET LOCAL jit = off; {limit}{settings}");
    let begin = client.batch_execute(&begin);
    let commit = client.batch_execute("COMMIT");
    let (begin, read, commit) = futures_util::future::join3(begin, read, commit).await;
    begin?;
    read?;
    Ok(commit?)
}

/// Runs several statements in one round trip and hands over every row with the number of its statement.
pub(super) async fn each_of(client: &Client, statements: &[Statement], visit: &mut VisitOf<'_>) -> Result<(), DbError> {
    // A message is sent when its future is first polled. All of them are read at the same time: the connection
    // holds few rows back, and stands still while nobody takes those of the answer that it has arrived at.
    let visit = Mutex::new(visit);
    let answers = statements.iter().enumerate().map(|(which, statement)| {
        let visit = &visit;
        async move {
            let rows = send(client, statement).await?;
            pin_mut!(rows);
            while let Some(row) = rows.try_next().await? {
                let mut visit = visit.lock().unwrap_or_else(PoisonError::into_inner);
                visit(which, &Row::Postgres(&row))?;
            }
            Ok::<(), DbError>(())
        }
    });
    futures_util::future::try_join_all(answers).await?;
    Ok(())
}

/// The setting of a transaction that stops its statements after a while.
pub(super) fn statement_timeout(limit: Option<Duration>) -> String {
    limit.map_or_else(String::new, |limit| format!("SET LOCAL statement_timeout = {}; ", limit.as_millis().max(1)))
}

async fn send(client: &Client, statement: &Statement) -> Result<RowStream, DbError> {
    Ok(match &statement.sql {
        Cow::Borrowed(sql) if !client.keeps_names() => {
            client.query_typed_raw(sql, statement.params.iter().map(Literal::typed)).await?
        }
        Cow::Borrowed(sql) => {
            let prepared = client.prepare_cached(sql).await?;
            client.query_raw(&prepared, &statement.params).await?
        }
        Cow::Owned(sql) => {
            let typed = statement.params.iter().map(|value| (value, value.postgres_type()));
            client.query_typed_raw(sql, typed).await?
        }
    })
}

/// Runs a statement; the number of rows it changed.
pub(super) async fn execute(client: &Client, statement: &Statement) -> Result<u64, DbError> {
    if !client.keeps_names() {
        let params: Vec<(Literal<'_>, Type)> = statement.params.iter().map(Literal::typed).collect();
        let params: Vec<_> = params.iter().map(|(value, ty)| (value as &(dyn ToSql + Sync), ty.clone())).collect();
        return Ok(client.execute_typed(&statement.sql, &params).await?);
    }
    let prepared = client.prepare_cached(&statement.sql).await?;
    Ok(client.execute_raw(&prepared, &statement.params).await?)
}

/// Inserts many rows in one statement; the number of rows that were new.
pub(super) async fn insert(client: &Client, insert: &Insert) -> Result<u64, DbError> {
    if insert.rows.is_empty() {
        return Ok(0);
    }
    let (sql, arrays) = (insert.postgres_sql(), arrays(insert)?);
    if !client.keeps_names() {
        let params: Vec<_> = arrays.iter().map(|(array, ty)| (&**array as &(dyn ToSql + Sync), ty.clone())).collect();
        return Ok(client.execute_typed(&sql, &params).await?);
    }
    let prepared = client.prepare_cached(&sql).await?;
    Ok(client.execute_raw(&prepared, arrays.into_iter().map(|(array, _)| array)).await?)
}

/// Runs everything in one transaction and one round trip.
pub(super) async fn unit(
    client: &Client,
    ops: &[Op],
    limit: Option<Duration>,
) -> Result<Vec<Vec<Vec<Value>>>, DbError> {
    if let [op] = ops {
        return Ok(vec![run(client, op).await?]);
    }
    // Before the transaction begins, so that nothing in it waits for a round trip of its own.
    prepare(client, ops).await.map_err(DbError::before_begin)?;
    // Futures are first polled in order, and a message is sent at the first poll: the server gets
    // BEGIN, the statements and COMMIT in one go. After a failed statement it refuses the others
    // and turns COMMIT into ROLLBACK.
    //
    // Plans of prepared statements are kept: PostgreSQL would plan anew each time, as it can not see
    // how long the arrays are, and the planning takes ten times longer than logging one metric.
    let begin = format!("BEGIN; {}SET LOCAL plan_cache_mode = force_generic_plan", statement_timeout(limit));
    let begin = client.batch_execute(&begin);
    let body = futures_util::future::join_all(ops.iter().map(|op| run(client, op)));
    let commit = client.batch_execute("COMMIT");
    let (begin, body, commit) = futures_util::future::join3(begin, body, commit).await;
    begin?;
    let answers = body.into_iter().collect::<Result<Vec<_>, _>>()?;
    commit?;
    Ok(answers)
}

/// Prepares what is not prepared yet, so that the statements then go out together and in their order.
async fn prepare(client: &Client, ops: &[Op]) -> Result<(), DbError> {
    if !client.keeps_names() {
        return Ok(());
    }
    for op in ops {
        match op {
            Op::Query(statement) | Op::Execute(statement) => {
                if let Cow::Borrowed(sql) = &statement.sql {
                    client.prepare_cached(sql).await?;
                }
            }
            Op::Insert(insert) => {
                client.prepare_cached(&insert.postgres_sql()).await?;
            }
        }
    }
    Ok(())
}

/// Runs everything in the transaction that is open, in its order and in one round trip. After a failed
/// statement the server refuses the others.
pub(super) async fn pipeline(client: &Client, ops: &[Op]) -> Result<Vec<Vec<Vec<Value>>>, DbError> {
    prepare(client, ops).await?;
    futures_util::future::join_all(ops.iter().map(|op| run(client, op))).await.into_iter().collect()
}

/// Runs everything at the end of the transaction that is open, and commits it, in one round trip. After a
/// failed statement the server turns COMMIT into ROLLBACK.
pub(super) async fn commit(client: &Client, ops: &[Op]) -> Result<Vec<Vec<Vec<Value>>>, DbError> {
    prepare(client, ops).await?;
    let body = futures_util::future::join_all(ops.iter().map(|op| run(client, op)));
    let (body, commit) = futures_util::future::join(body, client.batch_execute("COMMIT")).await;
    let answers = body.into_iter().collect::<Result<Vec<_>, _>>()?;
    commit?;
    Ok(answers)
}

async fn run(client: &Client, op: &Op) -> Result<Vec<Vec<Value>>, DbError> {
    match op {
        Op::Query(statement) => {
            let mut rows = Vec::new();
            each(client, statement, None, &mut |row| {
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

/// One array per column of an [`Insert`], with its type.
type Array = (Box<dyn ToSql + Sync + Send>, Type);

fn arrays(insert: &Insert) -> Result<Vec<Array>, DbError> {
    let rows = &insert.rows;
    let guard = insert
        .only_if
        .iter()
        .map(|guard| -> Result<Array, DbError> { Ok((Box::new(guard.list.clone()), Type::TEXT_ARRAY)) });
    insert
        .columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let array: Array = match column.kind {
                Kind::Text => {
                    let texts = collect(rows, index, |value| match value {
                        Value::Text(text) => Some(text.clone()),
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
        .collect()
}

fn collect<T>(rows: &[Vec<Value>], index: usize, get: impl Fn(&Value) -> Option<T>) -> Result<Vec<Option<T>>, DbError> {
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

/// A transaction that nobody ended: it is rolled back in the background before the connection
/// serves anybody else, or another request of the same caller.
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
