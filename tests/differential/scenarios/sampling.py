"""The points that charts get of long, sparse, ragged and odd histories: which of them exactly, and in which order."""

from step import get, post

INTERVAL = "metrics/get-history-bulk-interval"
#: Name of the run → (step, timestamp) of its points; the value is the index.
HISTORIES = {
    "squares": [(i * i, i) for i in range(120)],
    "negative": [(i - 60, 500 - i) for i in range(100)],
    "huge": [(i * 10**15, i) for i in range(-40, 40)],
    "same": [(3, i) for i in range(50)],
    "pairs": [(i // 2, i) for i in range(80)],
    "gap": [(i if i < 30 else i + 10_000, i) for i in range(60)],
    "two": [(0, 1), (9, 2)],
    "one": [(5, 5)],
    "none": [],
}


def steps():
    for name, points in HISTORIES.items():
        yield post("runs/create", {"experiment_id": "0", "run_name": name}, save={name: "run.info.run_id"})
        metrics = [{"key": "m", "value": i, "timestamp": abs(time), "step": step} for i, (step, time) in enumerate(points)]
        yield post("runs/log-batch", {"run_id": "{" + name + "}", "metrics": metrics})
        for size in (1, 2, 7, 25, 49, 50, 51):
            yield get(INTERVAL, {"run_ids": ["{" + name + "}"], "metric_key": "m", "max_results": size})
    runs = ["{" + name + "}" for name in HISTORIES]
    for size in (1, 3, 10, 60, 2500):
        yield get(INTERVAL, {"run_ids": runs, "metric_key": "m", "max_results": size})
        yield get(INTERVAL, {"run_ids": runs[::-1], "metric_key": "m", "max_results": size})
    for first, last in ((0, 0), (0, 10), (-30, 30), (3, 3), (29, 10_030), (-(10**16), 10**16), (200, 300), (10**9, 10**9 + 1)):
        for size in (2, 5):
            yield get(INTERVAL, {"run_ids": runs, "metric_key": "m", "start_step": first, "end_step": last, "max_results": size})
    yield get(INTERVAL, {"run_ids": runs, "metric_key": "m"})
    yield get(INTERVAL, {"run_ids": runs, "metric_key": "nope", "max_results": 5})
    yield get(INTERVAL, {"run_ids": ["{one}"] * 100, "metric_key": "m", "max_results": 5})
    for query in ({"start_step": "", "end_step": ""}, {"start_step": 1.5, "end_step": 3}, {"start_step": 9, "end_step": 3}, {"max_results": -1}, {"max_results": ""},
                  {"max_results": "9" * 30}, {"metric_key": ""}, {"run_ids": ""}, {"run_ids": ["{one}", ""]}, {"start_step": "9" * 30, "end_step": "9" * 31}):  # fmt: skip
        yield get(INTERVAL, {"run_ids": ["{one}"], "metric_key": "m", **query})

    bulk = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"
    # Runs come in the order of their ids, which are random: one at a time.
    for run in HISTORIES:
        yield get(bulk, {"run_id": ["{" + run + "}", "nope"], "metric_key": "m"})
        yield get(bulk, {"run_id": ["{" + run + "}"] * 2, "metric_key": "m", "max_results": 5})
    for query in ({"max_results": 0}, {"max_results": 25001}, {"metric_key": ""}, {"run_id": ""}):
        yield get(bulk, {"run_id": "{one}", "metric_key": "m", **query})
    for size in (-1, "9" * 30):
        yield get(bulk, {"run_id": "{one}", "metric_key": "m", "max_results": size},
                  differs="that is no number of points", expect=(400, "INVALID_PARAMETER_VALUE"))
    yield get("metrics/get-history-bulk", {"run_id": "{one}", "metric_key": "m"},
              differs="the same call is answered under /ajax-api", expect=(200, None))

    page = {"run_id": "{pairs}", "metric_key": "m", "max_results": 33}
    yield get("metrics/get-history", page, save={"second": "next_page_token"})
    yield get("metrics/get-history", {**page, "page_token": "{second}"}, save={"third": "next_page_token"})
    yield get("metrics/get-history", {**page, "page_token": "{third}"})
    yield get("metrics/get-history", {**page, "metric_key": "other", "page_token": "{second}"})
    for run in ("same", "negative", "huge", "none"):
        yield get("metrics/get-history", {"run_id": "{" + run + "}", "metric_key": "m"})
