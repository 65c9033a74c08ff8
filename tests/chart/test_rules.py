"""The alerts, evaluated by Prometheus' own promtool on series as a server exports them; and the names of all metrics.

A series is its values in steps of a minute, in promtool's notation: ``0+60x120`` begins at 0 and grows by 60 for 120 steps.
"""

import json
import re
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
import yaml
from support import chart, required
from support.servers import ferroflow

DOCS = Path(__file__).parents[2] / "docs"
SERVER = 'namespace="research",service="mlflow"'
ROUTE = 'route="/api/2.0/mlflow/runs/search"'

HOUR = 60
#: Steps that are enough for all stories.
LONG = 9 * HOUR


@pytest.fixture(scope="module")
def rules() -> dict:
    return chart.objects("openshift-everything").one("PrometheusRule")["spec"]


def series(name: str, labels: str, values: str) -> dict:
    extra = f",{labels}" if labels else ""
    return {"series": f"{name}{{{SERVER},pod=\"mlflow-0\"{extra}}}", "values": values}


def requests(status: int, values: str) -> dict:
    return series("ferroflow_http_requests_total", f'method="POST",{ROUTE},status="{status}"', values)


def answers(all_of_them: str, soon: str) -> list[dict]:
    name = "ferroflow_http_request_duration_seconds"
    return [series(f"{name}_count", ROUTE, all_of_them), series(f"{name}_bucket", f'{ROUTE},le="0.512"', soon)]


def gauge(name: str, value: int, labels: str = "") -> dict:
    return series(name, labels, f"{value}x{LONG}")


#: What happens, the series, minutes until it is looked at, and the alerts that fire.
STORIES = [
    ("all is well", [requests(200, f"0+600x{LONG}"), requests(500, f"0+0x{LONG}"), *answers(f"0+600x{LONG}", f"0+599x{LONG}")], 3 * HOUR, []),
    ("one request in a hundred fails", [requests(200, f"0+594x{LONG}"), requests(500, f"0+6x{LONG}")], 3 * HOUR, ["MLflowErrorBudgetFast", "MLflowErrorBudgetSlow"]),
    ("one in five hundred fails", [requests(200, f"0+499x{LONG}"), requests(503, f"0+1x{LONG}")], 8 * HOUR, ["MLflowErrorBudgetSlow"]),
    ("a burst of errors is over", [requests(200, f"0+600x{LONG}"), requests(500, "0+60x10 600x170")], 3 * HOUR, ["MLflowErrorBudgetSlow"]),
    ("an idle server has failed once", [requests(200, "0+1x180"), requests(500, "0x100 1x80")], 3 * HOUR, []),
    ("probes fail", [series("ferroflow_http_requests_total", 'method="GET",route="/readyz",status="503"', f"0+60x{LONG}"), requests(200, f"0+60x{LONG}")], 3 * HOUR, []),
    ("most requests fail", [requests(200, f"0+50x{LONG}"), requests(500, f"0+50x{LONG}")], 3 * HOUR, ["MLflowErrorBudgetFast", "MLflowErrorBudgetSlow", "MLflowErrors"]),
    ("a fifth of the answers is slow", answers(f"0+600x{LONG}", f"0+480x{LONG}"), 3 * HOUR, ["MLflowLatencyBudgetFast", "MLflowLatencyBudgetSlow"]),
    ("a fiftieth of the answers is slow", answers(f"0+600x{LONG}", f"0+588x{LONG}"), 8 * HOUR, ["MLflowLatencyBudgetSlow"]),
    (
        "artifacts are slow",
        [
            series("ferroflow_http_request_duration_seconds_count", 'route="/api/2.0/mlflow-artifacts/artifacts/{*path}"', f"0+600x{LONG}"),
            series("ferroflow_http_request_duration_seconds_bucket", 'route="/api/2.0/mlflow-artifacts/artifacts/{*path}",le="0.512"', f"0+0x{LONG}"),
        ],
        3 * HOUR,
        [],
    ),
    (
        "all connections are in use, and requests wait",
        [
            gauge("ferroflow_database_connections_in_use", 16, 'database="tracking"'),
            gauge("ferroflow_database_connections_max", 16, 'database="tracking"'),
            gauge("ferroflow_database_connections_waiting", 5),
        ],
        HOUR,
        ["MLflowConnectionsExhausted"],
    ),
    (
        "all connections are in use, and none waits",
        [
            gauge("ferroflow_database_connections_in_use", 16, 'database="tracking"'),
            gauge("ferroflow_database_connections_max", 16, 'database="tracking"'),
            gauge("ferroflow_database_connections_waiting", 0),
        ],
        HOUR,
        [],
    ),
    ("requests get no connection", [series("ferroflow_requests_refused", 'resource="connections",limit="total"', "0+2x60")], HOUR, ["MLflowConnectionsExhausted"]),
    ("a caller uses its share", [series("ferroflow_requests_refused", 'resource="connections",limit="caller"', "0+2x60")], HOUR, []),
    ("the queue of writes is full", [series("ferroflow_requests_refused", 'resource="writes",limit="total"', "0+2x60")], HOUR, ["MLflowWritesWait"]),
    (
        "writes wait",
        [series("ferroflow_write_queue_wait_seconds_bucket", f'queue="runs",le="{le}"', f"0+{count}x60") for le, count in (("2.048", 10), ("8.192", 100), ("+Inf", 100))],
        HOUR,
        ["MLflowWritesWait"],
    ),
    ("a replica of the server has left out the read replica", [gauge("ferroflow_read_replica_in_use", 0)], HOUR, ["MLflowReadReplicaLeftOut"]),
    ("the read replica is in use", [gauge("ferroflow_read_replica_in_use", 1)], HOUR, []),
    (
        "a job fails",
        [
            series("ferroflow_job_errors_total", 'exported_job="trace_archival"', "0+1x180"),
            series("ferroflow_job_last_success_timestamp_seconds", 'exported_job="trace_archival"', "60x180"),
        ],
        3 * HOUR,
        ["MLflowJobFails"],
    ),
    (
        "a job fails now and then",
        [
            series("ferroflow_job_errors_total", 'exported_job="trace_archival"', "0+1x180"),
            series("ferroflow_job_last_success_timestamp_seconds", 'exported_job="trace_archival"', "0+60x180"),
        ],
        3 * HOUR,
        [],
    ),
    ("events wait for webhooks", [gauge("ferroflow_webhook_deliveries_waiting", 1001)], HOUR, ["MLflowWebhooksWait"]),
]

