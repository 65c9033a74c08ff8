//! The first runs of a search in the order of their start, from `ff_runs_page`.
//!
//! A page that ends within them needs no other run. So a search in several experiments, or in both lifecycle stages, of
//! which no index has all runs in order, sorts a few runs only, and one whose condition many runs meet ends before it
//! reads all others. As for traces ([`crate::traces::trace_window`]).
//!
//! The runs with the same value of a column have an index of that order too, where an operator wants it
//! ([`crate::schema::own_indexes::Extra::Orders`]): `ff_runs_status` and others.

use ferroflow_model::Result;
use ferroflow_search::{
    KeyValue, PageToken,
    runs::{Column, Condition, TimeAttribute},
};

use super::run_search::Query;
use crate::{
    Store,
    db::{Child, Conn, Plan, Sql, Statement, Value, dialect::Dialect},
    query::{bound::bound, experiments::Experiments, select::Select},
    schema::own_indexes::{ENDED_BEFORE_START, HIDDEN_EXPERIMENT, NEWEST, NEWEST_OF_VALUE, OwnIndex},
    statements::statements,
};

/// The key of the runs without a start, and the first one behind it.
const NO_START: i64 = -i64::MAX;

statements! {
    /// The key of the run at a distance of `$4` from `$3`, of all experiments and stages the nearest one.
    static LATEST: Child =
        "SELECT MAX((SELECT ", NEWEST, " FROM runs r WHERE r.experiment_id = e.id AND r.lifecycle_stage = s.stage \
         AND ", NEWEST, " <= $3 ORDER BY ", NEWEST, " DESC LIMIT 1 OFFSET $4)) FROM {postgres:", EACH.0, "}{sqlite:", EACH.1, "}";

    static EARLIEST: Child =
        "SELECT MIN((SELECT ", NEWEST, " FROM runs r WHERE r.experiment_id = e.id AND r.lifecycle_stage = s.stage \
         AND ", NEWEST, " >= $3 ORDER BY ", NEWEST, " LIMIT 1 OFFSET $4)) FROM {postgres:", EACH.0, "}{sqlite:", EACH.1, "}";

    /// Whether a run of some experiments ended before it began.
    static ENDED_BEFORE: Child =
        "SELECT COUNT(*) FROM (SELECT 1 FROM runs WHERE ", HIDDEN_EXPERIMENT,
        " {postgres:= ANY($1::bigint[])}{sqlite:IN (SELECT value FROM json_each($1))} AND ", ENDED_BEFORE_START,
        " LIMIT 1) x";
}

/// Each experiment of the list `$1` as `e`, with each stage of the list `$2` as `s`, in PostgreSQL and in SQLite.
const EACH: (&str, &str) = (
    "unnest($1::bigint[]) AS e(id) CROSS JOIN unnest($2::text[]) AS s(stage)",
    "(SELECT value AS id FROM json_each($1)) e CROSS JOIN (SELECT value AS stage FROM json_each($2)) s",
);

/// The experiments and stages of a search as rows `e` and `s`, for a statement whose first parameters are [`groups`].
pub(super) fn each(dialect: Dialect) -> &'static str {
    dialect.pick(EACH.0, EACH.1)
}

/// The lists of [`each`].
pub(super) fn groups(query: &Query) -> Vec<Value> {
    let stages: Vec<String> = query.stages().iter().map(|stage| (*stage).to_owned()).collect();
    vec![query.experiments.clone().into(), stages.into()]
}

/// The runs with one value in a column, or with none. An index has the column, and these runs newest first.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Same {
    /// The column of `runs`.
    pub(super) column: &'static str,
    /// `None` for NULL.
    pub(super) value: Option<Value>,
}

impl Same {
    /// The condition on a run, with the placeholder of the value.
    fn test(&self, row: &str, place: Option<&str>) -> String {
        let column = self.column;
        place.map_or_else(|| format!("{row}.{column} IS NULL"), |place| format!("{row}.{column} = {place}"))
    }

    /// The order of the index. NULL is no constant for PostgreSQL, so that the column is a part of the order.
    fn order(&self, row: &str) -> String {
        if self.value.is_none() { format!("{row}.{}, ", self.column) } else { String::new() }
    }
}

