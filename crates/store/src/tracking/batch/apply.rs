//! The transactions of a batch.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use ferroflow_model::{Error, Result, python};

use super::{RunWrite, rows};
use crate::{
    db::{Child, Db, DbError, Op, Statement, Tx, Value, dialect::Dialect},
    statements::statements,
    tracking::runs::{not_active, not_found},
    workspace::Workspace,
};

/// The tag that holds a run's name; writing it renames the run.
pub(super) const RUN_NAME_TAG: &str = "mlflow.runName";

statements! {
    static RUN_STATES: Workspace =
        "SELECT run_uuid, lifecycle_stage, experiment_id FROM runs r WHERE r.run_uuid {in $1} AND {ws of r}";

    /// On SQLite, every key is looked up in every run: pairing two JSON lists would scan one for each element of the
    /// other.
    static STORED_PARAMS: Child =
        "{postgres:SELECT p.run_uuid, p.key, p.value FROM params p \
         JOIN unnest($1::text[], $2::text[]) AS w(run_uuid, key) ON p.run_uuid = w.run_uuid AND p.key = w.key}\
         {sqlite:SELECT p.run_uuid, p.key, p.value FROM (SELECT DISTINCT value AS run_uuid FROM json_each($1)) AS r \
         CROSS JOIN params p ON p.run_uuid = r.run_uuid WHERE p.key {in $2}}";

    static RENAME_RUN: Workspace =
        "UPDATE runs AS r SET name = $2 WHERE r.run_uuid = $1 AND r.lifecycle_stage = 'active' AND {ws of r}";
}

/// Applies a batch: first the writes without preconditions, then the others, in one transaction each per workspace.
/// One outcome per write, in order.
///
/// # Errors
/// A transaction failed and was rolled back; an earlier one may have been committed. All writes are idempotent.
pub(super) async fn apply(db: &Db, writes: &[Arc<RunWrite>]) -> Result<Vec<Result<()>>, DbError> {
    let (checked, plain): (Vec<_>, Vec<_>) = writes.iter().enumerate().partition(|(_, write)| write.needs_read());
    let mut outcomes: Vec<Result<()>> = writes.iter().map(|_| Ok(())).collect();
    for Group { workspace, writes, places } in groups(&plain) {
        for (place, outcome) in places.into_iter().zip(apply_plain(db, workspace, &writes).await?) {
            outcomes[place] = outcome;
        }
    }
    for Group { workspace, writes, places } in groups(&checked) {
        let writes = &writes;
        let results = db.transact(|tx| async move { apply_checked(&tx, workspace, writes).await }).await?;
        for (place, outcome) in places.into_iter().zip(results) {
            outcomes[place] = outcome;
        }
    }
    Ok(outcomes)
}

/// The writes in one workspace, with their places in the batch.
struct Group<'a> {
    workspace: &'a Workspace,
    writes: Vec<&'a RunWrite>,
    places: Vec<usize>,
}

/// Groups writes by workspace: the statements of a transaction are restricted to one.
fn groups<'a>(writes: &[(usize, &'a Arc<RunWrite>)]) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    for (place, write) in writes {
        let at = groups.iter().position(|group| *group.workspace == write.workspace).unwrap_or_else(|| {
            groups.push(Group { workspace: &write.workspace, writes: Vec::new(), places: Vec::new() });
            groups.len() - 1
        });
        groups[at].writes.push(write);
        groups[at].places.push(*place);
    }
    groups
}

/// The columns of a run that decide whether it may be written to.
struct RunState {
    stage: String,
    experiment: i64,
}

impl RunState {
    fn check(run_id: &str, states: &HashMap<String, Self>) -> Result<i64> {
        match states.get(run_id) {
            None => Err(not_found(run_id)),
            Some(state) if state.stage != "active" => Err(not_active(run_id, &state.stage)),
            Some(state) => Ok(state.experiment),
        }
    }
}

fn run_ids(writes: &[&RunWrite]) -> Vec<String> {
    writes.iter().map(|write| write.run_id.clone()).collect::<BTreeSet<_>>().into_iter().collect()
}

fn run_states(workspace: &Workspace, run_ids: &[String]) -> Statement {
    Statement::within(workspace, &RUN_STATES, vec![run_ids.into()])
}

/// Writes metrics and tags in one round trip. Each INSERT skips rows of missing or deleted runs; the result of the
/// first query tells which runs those are.
async fn apply_plain(db: &Db, workspace: &Workspace, writes: &[&RunWrite]) -> Result<Vec<Result<()>>, DbError> {
    let ids = run_ids(writes);
    let mut ops = vec![Op::Query(run_states(workspace, &ids))];
    ops.extend(write_ops(workspace, writes, &ids, db.dialect()));
    let answers = db.unit(ops).await?;
    let states = answers
        .into_iter()
        .next()
        .unwrap_or_default()
        .into_iter()
        .filter_map(|row| match row.as_slice() {
            [Value::Text(run), Value::Text(stage), Value::Int(experiment)] => {
                Some((run.clone(), RunState { stage: stage.clone(), experiment: *experiment }))
            }
            _ => None,
        })
        .collect();
    Ok(writes.iter().map(|write| RunState::check(&write.run_id, &states).map(drop)).collect())
}

