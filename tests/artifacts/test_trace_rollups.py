"""Rollups of traces that the reference builds are read here, and the other way round; each invalidates them for the other."""

import base64
import subprocess
import time
import uuid

import pytest
import requests
from mlflow.entities import Feedback, Span, TraceInfo, TraceLocation, TraceState
from mlflow.entities.trace_metrics import AggregationType, MetricAggregation, MetricViewType
from mlflow.store.db.trace_rollups import run_sql_trace_rollups
from mlflow.store.tracking.dbmodels.models import (
    SqlAssessmentDailyRollup,
    SqlSpanCostDailyRollup,
    SqlTraceMetricDailyRollup,
    SqlTraceRollupRebuild,
)
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from support import postgres, required
from support.servers import ferroflow

DAY = 86_400_000

#: The first day with traces.
START = 1_760_000_000_000 // DAY * DAY

TABLES = (SqlTraceMetricDailyRollup, SqlSpanCostDailyRollup, SqlAssessmentDailyRollup)

#: View, metric, aggregations and dimensions.
QUERIES = [
    ("TRACES", "trace_count", ["COUNT"], []),
    ("TRACES", "trace_count", ["COUNT"], ["trace_status"]),
    ("TRACES", "latency", ["AVG", "MIN", "MAX"], []),
    ("TRACES", "latency", [("PERCENTILE", 90.0)], []),
    ("TRACES", "total_tokens", ["SUM", "AVG"], []),
    ("SPANS", "total_cost", ["SUM", "AVG", "MAX"], []),
    ("SPANS", "total_cost", ["SUM"], ["span_model_name"]),
    ("ASSESSMENTS", "assessment_count", ["COUNT"], []),
    ("ASSESSMENTS", "assessment_value", ["AVG"], []),
]

#: The whole days, with a part of the day before and behind.
START_MS, END_MS = START - DAY // 2, START + 4 * DAY + DAY // 3


def ids(number: int, size: int) -> str:
    return base64.b64encode(number.to_bytes(size, "big")).decode()


class Both:
    """A database, the reference's store on it, and what a server of ours answers."""

    def __init__(self, uri: str):
        self.uri = uri
        self.store = SqlAlchemyStore(uri.replace("postgresql://", "postgresql+psycopg2://"), "mlflow-artifacts:/")

    def trace(self, number: int, began: int, state: TraceState) -> str:
        unique = uuid.uuid4().int
        id = f"tr-{unique:032x}"
        span = {
            "trace_id": ids(unique, 16), "span_id": ids(1, 8), "parent_span_id": None, "name": "root",
            "start_time_unix_nano": began * 1_000_000, "end_time_unix_nano": (began + number) * 1_000_000,
            "status": {"code": "STATUS_CODE_OK", "message": ""}, "events": [], "links": [],
            "attributes": {
                "mlflow.traceRequestId": f'"{id}"', "mlflow.llm.model": f'"model-{number % 2}"',
                "mlflow.llm.cost": f'{{"input_cost": 0.5, "output_cost": {number}.25, "total_cost": {number}.75}}',
                "mlflow.chat.tokenUsage": f'{{"input_tokens": {number}, "output_tokens": 2, "total_tokens": {number + 2}}}',
            },
        }  # fmt: skip
        self.store.log_spans("0", [Span.from_dict(span)])
        place = TraceLocation.from_experiment_id("0")
        self.store.start_trace(
            TraceInfo(trace_id=id, trace_location=place, request_time=began, state=state, execution_duration=number)
        )
        self.store.create_assessment(Feedback(trace_id=id, name="good", value=number))
        return id

    def build(self) -> None:
        run_sql_trace_rollups(self.store.engine)

    def rows(self) -> list[list[tuple]]:
        """All rollups, without their ids."""
        found = []
        with self.store.ManagedSessionMaker() as session:
            for table in TABLES:
                columns = [column for column in table.__table__.columns if column.name != "id"]
                rows = [
                    tuple(round(value, 6) if isinstance(value, float) else value for value in row)
                    for row in session.query(*columns)
                ]
                found.append(sorted(rows, key=repr))
        return found

    def queue(self) -> set[str]:
        with self.store.ManagedSessionMaker() as session:
            return {family for (family,) in session.query(SqlTraceRollupRebuild.rollup_family)}

    def theirs(self, query, interval) -> list:
        view, metric, aggregations, dimensions = query
        made = [a if isinstance(a, tuple) else (a, None) for a in aggregations]
        points = self.store.query_trace_metrics(
            ["0"], MetricViewType(view), metric, [MetricAggregation(AggregationType(name), value) for name, value in made],
            dimensions, None, interval, START_MS, END_MS,
        )  # fmt: skip
        return [
            (dict(point.dimensions), {name: round(float(value), 6) for name, value in point.values.items()})
            for point in points
        ]


