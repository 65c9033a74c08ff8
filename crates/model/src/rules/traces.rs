//! Traces.

use super::{
    Check::{AtMost, Boolean, EntriesHaveKeys, Integer, List, Required, Text, Texts},
    Rule, Validate,
};
use crate::{
    limits,
    messages::service::{
        BatchGetTraceInfos, BatchGetTraces, CalculateTraceFilterCorrelation, DeleteTraceTag, DeleteTraceTagV3,
        DeleteTraces, DeleteTracesV3, EndTrace, GetOnlineTraceDetails, GetTrace, GetTraceInfo, GetTraceInfoV3,
        LinkPromptsToTrace, LinkTracesToRun, QueryTraceMetrics, SearchTraces, SearchTracesV3, SearchUnifiedTraces,
        SetTraceTag, SetTraceTagV3, StartTrace, StartTraceV3,
    },
};

impl Validate for SetTraceTag {
    const RULES: &'static [Rule] = &[("key", &[Text, Required]), ("value", &[Text])];
}

impl Validate for SetTraceTagV3 {
    const RULES: &'static [Rule] = &[("key", &[Text, Required]), ("value", &[Text])];
}

impl Validate for DeleteTraceTag {
    const RULES: &'static [Rule] = &[("key", &[Text, Required])];
}

impl Validate for DeleteTraceTagV3 {
    const RULES: &'static [Rule] = &[("key", &[Text, Required])];
}

impl Validate for StartTrace {
    const RULES: &'static [Rule] = &[
        ("experiment_id", &[Text]),
        ("timestamp_ms", &[Integer]),
        ("request_metadata", &[EntriesHaveKeys]),
        ("tags", &[EntriesHaveKeys]),
    ];
}

impl Validate for EndTrace {
    const RULES: &'static [Rule] = &[
        ("timestamp_ms", &[Integer]),
        ("status", &[Text]),
        ("request_metadata", &[EntriesHaveKeys]),
        ("tags", &[EntriesHaveKeys]),
    ];
}

impl Validate for GetTraceInfo {}

impl Validate for GetTraceInfoV3 {}

impl Validate for GetTrace {
    const RULES: &'static [Rule] = &[("trace_id", &[Text, Required]), ("allow_partial", &[Boolean])];
}

impl Validate for BatchGetTraces {
    const RULES: &'static [Rule] = &[("trace_ids", &[List, Required, Texts]), ("experiment_ids", &[List, Texts])];
}

impl Validate for BatchGetTraceInfos {
    const RULES: &'static [Rule] = &[("trace_ids", &[List, Required, Texts]), ("experiment_ids", &[List, Texts])];
}

impl Validate for SearchTraces {
    const RULES: &'static [Rule] = &[
        ("experiment_ids", &[List, Texts, Required]),
        ("filter", &[Text]),
        ("max_results", &[Integer, AtMost(limits::TRACES)]),
        ("order_by", &[List, Texts]),
        ("page_token", &[Text]),
    ];
}

impl Validate for SearchTracesV3 {
    const RULES: &'static [Rule] = &[
        ("locations", &[List, Required]),
        ("filter", &[Text]),
        ("max_results", &[Integer, AtMost(limits::TRACES)]),
        ("order_by", &[List, Texts]),
        ("page_token", &[Text]),
    ];
}

impl Validate for StartTraceV3 {
    const RULES: &'static [Rule] = &[("trace", &[Required])];
}

impl Validate for LinkTracesToRun {
    const RULES: &'static [Rule] = &[("trace_ids", &[List, Required, Texts]), ("run_id", &[Text, Required])];
}

impl Validate for LinkPromptsToTrace {
    const RULES: &'static [Rule] = &[("trace_id", &[Text, Required]), ("prompt_versions", &[List, Required])];
}

impl Validate for SearchUnifiedTraces {}

impl Validate for GetOnlineTraceDetails {}

impl Validate for DeleteTraces {
    const RULES: &'static [Rule] = &[
        ("experiment_id", &[Text, Required]),
        ("max_timestamp_millis", &[Integer]),
        ("max_traces", &[Integer]),
        ("request_ids", &[List, Texts]),
    ];
}

impl Validate for DeleteTracesV3 {
    const RULES: &'static [Rule] = DeleteTraces::RULES;
}

impl Validate for CalculateTraceFilterCorrelation {
    const RULES: &'static [Rule] = &[
        ("experiment_ids", &[List, Required, Texts]),
        ("filter_string1", &[Text, Required]),
        ("filter_string2", &[Text, Required]),
        ("base_filter", &[Text]),
    ];
}

impl Validate for QueryTraceMetrics {
    const RULES: &'static [Rule] = &[
        ("experiment_ids", &[List, Required, Texts]),
        ("view_type", &[Required]),
        ("metric_name", &[Text, Required]),
        ("aggregations", &[List, Required]),
        ("dimensions", &[List, Texts]),
        ("filters", &[List, Texts]),
        ("time_interval_seconds", &[Integer]),
        ("start_time_ms", &[Integer]),
        ("end_time_ms", &[Integer]),
        ("max_results", &[Integer]),
        ("page_token", &[Text]),
    ];
}
