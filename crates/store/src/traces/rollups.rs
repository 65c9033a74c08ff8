//! Daily rollups of traces: sums that the reference's servers and this one keep of each UTC day of an experiment, so that
//! `traces/metrics` need not read the traces of many days.
//!
//! Rollups are optional (`MLFLOW_SQL_TRACE_ROLLUPS_ENABLED`), and all servers on a database must have the same setting. A
//! day is summed up when it is over for at least a day and none of its traces is unfinished. A later write to such a day
//! puts it into the queue of days to rebuild (`rollup_queue`); meanwhile the traces of that day are read.

use ferroflow_model::wire::Timestamp;

use crate::db::clock::now_ms;

/// The length of a day, in milliseconds.
pub(crate) const DAY_MS: i64 = 86_400_000;

/// How long a trace is in the past when its day may have been summed up, in milliseconds.
const LAG_MS: i64 = DAY_MS;

/// The days that a column of dates can hold in both databases: 0001-01-01 to 9999-12-31.
const DAYS: std::ops::RangeInclusive<i64> = -719_162..=2_932_896;

/// The metrics of traces, by their names in requests and columns `metric_name`.
pub(crate) const TRACE_METRICS: &[&str] = &[
    "trace_count",
    "latency",
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
];

/// The metrics of spans, which are columns of theirs.
pub(crate) const COSTS: &[&str] = &["input_cost", "output_cost", "total_cost"];

/// The metrics of assessments.
pub(crate) const ASSESSMENT_METRICS: &[&str] = &["assessment_count", "assessment_value"];

/// What is summed up, each in a table of its own. The order is that of the names in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// Assessments, in the time of their traces.
    Assessment,
    /// The costs of spans, in the time of the spans.
    SpanCost,
    /// Traces: their number, duration and tokens.
    TraceMetric,
}

impl Family {
    /// All, in the order in which a pass looks for new days.
    pub const ALL: [Self; 3] = [Self::TraceMetric, Self::SpanCost, Self::Assessment];

    /// The name in the queue.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Assessment => "assessment",
            Self::SpanCost => "span_cost",
            Self::TraceMetric => "trace_metric",
        }
    }

    /// The family with a name in the queue.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.name() == name)
    }

    /// The table of its rollups.
    pub(crate) const fn table(self) -> &'static str {
        match self {
            Self::Assessment => "sql_assessment_daily_rollups",
            Self::SpanCost => "sql_span_cost_daily_rollups",
            Self::TraceMetric => "sql_trace_metric_daily_rollups",
        }
    }
}

/// A UTC day, by its number since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub(crate) i64);

impl Day {
    /// The day of a time in milliseconds since 1970; `None` if a column of dates cannot hold it.
    #[must_use]
    pub fn of_ms(ms: i64) -> Option<Self> {
        let day = ms.div_euclid(DAY_MS);
        DAYS.contains(&day).then_some(Self(day))
    }

    /// Its first millisecond.
    #[must_use]
    pub const fn start_ms(self) -> i64 {
        self.0 * DAY_MS
    }

    /// As columns hold it: `2026-01-31`.
    #[must_use]
    pub fn text(self) -> String {
        let mut text = Timestamp::from_millis(self.start_ms()).to_string();
        text.truncate("2026-01-31".len());
        text
    }
}

/// A day of an experiment, of which a family is summed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    /// The experiment.
    pub experiment: i64,
    /// The day.
    pub day: Day,
    /// The family.
    pub family: Family,
}

/// The last millisecond of which the day may have been summed up.
pub(crate) fn last_settled_ms() -> i64 {
    now_ms() - LAG_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_written_as_columns_hold_it() {
        for (ms, text) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (DAY_MS, "1970-01-02"),
            (1_760_000_000_000, "2025-10-09"),
            (-62_135_596_800_000, "0001-01-01"),
            (253_402_300_799_999, "9999-12-31"),
        ] {
            assert_eq!(Day::of_ms(ms).map(Day::text).as_deref(), Some(text), "{ms}");
        }
        for ms in [-62_135_596_800_001, 253_402_300_800_000, i64::MIN, i64::MAX] {
            assert_eq!(Day::of_ms(ms), None, "{ms}");
        }
    }

    #[test]
    fn families_are_ordered_by_their_names() {
        let mut families = Family::ALL;
        families.sort_unstable();
        assert!(families.is_sorted_by_key(|family| family.name()));
    }
}
