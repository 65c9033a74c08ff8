//! Metrics.

use super::{
    Check::{AtMostItems, Integer, List, Number, Required, Text, Texts, Within},
    Rule, Validate,
};
use crate::{
    limits,
    messages::service::{GetMetricHistory, GetMetricHistoryBulkInterval, LogMetric},
};

impl Validate for LogMetric {
    const RULES: &'static [Rule] = &[
        ("run_id", &[Required, Text]),
        ("key", &[Required, Text]),
        ("value", &[Required, Number]),
        ("timestamp", &[Integer, Required]),
        ("step", &[Integer]),
        ("model_id", &[Text]),
        ("dataset_name", &[Text]),
        ("dataset_digest", &[Text]),
    ];
}

impl Validate for GetMetricHistory {
    const RULES: &'static [Rule] =
        &[("run_id", &[Text, Required]), ("metric_key", &[Text, Required]), ("page_token", &[Text])];
}

impl Validate for GetMetricHistoryBulkInterval {
    const RULES: &'static [Rule] = &[
        ("run_ids", &[Required, List, Texts, AtMostItems(limits::RUNS_PER_BULK_INTERVAL)]),
        ("metric_key", &[Required, Text]),
        ("start_step", &[Integer]),
        ("end_step", &[Integer]),
        ("max_results", &[Integer, Within(1, limits::POINTS_PER_RUN)]),
    ];
}
