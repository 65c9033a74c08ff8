//! The runs of a condition that few meet.
//!
//! A search reads runs in the order of the page and looks at the children of each, which ends early if many meet the
//! filter. If few do, it would read all runs of the experiment. No planner knows which is the case without statistics, so
//! the index of a condition counts its rows first, up to a bound. As for traces ([`crate::traces::trace_few`]).

use ferroflow_model::Result;
use ferroflow_search::{
    NumberOp, PairTest, TextTest,
    runs::{Condition, TextAttribute},
};

use super::runs::RUN_NAME_TAG;
use crate::{
    Store,
    db::{Child, Conn, Plan, Sql, Statement, Value},
    query::bound::extremes,
    schema::own_indexes::{OwnIndex, RUN_TAGS, indexed, is_run_tag},
    statements::statements,
};

/// Maximum number of conditions whose indexes are asked.
const ASKED: usize = 4;

// Each counts the rows of an index, row by row: the settings of `Plan::IndexScan` leave PostgreSQL no other way. The last
// parameter is the maximum.
statements! {
    static WITH_PARAM: Child =
        "SELECT COUNT(*) FROM (SELECT 1 FROM params WHERE key = $1 AND substr(value, 1, 200) = $2 LIMIT $3) x";

    static WITH_TAG: Child =
        "SELECT COUNT(*) FROM (SELECT 1 FROM tags WHERE key = $1 AND substr(value, 1, 200) = $2 AND ", RUN_TAGS,
        " LIMIT $3) x";

    static WITH_PARAM_KEY: Child = "SELECT COUNT(*) FROM (SELECT 1 FROM params WHERE key = $1 LIMIT $2) x";

    static WITH_TAG_KEY: Child = "SELECT COUNT(*) FROM (SELECT 1 FROM tags WHERE key = $1 LIMIT $2) x";

    static WITH_METRIC_KEY: Child = "SELECT COUNT(*) FROM (SELECT 1 FROM latest_metrics WHERE key = $1 LIMIT $2) x";

    /// In the order of the index, which tells it from the primary key.
    static WITH_METRIC: Child =
        "SELECT COUNT(*) FROM (SELECT 1 FROM latest_metrics WHERE key = $1 AND is_nan = FALSE \
         AND value BETWEEN $2 AND $3 ORDER BY value LIMIT $4) x";

    /// The number of runs in some experiments and stages.
    static SIZE: Child =
        "SELECT COUNT(*) FROM (SELECT 1 FROM {sqlite:(SELECT value AS id FROM json_each($1)) e \
         CROSS JOIN (SELECT value AS stage FROM json_each($2)) s CROSS JOIN }runs r \
         WHERE r.experiment_id = {postgres:ANY($1)}{sqlite:e.id} \
         AND r.lifecycle_stage = {postgres:ANY($2)}{sqlite:s.stage} LIMIT $3) x";

    /// The same up to what is a large share of all runs, and that number: an eighth of the runs that are in the table by
    /// its size, with about 200 bytes each.
    static SHARE: Child =
        "SELECT COUNT(*), {postgres:pg_relation_size('runs') / 1600}{sqlite:0} FROM (SELECT 1 FROM \
         {sqlite:(SELECT value AS id FROM json_each($1)) e \
         CROSS JOIN (SELECT value AS stage FROM json_each($2)) s CROSS JOIN }runs r \
         WHERE r.experiment_id = {postgres:ANY($1)}{sqlite:e.id} \
         AND r.lifecycle_stage = {postgres:ANY($2)}{sqlite:s.stage} \
         LIMIT {postgres:GREATEST($3, pg_relation_size('runs') / 1600)}{sqlite:$3}) x";
}

/// How the rows of a condition are counted.
struct Probe {
    /// The place of the condition in the filter.
    condition: usize,
    sql: &'static Sql<Child>,
    params: Vec<Value>,
}

/// The indexes that count the runs of the conditions of a search, those of texts first.
pub(super) struct Probes(Vec<Probe>);

impl Probes {
    /// Those of a filter.
    ///
    /// # Errors
    /// The database failed.
    pub(super) async fn of(store: &Store, conditions: &[Condition]) -> Result<Self> {
        let mut probes = Vec::new();
        for (place, condition) in conditions.iter().enumerate() {
            if let Some((is_value, sql, params)) = probe(store, condition).await? {
                probes.push((!is_value, Probe { condition: place, sql, params }));
            }
        }
        probes.sort_by_key(|(is_key, _)| *is_key);
        Ok(Self(probes.into_iter().map(|(_, probe)| probe).take(ASKED).collect()))
    }

