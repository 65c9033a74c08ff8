//! The steps of long metric histories that this server has read: the next sample of a history reads only the steps that
//! follow them.
//!
//! A history only grows: the points of a run are purged together with the run. While its length is the same, so are the
//! points of a sample, and the last one is remembered as well. Its steps are held as arithmetic
//! progressions: a run that logs every tenth step is a single one. The last steps of a history are left out, because
//! parallel clients may still add points between them.
//!
//! A point that this server writes among remembered steps cuts them off there before the write is answered. A point
//! that another server writes there is found when the steps expire, after [`MAX_AGE`]: until then a sample may be off
//! by as many places as there are such points. Points behind the remembered steps are found at once, and every point of
//! a sample is read from the database.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    tracking::{batch::RunWrite, metrics::HistoryPoint, progressions::Progressions},
    workspace::Workspace,
};

/// How long steps are remembered after they were read.
const MAX_AGE: Duration = Duration::from_secs(60);

/// Points at the end of a history that are not remembered.
const UNSETTLED: usize = 100;

/// Shorter histories are not remembered.
const SHORTEST: usize = 1_000;

/// Maximum number of progressions of all histories, 32 bytes each.
const CAPACITY: usize = 1 << 18;

/// Maximum number of points of all samples, 24 bytes each.
const SAMPLE_CAPACITY: usize = 1 << 19;

/// Maximum number of histories.
const MAX_HISTORIES: usize = 4_096;

/// The remembered histories, by run and metric.
#[derive(Debug, Default)]
pub(crate) struct MetricSteps {
    histories: Mutex<Histories>,
    /// Whether a history is remembered or read, so that writes on a server without charts take no lock.
    is_used: AtomicBool,
}

#[derive(Debug, Default)]
struct Histories {
    runs: HashMap<String, HashMap<String, History>>,
    /// The number of the next reading.
    next: u64,
    /// Progressions of all histories.
    size: usize,
    /// Number of remembered histories.
    count: usize,
    /// Points of all samples.
    points: usize,
}

#[derive(Debug, Default)]
struct History {
    known: Option<Known>,
    /// The last sample, of a history whose steps are remembered.
    sample: Option<(SampleOf, Arc<[HistoryPoint]>)>,
    /// The requests that read it, each with the lowest step that was written since it began.
    readings: Vec<(u64, i64)>,
}

/// What determines the points of a sample: a history only grows, so one with as many points as before has the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SampleOf {
    /// Number of points of the history within the range.
    pub(super) len: usize,
    /// Maximum number of points of the sample.
    pub(super) most: i64,
    /// The first and the last step, inclusive.
    pub(super) range: (i64, i64),
}

/// Remembered steps.
#[derive(Debug, Clone)]
pub(super) struct Known {
    /// All steps of the history that are less than [`Known::end`].
    pub(super) steps: Arc<Progressions>,
    /// The lowest step that is not remembered.
    pub(super) end: i64,
    /// The workspace that they were found in. For a run of another one, the same statements run as for one that does not
    /// exist.
    workspace: Workspace,
    /// When the first of them were read.
    read_at: Instant,
}

impl Known {
    /// Drops `step` and all steps behind it.
    fn cut(&mut self, step: i64) {
        if step < self.end {
            Arc::make_mut(&mut self.steps).truncate(step);
            self.end = step;
        }
    }

    fn has_expired(&self) -> bool {
        self.read_at.elapsed() >= MAX_AGE
    }
}

impl History {
    fn sample_len(&self) -> usize {
        self.sample.as_ref().map_or(0, |(_, points)| points.len())
    }
}

impl MetricSteps {
    /// Begins to read the steps of a history. Call it before the database is asked.
    pub(super) fn read<'a>(&'a self, workspace: &'a Workspace, run_id: &str, key: &str) -> Reading<'a> {
        let mut histories = self.lock();
        self.is_used.store(true, Ordering::SeqCst);
        let id = histories.next;
        histories.next += 1;
        let run = histories.runs.entry(run_id.to_owned()).or_default();
        let history = run.entry(key.to_owned()).or_default();
        history.readings.push((id, i64::MAX));
        let known = history.known.clone().filter(|known| known.workspace == *workspace && !known.has_expired());
        let (run_id, key) = (run_id.to_owned(), key.to_owned());
        Reading { owner: self, workspace, run_id, key, id, known, began: Instant::now() }
    }

