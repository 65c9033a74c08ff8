"""Traces without search: started, completed, ended, tagged, linked, read and deleted, by both versions of the API."""

from step import Step, delete, get, patch, post

V2, V3 = "/api/2.0/mlflow/traces", "/api/3.0/mlflow/traces"
SECOND = "2023-11-14T22:13:20.123Z"

PATH = "an id is a component of the path of the trace's files: one that is a path, or that no path can have, is refused"
FIT = "a text that is longer than its column is refused on both databases"
LOCATION = "tags with which a client would say where the files of a trace are are dropped: a client must not redirect reads to files of others"
ONEOF = "of fields that exclude each other only one may be set; the reference takes the last one"
INVALID = (400, "INVALID_PARAMETER_VALUE")
MISSING = (404, "RESOURCE_DOES_NOT_EXIST")


def at(experiment):
    return {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}}


def info(id_, experiment="{exp}", **more):
    return {"trace_id": id_, "trace_location": at(experiment), "request_time": SECOND, "execution_duration": "1.5s", "state": "OK", **more}


def start(trace_info, **rest):
    return post(V3, {"trace": {"trace_info": trace_info}}, **rest)


def steps():
    yield post("experiments/create", {"name": "traces"}, save={"exp": "experiment_id"})
    yield post("experiments/create", {"name": "other traces"}, save={"other": "experiment_id"})
    yield post("runs/create", {"experiment_id": "{exp}", "run_name": "traced"}, save={"run": "run.info.run_id"})
    yield from started()
    yield from completed()
    yield from not_started()
    yield from read()
    yield from tagged()
    yield from linked()
    yield from version_2()
    yield from deleted()


def started():
    usage = '{"input_tokens": 3, "output_tokens": "4", "total_tokens": 7.0, "other": 1}'
    cost = '{"input_cost": 1, "output_cost": 1e-7, "total_cost": "x"}'
    full = {
        "client_request_id": "mine", "request_preview": "in ü", "response_preview": "out",
        "trace_metadata": {"mlflow.trace.session": "s-1", "mlflow.trace.tokenUsage": usage, "mlflow.trace.cost": cost,
                           "mlflow.source.name": "app.py", "mlflow.sourceRun": "{run}", "long": "v" * 300},
        "tags": {"mlflow.traceName": "agent", "a": "1", "long": "v" * 5000, "k" * 250: "x", "": "empty"},
    }  # fmt: skip
    yield start(info("tr-full", **full))
    yield start(info("tr-bare"))
    yield start({"trace_id": "tr-least", "trace_location": at("{exp}")})
    for state in ("STATE_UNSPECIFIED", "ERROR", "IN_PROGRESS", 1):
        yield start(info(f"tr-{state}", state=state))
    for number, usage in enumerate(("", "[]", "{}", '{"input_tokens": null}', '{"input_tokens": 9223372036854775808}', '{"input_tokens": 1.5, "output_tokens": true}', "not json")):
        yield start(info(f"tr-usage-{number}", trace_metadata={"mlflow.trace.tokenUsage": usage, "mlflow.trace.cost": usage}))
    yield start(info("tr-camel") | {"traceMetadata": {"a": "b"}, "requestPreview": "camel"})
    yield post(V3, {"trace": {"traceInfo": {"traceId": "tr-camel-2", "traceLocation": {"type": 1, "mlflowExperiment": {"experimentId": "{exp}"}}}}})
    yield post("/ajax-api/3.0/mlflow/traces", {"trace": {"trace_info": info("tr-ajax")}})
    for number, time in enumerate(("1970-01-01T00:00:00Z", "2023-11-14T22:13:20.999999999Z", "2023-11-14T23:13:20+01:00", "1969-12-31T23:59:59.5Z", "9999-12-31T23:59:59Z")):
        yield start(info(f"tr-time-{number}", request_time=time))
    for number, duration in enumerate(("0s", "0.0015s", "-1s", "100000s")):
        yield start(info(f"tr-duration-{number}", execution_duration=duration))
    yield start(info("tr-location", tags={"mlflow.artifactLocation": "file:///etc", "kept": "1"}), differs=LOCATION, expect=(200, None))
    for number, key in enumerate(("mlflow.trace.spansLocation", "mlflow.trace.archiveLocation", "mlflow.trace.archivalFailure")):
        yield start(info(f"tr-location-{number}", tags={key: "ARCHIVE_REPO"}), differs=LOCATION, expect=(200, None))
    for id_ in ("tr-full", "tr-bare", "tr-least", "tr-usage-4", "tr-time-1"):
        yield get(f"{V3}/{id_}")