#: Metrics that only a server with a read replica has.
REPLICA = "ferroflow_read_replica_"

#: Alerts about what these series do not have: they fire where nothing is scraped.
OTHERS = ("MLflowDown", "MLflowDatabaseDown", "MLflowVolumeFillsUp", "MLflowBackupTooOld", "MLflowWalArchivingFails", "MLflowDrillFailed")


def promtool(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run([required("FERROFLOW_PROMTOOL"), *map(str, arguments)], capture_output=True, text=True, timeout=300)


def test_the_rules_are_valid(rules, tmp_path):
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump(rules))
    checked = promtool("check", "rules", file)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_alerts_fire_when_they_must_and_not_otherwise(rules, tmp_path):
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules))
    alerts = {rule["alert"]: rule for group in rules["groups"] for rule in group["rules"] if "alert" in rule}
    told = {name for *_, names in STORIES for name in names}
    assert told == set(alerts) - set(OTHERS), "an alert without a story, or the other way round"
    stories = [
        {
            "name": story,
            "interval": "1m",
            "input_series": inputs,
            "alert_rule_test": [
                {"eval_time": f"{minutes}m", "alertname": name, "exp_alerts": [_expected(alerts[name], inputs)] if name in fire else []} for name in alerts if name not in OTHERS
            ],
        }
        for story, inputs, minutes, fire in STORIES
    ]
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": stories}, sort_keys=False))
    tested = promtool("test", "rules", tmp_path / "tests.yaml")
    assert tested.returncode == 0, tested.stdout + tested.stderr


