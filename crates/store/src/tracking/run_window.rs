//! The first runs of a search in the order of their start, from `ff_runs_page`.
//!
//! A page that ends within them needs no other run. So a search in several experiments, or in both lifecycle stages, of
//! which no index has all runs in order, sorts a few runs only, and one whose condition many runs meet ends before it
//! reads all others. As for traces ([`crate::traces::trace_window`]).

use ferroflow_model::Result;
use ferroflow_search::{
    KeyValue, PageToken,
    runs::{Column, Condition, TimeAttribute},
};

use super::run_search::Query;
use crate::{
    db::{Child, Conn, Plan, Sql, Statement, Value, dialect::Dialect},
    query::{bound::bound, experiments::Experiments, select::Select},
    schema::own_indexes::NEWEST,
    statements::statements,
};

/// The key of the runs without a start, and the first one behind it.
const NO_START: i64 = -i64::MAX;

statements! {
    /// The key of the run at a distance of `$4` from `$3`, of all experiments and stages the nearest one.
    static LATEST: Child =
        "SELECT MAX((SELECT ", NEWEST, " FROM runs r WHERE r.experiment_id = e.id AND r.lifecycle_stage = s.stage \
         AND ", NEWEST, " <= $3 ORDER BY ", NEWEST, " DESC LIMIT 1 OFFSET $4)) FROM ", EACH;

    static EARLIEST: Child =
        "SELECT MIN((SELECT ", NEWEST, " FROM runs r WHERE r.experiment_id = e.id AND r.lifecycle_stage = s.stage \
         AND ", NEWEST, " >= $3 ORDER BY ", NEWEST, " LIMIT 1 OFFSET $4)) FROM ", EACH;
}

const EACH: &str = "{postgres:unnest($1::bigint[]) AS e(id) CROSS JOIN unnest($2::text[]) AS s(stage)}\
                    {sqlite:(SELECT value AS id FROM json_each($1)) e CROSS JOIN (SELECT value AS stage FROM json_each($2)) s}";

/// The runs of a search that have not been looked at, in the order of their start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    /// The key where they begin.
    start: i64,
    /// The key behind which no run meets the filter.
    last: i64,
    newest: bool,
}

impl Window {
    /// All of a page and those behind it; `None` if the search has another order.
    pub(super) fn of(query: &Query) -> Option<Self> {
        let first = query.order.first().filter(|clause| clause.column == Column::Time(TimeAttribute::StartTime))?;
        let newest = !first.ascending;
        let cursor = match (&query.token, newest) {
            (PageToken::Offset(0), _) => None,
            (PageToken::Key(values), true) => Some(integer(values, 0)?),
            // The first key is 1 for runs without a start, which come last.
            (PageToken::Key(values), false) if integer(values, 0)? == 0 => Some(integer(values, 1)?),
            _ => return None,
        };
        Some(Self::from(&query.conditions, cursor, newest))
    }

    /// The runs without a metric, which are the newest first behind those that have it.
    pub(super) fn of_missing(query: &Query) -> Option<Self> {
        let second = query.order.get(1)?;
        if second.column != Column::Time(TimeAttribute::StartTime) || second.ascending {
            return None;
        }
        let cursor = match &query.token {
            PageToken::Offset(0) => None,
            PageToken::Offset(_) => return None,
            PageToken::Key(values) if integer(values, 0)? == 2 => Some(integer(values, 2)?),
            PageToken::Key(_) => None,
        };
        Some(Self::from(&query.conditions, cursor, true))
    }

    fn from(conditions: &[Condition], cursor: Option<i64>, newest: bool) -> Self {
        let bounds = |latest| conditions.iter().filter_map(move |condition| bound_of(condition, latest));
        let (latest, earliest) = (bounds(true).min().unwrap_or(i64::MAX), bounds(false).max().unwrap_or(NO_START));
        if newest {
            Self { start: latest.min(cursor.unwrap_or(i64::MAX)), last: earliest, newest }
        } else {
            // Runs without a start have the least key, and come last: they are in no part with an end.
            let first = cursor.unwrap_or(NO_START + 1).max(NO_START + 1);
            Self { start: earliest.max(first), last: latest, newest }
        }
    }