def completed():
    yield start(info("tr-twice", state="IN_PROGRESS", request_preview="first", tags={"a": "1", "b": "1", "mlflow.traceName": "one"}, trace_metadata={"m": "1", "mlflow.trace.session": "s"}))
    yield start(info("tr-twice", execution_duration="9s", tags={"b": "2", "c": "3"}, trace_metadata={"m": "2", "n": "1"}, response_preview="second"), differs="the reference answers with the tags that the trace had before", expect=(200, None))
    yield start(info("tr-twice", "{other}", client_request_id="late", tags={"mlflow.traceName": "two"}))
    yield get(f"{V3}/tr-twice")
    yield start({"trace_id": "tr-twice", "trace_location": at("{exp}")})
    yield get(f"{V3}/tr-twice")


def not_started():
    for body in ({}, {"trace": None}, {"trace": {}}, {"trace": {"trace_info": {}}}, {"trace": "x"}, {"trace": []}, {"trace": {"trace_info": "x"}}, {"trace": {"trace_info": {"trace_id": "tr-w1"}}}):
        yield post(V3, body)
    yield start(info("tr-w2", "99999"))
    yield start(info("tr-w3", "x"))
    yield start(info("tr-w4", ""))
    for location in ({"type": "INFERENCE_TABLE", "mlflow_experiment": {"experiment_id": "0"}}, {"mlflow_experiment": {"experiment_id": "0"}}, {"type": "MLFLOW_EXPERIMENT"},
                     {"type": "MLFLOW_EXPERIMENT", "inference_table": {"full_table_name": "a.b'c"}}, {"type": "INFERENCE_TABLE", "inference_table": {"full_table_name": "a.b"}}, {"type": "NOPE"}, "x"):
        yield start(info("tr-w5") | {"trace_location": location})
    both = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}, "inference_table": {"full_table_name": "a"}}
    yield start(info("tr-w5") | {"trace_location": both}, differs=ONEOF, expect=INVALID)
    yield start(info("tr-w6", assessments=[{"feedback": {"value": 1}, "expectation": {"value": 1}}]), differs=ONEOF, expect=INVALID)
    for wrong in ({"state": "NOPE"}, {"state": 9}, {"request_time": "yesterday"}, {"request_time": 5}, {"execution_duration": "1"}, {"execution_duration": 1}, {"tags": []}, {"tags": {"a": 1}}, {"tags": {"a": None}},
                  {"trace_metadata": "x"}, {"trace_metadata": {"a": {}}}, {"assessments": "x"}, {"assessments": [{}]}, {"client_request_id": 1}, {"request_preview": []}):
        yield start(info("tr-w6") | wrong)
    yield start(info("tr-w7", tags={"mlflow.traceName": "n" * 4097}))
    yield start(info("tr-w8", trace_metadata={"mlflow.trace.session": "s" * 251}))
    yield start(info("tr-w9", client_request_id="c" * 51), differs=FIT, expect=INVALID)
    yield start(info("tr-w10", tags={"k" * 251: "x"}), differs=FIT, expect=INVALID)
    yield start(info("tr-w11", trace_metadata={"k" * 251: "x"}), differs=FIT, expect=INVALID)
    yield start(info("tr-long", request_preview="p" * 1001), differs="a preview that is longer than its column is truncated", expect=(200, None))
    for id_ in ("", "../../etc/passwd", "a/b", "..", ".", "a\\b", "a b", "tr-\u0000", "ü", "%2e%2e", "x" * 51, "trace:/a.b/tr-1"):
        yield start(info(id_), differs=PATH, expect=INVALID)
    yield post(V3, raw=b'{"trace": {"trace_info": {"trace_id": "tr-\\ud800", "trace_location": {"type": 1, "mlflow_experiment": {"experiment_id": "0"}}}}}',
               differs="half of a surrogate pair is no text", expect=INVALID)
    yield post(V3, raw=b'{"trace": {"trace_info": ')
    yield start(info("tr-nul", tags={"a": "x\u0000y"}))
    yield post("experiments/create", {"name": "traces of the past"}, save={"gone": "experiment_id"})
    yield post("experiments/delete", {"experiment_id": "{gone}"})
    yield start(info("tr-gone", "{gone}"))


