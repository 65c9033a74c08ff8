"""Metrics, params and batches."""

from step import get, post

BIG = 2**63


def steps():
    yield post("runs/create", {"experiment_id": "0", "run_name": "logging"}, save={"run": "run.info.run_id"})
    for value, timestamp, step in ((1.5, 10, 0), (1.5, 10, 0), (2, 5, 1), (9, 99, 0), (2.5, 5, 1), ("3.5", "6", "1"),
                                   ("NaN", 7, 2), ("Infinity", 8, 3), ("-Infinity", 8, 4), (1e-320, 9, 5), (-0.0, 9, 6),
                                   (0.1, 1, -3), (1.7976931348623157e308, 10, 7)):
        yield post("runs/log-metric", {"run_id": "{run}", "key": "m", "value": value, "timestamp": timestamp, "step": step})
        yield get("runs/get", {"run_id": "{run}"})
    yield get("metrics/get-history", {"run_id": "{run}", "metric_key": "m"})
    for body in ({"value": 1, "timestamp": 1}, {"key": "m", "timestamp": 1}, {"key": "m", "value": 1}, {"key": "", "value": 1, "timestamp": 1},
                 {"key": "m", "value": "x", "timestamp": 1}, {"key": "m", "value": None, "timestamp": 1}, {"key": "m", "value": True, "timestamp": 1},
                 {"key": "m", "value": 1, "timestamp": -1}, {"key": "m", "value": 1, "timestamp": "x"}, {"key": "m", "value": 1, "timestamp": 1.5},
                 {"key": "m", "value": 1, "timestamp": BIG}, {"key": "m", "value": 1, "timestamp": 1, "step": BIG}, {"key": "m", "value": 1, "timestamp": 1, "step": "x"},
                 {"key": "k" * 251, "value": 1, "timestamp": 1}, {"key": "bad#", "value": 1, "timestamp": 1}, {"key": "..", "value": 1, "timestamp": 1},
                 {"key": "a/../b", "value": 1, "timestamp": 1}, {"key": "/a", "value": 1, "timestamp": 1}, {"key": 5, "value": 1, "timestamp": 1},
                 {"key": "m", "value": [1], "timestamp": 1}, {"key": "m", "value": 1e400, "timestamp": 1}):
        yield post("runs/log-metric", {"run_id": "{run}", **body})
    yield post("runs/log-metric", {"run_id": "nope", "key": "m", "value": 1, "timestamp": 1})
    yield post("runs/log-metric", {"key": "m", "value": 1, "timestamp": 1})
    yield post("runs/log-metric", raw=b'{"run_id": "{run}", "key": "m", "value": NaN, "timestamp": 1}')
    yield post("runs/log-metric", {"run_uuid": "{run}", "key": "old", "value": 1, "timestamp": 1})
    yield post("runs/log-metric", {"runId": "{run}", "key": "camel", "value": 1, "timestamp": 1})

    for key, value in (("p", "1"), ("p", "1"), ("p", "2"), ("q", ""), ("q", "x"), ("long", "v" * 6000), ("cut", "v" * 6001), ("cut", "v" * 6002),
                       ("ü 雪", "😀"), ("k" * 250, "x"), ("k" * 251, "x"), ("bad#", "x"), ("../x", "x"), ("", "x")):
        yield post("runs/log-parameter", {"run_id": "{run}", "key": key, "value": value})
    for body in ({"key": "n", "value": 3}, {"value": "x"}, {"key": "novalue"}, {"key": 1, "value": "x"}):
        yield post("runs/log-parameter", {"run_id": "{run}", **body})
    yield post("runs/log-parameter", {"run_id": "nope", "key": "p", "value": "x"})
    yield get("runs/get", {"run_id": "{run}"})

    yield post("runs/create", {"experiment_id": "0", "run_name": "batch"}, save={"batch": "run.info.run_id"})
    metric = {"key": "m", "value": 1, "timestamp": 1, "step": 0}
    many = [{"key": f"m{i}", "value": i, "timestamp": i, "step": i} for i in range(1001)]
    pairs = [{"key": f"k{i}", "value": str(i)} for i in range(101)]
    for body in ({"metrics": [metric], "params": [{"key": "p", "value": "1"}], "tags": [{"key": "t", "value": "1"}]},
                 {"metrics": [metric, metric], "params": [{"key": "p", "value": "1"}], "tags": [{"key": "t", "value": "2"}, {"key": "t", "value": "3"}]},
                 {"params": [{"key": "p", "value": "2"}], "metrics": [{**metric, "key": "not-written"}]},
                 {"params": [{"key": "p", "value": "it's"}, {"key": "n", "value": "1"}]},
                 {"params": [{"key": "d", "value": "1"}, {"key": "d", "value": "1"}]},
                 {"metrics": [{**metric, "step": 5, "value": 2}, {**metric, "step": 4, "value": 9}]},
                 {"metrics": [{"key": "nan", "value": "NaN", "timestamp": 1}]},
                 {"tags": [{"key": "mlflow.runName", "value": "renamed"}]}, {}, {"metrics": []},
                 {"metrics": many[:1000]}, {"metrics": many}, {"params": pairs[:100]}, {"params": pairs}, {"tags": pairs[:100]}, {"tags": pairs},
                 {"metrics": many[:950], "params": pairs[:50], "tags": pairs[:1]}):
        yield post("runs/log-batch", {"run_id": "{batch}", **body})
    yield get("runs/get", {"run_id": "{batch}"})
    for body in ({"metrics": [{"value": 1, "timestamp": 1}]}, {"metrics": [{"key": "m", "timestamp": 1}]}, {"metrics": [{"key": "m", "value": 1}]},
                 {"metrics": [metric, {**metric, "key": "bad#"}]}, {"metrics": [metric, {**metric, "timestamp": -1}]}, {"metrics": [{**metric, "value": "x"}]},
                 {"metrics": "x"}, {"metrics": {}}, {"params": [{"value": "x"}]}, {"params": [{"key": "bad#", "value": "x"}]}, {"tags": [{"value": "x"}]},
                 {"tags": [{"key": "bad#", "value": "x"}]}, {"params": [{"key": "cut", "value": "v" * 6001}]}, {"tags": [{"key": "cut", "value": "v" * 8001}]},
                 {"params": "x"}, {"tags": 1}, {"metrics": [1]}, {"metrics": [None]}):
        yield post("runs/log-batch", {"run_id": "{batch}", **body})
    yield post("runs/log-batch", {"run_id": "nope", "metrics": [metric]})
    yield post("runs/log-batch", {"run_id": "bad id!", "metrics": [metric]})
    yield post("runs/log-batch", {"metrics": [metric]})
    yield post("runs/log-batch", raw=b"not json")
    yield get("runs/get", {"run_id": "{batch}"})