/// The runs of a search that have not been looked at, in the order of their start.
#[derive(Debug, Clone)]
pub(super) struct Window {
    /// The key where they begin.
    start: i64,
    /// The key behind which no run meets the filter.
    last: i64,
    newest: bool,
    /// All of them have this.
    same: Option<Same>,
}

impl Window {
    /// All of a page and those behind it that began until `latest` and have `same` in common, as the filter has it; `None`
    /// if the search has another order.
    pub(super) fn of(query: &Query, same: Option<Same>, latest: Option<i64>) -> Option<Self> {
        let first = query.order.first().filter(|clause| clause.column == Column::Time(TimeAttribute::StartTime))?;
        let newest = !first.ascending;
        let cursor = match (&query.token, newest) {
            (PageToken::Offset(0), _) => None,
            (PageToken::Key(values), true) => Some(integer(values, 0)?),
            // The first key is 1 for runs without a start, which come last.
            (PageToken::Key(values), false) if integer(values, 0)? == 0 => Some(integer(values, 1)?),
            _ => return None,
        };
        Some(Self::from(&query.conditions, cursor, newest, same, latest))
    }

    /// The runs that the first clause of the order does not tell apart, newest first, behind the token if it `is_within`
    /// them; `None` if the search has them in another order.
    pub(super) fn of_same(query: &Query, is_within: bool, same: Option<Same>) -> Option<Self> {
        let second = query.order.get(1)?;
        if second.column != Column::Time(TimeAttribute::StartTime) || second.ascending {
            return None;
        }
        let cursor = match &query.token {
            PageToken::Key(values) if is_within => Some(integer(values, 2)?),
            PageToken::Offset(0) | PageToken::Key(_) => None,
            PageToken::Offset(_) => return None,
        };
        Some(Self::from(&query.conditions, cursor, true, same, None))
    }

    fn from(
        conditions: &[Condition],
        cursor: Option<i64>,
        newest: bool,
        same: Option<Same>,
        latest: Option<i64>,
    ) -> Self {
        let bounds = |latest| conditions.iter().filter_map(move |condition| bound_of(condition, latest));
        let latest = bounds(true).chain(latest).min().unwrap_or(i64::MAX);
        let earliest = bounds(false).max().unwrap_or(NO_START);
        if newest {
            Self { start: latest.min(cursor.unwrap_or(i64::MAX)), last: earliest, newest, same }
        } else {
            // Runs without a start have the least key, and come last: they are in no part with an end.
            let first = cursor.unwrap_or(NO_START + 1).max(NO_START + 1);
            Self { start: earliest.max(first), last: latest, newest, same }
        }
    }

    /// Whether a condition of the search is what the runs have in common.
    pub(super) fn has_same(&self) -> bool {
        self.same.is_some()
    }

    /// The first `runs` runs, which are not taken.
    pub(super) fn first(&self, runs: i64) -> First {
        First { start: self.start, last: self.last, runs }
    }

    /// Takes the part with about the first `runs` runs of each experiment and stage.
    ///
    /// # Errors
    /// The database failed.
    pub(super) async fn take(&mut self, conn: &Conn, query: &Query, runs: i64) -> Result<Part> {
        let statement = self.distance(conn.dialect(), query, runs);
        let end = conn.query(statement, |row| row.get::<Option<i64>>(0)).await?.into_iter().next().flatten();
        let end = end.filter(|end| if self.newest { *end > self.last } else { *end < self.last });
        let part = Part { start: self.start, end, last: self.last, newest: self.newest, same: self.same.clone() };
        if let Some(end) = end {
            self.start = if self.newest { end.saturating_sub(1) } else { end.saturating_add(1) };
        }
        Ok(part)
    }

