"""The traces of the benchmark, written by SQL that both databases understand.

Experiment 1 has nine traces of ten, over the last 30 days; experiment 2 has the others. Each trace has five spans: an
agent, and below it two calls of a model, a tool and a retriever. One trace of ten has a feedback.
"""

import time
from collections.abc import Callable

DAY_MS = 86_400_000
DAYS = 30
SPANS = 5
#: A trace in so many has what is looked for by the filters that find few.
RARE = 5_000
RUN = "a" * 32
MODEL = "m-" + "b" * 32


class Data:
    """``count`` traces that end now."""

    def __init__(self, backend: str, count: int):
        self.is_sqlite, self.count = backend == "sqlite", count
        self.end = int(time.time() * 1000) // 1000 * 1000
        self.start = self.end - DAYS * DAY_MS

    def id(self, number: str) -> str:
        """The id of a trace as SQL. Ids are spread as random ones are."""
        spread = f"({number} * CAST(2654435761 AS BIGINT)) % 4294967296"
        if self.is_sqlite:
            return f"printf('tr-%08x%024x', {spread}, {number})"
        return f"'tr-' || lpad(to_hex({spread}), 8, '0') || lpad(to_hex({number}), 24, '0')"

    def id_of(self, number: int) -> str:
        return f"tr-{number * 2654435761 % 4294967296:08x}{number:024x}"

    def time(self, number: str) -> str:
        """The start of a trace in milliseconds as SQL."""
        return f"({self.start} + {number} * CAST({DAYS * DAY_MS} AS BIGINT) / {self.count})"

    def traces(self, columns: str, values: str, where: str = "TRUE", into: str = "trace_info") -> str:
        return (f"INSERT INTO {into} ({columns}) WITH RECURSIVE n(i) AS (SELECT CAST(0 AS BIGINT) UNION ALL SELECT i + 1 FROM n "
                f"WHERE i + 1 < {self.count}) SELECT {values} FROM n WHERE {where}")

    def fill(self, execute: Callable, _many: Callable) -> None:
        identity, started = self.id("i"), self.time("i")
        experiment = "CASE WHEN i % 10 = 9 THEN 2 ELSE 1 END"
        rare = f"i % {RARE} = 0"
        for number in (1, 2):
            execute("INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, creation_time, last_update_time, "
                    f"workspace) VALUES ({number}, 'traces-{number}', 'mlflow-artifacts:/{number}', 'active', 1, 1, 'default')")
        execute("INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time, source_version, "
                f"lifecycle_stage, artifact_uri, experiment_id) VALUES ('{RUN}', 'run', 'LOCAL', '', '', 'bench', 'FINISHED', 1, '', 'active', "
                f"'mlflow-artifacts:/1/{RUN}/artifacts', 1)")
        execute(self.traces(
            "request_id, experiment_id, timestamp_ms, execution_time_ms, status, request_preview, response_preview, db_payload_generation, "
            "trace_name, session_id, input_tokens, output_tokens, total_tokens, input_cost, output_cost, total_cost",
            f"{identity}, {experiment}, {started}, 100 + i * 7919 % 5000, CASE WHEN {rare} THEN 'ERROR' ELSE 'OK' END, 'question ' || i, "
            "'answer ' || i, 1, 'agent-' || (i % 20), 'session-' || (i / 10), 100 + i % 900, 50 + i % 450, 150 + i % 900 + i % 450, "
            "0.001, 0.002, 0.003"))
        for key, value, where in [
            ("mlflow.traceName", "'agent-' || (i % 20)", "TRUE"), ("mlflow.trace.spansLocation", "'TRACKING_STORE'", "TRUE"),
            ("mlflow.artifactLocation", f"'mlflow-artifacts:/1/traces/' || {identity} || '/artifacts'", "TRUE"),
            ("env", f"CASE WHEN {rare} THEN 'canary' WHEN i % 3 = 0 THEN 'dev' ELSE 'prod' END", "TRUE"), ("flag", "'x'", rare),
        ]:
            execute(self.traces("key, value, request_id", f"'{key}', {value}, {identity}", where, "trace_tags"))
        for key, value, where in [
            ("mlflow.trace.user", "'user-' || (i % 1000)", "TRUE"), ("mlflow.trace.session", "'session-' || (i / 10)", "TRUE"),
            ("mlflow.modelId", f"CASE WHEN {rare} THEN '{MODEL}' ELSE 'm-' || (i % 5) END", "TRUE"), ("mlflow.sourceRun", f"'{RUN}'", rare),
        ]:
            execute(self.traces("key, value, request_id", f"'{key}', {value}, {identity}", where, "trace_request_metadata"))
        for span, (kind, name, parent) in enumerate([
            ("AGENT", "'agent-' || (i % 20)", "NULL"), ("LLM", "'plan'", "1"), ("CHAT_MODEL", "'chat'", "1"),
            ("TOOL", f"CASE WHEN {rare} THEN 'rare_tool' ELSE 'tool-' || (i % 10) END", "1"), ("RETRIEVER", "'search'", "1"),
        ], 1):
            start = f"({started} * 1000000 + {span} * 1000000)"
            parent = "NULL" if parent == "NULL" else f"'{1:016x}'"
            cost = "0.001, 0.002, 0.003, 'model-' || (i % 3), 'provider'" if kind in ("LLM", "CHAT_MODEL") else "NULL, NULL, NULL, NULL, NULL"
            word = f"CASE WHEN {rare} THEN 'needle' ELSE 'hay' END" if kind == "TOOL" else "'hay'"
            text = lambda json: "'" + json + "'"  # noqa: E731
            parent_id = "null" if parent == "NULL" else '"AAAAAAAAAAE="'
            content = " || ".join([
                text(f'{{"trace_id": "AAAAAAAAAAAAAAAAAAAAAQ==", "span_id": "AAAAAAAAAA{"ABCDEF"[span]}=", "parent_span_id": {parent_id}, "name": "'),
                name, text('", "start_time_unix_nano": '), start, text(', "end_time_unix_nano": '), f"({start} + 50000000)",
                text(', "status": {"code": "STATUS_CODE_OK", "message": ""}, "events": [], "attributes": {"mlflow.traceRequestId": "\\"'), identity,
                text('\\"", "mlflow.spanInputs": "\\"'), word, text(" of request "), "i", text('\\"", "customer": "\\"'), word, text('\\""}}' + " " * 100)])
            execute(self.traces(
                "trace_id, experiment_id, span_id, parent_span_id, name, type, status, start_time_unix_nano, end_time_unix_nano, content, "
                "input_cost, output_cost, total_cost, model_name, model_provider",
                f"{identity}, {experiment}, '{span:016x}', {parent}, {name}, '{kind}', CASE WHEN {rare} THEN 'ERROR' ELSE 'OK' END, {start}, "
                f"{start} + 50000000, {content}, {cost}", into="spans"))
        execute(self.traces(
            "assessment_id, trace_id, name, assessment_type, value, created_timestamp, last_updated_timestamp, source_type, source_id, valid, "
            "experiment_id, trace_timestamp_ms, aggregate_value, is_numeric_value",
            f"'a-' || i, {identity}, 'quality', 'feedback', CASE WHEN {rare} THEN '0' ELSE '1' END, {started}, {started}, 'HUMAN', 'bench', TRUE, "
            f"{experiment}, {started}, CASE WHEN {rare} THEN 0 ELSE 1 END, TRUE", "i % 10 = 0", "assessments"))
