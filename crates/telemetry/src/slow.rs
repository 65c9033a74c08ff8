//! Log lines for slow statements: their name and text as in the code, never their values.

use std::{
    borrow::Cow,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{Origin, Statistics};

/// How many lines are written in an [`INTERVAL`]; the next line says how many were left out.
const LINES: u32 = 10;

/// The interval of the limit.
const INTERVAL: Duration = Duration::from_secs(10);

/// Maximum length of a text in a log line, in bytes.
const TEXT: usize = 2000;

/// The limit in nanoseconds.
static LIMIT: AtomicU64 = AtomicU64::new(u64::MAX);

/// Slow statements without a line.
static SUPPRESSED: AtomicU64 = AtomicU64::new(0);

static WINDOW: Mutex<Window> = Mutex::new(Window { begun: None, lines: 0, left_out: 0 });

/// The lines of the current interval.
struct Window {
    begun: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl Window {
    /// Whether a line may be written now, and how many were left out before it.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        if self.begun.is_none_or(|begun| now.duration_since(begun) >= INTERVAL) {
            (self.begun, self.lines) = (Some(now), 0);
        }
        if self.lines == LINES {
            self.left_out += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

/// Logs statements of this process that take longer than `limit`; none without a limit, as at the start.
pub fn log_slower_than(limit: Option<Duration>) {
    let nanos = limit.map_or(u64::MAX, |limit| u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX));
    LIMIT.store(nanos, Ordering::Relaxed);
}

/// Slow statements that have no log line, because there were too many.
#[must_use]
pub fn suppressed_slow_statements() -> u64 {
    SUPPRESSED.load(Ordering::Relaxed)
}

impl Statistics {
    /// Logs an execution if it was slow. The line belongs to the request of the current [`Origin`].
    pub fn log_if_slow(&'static self, duration: Duration, rows: u64, text: impl FnOnce() -> Cow<'static, str>) {
        if duration.as_nanos() < u128::from(LIMIT.load(Ordering::Relaxed)) {
            return;
        }
        self.slow.fetch_add(1, Ordering::Relaxed);
        let admitted = WINDOW.lock().unwrap_or_else(PoisonError::into_inner).admit(Instant::now());
        let Some(left_out) = admitted else {
            SUPPRESSED.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let ms = duration.as_secs_f64() * 1000.0;
        let sql = text();
        let end = sql.floor_char_boundary_at(TEXT);
        let left_out = (left_out > 0).then_some(left_out);
        // The span has the ids of the request and of its trace, and the route.
        Origin::current().in_log(|| {
            tracing::warn!(statement = self.name, ms, rows, left_out, sql = &sql[..end], "slow statement");
        });
    }
}

/// `str::floor_char_boundary`, which is newer than the oldest supported Rust.
trait FloorCharBoundary {
    fn floor_char_boundary_at(&self, index: usize) -> usize;
}

impl FloorCharBoundary for str {
    fn floor_char_boundary_at(&self, index: usize) -> usize {
        let mut end = index.min(self.len());
        while !self.is_char_boundary(end) {
            end -= 1;
        }
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_limited_in_each_interval_and_those_left_out_are_counted() {
        let mut window = Window { begun: None, lines: 0, left_out: 0 };
        let start = Instant::now();
        for _ in 0..LINES {
            assert_eq!(window.admit(start), Some(0));
        }
        assert_eq!((window.admit(start), window.admit(start + INTERVAL / 2)), (None, None));
        assert_eq!(window.admit(start + INTERVAL), Some(2));
        assert_eq!(window.admit(start + INTERVAL), Some(0));
    }
}
