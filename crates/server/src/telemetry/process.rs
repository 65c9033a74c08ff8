//! Metrics of the whole process that the store records: statements, queues of writes, waits.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, atomic::Ordering},
};

use ferroflow_store::{
    db::{CONNECTION_WAIT, waiting_for_connections},
    queues,
};
use ferroflow_telemetry::{Histogram, Statistics, TracerStats, suppressed_slow_statements, used_statements};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, MetricEncoder, NoLabelSet},
    metrics::MetricType,
    registry::Unit,
};

/// The metrics of the process.
#[derive(Debug, Default)]
pub(super) struct Process {
    /// The counters of the tracer; zeros without one.
    pub(super) spans: Arc<TracerStats>,
}

/// Durations are recorded in nanoseconds, and rendered in seconds: by division, which is exact for the bounds.
const SECOND: f64 = 1e9;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let used = used_statements();
        statements(&mut encoder, &used)?;
        families(&mut encoder, &used)?;
        waits(&mut encoder)?;
        let help = "Spans of this server's own traces, by whether the collector got them";
        let mut spans = encoder.encode_descriptor("otel_spans", help, None, MetricType::Counter)?;
        counter(&mut spans, &[("outcome", "exported")], self.spans.exported.load(Ordering::Relaxed))?;
        counter(&mut spans, &[("outcome", "dropped")], self.spans.dropped.load(Ordering::Relaxed))
    }
}

/// By statement.
fn statements(encoder: &mut DescriptorEncoder<'_>, used: &[&'static Statistics]) -> fmt::Result {
    let help = "Executions of SQL statements, by their name in the code";
    let mut metric = encoder.encode_descriptor("database_statements", help, None, MetricType::Counter)?;
    for statement in used {
        counter(&mut metric, &[("statement", statement.name)], statement.duration.count())?;
    }
    let help = "Time of SQL statements until their last row";
    let unit = Some(&Unit::Seconds);
    let mut metric = encoder.encode_descriptor("database_statement", help, unit, MetricType::Counter)?;
    for statement in used {
        let seconds = float(statement.duration.sum()) / SECOND;
        let labels = [("statement", statement.name)];
        metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&seconds, None)?;
    }
    let help = "Rows that SQL statements returned, changed or inserted";
    let mut metric = encoder.encode_descriptor("database_statement_rows", help, None, MetricType::Counter)?;
    for statement in used {
        counter(&mut metric, &[("statement", statement.name)], statement.rows.load(Ordering::Relaxed))?;
    }
    Ok(())
}

/// By family: the module of the code that has the statements.
fn families(encoder: &mut DescriptorEncoder<'_>, used: &[&'static Statistics]) -> fmt::Result {
    let mut families: BTreeMap<&str, Vec<&Statistics>> = BTreeMap::new();
    for statement in used {
        families.entry(statement.family()).or_default().push(statement);
    }
    let help = "Time of SQL statements until their last row, by family";
    let unit = Some(&Unit::Seconds);
    let mut metric = encoder.encode_descriptor("database_statement_duration", help, unit, MetricType::Histogram)?;
    for (family, statements) in &families {
        let durations: Vec<&Histogram> = statements.iter().map(|statement| &statement.duration).collect();
        histogram(&mut metric, &[("family", *family)], &durations, SECOND)?;
    }
    let sum = |statements: &[&Statistics], of: fn(&Statistics) -> u64| statements.iter().map(|one| of(one)).sum();
    let help = "SQL statements that failed or were cancelled";
    let mut metric = encoder.encode_descriptor("database_statement_failures", help, None, MetricType::Counter)?;
    for (family, statements) in &families {
        counter(&mut metric, &[("family", *family)], sum(statements, |one| one.failed.load(Ordering::Relaxed)))?;
    }
    let help = "SQL statements that took longer than --slow-statement";
    let mut metric = encoder.encode_descriptor("database_slow_statements", help, None, MetricType::Counter)?;
    for (family, statements) in &families {
        counter(&mut metric, &[("family", *family)], sum(statements, |one| one.slow.load(Ordering::Relaxed)))?;
    }
    let help = "Slow SQL statements without a log line, because there were too many";
    let mut metric = encoder.encode_descriptor("database_slow_statements_unlogged", help, None, MetricType::Counter)?;
    metric.encode_counter::<NoLabelSet, _, f64>(&suppressed_slow_statements(), None)
}

/// Of connections and of queues of writes.
fn waits(encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let unit = Some(&Unit::Seconds);
    let help = "Requests that wait for a database connection";
    let mut metric = encoder.encode_descriptor("database_connections_waiting", help, None, MetricType::Gauge)?;
    metric.encode_gauge(&i64::try_from(waiting_for_connections()).unwrap_or(i64::MAX))?;
    let help = "Time until a request has a database connection";
    let mut metric = encoder.encode_descriptor("database_connection_wait", help, unit, MetricType::Histogram)?;
    histogram_of(&mut metric, &[&CONNECTION_WAIT], SECOND)?;
    let help = "Time until the transaction of a queued write begins";
    let mut metric = encoder.encode_descriptor("write_queue_wait", help, unit, MetricType::Histogram)?;
    for queue in queues() {
        histogram(&mut metric, &[("queue", queue.name)], &[&queue.wait], SECOND)?;
    }
    let help = "Requests that are committed together";
    let mut metric = encoder.encode_descriptor("write_batch_requests", help, None, MetricType::Histogram)?;
    for queue in queues() {
        histogram(&mut metric, &[("queue", queue.name)], &[&queue.sizes], 1.0)?;
    }
    Ok(())
}

fn counter(metric: &mut MetricEncoder<'_>, labels: &impl EncodeLabelSet, value: u64) -> fmt::Result {
    metric.encode_family(labels)?.encode_counter::<NoLabelSet, _, f64>(&value, None)
}

fn histogram(
    metric: &mut MetricEncoder<'_>,
    labels: &impl EncodeLabelSet,
    parts: &[&Histogram],
    scale: f64,
) -> fmt::Result {
    histogram_of(&mut metric.encode_family(labels)?, parts, scale)
}

/// The sum of histograms with the same bounds.
fn histogram_of(metric: &mut MetricEncoder<'_>, parts: &[&Histogram], scale: f64) -> fmt::Result {
    let bounds = parts.first().map_or(&[][..], |first| first.bounds());
    let mut buckets: Vec<(f64, u64)> = bounds.iter().map(|bound| (float(*bound) / scale, 0)).collect();
    buckets.push((f64::MAX, 0));
    let mut sum = 0;
    for part in parts {
        sum += part.sum();
        for ((_, bucket), count) in buckets.iter_mut().zip(part.counts()) {
            *bucket += count;
        }
    }
    let count = buckets.iter().map(|(_, count)| count).sum();
    metric.encode_histogram::<NoLabelSet>(float(sum) / scale, count, &buckets, None)
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds below 2^53 are 104 days; beyond, a digit is lost")]
fn float(number: u64) -> f64 {
    number as f64
}