    /// The statement for the key at a distance of so many runs.
    pub(super) fn distance(&self, dialect: Dialect, query: &Query, runs: i64) -> Statement {
        let mut values = groups(query);
        values.extend([self.start.into(), runs.into()]);
        let Some(same) = &self.same else {
            let sql: &'static Sql<Child> = if self.newest { &LATEST } else { &EARLIEST };
            return Statement::new(sql, values).planned(Plan::IndexOrder);
        };
        let (nearest, sign, direction) = if self.newest { ("MAX", "<=", " DESC") } else { ("MIN", ">=", "") };
        let test = same.test("r", same.value.as_ref().map(|_| "$5"));
        values.extend(same.value.clone());
        let sql = format!(
            "SELECT {nearest}((SELECT {NEWEST_OF_VALUE} FROM runs r WHERE r.experiment_id = e.id \
             AND r.lifecycle_stage = s.stage AND {test} AND {NEWEST_OF_VALUE} {sign} $3 \
             ORDER BY {}{NEWEST_OF_VALUE}{direction} LIMIT 1 OFFSET $4)) FROM {}",
            same.order("r"),
            each(dialect)
        );
        Statement::select("runs", sql, values).planned(Plan::IndexScan)
    }
}

/// The first runs of a part that has no end yet, newest first.
#[derive(Debug, Clone, Copy)]
pub(super) struct First {
    start: i64,
    last: i64,
    /// Maximum number of runs.
    runs: i64,
}

impl First {
    /// The key of its runs: with the expression of the index, PostgreSQL would sort them.
    pub(super) const KEY: &str = "r.newest";

    /// Maximum number of ids in a list, so that PostgreSQL expects a hash table of it to fit into memory. Twice as many
    /// as are counted before, for those that are written meanwhile.
    const IDS: i64 = 32_000;

    /// Restricts a search in one experiment and stage to these runs, in the order of the index.
    pub(super) fn restrict(self, select: &mut Select, experiments: &Experiments, stages: &[&str]) {
        let key = key("x");
        let experiment = experiments.one().unwrap_or_else(|| "NULL".to_owned());
        let mut within = format!("x.experiment_id = {experiment}");
        for stage in stages {
            within.push_str(&format!(" AND x.lifecycle_stage = '{stage}'"));
        }
        if self.start != i64::MAX {
            within.push_str(&format!(" AND {key} <= {}", select.bind(self.start)));
        }
        if self.last != NO_START {
            within.push_str(&format!(" AND {key} >= {}", select.bind(self.last)));
        }
        select.read_from(format!(
            "(SELECT x.*, {key} AS newest FROM runs x WHERE {within} ORDER BY {key} DESC, x.run_uuid LIMIT {}) r",
            self.runs
        ));
        select.plan(Plan::HashedList);
    }

    /// The condition that a run is among some owners. Not as a condition of its own, which PostgreSQL would turn into a
    /// join that keeps no order.
    pub(super) fn is_among(owners: &str) -> String {
        format!("(r.run_uuid IN ({owners} LIMIT {})) IS TRUE", Self::IDS)
    }
}

/// A part of the runs in the order of their start, from the first one to the last one.
#[derive(Debug, Clone)]
pub(super) struct Part {
    start: i64,
    /// `None` if no run is behind it.
    end: Option<i64>,
    /// The key behind which no run meets the filter.
    last: i64,
    newest: bool,
    same: Option<Same>,
}

impl Part {
    /// Whether there may be runs behind it.
    pub(super) fn has_end(&self) -> bool {
        self.end.is_some()
    }

