"""Searching traces, and correlations of filters."""

from step import Step, get, post

SEARCH = "/api/3.0/mlflow/traces/search"
CORRELATION = "/api/3.0/mlflow/traces/calculate-filter-correlation"

ENCODING = "the answer has the encoding of the request"
ATTRIBUTE = "the reference compares the attribute with the text of the whole span, or fails"
RUNS = "the reference ignores an empty run id, and all run ids but the last"
EXPRESSION = "a regular expression that is none is an error; the reference finds nothing on SQLite and fails on PostgreSQL"


def ids(digits: str) -> list[str]:
    return [f"tr-{digit * 32}" for digit in digits]


ONE, TWO, *_ = ids("12345")

GOOD = [
    "", "request_id = '{one}'", "trace.request_id IN ('{one}', '{two}')", "request_id NOT IN ('{one}')", "request_id LIKE 'tr-1%'", "status = 'OK'", "trace.status != 'OK'",
    "attributes.status IN ('OK', 'ERROR')", "status ILIKE 'ok'", "status RLIKE '^[OE]'", "client_request_id = 'c1'", "timestamp > 1704067202000", "attributes.timestamp_ms >= 1704067202000",
    "timestamp_ms < 1704067203000 AND timestamp > 1704067200000", "timestamp = 1704067201000", "timestamp_ms != 1704067201000.5", "execution_time > 60", "trace.execution_time_ms <= 100",
    "end_time > 1704067202000", "end_time_ms <= 1704067201100", "name = 'alpha'", "trace.name LIKE '%a'", "attributes.name ILIKE 'ALPHA'", "name RLIKE '^al'", "tags.name = 'alpha'",
    "tags.mlflow.traceName IS NOT NULL", "tags.`mlflow.traceName` IS NULL", "tags.env = 'prod'", "tag.env != 'prod'", "tags.env LIKE 'p%'", "tags.env ILIKE 'P%'", "tags.env RLIKE 'o'",
    "tags.env IS NULL", "tags.env IS NOT NULL", "tags.`a b` = 'x'", "tags.\"a b\" = 'x'", "metadata.user = 'ann'", "request_metadata.user != 'ann'", "metadata.user IS NULL",
    "metadata.user RLIKE 'n+'", "request_metadata.mlflow.trace.session = 's1'", "metadata.`mlflow.trace.session` IS NULL", "metadata.mlflow.trace.session LIKE 's%'",
    "metadata.mlflow.trace.tokenUsage IS NOT NULL", "metadata.mlflow.trace.tokenUsage = '{\"input_tokens\": 10, \"output_tokens\": 5, \"total_tokens\": 15}'",
    "metadata.mlflow.trace.tokenUsage != '{\"input_tokens\": 10, \"output_tokens\": 5, \"total_tokens\": 15}'", "metadata.mlflow.trace.tokenUsage = 'x'", "run_id = '{run}'",
    "attributes.run_id = '{run}'", "metadata.mlflow.sourceRun = '{run}'", "run_id != 'x'", "run_id IS NULL", "request_metadata.\"mlflow.modelId\" = 'm-1'", "prompt = 'p/1'",
    "feedback.quality = 'good'", "feedback.quality != 'good'", "feedback.quality > 0.4", "feedback.quality <= 0.4", "feedback.quality LIKE '%oo%'", "feedback.quality ILIKE '%OO%'",
    "feedback.quality RLIKE 'g.*d'", "feedback.quality IS NULL", "feedback.quality IS NOT NULL", "expectation.answer = '42'", "expectation.answer IS NOT NULL", "feedback.`whole session` = 'true'",
    "feedback.`whole session` IS NULL", "feedback.nope = 'x'", "issue.id = 'nope'", "status = 'OK' AND tags.env = 'prod' AND feedback.quality = 'good'", "timestamp>1704067202000", "name='alpha'",
]  # fmt: skip
SPANS = [
    "span.name = 'call'", "span.name LIKE 'ca%'", "span.name ILIKE 'CALL'", "span.name RLIKE '^c'", "span.name IN ('call', 'agent')", "span.name NOT IN ('call')", "span.type = 'LLM'",
    "span.type != 'LLM'", "span.status = 'ERROR'", "span.name = 'call' AND span.status = 'ERROR'", "span.name = 'agent' AND span.status = 'ERROR'", "trace.text LIKE '%hello%'",
    "text ILIKE '%HELLO%'", "span.content LIKE '%Straße%'", "span.attributes.model LIKE '%gpt%'", "span.attributes.model ILIKE '%GPT%'", "span.attributes.model RLIKE '^gpt'",
    "span.attributes.`model` LIKE '%gpt%'", "span.attributes.nope LIKE '%gpt%'", "trace.text LIKE '%hello%' AND timestamp > 1704067201500", "span.name = 'nope'",
]  # fmt: skip
ATTRIBUTES = ["span.attributes.model = 'gpt-4'", "span.attributes.model != 'gpt-4'", "span.attributes.model IN ('gpt-4')", "span.attributes.model NOT IN ('gpt-4')"]
BAD = [
    "nope = 'x'", "nope.a = 'x'", "attributes.nope = 'x'", "Status = 'OK'", "status", "status =", "status = OK", "status = 5", "status > 'OK'", "status IS NULL", "timestamp LIKE '1'",
    "timestamp IN (1)", "timestamp > 'x'", "timestamp IS NULL", "timestamp", "Timestamp > 1", "client_request_id IN ('a', 1)", "request_id IN ()", "request_id IN 'a'", "name IN ('a')",
    "execution_time RLIKE '1'", "execution_time IN ('1')", "tags.env > 'x'", "tags.env IN ('x')", "tags.env = 1", "tags.env == 'x'", "metadata.user IN ('x')", "metadata.user < 'x'", "metadata.user = 5",
    "metadata.mlflow.trace.tokenUsage LIKE '%1%'", "metadata.mlflow.trace.cost RLIKE '1'", "run_id > 'x'", "prompt = 'p'", "prompt = 'a/b/c'", "prompt LIKE 'p/%'", "prompt IS NULL", "prompt != 'p/1'",
    "span.nope = 'x'", "span.name > 'x'", "span.name like 'x'", "span.name = 5", "span.name IS NULL", "span.content = 'x'", "span.content RLIKE 'x'", "span.attributes. = 'x'", "span.attributes = 'x'",
    "trace.text = 'x'", "text RLIKE 'x'", "text IS NULL", "feedback.quality > 'x'", "feedback.quality = 5", "feedback.quality IN ('x')", "feedback.quality LIKE 5", "expectation.answer < 'x'",
    "feedback. = 'x'", "issue.id != 'x'", "issue.id = 5", "issue.name LIKE 'x'", "issue.nope = 'x'", "assessment.a = 'x'", "metrics.a > 1", "status = 'OK' OR status = 'ERROR'", "status = 'OK' AND", "AND", ";",
    "status = 'OK'; status = 'OK'", "(status = 'OK')", "NOT status = 'OK'", "1 = 1", "status = 'OK", "status 'OK'", "tags.`env = 'x'", "span.name = 'a' status = 'b'",
]  # fmt: skip
ORDERS = [
    [], ["timestamp"], ["timestamp DESC"], ["timestamp_ms ASC"], ["attributes.timestamp ASC"], ["execution_time"], ["execution_time_ms DESC"], ["status", "timestamp ASC"], ["request_id DESC"], ["experiment_id"],
    ["name"], ["tags.mlflow.traceName DESC"], ["tags.env"], ["tag.env DESC", "request_id"], ["metadata.user"], ["request_metadata.mlflow.trace.session DESC"], ["run_id"], ["trace.status DESC"], ["tags.prompt"],
]  # fmt: skip
BAD_ORDERS = [
    ["nope"], ["nope.a"], ["attributes.nope"], ["timestamp sideways"], [""], ["span.name"], ["feedback.quality"], ["tags.text"], ["issue.id"], ["metadata.mlflow.trace.cost"], ["client_request_id"], ["prompt"],
    [1], "timestamp", ["timestamp DESC ASC"], ["`"],
]  # fmt: skip


