//! The first runs of a search in the order of a column, metric, param or tag: by value, then those whose metric is NaN, then
//! those without a value.
//!
//! An index has the values in order: those of a column for each experiment, those of a metric, param or tag of all
//! experiments. It is read in parts, as far as the page needs: an experiment that is a large part of the database is found
//! soon, and a small one is read as a whole instead. Where more runs than a part should have share a value, the newest of
//! them come first, as in a search for that value.

use ferroflow_model::Result;
use ferroflow_search::{KeyValue, PageToken};

use super::{
    run_filter::Joined,
    run_ordered_by::By,
    run_search::Query,
    run_window::{Part, Window, each, groups, read_each},
};
use crate::{
    Store,
    db::{Conn, Plan, Statement, Value, dialect::Dialect},
    query::{experiments::Experiments, select::Select},
};

/// How far a part goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    /// Number of runs of each experiment and stage.
    pub(super) runs: i64,
    /// Number of values in an index of all experiments.
    pub(super) values: i64,
    /// Maximum number of these that are the same.
    pub(super) same: i64,
}

/// A value at which a part begins or ends.
#[derive(Debug, Clone, PartialEq)]
struct Bound {
    value: Value,
    is_included: bool,
}

/// The runs of a search that have not been looked at, in the order of a value.
#[derive(Debug)]
pub(super) struct ValueOrder {
    by: By,
    descending: bool,
    place: Place,
    /// The value of the last run of the page before.
    cursor: Option<Value>,
    /// What finds values that the index has not in order.
    unordered: Option<Statement>,
}

/// Where they begin.
#[derive(Debug)]
enum Place {
    /// At a value, or at the first one.
    Values(Option<Bound>),
    Nan,
    /// At the newest one with a value, or without one.
    Same {
        value: Option<Value>,
        window: Window,
    },
    /// At some that no index has in order.
    Unordered,
    /// Nowhere.
    End,
}

/// Some of the runs in the order of a value.
#[derive(Debug, Clone)]
pub(super) struct ValuePart {
    by: By,
    descending: bool,
    rows: Rows,
}

#[derive(Debug, Clone)]
enum Rows {
    /// Those with values from a bound to another one, or to the last one.
    Values { start: Option<Bound>, end: Option<Bound> },
    /// Those whose value is NaN.
    Nan,
    /// Some of those with a value, or without one.
    Same { value: Option<Value>, part: Part },
}

impl ValueOrder {
    /// All of a page and those behind it; `None` if the search has another order, or the index is missing.
    ///
    /// # Errors
    /// The database failed.
    pub(super) async fn of(store: &Store, query: &Query) -> Result<Option<Self>> {
        let Some(first) = query.order.first() else { return Ok(None) };
        let Some((by, indexes)) = By::of(&first.column, store.db.dialect()) else { return Ok(None) };
        for index in indexes {
            if !store.own_indexes.has(&store.db, *index).await? {
                return Ok(None);
            }
        }
        let descending = !first.ascending;
        let mut cursor = None;
        let place = match &query.token {
            PageToken::Offset(0) => {
                let first = by.first_allowed(store.db.dialect(), &query.conditions, descending);
                Some(Place::Values(first.map(Bound::at)))
            }
            PageToken::Offset(_) => None,
            PageToken::Key(values) => match (values.as_slice(), &by) {
                ([KeyValue::Int(0), value, ..], _) => {
                    cursor = by.value_of(value);
                    cursor.clone().map(|value| Place::Values(Some(Bound::at(value))))
                }
                ([KeyValue::Int(1), ..], By::Metric(_)) => Some(Place::Nan),
                ([KeyValue::Int(1 | 2), ..], _) => {
                    Window::of_same(query, true, by.same(None)).map(|window| Place::Same { value: None, window })
                }
                _ => None,
            },
        };
        let unordered = by.unordered();
        Ok(place.map(|place| Self { by, descending, place, cursor, unordered }))
    }

    /// Whether the index has the runs of one experiment only.
    pub(super) fn is_by_experiment(&self) -> bool {
        matches!(self.by, By::Column(_))
    }

