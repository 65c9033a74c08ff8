"""Alerts and dashboard ask only for metrics that there are: those of the server are asked of one, with their labels."""

import json
import re
import urllib.request
from pathlib import Path

import promql_parser
import pytest
import yaml
from support import chart
from support.servers import ferroflow

CASES = ("openshift-everything", "kubernetes-mlflow")
DRILL = ("drill.enabled=true", "drill.image.repository=registry.example/kubectl", "drill.image.tag=1.31.0")
EXPORTERS = yaml.safe_load((Path(__file__).parent / "exporters.yaml").read_text())
#: What Prometheus adds to every metric that it reads.
ADDED = {"namespace", "service", "pod", "job", "instance"}

#: Of servers with a read replica: `tests/durability/test_replicas.py` waits for them.
OF_REPLICAS = {"ferroflow_read_replica_in_use", "ferroflow_read_replica_lag_seconds", "ferroflow_read_replica_lag_bytes",
               "ferroflow_read_replica_reads"}


def expressions(case: str) -> dict[str, str]:
    """What Prometheus is asked, by the alert, the recorded series or the panel that asks."""
    found = {}
    for made in chart.objects(case, *DRILL):
        if made["kind"] == "PrometheusRule":
            for rule in [rule for group in made["spec"]["groups"] for rule in group["rules"]]:
                found[rule.get("alert") or rule["record"]] = rule["expr"]
        if made["kind"] == "ConfigMap":
            for name, text in made["data"].items():
                if name.endswith(".json"):
                    for panel in json.loads(text)["panels"]:
                        found |= {f"{panel['title']} {number}": target["expr"] for number, target in enumerate(panel.get("targets", []))}
    return found


def walk(node, inside=()):
    """Every selector in an expression, with what is around it."""
    if isinstance(node, (promql_parser.VectorSelector, promql_parser.MatrixSelector)):
        selector = getattr(node, "vector_selector", node)
        yield selector, inside
        return
    for part in ("lhs", "rhs", "expr", "param"):
        if (child := getattr(node, part, None)) is not None:
            yield from walk(child, (*inside, node))
    for child in getattr(node, "args", None) or []:
        yield from walk(child, (*inside, node))


def selectors(expression: str):
    """The name, the labels that are matched and those that are grouped by, of each metric in an expression."""
    for selector, inside in walk(promql_parser.parse(expression)):
        matched = {matcher.name for matcher in selector.matchers.matchers}
        grouped = set()
        for node in inside:
            modifier = getattr(node, "modifier", None)
            if isinstance(node, promql_parser.AggregateExpr) and modifier is not None:
                grouped |= set(modifier.labels)
        yield selector.name, matched, grouped


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> dict[str, set[str]]:
    """Metrics of a server that has answered something, with their labels."""
    folder = tmp_path_factory.mktemp("server")
    with ferroflow(f"sqlite:///{folder}/mlflow.db", folder / "artifacts") as server:
        request = urllib.request.Request(
            f"{server.url}/api/2.0/mlflow/experiments/create", b'{"name": "x"}', {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=30).close()
        with urllib.request.urlopen(f"{server.url}/metrics", timeout=30) as answer:
            text = answer.read().decode()
    found = {}
    for name, labels in re.findall(r"^([a-z_]+)(?:\{(.*)\})? ", text, re.MULTILINE):
        found.setdefault(name, set()).update(re.findall(r'([a-z_]+)="', labels))
    return found


@pytest.mark.parametrize("case", CASES)
def test_what_is_asked_for_is_there(case, exported):
    asked = expressions(case)
    assert len(asked) >= 5
    others = {name for names in EXPORTERS.values() for name in names}
    for who, expression in asked.items():
        for name, matched, grouped in selectors(expression):
            # A recorded series is asked for what it is made of.
            if name in others or name in asked or name in OF_REPLICAS:
                continue
            assert name in exported, f"{who}: the server has no {name}"
            # Prometheus renames a label of the server that it adds itself.
            renamed = {f"exported_{label}" for label in exported[name] & ADDED}
            missing = (matched | grouped) - exported[name] - renamed - ADDED
            assert not missing, f"{who}: {name} has no {missing}"


def test_nothing_is_listed_that_nobody_asks_for():
    """Who asks for less tells it here."""
    asked = {name for case in CASES for expression in expressions(case).values() for name, _, _ in selectors(expression)}
    assert {name for names in EXPORTERS.values() for name in names} <= asked | {"cnpg_collector_last_available_backup_timestamp"}


def test_the_drills_alert_ends_with_a_drill_that_succeeds():
    """Jobs that failed are kept to be looked at, and must not keep the alert."""
    [expression] = [text for name, text in expressions("openshift-everything").items() if name == "MLflowDrillFailed"]
    names = [name for name, _, _ in selectors(expression)]
    assert names.count("kube_cronjob_status_last_successful_time") == 3
    assert "kube_job_status_start_time" in names


@pytest.mark.parametrize(("method", "metric"), [("plugin", "barman_cloud_cloudnative_pg_io"), ("inTree", "cnpg_collector")])
def test_the_age_of_backups_is_told_by_who_takes_them(method, metric):
    rules = chart.objects("openshift-everything", f"backup.method={method}").one("PrometheusRule")
    [rule] = [rule for group in rules["spec"]["groups"] for rule in group["rules"] if rule.get("alert") == "MLflowBackupTooOld"]
    assert {name for name, _, _ in selectors(rule["expr"])} == {f"{metric}_last_available_backup_timestamp"}
