"""How the body of a request is read, whatever the call."""

from step import Step, get, post

#: Call → the field that gets every value. The mark tells fields of one call apart: # a number, [] a list.
PLACES = {
    "experiments/create": "name",
    "experiments/search": "filter",
    "experiments/search#": "max_results",
    "experiments/search[]": "order_by",
    "runs/log-metric": "value",
    "runs/log-metric#": "step",
    "runs/log-parameter": "value",
    "runs/set-tag": "key",
    "runs/update": "end_time",
    "runs/log-batch": "metrics",
    "runs/search": "experiment_ids",
}
#: JSON as text, since some of it can not be written from Python.
VALUES = ["null", "true", "1", "1.0", "1.5", "1e2", "-1", '"1"', '"1.0"', '"x"', "[]", "{}", "[null]", "9223372036854775807", '""']
HUGE = ["9223372036854775808", "1" * 40]
NUMBERS = {"max_results", "step", "end_time"}
INVALID = (400, "INVALID_PARAMETER_VALUE")
CREATE = "/api/2.0/mlflow/experiments/create"


def raw(path, content, **rest):
    return post(path, raw=content, **rest)


def steps():
    yield post("runs/create", {"experiment_id": "0", "run_name": "bodies"}, save={"run": "run.info.run_id"})
    for path, field in PLACES.items():
        path = path.rstrip("#[]")
        known = {"runs/log-metric": '"key": "m", "value": 1, "timestamp": 1, ', "runs/log-parameter": '"key": "p", ',
                 "runs/set-tag": '"value": "v", '}.get(path, "")  # fmt: skip
        run = '"run_id": "{run}", ' if path.startswith("runs/") and path != "runs/search" else ""
        for value in VALUES:
            if field == "value" and path == "runs/log-metric":
                known = '"key": "m", "timestamp": 1, '
            differs = {}
            if (field, value) == ("metrics", "null"):
                differs = {"differs": "a list that is null is no list, as in every other call", "expect": (200, None)}
            yield raw(path, f'{{{run}{known}"{field}": {value}}}'.encode(), **differs)
        for value in HUGE if field in NUMBERS else []:
            yield raw(path, f'{{{run}{known}"{field}": {value}}}'.encode())
    yield get("runs/get", {"run_id": "{run}"})
    for field, value in (("name", "1" * 40), ("name", "1e400"), ("max_results", "1e400")):
        path = "experiments/create" if field == "name" else "experiments/search"
        yield raw(path, f'{{"{field}": {value}}}'.encode(), differs="numbers are read as 64 bits, and none is infinite", expect=INVALID)

    for content in (b"   ", b"\n", b"{}", b"{} {}", b'{"name": "trailing",}', b"{'name': 'single'}", b"{name: 1}", b'{"name": "comment"} // x',
                    b'{"name": "open', b'{"name": "tab\there"}', b'\xef\xbb\xbf{"name": "marked"}',
                    b'{"name": "\xc3\x28"}', b'{"name": "\xc0\xaf"}', b'{"name": "\xf8\x88\x80\x80\x80"}',
                    b"[" * 2000 + b"]" * 2000, b'{"a":' * 90 + b"1" + b"}" * 90, b"true", b"1.5", b'""', b'"{}"', b'"null"', b'"[1]"'):  # fmt: skip
        yield raw("experiments/create", content)
    yield raw("experiments/create", '{"name": ""}'.encode("utf-16"))
    yield raw("experiments/create", b'{"name": "\xed\xa0\x80"}', differs="half of a surrogate pair is no text", expect=INVALID)
    yield raw("experiments/create", b'{"name": "escaped \\u00fc \\ud83d\\ude00 \\/ \\n"}')
    yield get("experiments/get-by-name", {"experiment_name": "escaped ü 😀 / \n"})
    yield raw("experiments/create", b'{"name": "unknown fields", "x": {"y": [1]}, "": 1, "name2": null}')
    for content in (b'{"experiment_id": "x", "experiment_id": "0", "run_name": null, "run_name": "second"}', b'{"run_name": "a", "experiment_id": "x"}', b'{"experimentId": "0", "experiment_id": "0"}',
                    b'{"experiment_id": "0", "runName": "camel", "startTime": 5}', b'{"experiment_id": "0", "RunName": "x", "run-name": "y"}',
                    b'{"experiment_id": "0", "startTime": 5, "start_time": 6}'):  # fmt: skip
        yield raw("runs/create", content)
    for media in ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json; charset=utf-16",
                  "application/jsonl", "APPLICATION/JSON", "json", "", "application/vnd.api+json", "application/json;"):  # fmt: skip
        yield raw("experiments/create", f'{{"name": "sent as {media}"}}'.encode(), headers={"Content-Type": media})
    yield raw("experiments/create", b"name=form", headers={"Content-Type": "application/x-www-form-urlencoded"})
    yield Step("POST", CREATE, {"name": ""}, query={"name": "of the query"})
    yield Step("POST", CREATE, query={"name": "of the query alone"})
    yield Step("GET", "/api/2.0/mlflow/experiments/get", {"experiment_id": "0"})
    yield Step("GET", "/api/2.0/mlflow/experiments/get", {"experiment_id": "7777"}, query={"experiment_id": "0"})

    ten_megabytes = "k" * 10_000_000
    yield post("runs/set-tag", {"run_id": "{run}", "key": ten_megabytes, "value": "v"})
    yield post("runs/log-parameter", {"run_id": "{run}", "key": ten_megabytes, "value": "v"})
    yield post("runs/log-metric", {"run_id": "{run}", "key": ten_megabytes[:100_000], "value": 1, "timestamp": 1})
    yield post("runs/set-tag", {"run_id": "{run}", "key": "k", "value": ten_megabytes})
    yield post("experiments/create", {"name": ten_megabytes[:7_000_000]})
    yield get("runs/get", {"run_id": "{run}"})
