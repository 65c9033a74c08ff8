"""Which point of a metric is its latest, and what of a batch is written."""

from itertools import permutations

from step import get, post

POINTS = [
    # step, timestamp, value: each group in every order.
    [(1, 5, 1.0), (2, 1, 0.0), (0, 9, 7.0)],
    [(1, 5, 1.0), (1, 6, 0.0), (1, 4, 9.0)],
    [(1, 5, 1.0), (1, 5, 3.0), (1, 5, -2.0)],
    [(1, 5, "NaN"), (1, 5, 3.0), (0, 9, 1.0)],
    [(1, 5, "NaN"), (1, 5, "Infinity"), (1, 5, "-Infinity")],
    [(-1, 5, 1.0), (-2, 9, 2.0), (-1, 5, "NaN")],
]


def steps():
    for group, points in enumerate(POINTS):
        for order, permuted in enumerate(permutations(points)):
            run = f"r{group}{order}"
            yield post("runs/create", {"experiment_id": "0", "run_name": run}, save={run: "run.info.run_id"})
            metrics = [{"key": "m", "value": value, "timestamp": time, "step": step} for step, time, value in permuted]
            for metric in metrics:
                yield post("runs/log-metric", {"run_id": "{" + run + "}", **metric})
            yield post("runs/log-batch", {"run_id": "{" + run + "}", "metrics": [{**metric, "key": "batch"} for metric in metrics]})
            yield get("runs/get", {"run_id": "{" + run + "}"})
    yield get("metrics/get-history", {"run_id": "{r40}", "metric_key": "batch"})
    yield get("metrics/get-history", {"run_id": "{r30}", "metric_key": "m"})

    yield post("runs/create", {"experiment_id": "0", "run_name": "half"}, save={"half": "run.info.run_id"})
    good = {"metrics": [{"key": "g", "value": 1, "timestamp": 1}], "params": [{"key": "g", "value": "1"}], "tags": [{"key": "g", "value": "1"}]}
    yield post("runs/log-parameter", {"run_id": "{half}", "key": "fixed", "value": "1"})
    for bad in ({"params": [{"key": "fixed", "value": "2"}]}, {"params": [{"key": "new", "value": "1"}, {"key": "fixed", "value": "2"}]},
                {"params": [{"key": "twice", "value": "1"}, {"key": "twice", "value": "2"}]}, {"metrics": [{"key": "g", "value": 1, "timestamp": 1}, {"key": "", "value": 1, "timestamp": 1}]},
                {"tags": [{"key": "g", "value": "1"}, {"key": "k" * 251, "value": "1"}]}, {"params": [{"key": "k" * 251, "value": "1"}]},
                {"metrics": [{"key": "k" * 251, "value": 1, "timestamp": 1}]}, {"tags": [{"key": "g"}]}, {"params": [{"key": "g"}]},
                 {"tags": [{"key": "mlflow.runName", "value": ""}]}):  # fmt: skip
        yield post("runs/log-batch", {"run_id": "{half}", **good, **bad})
        yield get("runs/get", {"run_id": "{half}"})
    yield get("metrics/get-history", {"run_id": "{half}", "metric_key": "g"})
    for value in ("", "renamed", ""):
        yield post("runs/set-tag", {"run_id": "{half}", "key": "mlflow.runName", "value": value})
        yield get("runs/get", {"run_id": "{half}"})
    yield post("runs/log-batch", {"run_id": "{half}", "tags": [{"key": "mlflow.runName", "value": name} for name in ("first", "last", "")]})
    yield get("runs/get", {"run_id": "{half}"})