    /// Restricts a search to this part. `in_order` says that the page has the order of the index, which serves it if there
    /// is one experiment and stage: the scan then ends with the page.
    pub(super) fn restrict(
        &self,
        select: &mut Select,
        dialect: Dialect,
        experiments: &Experiments,
        stages: &[&str],
        in_order: bool,
    ) {
        let newest = |row: &str| if self.same.is_some() { key_of_value(row) } else { key(row) };
        let (low, high) = match (self.newest, self.end) {
            (true, end) => (end.or((self.last != NO_START).then_some(self.last)), Some(self.start)),
            (false, Some(end)) => (Some(self.start), Some(end)),
            (false, None) => {
                // With those without a start, which come last, and have the least key.
                let start = select.bind(self.start);
                select.filter(format!("({} >= {start} OR r.start_time IS NULL)", newest("r")));
                (None, None)
            }
        };
        let low = low.map(|low| select.bind(low));
        let high = high.filter(|high| *high != i64::MAX).map(|high| select.bind(high));
        let same = self.same.as_ref().map(|same| {
            let place = same.value.clone().map(|value| select.bind(value));
            move |row: &str| same.test(row, place.as_deref())
        });
        let within = |row: &str| {
            let mut text = String::new();
            if let Some(same) = &same {
                text.push_str(&format!(" AND {}", same(row)));
            }
            for (sign, place) in [(">=", &low), ("<=", &high)] {
                if let Some(place) = place {
                    text.push_str(&format!(" AND {} {sign} {place}", newest(row)));
                }
            }
            text
        };
        if let (Some(one), [stage], true, None) = (experiments.one(), stages, in_order, &self.same) {
            select.filter(format!("r.experiment_id = {one} AND r.lifecycle_stage = '{stage}'{}", within("r")));
            return select.plan(Plan::IndexOrder);
        }
        let first = self.same.as_ref().map_or_else(String::new, |same| same.order("x"));
        let order = format!("{first}{}{}", newest("x"), if self.newest { " DESC" } else { "" });
        read_each(select, dialect, experiments, stages, &order, within);
    }
}

/// Reads the runs of each experiment and stage that meet further conditions, by the index that has them in an order of the
/// columns of `x`. `within` has the conditions on a row, each with a leading `AND`.
pub(super) fn read_each(
    select: &mut Select,
    dialect: Dialect,
    experiments: &Experiments,
    stages: &[&str],
    order: &str,
    within: impl Fn(&str) -> String,
) {
    let listed: Vec<String> = stages.iter().map(|stage| format!("('{stage}')")).collect();
    let each = format!(
        "{} CROSS JOIN (SELECT column1 AS stage FROM (VALUES {}) AS listed) s",
        experiments.rows(),
        listed.join(", ")
    );
    let of_each = |row: &str| format!("{row}.experiment_id = e.id AND {row}.lifecycle_stage = s.stage{}", within(row));
    match dialect {
        Dialect::Postgres => {
            select.read_from(format!(
                "{each} CROSS JOIN LATERAL (SELECT * FROM runs x WHERE {} ORDER BY {order} OFFSET 0) r",
                of_each("x")
            ));
            select.plan(Plan::IndexScan);
        }
        Dialect::Sqlite => {
            select.driven_by_list(&each);
            select.filter(of_each("r"));
        }
    }
}

/// The latest start of the runs that meet the conditions on their end, if none of the experiments' runs ended before it
/// began: an index has those that did.
///
/// # Errors
/// The database failed.
pub(super) async fn latest_start(store: &Store, query: &Query) -> Result<Option<i64>> {
    let ends = query.conditions.iter().filter_map(|condition| match condition {
        Condition::Time { column: TimeAttribute::EndTime, op, value } => bound(*op, *value, true),
        _ => None,
    });
    let Some(latest) = ends.min() else { return Ok(None) };
    if !store.own_indexes.has(&store.db, OwnIndex::RunsEndedBeforeStart).await? {
        return Ok(None);
    }
    let statement = Statement::new(&ENDED_BEFORE, vec![query.experiments.clone().into()]).planned(Plan::IndexScan);
    let found = store.db.query(statement, |row| row.get::<i64>(0)).await?;
    Ok((found == [0]).then_some(latest))
}

/// The key of runs, of a table with this alias.
pub(super) fn key(alias: &str) -> String {
    NEWEST.replace("start_time", &format!("{alias}.start_time"))
}

/// The same key as the indexes of values have it.
fn key_of_value(alias: &str) -> String {
    NEWEST_OF_VALUE.replace("start_time", &format!("{alias}.start_time"))
}

/// The latest start that a condition allows, or the earliest one.
pub(super) fn bound_of(condition: &Condition, latest: bool) -> Option<i64> {
    let Condition::Time { column: TimeAttribute::StartTime, op, value } = condition else { return None };
    bound(*op, *value, latest)
}

fn integer(values: &[KeyValue], at: usize) -> Option<i64> {
    match values.get(at)? {
        KeyValue::Int(value) => Some(*value),
        _ => None,
    }
}
