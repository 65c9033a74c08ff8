"""Metrics of traces, spans and assessments."""

from step import post

from scenarios.trace_search import traces

METRICS = "/api/3.0/mlflow/traces/metrics"
NOTHING = "no aggregation is a missing one; the reference fails to write the query"
START, END = 1_704_067_200_000, 1_704_067_210_000


def kinds(*names, percentile=None) -> list:
    return [{"aggregation_type": name} | ({"percentile_value": percentile} if name == "PERCENTILE" else {}) for name in names]


def steps():
    yield from traces("traces to measure", "6789a")
    experiments = {"experiment_ids": ["{exp}", "{other}"]}
    values = kinds("AVG", "MIN", "MAX", "PERCENTILE", percentile=50)
    sums = [*values, *kinds("SUM")]

    def ask(view, metric, aggregations, differs=None, expect=None, **rest):
        body = {**experiments, "view_type": view, "metric_name": metric, "aggregations": aggregations, **rest}
        return post(METRICS, body, differs=differs, expect=expect)

    count = kinds("COUNT")
    # Good ones.
    for dimensions in ([], ["trace_name"], ["trace_status"], ["trace_name", "trace_status"]):
        yield ask("TRACES", "trace_count", count, dimensions=dimensions)
    yield ask("TRACES", "session_count", count)
    for dimensions in ([], ["trace_name"]):
        yield ask("TRACES", "latency", values, dimensions=dimensions)
        yield ask("TRACES", "input_tokens", sums, dimensions=dimensions)
    for metric in ("output_tokens", "total_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"):
        yield ask("TRACES", metric, sums)
    for percentile in (0, 25, 90, 99, 99.9, 100):
        yield ask("TRACES", "latency", kinds("PERCENTILE", percentile=percentile))
    for filters in (["trace.status = 'OK'"], ["trace.tag.env = 'prod'"], ["trace.tag.mlflow.traceName = 'alpha'"], ["trace.metadata.user = 'ann'"], ["trace.metadata.`mlflow.modelId` = \"m-1\""],
                    ["trace.metadata.`mlflow.sourceRun` = '{run}'"], ["trace.metadata.mlflow.trace.session = 's1'"], ["trace.status = 'OK'", "trace.tag.env = 'prod'"], ["trace.status = 'nope'"],
                    ["trace.metadata.mlflow.trace.tokenUsage = '{\"input_tokens\": 10, \"output_tokens\": 5, \"total_tokens\": 15}'"]):  # fmt: skip
        yield ask("TRACES", "trace_count", count, filters=filters)
        yield ask("SPANS", "span_count", count, filters=filters)
        yield ask("ASSESSMENTS", "assessment_count", count, filters=filters)
    for dimension in ("span_name", "span_type", "span_status", "span_model_name", "span_model_provider"):
        yield ask("SPANS", "span_count", count, dimensions=[dimension])
    yield ask("SPANS", "span_count", count, dimensions=["span_type", "span_status"])
    yield ask("SPANS", "latency", values)
    yield ask("SPANS", "latency", values, dimensions=["span_name", "span_status"], filters=["span.type = 'LLM'"])
    for filters in (["span.name = 'call'"], ["span.status = 'ERROR'"], ["span.name = 'call'", "trace.status = 'OK'"]):
        yield ask("SPANS", "span_count", count, filters=filters)
    for metric in ("input_cost", "output_cost", "total_cost"):
        yield ask("SPANS", metric, sums, dimensions=["span_model_name"])
    for dimensions in ([], ["assessment_name"], ["assessment_value"], ["assessment_name", "assessment_value"]):
        yield ask("ASSESSMENTS", "assessment_count", count, dimensions=dimensions)
    for filters in ([], ["assessment.name = 'quality'"], ["assessment.type = 'feedback'"], ["assessment.type = 'expectation'", "trace.status = 'ERROR'"]):
        yield ask("ASSESSMENTS", "assessment_value", values, dimensions=["assessment_name"], filters=filters)
    times = {"start_time_ms": START, "end_time_ms": END}
    for view, metric in (("TRACES", "trace_count"), ("SPANS", "span_count"), ("ASSESSMENTS", "assessment_count")):
        yield ask(view, metric, count, **times)
        yield ask(view, metric, count, start_time_ms=START + 2000)
        yield ask(view, metric, count, end_time_ms=START + 1999)
        yield ask(view, metric, count, start_time_ms=END, end_time_ms=START)
        yield ask(view, metric, count, time_interval_seconds=2, **times)
        yield ask(view, metric, count, time_interval_seconds=3600, **times)
    yield ask("TRACES", "trace_count", count, time_interval_seconds=1, dimensions=["trace_status"], **times)
    yield ask("TRACES", "trace_count", count, time_interval_seconds=0)
    yield ask("TRACES", "latency", values, time_interval_seconds=2, **times)
    yield ask("TRACES", "trace_count", count, dimensions=["trace_status"], max_results=1)
    yield ask("TRACES", "trace_count", count, max_results=0)
    yield post(METRICS, {"experiment_ids": ["99999"], "view_type": "TRACES", "metric_name": "trace_count", "aggregations": count})

    # Bad ones.
    for view in ("TRACES", "SPANS", "ASSESSMENTS"):
        yield ask(view, "nope", count)
        yield ask(view, "", count)
        yield ask(view, "latency" if view != "ASSESSMENTS" else "assessment_value", count)
        yield ask(view, "latency", kinds("AVG"), dimensions=["nope", "also"])
        yield ask(view, "latency" if view != "ASSESSMENTS" else "assessment_value", [], differs=NOTHING, expect=(400, "INVALID_PARAMETER_VALUE"))
    yield ask("TRACES", "trace_count", kinds("SUM", "AVG"))
    yield ask("TRACES", "trace_count", kinds("NOPE"))
    yield ask("TRACES", "trace_count", [{}])
    yield ask("TRACES", "trace_count", "COUNT")
    yield ask("TRACES", "trace_count", [5])
    for value in (-1, 101, 1e9):
        yield ask("TRACES", "latency", kinds("PERCENTILE", percentile=value))
    yield ask("TRACES", "latency", [{"aggregation_type": "PERCENTILE"}])
    yield ask("TRACES", "latency", [{"aggregation_type": "AVG", "percentile_value": 5}])
    for view in ("NOPE", "", None, 9):
        yield ask(view, "trace_count", count)
    yield ask("TRACES", "session_count", count, dimensions=["trace_name"])
    yield ask("TRACES", "trace_count", count, dimensions="trace_name")
    yield ask("TRACES", "trace_count", count, dimensions=[5])
    for filter_ in ("", "nope", "trace.status", "trace.status = OK", "trace.status = 5", "trace.status != 'OK'", "trace.status LIKE 'O%'", "trace.status IN ('OK')", "trace.status IS NULL", "trace.nope = 'x'",
                    "trace.tag = 'x'", "trace.metadata = 'x'", "trace.status.a = 'x'", "trace = 'x'", "status = 'OK'", "nope.a = 'x'", "span.name = 'x'", "span.nope = 'x'", "span.name.a = 'x'", "assessment.name = 'x'",
                    "assessment.value = 'x'", "trace.status = 'OK' AND trace.status = 'OK'", "trace.status = 'OK' trace.status = 'OK'", "(trace.status = 'OK')", "trace.status = 'OK'; trace.status = 'OK'", ";",
                    "timestamp = 'x'", "1 = 1"):  # fmt: skip
        yield ask("TRACES", "trace_count", count, filters=[filter_])
    yield ask("SPANS", "span_count", count, filters=["assessment.name = 'x'"])
    yield ask("ASSESSMENTS", "assessment_count", count, filters=["span.name = 'x'"])
    yield ask("TRACES", "trace_count", count, filters="trace.status = 'OK'")
    yield ask("TRACES", "trace_count", count, filters=[5])
    for change in ({"time_interval_seconds": 60}, {"time_interval_seconds": 60, "start_time_ms": 1}, {"time_interval_seconds": 60, "end_time_ms": 1}, {"time_interval_seconds": "x"}, {"start_time_ms": "x"},
                   {"end_time_ms": []}, {"max_results": "x"}):  # fmt: skip
        yield ask("TRACES", "trace_count", count, **change)
    wrong = "a length of an interval that is none is an error; the reference counts backwards, or fails on PostgreSQL"
    for interval in (-60, 9_223_372_036_854_775_807):
        body = {**experiments, "view_type": "TRACES", "metric_name": "trace_count", "aggregations": count, "time_interval_seconds": interval, **times}
        yield post(METRICS, body, differs=wrong, expect=(400, "INVALID_PARAMETER_VALUE"))
    body = {**experiments, "view_type": "TRACES", "metric_name": "trace_count", "aggregations": count, "max_results": -1}
    yield post(METRICS, body, differs="the reference has no bound then on SQLite, and fails on PostgreSQL", expect=(400, "INVALID_PARAMETER_VALUE"))
    for change in ({"experiment_ids": []}, {"experiment_ids": ["x"]}, {"experiment_ids": "x"}, {"experiment_ids": [5]}, {"experiment_ids": None}):
        yield post(METRICS, {"view_type": "TRACES", "metric_name": "trace_count", "aggregations": count, **change})
    yield post(METRICS, {})