def read():
    for id_ in ("tr-nope", "tr-w1", "..%2f..%2fetc", "a%20c", "%00", "x" * 60):
        yield get(f"{V3}/{id_}")
    yield get(f"{V2}/tr-full/info")
    yield get(f"{V2}/tr-bare/info")
    yield get(f"{V2}/tr-STATE_UNSPECIFIED/info")
    yield get(f"{V2}/tr-nope/info")
    yield post(f"{V3}/batchGetInfos", {"trace_ids": ["tr-bare", "tr-nope", "tr-full", "tr-bare"]})
    yield post(f"{V3}/batchGetInfos", {"trace_ids": ["tr-bare", "tr-full"], "experiment_ids": ["{exp}"]})
    yield post(f"{V3}/batchGetInfos", {"trace_ids": ["tr-bare", "tr-full"], "experiment_ids": ["{other}", "99999"]})
    for body in ({}, {"trace_ids": []}, {"trace_ids": "tr-bare"}, {"trace_ids": [1]}, {"trace_ids": ["tr-bare"], "experiment_ids": "x"}, {"trace_ids": ["tr-bare"], "experiment_ids": ["x"]}, {"trace_ids": [None]}):
        yield post(f"{V3}/batchGetInfos", body)
    file = "the spans of a trace whose client has written them to a file are looked for there"
    for query in ({"trace_id": "tr-full"}, {"trace_id": "tr-full", "allow_partial": "true"}):
        yield get(f"{V3}/get", query, differs=file, expect=(404, "NOT_FOUND"))
    for query in ({}, {"trace_id": ""}, {"trace_id": "tr-nope"}, {"trace_id": "tr-nope", "allow_partial": "maybe"}, {"trace_id": ["tr-nope", "tr-nope-2"]}):
        yield get(f"{V3}/get", query)
    yield get(f"{V3}/batchGet", {"trace_ids": ["tr-nope"]})
    yield get(f"{V3}/batchGet", {"trace_ids": ["tr-full", "tr-bare"]}, differs=file + "; one without is left out", expect=(200, None))
    for query in ({}, {"trace_ids": "tr-nope", "experiment_ids": "x"}):
        yield get(f"{V3}/batchGet", query)
    for path in ("get-online-trace-details", "unified-traces"):
        yield get(path)