    /// Cuts the histories that points were added to. Call it before the write is answered, whatever its outcome.
    pub(super) fn written<'a>(&self, writes: impl IntoIterator<Item = &'a RunWrite>) {
        if !self.is_used.load(Ordering::SeqCst) {
            return;
        }
        let mut histories = self.lock();
        let Histories { runs, size, .. } = &mut *histories;
        for write in writes {
            let Some(keys) = runs.get_mut(&write.run_id) else { continue };
            for point in &write.metrics {
                let Some(history) = keys.get_mut(&point.key) else { continue };
                for (_, lowest) in &mut history.readings {
                    *lowest = point.step.min(*lowest);
                }
                if let Some(known) = &mut history.known {
                    *size -= known.steps.size();
                    known.cut(point.step);
                    *size += known.steps.size();
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Histories> {
        self.histories.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Histories {
    fn get_mut(&mut self, run_id: &str, key: &str) -> Option<&mut History> {
        self.runs.get_mut(run_id)?.get_mut(key)
    }

    /// Replaces what is remembered of a history unless that would take too much memory.
    fn replace(&mut self, reading: &Reading<'_>, mut known: Known) -> bool {
        let (count, size) = (self.count, self.size);
        let Some(history) = self.get_mut(&reading.run_id, &reading.key) else { return true };
        let written = history.readings.iter().find(|(id, _)| *id == reading.id).map_or(i64::MIN, |(_, lowest)| *lowest);
        known.cut(written);
        let previous = history.known.as_ref().map(|known| known.steps.size());
        let count = count + usize::from(previous.is_none());
        let size = size - previous.unwrap_or_default() + known.steps.size();
        let has_space = count <= MAX_HISTORIES && size <= CAPACITY;
        if has_space {
            history.known = Some(known);
            (self.count, self.size) = (count, size);
        }
        has_space
    }

    /// Drops what has expired.
    fn sweep(&mut self) {
        for keys in self.runs.values_mut() {
            for history in keys.values_mut() {
                if history.known.take_if(|known| known.has_expired()).is_some() {
                    history.sample = None;
                }
            }
            keys.retain(|_, history| history.known.is_some() || !history.readings.is_empty());
        }
        self.runs.retain(|_, keys| !keys.is_empty());
        (self.count, self.size, self.points) = (0, 0, 0);
        for history in self.runs.values().flat_map(HashMap::values) {
            self.count += usize::from(history.known.is_some());
            self.size += history.known.as_ref().map_or(0, |known| known.steps.size());
            self.points += history.sample_len();
        }
    }

    fn remember(&mut self, reading: &Reading<'_>, known: &Known) {
        if !self.replace(reading, known.clone()) {
            self.sweep();
            self.replace(reading, known.clone());
        }
    }
}

/// A history that is being read.
pub(super) struct Reading<'a> {
    owner: &'a MetricSteps,
    workspace: &'a Workspace,
    run_id: String,
    key: String,
    id: u64,
    /// The steps that need not be read.
    pub(super) known: Option<Known>,
    began: Instant,
}

impl Reading<'_> {
    /// The run of the history.
    pub(super) fn run_id(&self) -> &str {
        &self.run_id
    }

    /// Remembers the steps of the whole history, of which those behind `known` have been read.
    pub(super) fn remember(&self, known: Option<&Known>, read: &[i64]) {
        if read.len() + known.map_or(0, |known| known.steps.len()) < SHORTEST || read.len() < 2 * UNSETTLED {
            return;
        }
        // Points between the last steps may be missing: the first of these is the end.
        let end = read[read.len() - UNSETTLED];
        let settled = &read[..read.partition_point(|step| *step < end)];
        let mut steps = known.map(|known| (*known.steps).clone()).unwrap_or_default();
        if !settled.iter().all(|step| steps.push(*step)) {
            return;
        }
        let read_at = known.map_or(self.began, |known| known.read_at);
        self.owner
            .lock()
            .remember(self, &Known { steps: Arc::new(steps), end, workspace: self.workspace.clone(), read_at });
    }
}

impl Reading<'_> {
    /// The remembered sample. The caller has to have read a step of the history in its workspace.
    pub(super) fn sample(&self, of: SampleOf) -> Option<Arc<[HistoryPoint]>> {
        let mut histories = self.owner.lock();
        let (remembered, points) = histories.get_mut(&self.run_id, &self.key)?.sample.as_ref()?;
        (*remembered == of).then(|| Arc::clone(points))
    }

    /// Remembers a sample in place of the last one of this history, if its steps are remembered.
    pub(super) fn remember_sample(&self, of: SampleOf, points: &[HistoryPoint]) {
        let mut histories = self.owner.lock();
        let before = histories.points;
        let Some(history) = histories.get_mut(&self.run_id, &self.key).filter(|history| history.known.is_some()) else {
            return;
        };
        let after = before - history.sample_len() + points.len();
        if after <= SAMPLE_CAPACITY {
            history.sample = Some((of, points.into()));
            histories.points = after;
        }
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let mut histories = self.owner.lock();
        let Some(keys) = histories.runs.get_mut(&self.run_id) else { return };
        if let Some(history) = keys.get_mut(&self.key) {
            history.readings.retain(|(id, _)| *id != self.id);
            if history.readings.is_empty() && history.known.is_none() {
                keys.remove(&self.key);
            }
        }
        if keys.is_empty() {
            histories.runs.remove(&self.run_id);
        }
        if histories.runs.is_empty() {
            self.owner.is_used.store(false, Ordering::SeqCst);
        }
    }
}

/// The steps of a history within a range, ascending, one for each point.
#[derive(Default)]
pub(super) struct Steps {
    pub(super) known: Option<Known>,
    /// Those of the remembered steps that are within the range.
    pub(super) within: Range<usize>,
    /// The steps behind them.
    pub(super) read: Vec<i64>,
}

impl Steps {
    /// Those that are remembered between two steps, inclusive.
    pub(super) fn known(known: Known, (first, last): (i64, i64)) -> Self {
        let end = last.checked_add(1).map_or(known.steps.len(), |end| known.steps.below(end));
        Self { within: known.steps.below(first)..end, known: Some(known), read: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.within.len() + self.read.len()
    }

    /// The step at a position.
    pub(super) fn at(&self, position: usize) -> i64 {
        match &self.known {
            Some(known) if position < self.within.len() => known.steps.at(self.within.start + position),
            _ => self.read[position - self.within.len()],
        }
    }

    /// The position of the first point at a step, or behind it.
    pub(super) fn first_of(&self, step: i64) -> usize {
        match &self.known {
            Some(known) if step < known.end => {
                known.steps.below(step).clamp(self.within.start, self.within.end) - self.within.start
            }
            _ => self.within.len() + self.read.partition_point(|earlier| *earlier < step),
        }
    }

    /// The position behind the last point at a step.
    pub(super) fn behind(&self, step: i64) -> usize {
        step.checked_add(1).map_or(self.len(), |next| self.first_of(next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{tracking::batch::MetricPoint, workspace::Workspace};

    fn write(step: i64) -> RunWrite {
        let point = MetricPoint { key: "m".into(), value: 1.0, timestamp: 1, step, is_nan: false };
        RunWrite { metrics: vec![point], ..RunWrite::new(Workspace::only().clone(), "run".into()) }
    }

    /// The first step that is not remembered of the history.
    fn end(steps: &MetricSteps) -> Option<i64> {
        steps.read(Workspace::only(), "run", "m").known.as_ref().map(|known| known.end)
    }

    #[test]
    fn a_write_cuts_what_is_remembered_and_what_is_being_read() {
        let steps = MetricSteps::default();
        let all: Vec<i64> = (0..5_000).collect();
        steps.read(Workspace::only(), "run", "m").remember(None, &all);
        assert_eq!(end(&steps), Some(4_900));
        steps.written(&[write(5_000)]);
        assert_eq!(end(&steps), Some(4_900));
        steps.written(&[write(3_000)]);
        assert_eq!(end(&steps), Some(3_000));
        let reading = steps.read(Workspace::only(), "run", "m");
        steps.written(&[write(2_000)]);
        // The point at 2,000 may have been committed after these were read.
        reading.remember(reading.known.as_ref(), &all[3_000..]);
        drop(reading);
        assert_eq!(end(&steps), Some(2_000));
        assert_eq!(steps.read(Workspace::only(), "run", "m").known.as_ref().unwrap().steps.len(), 2_000);
    }

    #[test]
    fn steps_are_known_in_the_workspace_that_they_were_found_in() {
        let steps = MetricSteps::default();
        steps.read(Workspace::only(), "run", "m").remember(None, &(0..5_000).collect::<Vec<_>>());
        assert!(steps.read(&Workspace::found("team"), "run", "m").known.is_none());
        assert_eq!(end(&steps), Some(4_900));
    }

    #[test]
    fn steps_expire_after_the_first_of_them_was_read() {
        let steps = MetricSteps::default();
        let all: Vec<i64> = (0..5_000).collect();
        steps.read(Workspace::only(), "run", "m").remember(None, &all);
        let age = |by: Duration| {
            let mut histories = steps.lock();
            let known = histories.get_mut("run", "m").unwrap().known.as_mut().unwrap();
            known.read_at = known.read_at.checked_sub(by).unwrap();
        };
        age(MAX_AGE / 2);
        let reading = steps.read(Workspace::only(), "run", "m");
        reading.remember(reading.known.as_ref(), &(4_900..9_000).collect::<Vec<_>>());
        drop(reading);
        assert_eq!(end(&steps), Some(8_900));
        age(MAX_AGE / 2);
        assert_eq!(end(&steps), None);
    }

    #[test]
    fn a_sample_is_remembered_as_long_as_the_history_has_its_length() {
        let steps = MetricSteps::default();
        let of = SampleOf { len: 5_000, most: 1, range: (i64::MIN, i64::MAX) };
        let points = [HistoryPoint { value: 1.0, timestamp: 1, step: 0 }];
        let reading = steps.read(Workspace::only(), "run", "m");
        reading.remember_sample(of, &points);
        assert_eq!(reading.sample(of), None, "its steps are not remembered");
        reading.remember(None, &(0..5_000).collect::<Vec<_>>());
        reading.remember_sample(of, &points);
        assert_eq!(reading.sample(of).as_deref(), Some(&points[..]));
        for other in
            [SampleOf { len: 5_001, ..of }, SampleOf { most: 2, ..of }, SampleOf { range: (0, i64::MAX), ..of }]
        {
            assert_eq!(reading.sample(other), None);
        }
        reading.remember_sample(of, &vec![points[0]; SAMPLE_CAPACITY + 1]);
        assert_eq!(steps.lock().points, 1);
    }

    #[test]
    fn memory_is_bounded_and_what_is_read_but_not_remembered_takes_none() {
        let steps = MetricSteps::default();
        let irregular: Vec<i64> = (0..3_000).map(|at| at * at).collect();
        let short: Vec<i64> = (0..900).collect();
        for list in [irregular, short] {
            steps.read(Workspace::only(), "run", "m").remember(None, &list);
            assert!(steps.lock().runs.is_empty());
        }
        let regular: Vec<i64> = (0..1_000).collect();
        for run in 0..MAX_HISTORIES + 10 {
            steps.read(Workspace::only(), &run.to_string(), "m").remember(None, &regular);
        }
        let remembered = |steps: &MetricSteps| {
            let histories = steps.lock();
            (histories.runs.len(), histories.count, histories.size)
        };
        assert_eq!(remembered(&steps), (MAX_HISTORIES, MAX_HISTORIES, MAX_HISTORIES));
        for known in
            steps.lock().runs.values_mut().flat_map(HashMap::values_mut).filter_map(|history| history.known.as_mut())
        {
            known.read_at = known.read_at.checked_sub(MAX_AGE).unwrap();
        }
        steps.read(Workspace::only(), "another", "m").remember(None, &regular);
        assert_eq!(remembered(&steps), (1, 1, 1));
    }
}