def ours(server, query, interval) -> list:
    view, metric, aggregations, dimensions = query
    made = [a if isinstance(a, tuple) else (a, None) for a in aggregations]
    body = {
        "experiment_ids": ["0"], "view_type": view, "metric_name": metric, "dimensions": dimensions,
        "aggregations": [{"aggregation_type": name} | ({"percentile_value": value} if value else {}) for name, value in made],
        "start_time_ms": START_MS, "end_time_ms": END_MS,
    }  # fmt: skip
    body |= {"time_interval_seconds": interval} if interval else {}
    answer = requests.post(f"{server.url}/api/3.0/mlflow/traces/metrics", json=body)
    assert answer.status_code == 200, answer.text
    points = answer.json().get("data_points", [])
    return [
        (point.get("dimensions", {}), {name: round(value, 6) for name, value in point["values"].items()})
        for point in points
    ]


def assert_same(both: Both, server, monkeypatch, when: str) -> None:
    for interval in (None, 86_400):
        for query in QUERIES:
            found = ours(server, query, interval)
            assert found == both.theirs(query, interval), (when, query, interval)
            with monkeypatch.context() as patch:
                patch.setenv("MLFLOW_SQL_TRACE_ROLLUPS_ENABLED", "false")
                assert found == both.theirs(query, interval), (when, query, interval, "without rollups")


def env(schedule: str) -> dict[str, str]:
    jobs = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "true"}
    return jobs | {"MLFLOW_SQL_TRACE_ROLLUPS_ENABLED": "true", "MLFLOW_TRACE_ROLLUPS_SCHEDULE": schedule}


@pytest.mark.parametrize("dialect", postgres.DIALECTS)
@pytest.mark.rotates(by="dialect")
def test_both_build_and_read_the_same_rollups(dialect, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_SQL_TRACE_ROLLUPS_ENABLED", "true")
    with postgres.database(dialect, tmp_path, "rollups") as uri:
        with ferroflow(uri, tmp_path / "artifacts", env=env("0 0 29 2 *")) as server:
            both = Both(uri)
            traces = [
                both.trace(
                    number, START + number * DAY // 3 + 5, TraceState.ERROR if number % 4 == 0 else TraceState.OK
                )
                for number in range(12)
            ]
            assert_same(both, server, monkeypatch, "before")
            both.build()
            built = both.rows()
            assert all(built) and not both.queue()
            assert_same(both, server, monkeypatch, "built by the reference")

            feedback = {"assessment": {"assessment_name": "late", "feedback": {"value": 41}}}
            answer = requests.post(f"{server.url}/api/3.0/mlflow/traces/{traces[4]}/assessments", json=feedback)
            assert answer.status_code == 200, answer.text
            assert both.queue() == {"assessment"}
            assert_same(both, server, monkeypatch, "invalidated by us")
            both.build()
            assert not both.queue() and both.rows() != built
            assert_same(both, server, monkeypatch, "built again")
            doomed = {"experiment_id": "0", "request_ids": [traces[7]]}
            assert requests.post(f"{server.url}/api/2.0/mlflow/traces/delete-traces", json=doomed).json() == {
                "traces_deleted": 1
            }
            assert both.queue() == {"assessment", "span_cost", "trace_metric"}
            assert_same(both, server, monkeypatch, "a trace is deleted")
            both.build()
            built = both.rows()
        command = [required("FERROFLOW_BIN"), "db", "delete-trace-rollups", uri, "--yes"]
        deleted = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert deleted.startswith("Deleted SQL trace rollups: trace_metric="), deleted
        assert both.rows() == [[], [], []]
        with ferroflow(uri, tmp_path / "artifacts", env=env("* * * * *")) as server:
            until = time.monotonic() + 150
            while time.monotonic() < until and both.rows() != built:
                time.sleep(1)
            assert both.rows() == built
            both.store.create_assessment(Feedback(trace_id=traces[2], name="late", value=7))
            assert_same(both, server, monkeypatch, "built by us")
        both.store.engine.dispose()


@pytest.mark.rotates(every=4)
def test_a_server_without_rollups_does_not_start_where_there_are_some(tmp_path):
    with postgres.database("sqlite", tmp_path, "rollups") as uri:
        with ferroflow(uri, tmp_path / "artifacts"):
            both = Both(uri)
            both.trace(1, START, TraceState.OK)
        both.build()
        both.store.engine.dispose()
        command = [required("FERROFLOW_BIN"), "server", "--backend-store-uri", uri, "--port", "0"]
        refused = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60)
        assert refused.returncode == 1
        assert (
            "SQL trace rollups cannot be disabled while materialized rollup rows exist"
            in refused.stdout + refused.stderr
        )