def tagged():
    for version, name in ((V3, "trace"), (V2, "request")):
        for body in ({"key": "color", "value": "red"}, {"key": "color", "value": "blue"}, {"key": "empty"}, {"key": "mlflow.traceName", "value": f"renamed by {name}"}, {"key": "a/b.c d:e", "value": "ü"},
                     {"key": "long", "value": "v" * 8001}, {"key": "k" * 250, "value": "x"}, {"key": "mlflow.user", "value": "me"}):
            yield patch(f"{version}/tr-bare/tags", body)
        for body in ({}, {"key": ""}, {"value": "x"}, {"key": 1, "value": "x"}, {"key": "a", "value": 1}, {"key": "a", "value": None}, {"key": "a$", "value": "x"}, {"key": "../a", "value": "x"}, {"key": "k" * 251, "value": "x"},
                     {"key": "mlflow.traceName", "value": "n" * 4097}, {"key": "mlflow.trace.spansLocation", "value": "x"}, {"key": "mlflow.trace.archiveLocation", "value": "x"}, {"key": "mlflow.trace.archivalFailure", "value": "x"}):
            yield patch(f"{version}/tr-bare/tags", body)
        yield patch(f"{version}/tr-least/tags", {"key": "mlflow.artifactLocation", "value": "file:///etc"}, differs=LOCATION, expect=INVALID)
        yield patch(f"{version}/tr-nope/tags", {"key": "a", "value": "x"}, differs="a trace that does not exist is not found; the reference shows the error of its database", expect=MISSING)
        yield get(f"{V3}/tr-bare")
        for key in ("color", "color", "mlflow.traceName", "mlflow.traceName", "mlflow.trace.spansLocation", "mlflow.trace.archivalFailure", "nope", "a/b.c d:e"):
            yield Step("DELETE", f"{version}/tr-bare/tags", {"key": key})
        for body in ({}, {"key": ""}, {"key": 1}, {"key": None}):
            yield Step("DELETE", f"{version}/tr-bare/tags", body)
        yield delete(f"{version}/tr-bare/tags", {"key": "empty"})
        yield Step("DELETE", f"{version}/tr-nope/tags", {"key": "a"})
        yield Step("DELETE", f"{version}/tr-least/tags", {"key": "mlflow.artifactLocation"}, differs=LOCATION, expect=INVALID)
        yield get(f"{V3}/tr-bare")


def linked():
    link = f"{V2}/link-to-run"
    yield post(link, {"trace_ids": ["tr-full", "tr-bare", "tr-full"][:2], "run_id": "{run}"})
    yield post(link, {"trace_ids": ["tr-full"], "run_id": "{run}"})
    yield post(link, {"trace_ids": ["tr-later"], "run_id": "{run}"})
    for body in ({}, {"trace_ids": [], "run_id": "{run}"}, {"trace_ids": ["tr-full"]}, {"trace_ids": "tr-full", "run_id": "{run}"}, {"trace_ids": [1], "run_id": "{run}"}, {"trace_ids": ["tr-full"], "run_id": 1},
                 {"trace_ids": ["tr-full"] * 101, "run_id": "{run}"}, {"trace_ids": ["tr-full"], "run_id": ""}):
        yield post(link, body)
    yield post(link, {"trace_ids": ["tr-full"], "run_id": "nope"}, differs="a run that does not exist is not found", expect=MISSING)
    yield post(link, {"trace_ids": ["x" * 37], "run_id": "{run}"}, differs=FIT, expect=INVALID)
    prompts = f"{V2}/link-prompts"
    yield post(prompts, {"trace_id": "tr-full", "prompt_versions": [{"name": "p", "version": "1"}, {"name": "q", "version": "2"}]})
    yield post(prompts, {"trace_id": "tr-full", "prompt_versions": [{"name": "p", "version": "1"}]})