    /// Takes the next part; `None` if no index has the rest in order.
    ///
    /// # Errors
    /// The database failed.
    pub(super) async fn take(&mut self, conn: &Conn, query: &Query, step: Step) -> Result<Option<ValuePart>> {
        if let Some(statement) = self.unordered.take()
            && conn.query(statement, |row| row.get::<i64>(0)).await? != [0]
        {
            self.place = Place::Unordered;
        }
        if let Place::Values(start) = &self.place {
            let start = start.clone();
            let rows = self.take_values(conn, query, start, step).await?;
            // If many have the first value, they come next.
            if rows.is_some() || !matches!(self.place, Place::Same { .. }) {
                return Ok(rows.map(|rows| self.part(rows)));
            }
        }
        let rows = match &mut self.place {
            Place::Nan => {
                self.place = self.missing(query);
                Rows::Nan
            }
            Place::Same { value, window } => {
                let (value, part) = (value.clone(), window.take(conn, query, step.runs).await?);
                if !part.has_end() {
                    self.place = match &value {
                        Some(value) => Place::Values(Some(Bound::beside(value.clone()))),
                        None => Place::End,
                    };
                }
                Rows::Same { value, part }
            }
            Place::Values(_) | Place::Unordered | Place::End => return Ok(None),
        };
        Ok(Some(self.part(rows)))
    }

    /// Takes a range of values, of which none has too many runs; `None` if the first one has.
    async fn take_values(
        &mut self,
        conn: &Conn,
        query: &Query,
        start: Option<Bound>,
        step: Step,
    ) -> Result<Option<Rows>> {
        let statement = self.distances(conn.dialect(), query, start.as_ref(), step);
        let found = conn.query(statement, |row| Ok([row.get::<Value>(0)?, row.get(1)?, row.get(2)?])).await?;
        let none = || [Value::Null, Value::Null, Value::Null];
        let [first, end, beyond] = found.into_iter().next().unwrap_or_else(none);
        if end == Value::Null {
            self.place = if matches!(self.by, By::Metric(_)) { Place::Nan } else { self.missing(query) };
            return Ok(Some(Rows::Values { start, end: None }));
        }
        if end != beyond {
            self.place = Place::Values(Some(Bound::beside(end.clone())));
            return Ok(Some(Rows::Values { start, end: Some(Bound::at(end)) }));
        }
        let is_within = self.cursor.as_ref() == Some(&end);
        let Some(window) = Window::of_same(query, is_within, self.by.same(Some(&end))) else { return Ok(None) };
        self.place = Place::Same { value: Some(end.clone()), window };
        let before = Rows::Values { start, end: Some(Bound::beside(end.clone())) };
        Ok((first != end).then_some(before))
    }

    /// Those without a value.
    fn missing(&self, query: &Query) -> Place {
        Window::of_same(query, false, self.by.same(None))
            .map_or(Place::Unordered, |window| Place::Same { value: None, window })
    }

    fn part(&self, rows: Rows) -> ValuePart {
        ValuePart { by: self.by.clone(), descending: self.descending, rows }
    }

    /// The statement for the first value, and for those at two distances: where a part ends, and where it ends at last. With
    /// several experiments they are the nearest ones.
    fn distances(&self, dialect: Dialect, query: &Query, start: Option<&Bound>, step: Step) -> Statement {
        let (nearest, direction) = if self.descending { ("MAX", " DESC") } else { ("MIN", "") };
        let (mut params, each, within, end, last) = match self.by.key() {
            None => {
                let of_each = "l.experiment_id = e.id AND l.lifecycle_stage = s.stage".to_owned();
                (groups(query), each(dialect), of_each, step.runs, step.runs.saturating_mul(2))
            }
            Some(key) => (vec![key.into()], "(SELECT 1) one", self.by.with_value("l", "$1"), step.values, step.same),
        };
        let (table, value) = (self.by.table(), self.by.value("l"));
        let test = match start {
            Some(bound) => {
                params.push(bound.value.clone());
                format!("{value} {} ${}", bound.sign(!self.descending), params.len())
            }
            None => format!("{value} IS NOT NULL"),
        };
        let found = [0, end, last].map(|distance| {
            params.push(distance.into());
            format!(
                "{nearest}((SELECT {value} FROM {table} l WHERE {within} AND {test} ORDER BY {value}{direction} \
                 LIMIT 1 OFFSET ${}))",
                params.len()
            )
        });
        let sql = format!("SELECT {} FROM {each}", found.join(", "));
        Statement::select(table, sql, params).planned(Plan::IndexScan)
    }

