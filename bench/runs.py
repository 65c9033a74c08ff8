"""Experiments, runs and metrics: 20,000 runs, runs to write to, one wide and one long run."""

import base64
import json

from measurement import Dataset, Measurement, ask, load, path

PER_RUN_METRICS, PER_RUN_PARAMS, PER_RUN_TAGS = 10, 10, 5
WRITERS = [f"{number:032x}" for number in range(1, 65)]
WIDE, LONG = "f" * 32, "e" * 32


def dataset(runs: int, history: int) -> Dataset:
    """``runs`` runs in experiment 0, and one of ``history`` points."""
    return Dataset("runs", lambda execute, many: fill(execute, many, runs, history), MEASUREMENTS)


def fill(execute, many, count: int, history: int):
    run = ("INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time, "
           "source_version, lifecycle_stage, artifact_uri, experiment_id) VALUES "
           "({0}, {0}, 'LOCAL', '', '', 'bench', 'FINISHED', {0}, '', 'active', 'mlflow-artifacts:/0', 0)")
    runs = [(f"{number + 1000:032x}", f"run-{number}", number) for number in range(count)]
    writers = [(run_id, "writer", -1) for run_id in [*WRITERS, WIDE, LONG]]
    execute("INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, creation_time, last_update_time, "
            "workspace) VALUES (77, 'writers', 'mlflow-artifacts:/77', 'active', 1, 1, 'default')")
    many(run, runs)
    many(run.replace("'mlflow-artifacts:/0', 0)", "'mlflow-artifacts:/77', 77)"), writers)
    value = lambda number, metric: ((number * 7919 + metric * 104729) % 1_000_003) / 1_000_003  # noqa: E731
    metrics = [(f"metric-{metric}", value(number, metric), number, run_id, 1) for number, (run_id, _, _) in enumerate(runs)
               for metric in range(PER_RUN_METRICS)]
    wide = [(f"metric-{metric}", metric / 7, 1, WIDE, 1) for metric in range(1000)]
    latest = "INSERT INTO latest_metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES ({0}, {0}, {0}, {0}, {0}, FALSE)"
    point = latest.replace("latest_metrics", "metrics")
    many(latest, metrics + wide)
    many(point, metrics + wide)
    many(point, [("loss", 1 / (step + 1), step, LONG, step) for step in range(history)])
    many("INSERT INTO params (key, value, run_uuid) VALUES ({0}, {0}, {0})",
         [(f"param-{param}", f"value-{(number + param) % 50}", run_id) for number, (run_id, _, _) in enumerate(runs)
          for param in range(PER_RUN_PARAMS)])
    many("INSERT INTO tags (key, value, run_uuid) VALUES ({0}, {0}, {0})",
         [(f"tag-{tag}", f"value-{number % 20}", run_id) for number, (run_id, _, _) in enumerate(runs) for tag in range(PER_RUN_TAGS)])


CHILDREN = ["SELECT run_uuid, key, value, timestamp, step, is_nan FROM latest_metrics WHERE run_uuid IN ({ids})",
            "SELECT run_uuid, key, value FROM params WHERE run_uuid IN ({ids})", "SELECT run_uuid, key, value FROM tags WHERE run_uuid IN ({ids})"]
COLUMNS = "r.run_uuid, r.name, r.experiment_id, r.user_id, r.status, r.start_time, r.end_time, r.lifecycle_stage, r.artifact_uri"
BY_METRIC = f"""SELECT {COLUMNS} FROM runs r LEFT JOIN latest_metrics m ON m.key = 'metric-3' AND m.run_uuid = r.run_uuid
WHERE r.experiment_id = 0 AND r.lifecycle_stage = 'active'
ORDER BY CASE WHEN m.is_nan THEN 1 WHEN m.value IS NULL THEN 2 ELSE 0 END, m.value DESC, r.start_time DESC, r.run_uuid LIMIT 101"""
FILTERED = f"""SELECT {COLUMNS} FROM runs r WHERE r.experiment_id = 0 AND r.lifecycle_stage = 'active'
AND r.run_uuid IN (SELECT run_uuid FROM latest_metrics WHERE key = 'metric-3' AND value > 0.5 AND NOT is_nan)
AND r.run_uuid IN (SELECT run_uuid FROM params WHERE key = 'param-2' AND value = 'value-7')
ORDER BY r.start_time DESC, r.run_uuid LIMIT 101"""
FILTER = "metrics.`metric-3` > 0.5 AND params.`param-2` = 'value-7'"


