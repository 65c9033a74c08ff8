//! Metrics of the read replica. A server without one has none of them.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use ferroflow_store::db::ReplicaStatus;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, gauge::ConstGauge},
    registry::Registry,
};

/// The metrics, of the last status that was set.
#[derive(Debug, Clone, Default)]
pub(crate) struct Replica(Arc<Mutex<Option<ReplicaStatus>>>);

impl Replica {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register_collector(Box::new(metrics.clone()));
        metrics
    }

    pub(super) fn set(&self, status: Option<ReplicaStatus>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }
}

impl Collector for Replica {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(status) = *self.0.lock().unwrap_or_else(PoisonError::into_inner) else { return Ok(()) };
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let gauges = [
            ("in_use", "Whether reads go to the read replica", Some(i64::from(status.is_in_use))),
            ("lag_bytes", "Write-ahead log that the read replica has not replayed", status.lag_bytes.map(number)),
            ("connections_in_use", "Connections to the read replica in use", Some(number(status.connections as u64))),
        ];
        for (name, help, value) in gauges {
            if let Some(value) = value {
                gauge(&mut encoder, name, help, &ConstGauge::new(value))?;
            }
        }
        let lag = ConstGauge::new(status.lag.as_secs_f64());
        gauge(&mut encoder, "lag_seconds", "How long the read replica has been behind", &lag)?;
        let help = "Reads since the start, by who answered: the read replica, the primary because the replica was left out, \
                    or the primary after the replica had failed";
        let mut reads = encoder.encode_descriptor("read_replica_reads", help, None, MetricType::Gauge)?;
        for (target, count) in
            [("replica", status.by_replica), ("primary", status.by_primary), ("repeated", status.repeated)]
        {
            ConstGauge::new(number(count)).encode(reads.encode_family(&[("target", target)])?)?;
        }
        Ok(())
    }
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: &impl EncodeMetric,
) -> Result<(), fmt::Error> {
    value.encode(encoder.encode_descriptor(&format!("read_replica_{name}"), help, None, MetricType::Gauge)?)
}