    /// The statement with which the first part begins.
    pub(super) fn first_distances(&self, dialect: Dialect, query: &Query, step: Step) -> Option<Statement> {
        match &self.place {
            Place::Values(start) => Some(self.distances(dialect, query, start.as_ref(), step)),
            Place::Same { window, .. } => Some(window.distance(dialect, query, step.runs)),
            Place::Nan | Place::Unordered | Place::End => None,
        }
    }

    /// Whether the parts that were taken are all runs.
    pub(super) fn is_at_end(&self) -> bool {
        matches!(self.place, Place::End)
    }
}

impl Bound {
    /// With the runs that have the value.
    fn at(value: Value) -> Self {
        Self { value, is_included: true }
    }

    /// Without these.
    fn beside(value: Value) -> Self {
        Self { value, is_included: false }
    }

    /// The sign of a comparison with it.
    fn sign(&self, is_least: bool) -> &'static str {
        match (is_least, self.is_included) {
            (true, true) => ">=",
            (true, false) => ">",
            (false, true) => "<=",
            (false, false) => "<",
        }
    }
}

impl ValuePart {
    /// Whether there may be more runs of the same kind behind it.
    pub(super) fn has_end(&self) -> bool {
        match &self.rows {
            // Behind a value that is left out, those with this one follow.
            Rows::Values { end, .. } => end.as_ref().is_some_and(|end| end.is_included),
            Rows::Nan => false,
            Rows::Same { part, .. } => part.has_end(),
        }
    }

    /// Restricts a search to this part, and returns how the values of its order are read.
    pub(super) fn restrict(
        &self,
        select: &mut Select,
        dialect: Dialect,
        experiments: &Experiments,
        stages: &[&str],
    ) -> Joined {
        let by = &self.by;
        let bounds: Vec<(&str, String)> = match &self.rows {
            Rows::Same { value, part } => {
                part.restrict(select, dialect, experiments, stages, false);
                if let Some(test) = by.is_same(select, value.as_ref()) {
                    select.filter(test);
                }
                return Joined::ByRun;
            }
            Rows::Values { start, end } => {
                let bounds = [(start, !self.descending), (end, self.descending)];
                let bounds = bounds.into_iter().filter_map(|(bound, is_least)| Some((bound.as_ref()?, is_least)));
                bounds.map(|(bound, is_least)| (bound.sign(is_least), select.bind(bound.value.clone()))).collect()
            }
            Rows::Nan => Vec::new(),
        };
        let within = |row: &str| {
            let value = by.value(row);
            let mut text = if bounds.is_empty() { format!(" AND {value} IS NOT NULL") } else { String::new() };
            for (sign, place) in &bounds {
                text.push_str(&format!(" AND {value} {sign} {place}"));
            }
            text
        };
        let Some(key) = by.key() else {
            let order = format!("{}{}", by.value("x"), if self.descending { " DESC" } else { "" });
            read_each(select, dialect, experiments, stages, &order, within);
            return Joined::ByRun;
        };
        let key = select.bind(key);
        let test = |row: &str| match self.rows {
            Rows::Nan => format!("{row}.key = {key} AND {row}.is_nan = TRUE"),
            _ => format!("{}{}", by.with_value(row, &key), within(row)),
        };
        let listed: Vec<String> = stages.iter().map(|stage| format!("'{stage}'")).collect();
        select.filter(format!("+{}", experiments.contain("r")));
        select.filter(format!("r.lifecycle_stage IN ({})", listed.join(", ")));
        let (table, value) = (by.table(), by.value("l"));
        match dialect {
            Dialect::Postgres => {
                select.read_from(format!(
                    "(SELECT l.* FROM {table} l WHERE {} ORDER BY {value} OFFSET 0) o0 \
                     CROSS JOIN LATERAL (SELECT * FROM runs x WHERE x.run_uuid = o0.run_uuid OFFSET 0) r",
                    test("l")
                ));
                select.plan(Plan::IndexScan);
            }
            Dialect::Sqlite => {
                select.read_from(format!("{table} o0 CROSS JOIN runs r"));
                select.filter(format!("{} AND r.run_uuid = o0.run_uuid", test("o0")));
            }
        }
        Joined::FirstAs("o0")
    }
}