def _expected(rule: dict, inputs: list[dict]) -> dict:
    """The alert with the labels that its expression leaves."""
    labels = dict(rule["labels"])
    if "Budget" in rule["alert"]:
        labels |= {"namespace": "research", "service": "mlflow"}
    if rule["alert"] == "MLflowConnectionsExhausted" and len(inputs) > 1:
        labels |= {"pod": "mlflow-0", "database": "tracking"}
    annotations = dict(rule["annotations"])
    if rule["alert"] == "MLflowJobFails":
        labels |= {"exported_job": "trace_archival"}
        annotations["summary"] = annotations["summary"].replace("{{ $labels.exported_job }}", "trace_archival")
    return {"exp_labels": labels, "exp_annotations": annotations}


@pytest.fixture(scope="module")
def scraped(tmp_path_factory) -> set[str]:
    """The names of the metrics of a server that has done some work."""
    folder = tmp_path_factory.mktemp("metrics")
    with ferroflow(f"sqlite:///{folder}/mlflow.db", artifacts=folder / "artifacts") as server:

        def post(path: str, body: dict) -> dict:
            request = urllib.request.Request(f"{server.url}/{path}", json.dumps(body).encode(), {"Content-Type": "application/json", "x-mlflow-experiment-id": "0"})
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.loads(response.read() or b"{}")

        run = post("api/2.0/mlflow/runs/create", {"experiment_id": "0"})["run"]["info"]["run_id"]
        post("api/2.0/mlflow/runs/log-metric", {"run_id": run, "key": "m", "value": 1, "timestamp": 1})
        post("api/2.0/mlflow/runs/search", {"experiment_ids": ["0"]})
        span = {"traceId": "1" * 32, "spanId": "1" * 16, "name": "s", "startTimeUnixNano": "1760000000000000000", "endTimeUnixNano": "1760000000005000000"}
        post("v1/traces", {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})
        deadline = time.monotonic() + 60
        while True:
            with urllib.request.urlopen(f"{server.url}/metrics", timeout=60) as response:
                text = response.read().decode()
            # The jobs begin with the server, some seconds after it.
            if 'ferroflow_job_runs_total{job="webhook_delivery"}' in text:
                break
            assert time.monotonic() < deadline, text
    return set(re.findall(r"^((?:ferroflow|mlflow)_\w+)", text, re.MULTILINE)) | set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE))


def test_dashboard_and_rules_name_metrics_that_a_server_has(rules, scraped):
    dashboard = (Path(chart.CHART) / "dashboards/ferroflow.json").read_text()
    named = set(re.findall(r"\bferroflow_\w+(?=\{)", dashboard + yaml.safe_dump(rules, width=10_000)))
    assert len(named) > 20
    assert not {name for name in named - scraped if not name.startswith(REPLICA)}
    recorded = {rule["record"] for group in rules["groups"] for rule in group["rules"] if "record" in rule}
    used = set(re.findall(r"\bferroflow:\w+:\w+", dashboard + "".join(rule["expr"] for group in rules["groups"] for rule in group["rules"])))
    assert used <= recorded


def test_the_guide_names_each_metric(scraped):
    text = (DOCS / "operations.md").read_text()
    section = text[text.index("## Observability") : text.index("## Alerts")] + text[text.index("## Background jobs") : text.index("## Observability")]
    named = set(re.findall(r"`((?:ferroflow|mlflow)_\w+)`", section))
    suffix = re.compile(r"_(bucket|sum|count|created)$")
    samples = {suffix.sub("", name) for name in scraped if name.endswith(("_total", "_info")) or not any(f"{name}{end}" in scraped for end in ("_total", "_info"))}
    histograms = {suffix.sub("", name) for name in scraped if name.endswith("_bucket")}
    missing = {name for name in samples if name not in named and name not in histograms} | (histograms - named)
    assert not missing, "in the server and not in the guide"
    # Those of `traces_archived` and the like are there once there is something to count.
    assert not {name for name in named if name.startswith("ferroflow_") and name not in samples | histograms and not name.startswith(REPLICA) and "trace" not in name and "webhook" not in name}
