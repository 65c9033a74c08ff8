//! Samples of metric histories for charts: the points that the reference would choose, without reading the others.
//!
//! The reference sorts all points of a run by (step, timestamp, value) into equal buckets and takes the first point of
//! each. Here only the steps are read, in order from an index; they give the position of each step, and only the points
//! at the sampled positions are looked up. Steps that were read a short time ago are remembered ([`MetricSteps`]).
//!
//! [`MetricSteps`]: crate::tracking::metric_steps::MetricSteps

use ferroflow_model::Result;

use crate::{
    Scoped,
    db::{Conn, DbError, Row, Statement, Value, dialect::Dialect},
    statements::statements,
    tracking::{
        metric_steps::{Reading, SampleOf, Steps},
        metrics::{Histories, HistoryPoint, RunHistory},
    },
    workspace::Workspace,
};

/// Steps of a history that are held in memory, 8 bytes each. Longer histories are sampled by the database, which spills
/// to disk.
const STEPS_IN_MEMORY: usize = 1 << 20;

/// Number of histories whose steps are queried in one round trip.
const HISTORIES_PER_QUERY: usize = 4;

/// The same for histories whose steps are remembered.
const KNOWN_HISTORIES_PER_QUERY: usize = 50;

/// A history of at most so many points for each sampled one is read as a whole, which costs no more than its steps and the
/// sampled points: in a database of many runs, each point may be on another page.
const WHOLE: i64 = 2;

statements! {
    /// A history of at most $6 points as a whole, of a longer one the steps. PostgreSQL aggregates them into one row,
    /// because a row costs ten times as much as an array element.
    static READ: Workspace =
        "{postgres:WITH l AS MATERIALIZED (SELECT EXISTS (SELECT 1 FROM metrics", RANGE,
        " ORDER BY step LIMIT 1 OFFSET $6) AS is_long) \
         SELECT CASE WHEN l.is_long THEN (SELECT array_agg(s.step) FROM (SELECT step FROM metrics", RANGE,
        " ORDER BY step LIMIT $5) s) ELSE p.steps END, p.timestamps, p.points FROM l \
         LEFT JOIN LATERAL (SELECT array_agg(m.step) AS steps, array_agg(m.timestamp) AS timestamps, \
         array_agg(CASE WHEN m.is_nan THEN 'NaN' ELSE m.value END) AS points FROM \
         (SELECT step, timestamp, value, is_nan FROM metrics", RANGE, " AND NOT l.is_long ORDER BY step) m) p ON TRUE}";

    /// The steps: all of them in SQLite, those behind the remembered ones in PostgreSQL, in the columns of [`READ`].
    static STEPS: Workspace =
        "{postgres:SELECT array_agg(s.step), NULL::bigint[], NULL::float8[] FROM (SELECT step FROM metrics", RANGE,
        " ORDER BY step LIMIT $5) s}{sqlite:SELECT step FROM metrics", RANGE, " ORDER BY step LIMIT $5}";

    /// All points at some steps. In PostgreSQL `OFFSET 0` is an optimization fence: without it, the join would read all
    /// points of the run. SQLite is told that a step has few points: without statistics it would scan the primary key,
    /// which has every column, for each step.
    static AT_STEPS: Workspace =
        "{postgres:SELECT array_agg(m.step), array_agg(m.timestamp), \
         array_agg(CASE WHEN m.is_nan THEN 'NaN' ELSE m.value END) FROM unnest($3::bigint[]) AS w(step) \
         CROSS JOIN LATERAL (SELECT value, timestamp, step, is_nan FROM metrics \
         WHERE run_uuid = $1 AND key = $2 AND step = w.step AND {ws of run $1} OFFSET 0) m}\
         {sqlite:SELECT m.value, m.timestamp, m.step, m.is_nan FROM json_each($3) AS w \
         CROSS JOIN metrics m WHERE m.run_uuid = $1 AND m.key = $2 AND likelihood(m.step = w.value, 0.0001) \
         AND {ws of run $1} ORDER BY m.step, m.timestamp, m.value, m.is_nan}";

    /// PostgreSQL only: some of the points at some steps, for steps with very many points: those at the zero-based
    /// positions $4 within their steps.
    static AMONG_STEPS: Workspace =
        "{postgres:SELECT x.value, x.timestamp, x.step, x.is_nan FROM (SELECT m.value, m.timestamp, m.step, \
         m.is_nan, row_number() OVER (PARTITION BY m.step ORDER BY m.timestamp, m.value, m.is_nan) - 1 AS nth \
         FROM (SELECT DISTINCT d.step FROM unnest($3::bigint[]) AS d(step)) w CROSS JOIN LATERAL \
         (SELECT value, timestamp, step, is_nan FROM metrics WHERE run_uuid = $1 AND key = $2 AND step = w.step \
         AND {ws of run $1} OFFSET 0) m) x \
         WHERE (x.step, x.nth) IN (SELECT c.step, c.nth FROM unnest($3::bigint[], $4::bigint[]) AS c(step, nth)) \
         ORDER BY x.step, x.timestamp, x.value, x.is_nan}";

    /// The sample, computed by the database: the first point of each of `n` equal buckets in the order of (step,
    /// timestamp, value, `is_nan`), then the last point; if that makes `n` + 1 points, it replaces the last sampled
    /// one. `at` is the zero-based position of a point. The first `rest` buckets of NTILE have one point more than the
    /// others: buckets start at 0, q+1, 2(q+1), … and then every q.
    static SAMPLE: Workspace =
        "WITH points AS (SELECT value, timestamp, step, is_nan, \
         row_number() OVER (ORDER BY step, timestamp, value, is_nan) - 1 AS at, count(*) OVER () AS total \
         FROM metrics", RANGE, "), bounds AS (SELECT *, total / $5 AS q, total % $5 AS rest FROM points) \
         SELECT value, timestamp, step, is_nan FROM bounds WHERE \
         (at = total - 1 OR (CASE WHEN total <= $5 THEN TRUE \
         WHEN at < rest * (q + 1) THEN at % (q + 1) = 0 ELSE (at - rest * (q + 1)) % q = 0 END \
         AND NOT (total > $5 AND total - at <= q))) \
         ORDER BY step, timestamp, value, is_nan";
}

