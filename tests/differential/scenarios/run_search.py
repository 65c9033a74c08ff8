"""Searching runs."""

from step import post

GOOD = [
    "", "metrics.acc > 0.5", "metrics.acc >= 0.5", "metrics.acc < 0.5", "metrics.acc <= 0.5", "metrics.acc = 0.5", "metrics.acc != 0.5", "metric.acc > 0.1",
    "metrics.`acc` > 0.1", "metrics.\"acc\" > 0.1", "metrics.nan > 0", "metrics.nan != 0", "metrics.nan = 0", "metrics.acc > -1e-3", "metrics.nope > 1",
    "params.opt = 'adam'", "params.opt != 'adam'", "param.opt = \"sgd\"", "parameters.opt LIKE 'a%'", "params.opt ILIKE 'A%'", "params.opt LIKE 'A%'",
    "params.opt IS NULL", "params.opt IS NOT NULL", "tags.split = 'even'", "tag.split != 'even'", "tags.`a b` = 'x'", "tags.split IS NULL", "tags.split ILIKE '%VEN'",
    "attributes.status = 'FINISHED'", "attribute.status != 'FINISHED'", "status = 'RUNNING'", "run_name = 'r1'", "attributes.`run name` LIKE 'r%'",
    "attr.run_name ILIKE 'R%'", "run_name != 'r1'", "start_time > 2", "attributes.start_time <= 3", "created = 2", "end_time > 0", "user_id = 'u'",
    "artifact_uri LIKE '%artifacts'", "run_id = '{r1}'", "run_id != '{r1}'", "run_id IN ('{r1}', '{r2}')", "run_id NOT IN ('{r1}')", "attributes.run_id IN ('{r3}',)",
    "metrics.acc > 0.1 and params.opt = 'adam'", "metrics.acc > 0.1 AND metrics.acc < 0.9 AND tags.split = 'odd'", "datasets.name = 'd'", "dataset.digest = '1'",
    "datasets.context = 'train'", "datasets.name LIKE 'd%' AND metrics.acc > 0", "datasets.name IN ('d', 'e')", "metrics.acc>0.5", "params.opt='adam'",
]
BAD = [
    "metrics.acc", "metrics.acc >", "metrics.acc > 'x'", "metrics.acc > x", "metrics.acc LIKE 'x'", "metrics.acc IN (1)", "metrics.acc >>> zz", "metrics > 1",
    "params.opt > 'a'", "params.opt = adam", "params.opt = 1", "params.opt IN ('a')", "tags.a < 'x'", "tags.a = 1", "nope = 'x'", "nope.a = 'x'", "attributes.nope = 'x'",
    "status > 'x'", "start_time = 'x'", "start_time LIKE '1'", "run_id > 'x'", "run_id IN ()", "run_id IN ('a', 1)", "run_id IN 'a'", "run_id IN ('a'", "status IN ('a')",
    "params.a = 'x' OR params.b = 'y'", "params.a = 'x", "params.a = 'x' AND", "AND", ";", "a = 'b'; c = 'd'", "('a' = 'b')", "params.a = 'x' params.b = 'y'", "!!!", "metrics.`acc > 1",
    "datasets.nope = 'x'", "datasets.name > 'x'", "datasets.name = 1", "metrics.acc IS NULL", "run_id IS NULL", "NOT params.a = 'x'", "params.a == 'x'", "1 = 1",
]
ORDERS = [
    [], ["metrics.acc"], ["metrics.acc DESC"], ["metrics.`acc` ASC"], ["metrics.nan DESC"], ["metrics.nan ASC", "metrics.acc"], ["params.opt"], ["params.opt DESC", "tags.split"],
    ["tags.split DESC"], ["attributes.start_time ASC"], ["start_time DESC"], ["attribute.status"], ["run_name"], ["end_time DESC"], ["user_id"], ["Created"], ["metric.acc asc"],
]
BAD_ORDERS = [["nope"], ["metrics.acc sideways"], [""], ["metrics"], ["nope.x"], ["metrics.acc", "metrics.acc"], [1], "metrics.acc", ["metrics.acc DESC ASC"], ["`"], ["attributes.nope"]]


def steps():
    yield post("experiments/create", {"name": "search"}, save={"exp": "experiment_id"})
    yield post("experiments/create", {"name": "search other"}, save={"other": "experiment_id"})
    runs = [("r1", 1, 0.25, "adam", "odd"), ("r2", 2, 0.5, "sgd", "even"), ("r3", 3, 0.75, "adam", "odd"), ("R4", 4, None, None, "even"), ("r5", 5, "NaN", "Adam", None)]
    for name, start, acc, opt, split in runs:
        run = "{" + name + "}"
        yield post("runs/create", {"experiment_id": "{exp}", "start_time": start, "run_name": name, "user_id": "u"}, save={name: "run.info.run_id"})
        batch = {"run_id": run, "metrics": [], "params": [], "tags": [{"key": "a b", "value": "x"}]}
        if acc is not None:
            batch["metrics"] = [{"key": "nan" if acc == "NaN" else "acc", "value": acc, "timestamp": 1}, {"key": "all", "value": start, "timestamp": 1}]
        if opt:
            batch["params"] = [{"key": "opt", "value": opt}]
        if split:
            batch["tags"].append({"key": "split", "value": split})
        yield post("runs/log-batch", batch)
    yield post("runs/update", {"run_id": "{r1}", "status": "FINISHED", "end_time": 9})
    yield post("runs/delete", {"run_id": "{r3}"})
    inputs = [{"dataset": {"name": "d", "digest": "1", "source_type": "s", "source": "x"}, "tags": [{"key": "mlflow.data.context", "value": "train"}]}]
    yield post("runs/log-inputs", {"run_id": "{r1}", "datasets": inputs})
    yield post("runs/log-inputs", {"run_id": "{r2}", "datasets": inputs})
    yield post("runs/create", {"experiment_id": "{other}", "start_time": 9, "run_name": "elsewhere"}, save={"elsewhere": "run.info.run_id"})
    base = {"experiment_ids": ["{exp}"], "run_view_type": "ALL", "max_results": 100}
    for filter_ in GOOD + BAD:
        yield post("runs/search", {**base, "filter": filter_})
    for order in ORDERS + BAD_ORDERS:
        yield post("runs/search", {**base, "order_by": order})
    for view in ("ACTIVE_ONLY", "DELETED_ONLY", "ALL", 1, 2, 3, 7, "nope", None):
        yield post("runs/search", {"experiment_ids": ["{exp}"], "run_view_type": view})
    for size in (0, 1, -1, 50000, 50001, "3", "x", 1.5):
        yield post("runs/search", {"experiment_ids": ["{exp}"], "max_results": size})
    for ids in ([], ["{exp}", "{other}"], ["99999"], ["x"], "1", [1], None):
        yield post("runs/search", {"experiment_ids": ids})
    yield post("runs/search", {})
    for order in (["metrics.acc DESC"], ["params.opt ASC"], [], ["tags.split", "metrics.nan DESC"]):
        page = {**base, "order_by": order, "max_results": 2}
        yield post("runs/search", page, save={"p1": "next_page_token"})
        yield post("runs/search", {**page, "page_token": "{p1}"}, save={"p2": "next_page_token"})
        yield post("runs/search", {**page, "page_token": "{p2}"})
    yield post("runs/search", {**base, "page_token": "eyJvZmZzZXQiOiAyfQ=="})
    for token in ("x", "e30=", "!!!", "bm90IGpzb24="):
        yield post("runs/search", {**base, "page_token": token})