def trace(identity: str, second: int, experiment="{exp}", **info) -> Step:
    location = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}}
    given = {"trace_id": identity, "trace_location": location, "request_time": f"2024-01-01T00:00:0{second}Z", "state": "OK"} | info
    return post("/api/3.0/mlflow/traces", {"trace": {"trace_info": given}})


def assessment(identity: str, name: str, **rest) -> Step:
    source = {"source_type": "HUMAN", "source_id": "someone"}
    return post(f"/api/3.0/mlflow/traces/{identity}/assessments", {"assessment": {"trace_id": identity, "assessment_name": name, "source": source} | rest})


def attribute(key: str, value: str) -> dict:
    return {"key": key, "value": {"stringValue": value}}


def span(identity: str, number: int, name: str, second: int, status: int, parent: int | None = None, **attributes) -> dict:
    start = (1_704_067_200 + second) * 1_000_000_000
    made = {
        "traceId": identity.removeprefix("tr-"),
        "spanId": f"{number:016x}",
        "name": name,
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + 20_000_000 * (number + 1)),
        "status": {"code": status},
        "attributes": [attribute(key.replace("__", "."), value) for key, value in attributes.items()],
    }
    return made | ({"parentSpanId": f"{parent:016x}"} if parent else {})


def traces(name: str, digits: str):
    """Four traces with spans in {exp}, one in {other}."""
    one, two, three, four, five = ids(digits)
    yield post("experiments/create", {"name": name}, save={"exp": "experiment_id"})
    yield post("experiments/create", {"name": f"other {name}"}, save={"other": "experiment_id"})
    yield post("runs/create", {"experiment_id": "{exp}", "start_time": 1}, save={"run": "run.info.run_id"})
    usage = '{"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}'
    metadata = {"mlflow.sourceRun": "{run}", "mlflow.modelId": "m-1", "mlflow.trace.session": "s1", "mlflow.trace.tokenUsage": usage}
    yield trace(one, 1, execution_duration="0.1s", trace_metadata=metadata, tags={"mlflow.traceName": "alpha", "env": "prod"}, client_request_id="c1")
    yield trace(two, 2, execution_duration="0.05s", state="ERROR", trace_metadata={"mlflow.trace.session": "s1", "user": "ann"}, tags={"mlflow.traceName": "beta", "env": "dev"})
    yield trace(three, 3, state="IN_PROGRESS", tags={"a b": "x"})
    yield trace(four, 3, execution_duration="1.5s", trace_metadata={"user": "bob"}, tags={"mlflow.traceName": "Alpha"})
    yield trace(five, 4, experiment="{other}", execution_duration="0.05s", trace_metadata={"mlflow.trace.session": "s1"}, tags={"mlflow.traceName": "alpha", "env": "prod"})
    yield post("traces/link-to-run", {"run_id": "{run}", "trace_ids": [four]})
    yield assessment(one, "quality", feedback={"value": "good"})
    yield assessment(two, "quality", feedback={"value": 0.5})
    yield assessment(two, "answer", expectation={"value": "42"})
    yield assessment(one, "whole session", feedback={"value": True}, metadata={"mlflow.trace.session": "s1"})
    for experiment, spans in (
        ("{exp}", [
            span(one, 1, "agent", 1, 1, mlflow__spanType="AGENT", model="gpt-4", text="hello"),
            span(one, 2, "call", 1, 2, parent=1, mlflow__spanType="LLM"),
            span(two, 1, "call", 2, 1, mlflow__spanType="LLM", model="claude", text="Hello, Straße"),
            span(four, 1, "tool", 3, 1, mlflow__spanType="TOOL"),
        ]),
        ("{other}", [span(five, 1, "call", 4, 1, mlflow__spanType="LLM", model="gpt-4", text="hello")]),
    ):  # fmt: skip
        body = {"resourceSpans": [{"resource": {}, "scopeSpans": [{"spans": spans}]}]}
        yield Step("POST", "/v1/traces", body, headers={"x-mlflow-experiment-id": experiment}, differs=ENCODING, expect=(200, None))