/// The condition on the points of a metric of a run between two steps.
const RANGE: &str = " WHERE run_uuid = $1 AND key = $2 AND step >= $3 AND step <= $4 AND {ws of run $1}";

impl Scoped<'_> {
    /// At most `max_results` points of a metric per run, evenly distributed over its history (between two steps,
    /// inclusive). The last point is always included.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn sample_metric_history(
        &self,
        run_ids: &[String],
        key: &str,
        max_results: i64,
        steps: Option<(i64, i64)>,
    ) -> Result<Histories> {
        self.sample_within(STEPS_IN_MEMORY, run_ids, key, max_results, steps).await
    }

    async fn sample_within(
        &self,
        steps_in_memory: usize,
        run_ids: &[String],
        key: &str,
        max_results: i64,
        steps: Option<(i64, i64)>,
    ) -> Result<Histories> {
        let mut unique: Vec<&String> = run_ids.iter().collect();
        unique.sort_unstable();
        unique.dedup();
        // Before a database is chosen and asked: what is written from now on may be missing in what it answers.
        let readings: Vec<Reading<'_>> =
            unique.iter().map(|run_id| self.store.metric_steps.read(self.workspace, run_id, key)).collect();
        let read = async || {
            let sample = Sample {
                workspace: self.workspace,
                conn: self.store.db.reader().await?,
                key,
                most: max_results.max(1),
                range: steps.unwrap_or(EVERYTHING),
                steps_in_memory,
            };
            sample.take(&readings).await
        };
        let found = self.store.db.replicated(read).await?;
        // The response follows the order of the request and repeats a run that is requested twice.
        Ok(Histories::as_requested(found, run_ids))
    }
}

/// The range of all steps.
const EVERYTHING: (i64, i64) = (i64::MIN, i64::MAX);

/// What is read of a history to choose the points.
enum History {
    /// All points, in order.
    Whole(Vec<HistoryPoint>),
    /// The steps. A history that does not fit in memory is cut after one step too many.
    Steps(Steps),
}

/// The parameters of a sample.
struct Sample<'a> {
    workspace: &'a Workspace,
    conn: Conn,
    key: &'a str,
    /// Maximum number of points per run.
    most: i64,
    /// The first and the last step, inclusive.
    range: (i64, i64),
    /// See [`STEPS_IN_MEMORY`].
    steps_in_memory: usize,
}