    /// The first condition that an index says at most `most` rows meet.
    ///
    /// # Errors
    /// The database failed.
    pub(super) async fn few(&self, conn: &Conn, most: i64) -> Result<Option<usize>> {
        for probe in &self.0 {
            if count(conn, probe.statement(most)).await? <= most {
                return Ok(Some(probe.condition));
            }
        }
        Ok(None)
    }

    /// The statements that count.
    pub(super) fn statements(&self, most: i64) -> impl Iterator<Item = Statement> {
        self.0.iter().map(move |probe| probe.statement(most))
    }
}

impl Probe {
    fn statement(&self, most: i64) -> Statement {
        let mut params = self.params.clone();
        params.push(most.saturating_add(1).into());
        Statement::new(self.sql, params).planned(Plan::IndexScan)
    }
}

/// Whether some experiments have at most `most` runs in some stages.
///
/// # Errors
/// The database failed.
pub(super) async fn has_at_most(conn: &Conn, experiments: &[i64], stages: &[&str], most: i64) -> Result<bool> {
    Ok(count(conn, counting(&SIZE, experiments, stages, most)).await? <= most)
}

/// The size of some experiments.
pub(super) struct Size {
    /// The number of their runs, as far as they were counted.
    pub(super) runs: i64,
    /// Whether these are so large a part of the table that reading all rows of a key takes no longer than looking up the
    /// key of each run: a row is read in a tenth of the time of a look-up.
    pub(super) is_large_share: bool,
}

/// The size of some experiments in some stages, of which at least `most` runs are counted.
///
/// # Errors
/// The database failed.
pub(super) async fn size(conn: &Conn, experiments: &[i64], stages: &[&str], most: i64) -> Result<Size> {
    let statement = counting(&SHARE, experiments, stages, most);
    let counted = conn.query(statement, |row| Ok((row.get::<i64>(0)?, row.get::<i64>(1)?))).await?;
    let (runs, large) = counted.into_iter().next().unwrap_or_default();
    Ok(Size { runs, is_large_share: runs >= large })
}

fn counting(sql: &'static Sql<Child>, experiments: &[i64], stages: &[&str], most: i64) -> Statement {
    let stages: Vec<String> = stages.iter().map(|stage| (*stage).to_owned()).collect();
    let params = vec![experiments.to_vec().into(), stages.into(), most.saturating_add(1).into()];
    Statement::new(sql, params).planned(Plan::IndexScan)
}

async fn count(conn: &Conn, statement: Statement) -> Result<i64> {
    Ok(conn.query(statement, |row| row.get::<i64>(0)).await?.into_iter().sum())
}

/// How the rows of a condition are counted, and whether by its value.
async fn probe(store: &Store, condition: &Condition) -> Result<Option<(bool, &'static Sql<Child>, Vec<Value>)>> {
    let has = async |index| store.own_indexes.has(&store.db, index).await;
    Ok(match condition {
        Condition::Param { key, test: PairTest::Value(TextTest::Equal(value)) }
            if has(OwnIndex::ParamValue).await? =>
        {
            Some((true, &WITH_PARAM, vec![key.into(), indexed(value).into()]))
        }
        Condition::Tag { key, test: PairTest::Value(TextTest::Equal(value)) }
            if is_run_tag(key) && has(OwnIndex::RunTagValue).await? =>
        {
            Some((true, &WITH_TAG, vec![key.into(), indexed(value).into()]))
        }
        Condition::Text { column: TextAttribute::RunName, test: TextTest::Equal(name) }
            if has(OwnIndex::RunTagValue).await? =>
        {
            Some((true, &WITH_TAG, vec![RUN_NAME_TAG.into(), indexed(name).into()]))
        }
        Condition::Metric { key, op, value } if *op != NumberOp::NotEqual && has(OwnIndex::MetricValue).await? => {
            let (least, most) = extremes(store.db.dialect(), *op, *value);
            Some((true, &WITH_METRIC, vec![key.into(), least.into(), most.into()]))
        }
        Condition::Param { key, test: PairTest::Value(_) | PairTest::IsNotNull } => {
            Some((false, &WITH_PARAM_KEY, vec![key.into()]))
        }
        Condition::Tag { key, test: PairTest::Value(_) | PairTest::IsNotNull } => {
            Some((false, &WITH_TAG_KEY, vec![key.into()]))
        }
        Condition::Metric { key, .. } => Some((false, &WITH_METRIC_KEY, vec![key.into()])),
        _ => None,
    })
}
