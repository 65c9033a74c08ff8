"""Lengths and counts, at the limit and one over."""

from step import get, patch, post

DATASET = {"name": "d", "digest": "1", "source_type": "s", "source": "x"}


def steps():
    yield post("experiments/create", {"name": "limits"}, save={"exp": "experiment_id"})
    yield post("runs/create", {"experiment_id": "{exp}", "run_name": "limits"}, save={"run": "run.info.run_id"})
    for length in (249, 250, 251, 255, 256, 500, 501):
        yield post("runs/create", {"experiment_id": "{exp}", "run_name": "n" * length})
        yield post("runs/create", {"experiment_id": "{exp}", "user_id": "u" * length})
        yield post("runs/update", {"run_id": "{run}", "run_name": "ü" * length})
        yield post("experiments/create", {"name": f"{length}" + "ü" * (length - 3)})
        yield post("experiments/update", {"experiment_id": "{exp}", "new_name": f"{length}" + "n" * (length - 3)})
        yield post("runs/create", {"experiment_id": "{exp}", "tags": [{"key": "k" * length, "value": "v"}]})
        yield post("runs/log-metric", {"run_id": "{run}", "key": "ü" * length, "value": 1, "timestamp": 1})
        yield post("logged-models", {"experiment_id": "{exp}", "name": "m" * length, "model_type": "t" * length})
        yield post("logged-models", {"experiment_id": "{exp}", "tags": [{"key": "k" * length, "value": "v"}]})
        yield post("logged-models", {"experiment_id": "{exp}", "params": [{"key": "k" * length, "value": "v"}]})
    for length in (4999, 5000, 5001, 5999, 6000, 6001, 7999, 8000, 8001):
        key = f"k{length}"
        yield post("runs/set-tag", {"run_id": "{run}", "key": key, "value": "😀" * length})
        yield post("runs/log-parameter", {"run_id": "{run}", "key": key, "value": "😀" * length})
        yield post("runs/log-batch", {"run_id": "{run}", "tags": [{"key": "b" + key, "value": "v" * length}]})
        yield post("runs/log-batch", {"run_id": "{run}", "params": [{"key": "b" + key, "value": "v" * length}]})
        yield post("experiments/set-experiment-tag", {"experiment_id": "{exp}", "key": key, "value": "v" * length})
        yield post("logged-models", {"experiment_id": "{exp}", "tags": [{"key": "k", "value": "v" * length}]})
        yield post("logged-models", {"experiment_id": "{exp}", "params": [{"key": "k", "value": "v" * length}]})
        yield post("runs/create", {"experiment_id": "{exp}", "tags": [{"key": "k", "value": "v" * length}]})
    yield get("runs/get", {"run_id": "{run}"})
    for count in (99, 100, 101, 102):
        pairs = [{"key": f"{count}-{i}", "value": "v"} for i in range(count)]
        yield post("logged-models", {"experiment_id": "{exp}", "name": f"p{count}", "params": pairs})
        yield post("logged-models", {"experiment_id": "{exp}", "name": f"t{count}", "tags": pairs}, save={"model": "model.info.model_id"})
        yield post("logged-models/{model}/params", {"params": pairs})
        yield patch("logged-models/{model}/tags", {"tags": pairs})
        yield post("runs/create", {"experiment_id": "{exp}", "tags": pairs})
        yield post("experiments/create", {"name": f"tags {count}", "tags": pairs})
        yield post("runs/log-inputs", {"run_id": "{run}", "datasets": [{"dataset": {**DATASET, "digest": str(i)}} for i in range(count)]})
        yield post("runs/log-batch", {"run_id": "{run}", "params": pairs[:50], "tags": pairs[50:]})
    for size in (999, 1000, 1001, 49999, 50000, 50001, 2**31, 2**63 - 1):
        yield post("runs/search", {"experiment_ids": ["{exp}"], "max_results": size, "filter": "run_name = 'nothing'"})
        yield post("experiments/search", {"max_results": size, "filter": "name = 'nothing'"})
        yield post("logged-models/search", {"experiment_ids": ["{exp}"], "max_results": size, "filter": "name = 'nothing'"})
        yield get("metrics/get-history", {"run_id": "{run}", "metric_key": "m", "max_results": size})
    for field, lengths in {"name": (499, 500, 501), "digest": (35, 36, 37), "source_type": (36, 37), "source": (65535, 65536), "schema": (65535, 65536, 1048575, 1048576), "profile": (16777214, 16777215, 16777216)}.items():
        for length in lengths:
            yield post("runs/log-inputs", {"run_id": "{run}", "datasets": [{"dataset": {**DATASET, field: "x" * length}}]})
    for key, value in ((254, 1), (255, 1), (256, 1), (1, 499), (1, 500), (1, 501)):
        tag = {"key": "k" * key, "value": "v" * value}
        yield post("runs/log-inputs", {"run_id": "{run}", "datasets": [{"dataset": {**DATASET, "name": f"tag {key} {value}"}, "tags": [tag]}]})
    for keys in ([], ["x"], ["x" * 251], ["../x"], ["a//b"], ["a/"], ["/a"], ["."], [".."], ["a/./b"], ["a b"], ["a:b"], ["a;b"], ["a\tb"], ["a\nb"], ["ü"], ["雪"], ["😀"], ["a%b"], ["a&b"], ["a'b"], ["\\"], ["\x00"], ["-"], ["~"]):
        for path, body in (("log-metric", {"value": 1, "timestamp": 1}), ("log-parameter", {"value": "v"}), ("set-tag", {"value": "v"})):
            yield post(f"runs/{path}", {"run_id": "{run}", **({"key": keys[0]} if keys else {}), **body})