def named(filter_: str) -> str:
    return filter_.replace("{one}", ONE).replace("{two}", TWO)


def places(*experiments: str) -> list:
    return [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}} for experiment in experiments]


def steps():
    yield from traces("traces to search", "12345")
    both = {"locations": places("{exp}", "{other}"), "order_by": ["timestamp ASC", "request_id"]}
    yield post(SEARCH, both)
    yield post(SEARCH, {"locations": places("{exp}")})
    for filter_ in [*map(named, GOOD), *SPANS]:
        yield post(SEARCH, {**both, "filter": filter_})
    for filter_ in ATTRIBUTES:
        yield post(SEARCH, {**both, "filter": filter_}, differs=ATTRIBUTE, expect=(200, None))
    yield post(SEARCH, {**both, "filter": "run_id = ''"}, differs=RUNS, expect=(200, None))
    yield post(SEARCH, {**both, "filter": "run_id = 'x' AND run_id = '{run}'"}, differs=RUNS, expect=(200, None))
    for filter_ in ("tags.env RLIKE '('", "name RLIKE '[a'", "span.name RLIKE '*'"):
        yield post(SEARCH, {**both, "filter": filter_}, differs=EXPRESSION, expect=(400, "INVALID_PARAMETER_VALUE"))
    yield post(SEARCH, {**both, "filter": "status = ('OK')"}, differs="a list needs IN; the reference leaves it to its database", expect=(400, "INVALID_PARAMETER_VALUE"))
    for filter_ in BAD:
        yield post(SEARCH, {**both, "filter": filter_})
    for order in ORDERS:
        yield post(SEARCH, {"locations": places("{exp}", "{other}"), "order_by": order})
    for order in (["end_time"], ["end_time_ms DESC"]):
        yield post(SEARCH, {"locations": places("{exp}", "{other}"), "order_by": order}, differs="the reference has no column for it and fails", expect=(200, None))
    for order in BAD_ORDERS:
        yield post(SEARCH, {"locations": places("{exp}"), "order_by": order})
    yield post(SEARCH, {"locations": places("{exp}"), "order_by": ["timestamp", "timestamp_ms DESC"]}, differs="an order that names a column twice is the client's fault", expect=(400, "INVALID_PARAMETER_VALUE"))

    page = {"locations": places("{exp}", "{other}"), "max_results": 2}
    yield post(SEARCH, page, save={"page": "next_page_token"})
    yield post(SEARCH, {**page, "page_token": "{page}"}, save={"page": "next_page_token"})
    yield post(SEARCH, {**page, "page_token": "{page}"})
    foreign = "a token belongs to its search; the reference's holds an offset, with which any search goes on"
    for change in ({"filter": "status = 'OK'"}, {"order_by": ["name"]}, {"locations": places("{exp}")}):
        yield post(SEARCH, {**page, "page_token": "{page}", **change}, differs=foreign, expect=(400, "INVALID_PARAMETER_VALUE"))
    yield post(SEARCH, {**page, "max_results": 3, "page_token": "eyJvZmZzZXQiOiAzfQ=="})
    for token in ("!!!", "x", "eyJvZmZzZXQiOiAieCJ9", 5):
        yield post(SEARCH, {**page, "page_token": token})
    for body in ({}, {"locations": []}, {"locations": "x"}, {"locations": [1]}, {"locations": places("x")}, {"locations": places("main.traces")}, {"locations": places("99999")}, {"locations": [{}]},
                 {"locations": [{"inference_table": {"full_table_name": "t"}}]}, {**both, "filter": 5}, {**both, "max_results": 0}, {**both, "max_results": -1}, {**both, "max_results": 501}, {**both, "max_results": "x"}):  # fmt: skip
        yield post(SEARCH, body)

    for query in ({"experiment_ids": "{exp}"}, {"experiment_ids": ["{exp}", "{other}"], "filter": "status = 'OK'", "order_by": ["name", "timestamp ASC"]}, {"experiment_ids": "{exp}", "max_results": 1},
                  {"experiment_ids": "{exp}", "filter": "span.type = 'LLM'"}, {"experiment_ids": "99999"}, {}, {"experiment_ids": "x"}, {"experiment_ids": "{exp}", "filter": "nope"},
                  {"experiment_ids": "{exp}", "order_by": "nope"}, {"experiment_ids": "{exp}", "max_results": 501}, {"experiment_ids": "{exp}", "max_results": 0}, {"experiment_ids": "{exp}", "page_token": "!"},
                  {"experiment_ids": "a.b"}):  # fmt: skip
        yield get("traces", query)

    asked = {"experiment_ids": ["{exp}", "{other}"], "filter_string1": "status = 'OK'", "filter_string2": "tags.env = 'prod'"}
    for change in ({}, {"base_filter": "timestamp < 1704067203500"}, {"filter_string2": "span.type = 'LLM'"}, {"filter_string2": "feedback.quality IS NOT NULL"}, {"filter_string2": "tags.env = 'nope'"},
                   {"filter_string2": "status = 'OK'"}, {"filter_string1": "status != 'x'", "filter_string2": "status != 'y'"}, {"experiment_ids": ["99999"]}, {"base_filter": ""}, {"filter_string2": "run_id = '{run}'"},
                   {"filter_string1": "nope"}, {"filter_string2": "nope = 1"}, {"base_filter": "nope"}, {"filter_string1": ""}, {"filter_string1": None}, {"filter_string2": 5}, {"experiment_ids": []}, {"experiment_ids": ["x"]},
                   {"experiment_ids": "x"}, {"base_filter": "status = 'OK' OR status = 'ERROR'"}):  # fmt: skip
        yield post(CORRELATION, {**asked, **change})
