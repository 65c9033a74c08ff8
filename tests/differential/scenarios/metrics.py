"""Histories and samples of metrics."""

from step import get, post


def steps():
    for run, count in (("a", 250), ("b", 7), ("c", 1)):
        yield post("runs/create", {"experiment_id": "0", "run_name": run}, save={run: "run.info.run_id"})
        points = [{"key": "m", "value": (i * 7) % 13, "timestamp": 1000 - i, "step": i} for i in range(count)]
        yield post("runs/log-batch", {"run_id": "{" + run + "}", "metrics": points})
    yield post("runs/log-batch", {"run_id": "{b}", "metrics": [
        {"key": "flat", "value": value, "timestamp": i, "step": 0} for i, value in enumerate([1, "NaN", 3, "NaN", 5, 6, 7, 8, 9])]})
    history = "metrics/get-history"
    yield get(history, {"run_id": "{b}", "metric_key": "m"})
    yield get(history, {"run_uuid": "{b}", "metric_key": "m"})
    yield get(history, {"run_id": "{b}", "metric_key": "flat"})
    for query in ({"run_id": "{b}"}, {"metric_key": "m"}, {"run_id": "nope", "metric_key": "m"}, {"run_id": "{b}", "metric_key": "nope"},
                  {"run_id": "{b}", "metric_key": "m", "max_results": 0}, {"run_id": "{b}", "metric_key": "m", "max_results": -1},
                  {"run_id": "{b}", "metric_key": "m", "max_results": "x"}, {"run_id": "{b}", "metric_key": "m", "max_results": 100},
                  {"run_id": "{b}", "metric_key": "m", "page_token": "x"}, {"run_id": "{b}", "metric_key": "m", "max_results": 3, "page_token": "eyJvZmZzZXQiOiA0fQ=="}):
        yield get(history, query)
    yield get(history, {"run_id": "{a}", "metric_key": "m", "max_results": 100}, save={"page": "next_page_token"})
    yield get(history, {"run_id": "{a}", "metric_key": "m", "max_results": 100, "page_token": "{page}"}, save={"page2": "next_page_token"})
    yield get(history, {"run_id": "{a}", "metric_key": "m", "max_results": 100, "page_token": "{page2}"})

    bulk = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"
    yield get(bulk, {"run_id": ["{b}"], "metric_key": "m"})
    yield get(bulk, {"run_id": ["{b}"], "metric_key": "m", "max_results": 3})
    yield get(bulk, {"run_id": ["nope"], "metric_key": "m"})
    for query in ({}, {"metric_key": "m"}, {"run_id": "{b}"}, {"run_id": ["x"] * 101, "metric_key": "m"}, {"run_id": "{b}", "metric_key": "m", "max_results": "x"}):
        yield get(bulk, query)

    for interval in ("metrics/get-history-bulk-interval", "/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval"):
        for size in (1, 2, 3, 10, 249, 250, 251, 2500):
            yield get(interval, {"run_ids": ["{a}", "{b}"], "metric_key": "m", "max_results": size})
        yield get(interval, {"run_ids": ["{b}"], "metric_key": "flat", "max_results": 4})
        yield get(interval, {"run_ids": ["{a}"], "metric_key": "m", "start_step": 10, "end_step": 50, "max_results": 5})
        yield get(interval, {"run_ids": ["{a}", "nope", "{c}", "{a}"], "metric_key": "m", "max_results": 2})
    interval = "metrics/get-history-bulk-interval"
    for query in ({}, {"metric_key": "m"}, {"run_ids": "{a}"}, {"run_ids": "{a}", "metric_key": "m", "max_results": 0},
                  {"run_ids": "{a}", "metric_key": "m", "max_results": 2501}, {"run_ids": "{a}", "metric_key": "m", "max_results": "x"},
                  {"run_ids": "{a}", "metric_key": "m", "start_step": 1}, {"run_ids": "{a}", "metric_key": "m", "end_step": 1},
                  {"run_ids": "{a}", "metric_key": "m", "start_step": 5, "end_step": 1}, {"run_ids": "{a}", "metric_key": "m", "start_step": "x", "end_step": 1},
                  {"run_ids": ["x"] * 101, "metric_key": "m"}, {"run_ids": "nope", "metric_key": "m"}):
        yield get(interval, query)