def log_metric(connections, target) -> Measurement:
    bodies = [{"run_id": run, "key": "m", "value": "{n}", "timestamp": "{n}", "step": "{n}"} for run in WRITERS[:connections]]
    return Measurement(
        f"log_metric_{connections}",
        lambda server, folder: load(server, folder, path("runs/log-metric"), bodies, connections=connections),
        lambda copy: rows(copy, connections, 1), "rate", 20, target)


def log_batch(size) -> Measurement:
    bodies = [{"run_id": run, "metrics": [{"key": f"m{i}", "value": "{n}", "timestamp": "{n}", "step": "{n}"} for i in range(size)]}
              for run in WRITERS[:4]]
    return Measurement(
        f"log_batch_{size}",
        lambda server, folder: load(server, folder, path("runs/log-batch"), bodies, connections=4),
        lambda copy: rows(copy, 4, size), "rate", 15, 0.6)


def rows(copy, connections, metrics) -> list:
    return ["rows", *copy, "--connections", connections, "--metrics", metrics, "--runs", ",".join(WRITERS), "--seconds", 3]


def search_body(**rest) -> dict:
    return {"experiment_ids": ["0"], "max_results": 100, **rest}


def page_20(server) -> str:
    token = None
    for _ in range(19):
        # The reference counts rows, and a walk takes it minutes.
        if token and "offset" in json.loads(base64.urlsafe_b64decode(token + "==")):
            return base64.b64encode(b'{"offset": 1900}').decode()
        body = search_body(order_by=["metrics.`metric-3` DESC"])
        token = ask(server, path("runs/search"), body | ({"page_token": token} if token else {}))["next_page_token"]
    return token


def search(server, folder, body):
    return load(server, folder, path("runs/search"), [body], requests=30, seconds=20.0)


def get(call, requests, seconds=3.0, **query):
    return lambda server, folder: load(server, folder, path(call, **query), method="GET", requests=requests, seconds=seconds)


MEASUREMENTS = [
    log_metric(1, 0.8),
    log_metric(16, 1.0),
    log_metric(64, 1.0),
    log_batch(100),
    log_batch(1000),
    Measurement("search_by_metric", lambda s, f: search(s, f, search_body(order_by=["metrics.`metric-3` DESC"])),
                [BY_METRIC, *CHILDREN], "p50", 20, 2.0),
    Measurement("search_page_20", lambda s, f: search(s, f, search_body(order_by=["metrics.`metric-3` DESC"], page_token=page_20(s))),
                [BY_METRIC + " OFFSET 1900", *CHILDREN], "p50", 20, 2.0),
    Measurement("search_filtered", lambda s, f: search(s, f, search_body(filter=FILTER)), [FILTERED, *CHILDREN], "p50", 20, 2.0),
    Measurement("get_run_1000_metrics", get("runs/get", 300, run_id=WIDE),
                [f"SELECT key, value, timestamp, step, is_nan FROM latest_metrics WHERE run_uuid = '{WIDE}'"], "p50", 20, 2.0),
    Measurement("history_100000", get("metrics/get-history", 20, 15.0, run_id=LONG, metric_key="loss"),
                [f"SELECT value, timestamp, step, is_nan FROM metrics WHERE run_uuid = '{LONG}' AND key = 'loss' ORDER BY timestamp, step, value"],
                "p50", 20, 2.0),
]