impl Sample<'_> {
    /// The sampled points of the histories, by run.
    async fn take(&self, readings: &[Reading<'_>]) -> Result<Vec<RunHistory>> {
        let (known, unknown): (Vec<&Reading<'_>>, Vec<_>) = readings.iter().partition(|reading| self.is_long(reading));
        let mut found = Vec::with_capacity(readings.len());
        for readings in known.chunks(KNOWN_HISTORIES_PER_QUERY).chain(unknown.chunks(HISTORIES_PER_QUERY)) {
            let before = self.conn.charged();
            let histories = self.histories(readings).await?;
            let read = self.conn.charged() - before;
            let points = self.points(readings, histories).await?;
            // What was read is dropped, except for the sampled points.
            let kept = points.iter().map(|points| points.len() * size_of::<HistoryPoint>()).sum();
            self.conn.refund(read.saturating_sub(kept));
            let of_run =
                |(reading, points): (&&Reading<'_>, _)| RunHistory { run_id: reading.run_id().to_owned(), points };
            found.extend(readings.iter().zip(points).map(of_run));
        }
        found.sort_unstable_by(|a, b| a.run_id.cmp(&b.run_id));
        Ok(found)
    }

    /// Maximum length of a history that is read as a whole.
    fn whole(&self) -> i64 {
        self.most.saturating_mul(WHOLE)
    }

    /// Whether the remembered steps tell that a history is too long to be read as a whole.
    fn is_long(&self, reading: &Reading<'_>) -> bool {
        let known = reading.known.clone().map(|known| Steps::known(known, self.range).len());
        known.is_some_and(|known| i64::try_from(known).unwrap_or(i64::MAX) > self.whole())
    }

    /// The histories, as far as they are needed to choose the points.
    async fn histories(&self, readings: &[&Reading<'_>]) -> Result<Vec<History>, DbError> {
        let dialect = self.conn.dialect();
        let (first, last) = self.range;
        let steps = |reading: &&Reading<'_>| {
            let known = reading.known.clone().filter(|_| self.is_long(reading));
            known.map_or_else(Steps::default, |known| Steps::known(known, self.range))
        };
        let histories: Vec<Steps> = readings.iter().map(steps).collect();
        let statement = |(reading, steps): (&&Reading<'_>, &Steps)| {
            let first = steps.known.as_ref().map_or(first, |known| known.end.max(first));
            let most = self.steps_in_memory.saturating_add(1).saturating_sub(steps.within.len());
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            let mut params: Vec<Value> =
                vec![reading.run_id().into(), self.key.into(), first.into(), last.into(), most.into()];
            if dialect == Dialect::Postgres && steps.known.is_none() {
                params.push(self.whole().into());
                return Statement::within(self.workspace, &READ, params);
            }
            Statement::within(self.workspace, &STEPS, params)
        };
        let statements = readings.iter().zip(&histories).map(statement).collect();
        let histories = histories.into_iter().map(History::Steps).collect();
        let add = move |histories: &mut Vec<History>, which: usize, row: &Row<'_>| {
            match (dialect, &mut histories[which]) {
                (Dialect::Sqlite, History::Steps(steps)) => steps.read.push(row.get(0)?),
                (_, history) => {
                    let read: Vec<i64> = row.get(0)?;
                    let points = points_of(row, 1, &read)?;
                    match history {
                        History::Steps(steps) if steps.known.is_some() || points.len() < read.len() => {
                            steps.read = read;
                        }
                        _ => *history = History::Whole(points),
                    }
                }
            }
            Ok(())
        };
        let histories = self.conn.fold_all(statements, histories, add).await?;
        if self.range == EVERYTHING {
            for (reading, history) in readings.iter().zip(&histories) {
                if let History::Steps(steps) = history
                    && steps.len() <= self.steps_in_memory
                {
                    reading.remember(steps.known.as_ref(), &steps.read);
                }
            }
        }
        Ok(histories)
    }

    /// The sampled points of the runs, in the order of the runs.
    async fn points(
        &self,
        readings: &[&Reading<'_>],
        histories: Vec<History>,
    ) -> Result<Vec<Vec<HistoryPoint>>, DbError> {
        let mut points = vec![Vec::new(); readings.len()];
        let (mut statements, mut chosen, mut places, mut new) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (place, (reading, history)) in readings.iter().zip(histories).enumerate() {
            match history {
                History::Whole(all) => {
                    let sampled = positions(all.len(), usize::try_from(self.most).unwrap_or(usize::MAX));
                    points[place] = sampled.into_iter().map(|at| all[at]).collect();
                }
                History::Steps(steps) => {
                    let of = SampleOf { len: steps.len(), most: self.most, range: self.range };
                    // A step that was read proves that the run is in the workspace.
                    let remembered = if steps.read.is_empty() { None } else { reading.sample(of) };
                    if let Some(remembered) = remembered {
                        self.conn.charge(size_of_val(&*remembered))?;
                        points[place] = remembered.to_vec();
                        continue;
                    }
                    if of.len <= self.steps_in_memory {
                        new.push((place, of));
                    }
                    let (statement, selection) = self.lookup(reading.run_id(), &steps);
                    statements.push(statement);
                    chosen.push(selection);
                    places.push(place);
                }
            }
        }
        if statements.is_empty() {
            return Ok(points);
        }
        let dialect = self.conn.dialect();
        let add = move |points: &mut Vec<Vec<HistoryPoint>>, which: usize, row: &Row<'_>| {
            let points = &mut points[places[which]];
            match (&mut chosen[which], dialect) {
                (Some(chosen), Dialect::Postgres) => {
                    let steps: Vec<i64> = row.get(0)?;
                    points.extend(points_of(row, 1, &steps)?.into_iter().filter(|point| chosen.takes(point.step)));
                }
                (Some(chosen), Dialect::Sqlite) => {
                    let point = HistoryPoint::at(row, 0)?;
                    if chosen.takes(point.step) {
                        points.push(point);
                    }
                }
                (None, _) => points.push(HistoryPoint::at(row, 0)?),
            }
            Ok(())
        };
        let points = self.conn.fold_all(statements, points, add).await?;
        for (place, of) in new {
            readings[place].remember_sample(of, &points[place]);
        }
        Ok(points)
    }

    /// The statement that reads the sampled points of a run, and the selection among its rows unless all are sampled.
    fn lookup(&self, run_id: &str, steps: &Steps) -> (Statement, Option<Selection>) {
        let dialect = self.conn.dialect();
        let mut params: Vec<Value> = vec![run_id.into(), self.key.into()];
        if steps.len() > self.steps_in_memory {
            params.extend([self.range.0.into(), self.range.1.into(), self.most.into()]);
            return (Statement::within(self.workspace, &SAMPLE, params), None);
        }
        let places = positions(steps.len(), usize::try_from(self.most).unwrap_or(usize::MAX));
        let nth = |place: usize| {
            let step = steps.at(place);
            (step, i64::try_from(place - steps.first_of(step)).unwrap_or(i64::MAX))
        };
        let points: Vec<(i64, i64)> = places.into_iter().map(nth).collect();
        let mut distinct: Vec<i64> = points.iter().map(|(step, _)| *step).collect();
        distinct.dedup();
        let found: usize = distinct.iter().map(|step| steps.behind(*step) - steps.first_of(*step)).sum();
        // Reading a few rows too many costs less than counting rows in the database.
        if dialect == Dialect::Postgres && found > 2 * points.len() {
            let (steps, nths): (Vec<i64>, Vec<i64>) = points.into_iter().unzip();
            params.extend([steps.into(), nths.into()]);
            return (Statement::within(self.workspace, &AMONG_STEPS, params), None);
        }
        params.push(distinct.into());
        let chosen = Selection { points: points.into_iter().peekable(), at: None };
        (Statement::within(self.workspace, &AT_STEPS, params), Some(chosen))
    }
}

/// Reads points from arrays of their steps, timestamps and values, the last two at `index`, and sorts them by (step,
/// timestamp, value, `is_nan`). NaN is stored as 0 with `is_nan`. None if there are steps only.
fn points_of(row: &Row<'_>, index: usize, steps: &[i64]) -> Result<Vec<HistoryPoint>, DbError> {
    let (timestamps, values): (Vec<i64>, Vec<f64>) = (row.get(index)?, row.get(index + 1)?);
    let columns = steps.iter().zip(timestamps).zip(values);
    let mut points: Vec<HistoryPoint> =
        columns.map(|((step, timestamp), value)| HistoryPoint { value, timestamp, step: *step }).collect();
    let stored = |value: f64| if value.is_nan() { (0.0, true) } else { (value, false) };
    points.sort_by(|a, b| {
        let ((a_value, a_is_nan), (b_value, b_is_nan)) = (stored(a.value), stored(b.value));
        (a.step, a.timestamp)
            .cmp(&(b.step, b.timestamp))
            .then_with(|| a_value.total_cmp(&b_value))
            .then(a_is_nan.cmp(&b_is_nan))
    });
    Ok(points)
}

/// Selects the sampled points among the rows of some steps, by step and position within the step.
struct Selection {
    points: std::iter::Peekable<std::vec::IntoIter<(i64, i64)>>,
    /// The step and position of the last row.
    at: Option<(i64, i64)>,
}

impl Selection {
    /// Whether the next row, which has this step, is sampled.
    fn takes(&mut self, step: i64) -> bool {
        let at = match self.at {
            Some((last, nth)) if last == step => (step, nth + 1),
            _ => (step, 0),
        };
        self.at = Some(at);
        self.points.next_if_eq(&at).is_some()
    }
}

/// The positions of a sample of `most` out of `total` points: the first of each of `most` NTILE buckets, of which the
/// first ones have one point more, and the last point, which replaces the last one of those if they are already `most`.
fn positions(total: usize, most: usize) -> Vec<usize> {
    if total <= most {
        return (0..total).collect();
    }
    let (size, rest) = (total / most, total % most);
    let mut places: Vec<usize> = (0..most).map(|bucket| bucket * size + bucket.min(rest)).collect();
    if let Some(last) = places.last_mut() {
        *last = total - 1;
    }
    places
}

#[cfg(test)]
mod tests {
    use ferroflow_model::messages::service::Metric;

    use super::*;
    use crate::{Store, StoreOptions, db::BackendUri, tracking::runs::NewRun};

    #[test]
    fn positions_are_the_first_of_each_bucket_and_the_last() {
        assert_eq!(positions(0, 3), [0; 0]);
        assert_eq!(positions(3, 3), [0, 1, 2]);
        assert_eq!(positions(7, 3), [0, 3, 6]);
        assert_eq!(positions(8, 3), [0, 3, 7]);
        assert_eq!(positions(10, 1), [9]);
    }

    #[tokio::test]
    async fn sqlite_looks_sampled_steps_up_in_the_index_over_steps() {
        let folder = tempfile::tempdir().unwrap();
        let options = StoreOptions::default();
        let store = Store::open(&BackendUri::Sqlite(folder.path().join("test.db")), options).await.unwrap();
        let values = vec!["run".into(), "m".into(), Value::Ints(vec![1, 2])];
        let plan = store.db.explain(Statement::within(Workspace::only(), &AT_STEPS, values)).await.unwrap().join("\n");
        assert!(plan.contains("index_metrics_run_uuid_key_step (run_uuid=? AND key=? AND step=?)"), "{plan}");
    }

    #[tokio::test]
    async fn a_history_too_long_for_memory_has_the_same_sample() {
        let folder = tempfile::tempdir().unwrap();
        let options = StoreOptions::default();
        let store = Store::open(&BackendUri::Sqlite(folder.path().join("test.db")), options).await.unwrap();
        let store = store.within(Workspace::only());
        let run = store.create_run(NewRun { experiment_id: "0".into(), ..NewRun::default() }).await.unwrap();
        let run = run.info.unwrap().run_id.unwrap();
        let point = |at: i64| Metric {
            key: Some("m".into()),
            value: Some(f64::from(i32::try_from(at % 3).unwrap())),
            timestamp: Some(at),
            step: Some(at / 4),
            ..Metric::default()
        };
        store.log_batch(&run, (0..50).map(point).collect(), Vec::new(), Vec::new()).await.unwrap();
        let runs = [run, "unknown".to_owned()];
        for most in [1, 2, 7, 49, 50, 51] {
            for steps in [None, Some((2, 9))] {
                let long = store.sample_within(3, &runs, "m", most, steps).await.unwrap();
                assert_eq!(long, store.sample_metric_history(&runs, "m", most, steps).await.unwrap());
                assert!(long.points().count() > 0);
            }
        }
    }
}