def version_2():
    pairs = lambda **values: [{"key": key, "value": value} for key, value in values.items()]  # noqa: E731
    yield post(V2, {"experiment_id": "{exp}", "timestamp_ms": 1000, "request_metadata": pairs(m="1", **{"mlflow.trace.session": "s"}), "tags": pairs(t="1", **{"mlflow.traceName": "old"})},
               save={"old": "trace_info.request_id"})
    yield post(V2, {"experiment_id": "{exp}"}, save={"bare": "trace_info.request_id"})
    yield post(V2, {"experiment_id": "0", "timestamp_ms": "5", "tags": [{"key": "a"}, {"key": "a", "value": "2"}]})
    yield patch(f"{V2}/{{old}}", {"timestamp_ms": 1250, "status": "OK", "request_metadata": pairs(m="2", n="1"), "tags": pairs(u="1")})
    yield get(f"{V2}/{{old}}/info")
    yield get(f"{V3}/{{old}}")
    yield patch(f"{V2}/{{old}}", {"timestamp_ms": 900, "status": "ERROR", "tags": pairs(**{"mlflow.traceName": "new"})})
    yield patch(f"{V2}/{{old}}", {"request_id": "other", "timestamp_ms": 2000, "status": 3})
    state = "the reference stores a state that it cannot read"
    yield patch(f"{V2}/{{bare}}", {}, differs=state, expect=(200, None))
    yield get(f"{V2}/{{bare}}/info", differs=state, expect=(200, None))
    yield post(V2, {"experiment_id": "{exp}", "timestamp_ms": 7}, save={"third": "trace_info.request_id"})
    yield patch(f"{V2}/{{third}}", {"timestamp_ms": 1, "status": "OK", "tags": pairs(**{"mlflow.artifactLocation": "file:///etc"})}, differs=LOCATION, expect=(200, None))
    for body in ({}, {"experiment_id": ""}, {"experiment_id": 1}, {"experiment_id": "x"}, {"experiment_id": "99999"}, {"experiment_id": "{gone}"}, {"experiment_id": "{exp}", "timestamp_ms": "x"}, {"experiment_id": "{exp}", "timestamp_ms": 1.5},
                 {"experiment_id": "{exp}", "request_metadata": "x"}, {"experiment_id": "{exp}", "request_metadata": [{"value": "x"}]}, {"experiment_id": "{exp}", "tags": [{}]}, {"experiment_id": "{exp}", "tags": [1]},
                 {"experiment_id": "{exp}", "tags": pairs(**{"mlflow.traceName": "n" * 4097})}):
        yield post(V2, body)
    for body in ({"status": "NOPE"}, {"status": True}, {"timestamp_ms": "x"}, {"tags": [{"value": "x"}]}, {"request_metadata": {}}, {"request_metadata": pairs(**{"mlflow.trace.session": "s" * 251})}):
        yield patch(f"{V2}/{{old}}", body)
    yield patch(f"{V2}/nope", {"timestamp_ms": 1, "status": "OK"})
    yield patch(f"{V2}/{{old}}", {"timestamp_ms": -9223372036854775808, "status": "OK"}, differs="a duration that does not fit its column is refused", expect=INVALID)


def deleted():
    for number in range(6):
        yield start(info(f"tr-d{number}", "{other}", request_time=f"2020-01-0{number + 1}T00:00:00Z"))
    for version in (V3, V2):
        path = f"{version}/delete-traces"
        for body in ({}, {"experiment_id": "{other}"}, {"experiment_id": "{other}", "request_ids": []}, {"experiment_id": "{other}", "request_ids": ["a"], "max_timestamp_millis": 1},
                     {"experiment_id": "{other}", "request_ids": ["a"], "max_traces": 1}, {"experiment_id": "{other}", "max_traces": 1}, {"experiment_id": "{other}", "max_timestamp_millis": 1, "max_traces": 0},
                     {"experiment_id": "{other}", "max_timestamp_millis": 1, "max_traces": -1}, {"experiment_id": "{other}", "max_timestamp_millis": "x"}, {"experiment_id": 1, "max_timestamp_millis": 1},
                     {"experiment_id": "{other}", "request_ids": "tr-d0"}, {"experiment_id": "{other}", "request_ids": [1]}, {"experiment_id": "x", "max_timestamp_millis": 1}, {"request_ids": ["tr-d0"]}):
            yield post(path, body)
        yield post(path, {"experiment_id": "99999", "max_timestamp_millis": 1})
        yield post(path, {"experiment_id": "{exp}", "request_ids": ["tr-d0", "tr-nope"]})
    yield post(f"{V3}/delete-traces", {"experiment_id": "{other}", "request_ids": ["tr-d0", "tr-nope", "tr-d0"]})
    yield get(f"{V3}/tr-d0")
    yield post(f"{V2}/delete-traces", {"experiment_id": "{other}", "max_timestamp_millis": 1577923200000, "max_traces": 5})
    yield post(f"{V3}/delete-traces", {"experiment_id": "{other}", "max_timestamp_millis": 1600000000000, "max_traces": 2})
    yield get(f"{V3}/tr-d3")
    yield get(f"{V3}/tr-d4")
    yield post(f"{V3}/delete-traces", {"experiment_id": "{other}", "max_timestamp_millis": 1600000000000})
    yield get(f"{V3}/tr-d5")