    /// The first `runs` runs, which are not taken.
    pub(super) fn first(self, runs: i64) -> First {
        First { start: self.start, last: self.last, runs }
    }

    /// Takes the part with about the first `runs` runs of each experiment and stage.
    ///
    /// # Errors
    /// The database failed.
    pub(super) async fn take(&mut self, conn: &Conn, query: &Query, runs: i64) -> Result<Part> {
        let sql: &'static Sql<Child> = if self.newest { &LATEST } else { &EARLIEST };
        let stages: Vec<String> = query.stages().iter().map(|stage| (*stage).to_owned()).collect();
        let values: Vec<Value> = vec![query.experiments.clone().into(), stages.into(), self.start.into(), runs.into()];
        let statement = Statement::new(sql, values).planned(Plan::IndexOrder);
        let end = conn.query(statement, |row| row.get::<Option<i64>>(0)).await?.into_iter().next().flatten();
        let end = end.filter(|end| if self.newest { *end > self.last } else { *end < self.last });
        let part = Part { start: self.start, end, newest: self.newest };
        if let Some(end) = end {
            self.start = if self.newest { end.saturating_sub(1) } else { end.saturating_add(1) };
        }
        Ok(part)
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
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    start: i64,
    /// `None` if no run is behind it.
    end: Option<i64>,
    newest: bool,
}

impl Part {
    /// Whether there may be runs behind it.
    pub(super) fn has_end(self) -> bool {
        self.end.is_some()
    }

    /// Restricts a search to this part. `in_order` says that the page has the order of the index, which serves it if there
    /// is one experiment and stage: the scan then ends with the page.
    pub(super) fn restrict(
        self,
        select: &mut Select,
        dialect: Dialect,
        experiments: &Experiments,
        stages: &[&str],
        in_order: bool,
    ) {
        let (low, high) = match (self.newest, self.end) {
            (true, end) => (end.unwrap_or(i64::MIN), Some(self.start)),
            (false, Some(end)) => (self.start, Some(end)),
            (false, None) => {
                // With those without a start, which come last, and have the least key.
                let start = select.bind(self.start);
                select.filter(format!("({} >= {start} OR r.start_time IS NULL)", key("r")));
                (i64::MIN, None)
            }
        };
        let low = (low != i64::MIN).then(|| select.bind(low));
        let high = high.filter(|high| *high != i64::MAX).map(|high| select.bind(high));
        let within = |row: &str, experiment: &str, stage: &str| {
            let key = key(row);
            let mut text = format!("{row}.experiment_id = {experiment} AND {row}.lifecycle_stage = {stage}");
            for (sign, place) in [(">=", &low), ("<=", &high)] {
                if let Some(place) = place {
                    text.push_str(&format!(" AND {key} {sign} {place}"));
                }
            }
            text
        };
        if let (Some(one), [stage], true) = (experiments.one(), stages, in_order) {
            select.filter(within("r", &one, &format!("'{stage}'")));
            return select.plan(Plan::IndexOrder);
        }
        let listed: Vec<String> = stages.iter().map(|stage| format!("('{stage}')")).collect();
        let each = format!(
            "{} CROSS JOIN (SELECT column1 AS stage FROM (VALUES {}) AS listed) s",
            experiments.rows(),
            listed.join(", ")
        );
        let order = if self.newest { " DESC" } else { "" };
        match dialect {
            Dialect::Postgres => {
                select.read_from(format!(
                    "{each} CROSS JOIN LATERAL (SELECT * FROM runs x WHERE {} ORDER BY {}{order} OFFSET 0) r",
                    within("x", "e.id", "s.stage"),
                    key("x")
                ));
                select.plan(Plan::IndexScan);
            }
            Dialect::Sqlite => {
                select.driven_by_list(&each);
                select.filter(within("r", "e.id", "s.stage"));
            }
        }
    }
}

/// The key of runs, of a table with this alias.
pub(super) fn key(alias: &str) -> String {
    NEWEST.replace("start_time", &format!("{alias}.start_time"))
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