/// The statements that write metrics and tags.
fn write_ops(workspace: &Workspace, writes: &[&RunWrite], ids: &[String], dialect: Dialect) -> Vec<Op> {
    let mut ops = Vec::new();
    if writes.iter().any(|write| !write.metrics.is_empty()) {
        ops.push(Op::Insert(rows::metrics(workspace, writes, ids)));
        ops.push(Op::Insert(rows::latest_metrics(workspace, writes, ids, dialect)));
    }
    if writes.iter().any(|write| !write.tags.is_empty()) {
        ops.extend(renames(workspace, writes));
        ops.push(Op::Insert(rows::tags(workspace, writes, ids, dialect)));
    }
    ops
}

/// Renames runs whose name tag is written. An empty name is ignored together with its tag, as in the reference.
fn renames<'a>(workspace: &'a Workspace, writes: &[&RunWrite]) -> impl Iterator<Item = Op> + use<'a> {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for write in writes {
        for tag in write.tags.iter().filter(|tag| tag.key == RUN_NAME_TAG && !tag.value.is_empty()) {
            names.insert(write.run_id.clone(), tag.value.clone());
        }
    }
    names.into_iter().map(move |(run_id, name)| {
        Op::Execute(Statement::within(workspace, &RENAME_RUN, vec![run_id.into(), name.into()]))
    })
}

/// Writes that read first: params, which are immutable, and points of logged models.
async fn apply_checked(tx: &Tx, workspace: &Workspace, writes: &[&RunWrite]) -> Result<Vec<Result<()>>, DbError> {
    let dialect = tx.conn()?.dialect();
    let ids = run_ids(writes);
    let (runs, keys) = writes
        .iter()
        .flat_map(|write| write.params.iter().map(|param| (write.run_id.clone(), param.key.clone())))
        .unzip::<_, _, Vec<_>, Vec<_>>();
    let stored_params = Statement::new(&STORED_PARAMS, vec![runs.into(), keys.into()]);
    let (states, stored) = tokio::join!(
        tx.query(run_states(workspace, &ids), |row| {
            Ok((row.get::<String>(0)?, RunState { stage: row.get(1)?, experiment: row.get(2)? }))
        }),
        tx.query(stored_params, |row| Ok(((row.get::<String>(0)?, row.get::<String>(1)?), row.get::<String>(2)?))),
    );
    let states: HashMap<_, _> = states?.into_iter().collect();
    let stored: HashMap<_, _> = stored?.into_iter().collect();

    let mut outcomes = Vec::with_capacity(writes.len());
    let mut accepted: Vec<(&RunWrite, i64)> = Vec::new();
    let mut new_params: rows::Keyed<'_, &str> = BTreeMap::new();
    for write in writes {
        let outcome = RunState::check(&write.run_id, &states)
            .and_then(|experiment| check_params(write, &stored, &new_params).map(|()| experiment));
        outcomes.push(match outcome {
            Ok(experiment) => {
                accepted.push((write, experiment));
                for param in &write.params {
                    if !stored.contains_key(&(write.run_id.clone(), param.key.clone())) {
                        let came = new_params.len();
                        new_params.entry((&write.run_id, &param.key)).or_insert((came, &param.value));
                    }
                }
                Ok(())
            }
            Err(error) => Err(error),
        });
    }

    if !new_params.is_empty() {
        let expected = new_params.len() as u64;
        if tx.insert(rows::params(new_params, dialect)).await? < expected {
            return Err(tx.conflict("a param was written by another client at the same time".into()));
        }
    }
    if accepted.iter().any(|(write, _)| !write.model_metrics.is_empty()) {
        tx.insert(rows::model_metrics(accepted.iter().copied())).await?;
    }
    let group: Vec<&RunWrite> = accepted.iter().map(|(write, _)| *write).collect();
    for op in write_ops(workspace, &group, &run_ids(&group), dialect) {
        match op {
            Op::Insert(insert) => tx.insert(insert).await?,
            Op::Execute(statement) | Op::Query(statement) => tx.execute(statement).await?,
        };
    }
    Ok(outcomes)
}

/// Checks that no param changes: the first value stays.
fn check_params(
    write: &RunWrite,
    stored: &HashMap<(String, String), String>,
    pending: &rows::Keyed<'_, &str>,
) -> Result<()> {
    let mut changed = Vec::new();
    for param in &write.params {
        let old = stored
            .get(&(write.run_id.clone(), param.key.clone()))
            .map(String::as_str)
            .or_else(|| pending.get(&(write.run_id.as_str(), param.key.as_str())).map(|(_, value)| *value));
        if let Some(old) = old
            && old != param.value
        {
            changed.push((param.key.as_str(), old, param.value.as_str()));
        }
    }
    let Some((key, old, new)) = changed.first() else { return Ok(()) };
    if write.single_param {
        return Err(Error::invalid(format!(
            "Changing param values is not allowed. Param with key='{key}' was already logged with value='{old}' \
             for run ID='{}'. Attempted logging new value '{new}'.",
            write.run_id
        )));
    }
    let list: Vec<String> = changed
        .iter()
        .map(|(key, old, new)| {
            format!(
                "{{'key': {}, 'old_value': {}, 'new_value': {}}}",
                python::repr(key),
                python::repr(old),
                python::repr(new)
            )
        })
        .collect();
    Err(Error::invalid(format!(
        "Changing param values is not allowed. Params were already logged='[{}]' for run ID='{}'.",
        list.join(", "),
        write.run_id
    )))
}
