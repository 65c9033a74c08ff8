"""The workspaces of the benchmark, written by SQL that both databases understand.

Every workspace has the same: experiments, half of its runs in the first one and the others spread over the rest, traces and
logged models in the first one, registered models. Rows of the workspaces alternate, as those of teams that work side by side.
"""

from collections.abc import Callable
from dataclasses import dataclass

#: Of each workspace. The first experiment has half of the runs.
RUNS, TRACES, LOGGED_MODELS, REGISTERED_MODELS = 1_000, 200, 100, 100
#: Metrics, params and tags of a run.
KEYS = 2
START = 1_700_000_000_000
DEFAULT = "default"


def workspace(number: int) -> str:
    return f"team-{number:05}" if number else DEFAULT


@dataclass(frozen=True)
class Data:
    """``workspaces`` with ``experiments`` in each. The first workspace is the default one."""

    backend: str
    workspaces: int
    experiments: int

    def experiment(self, workspace: int, number: int) -> int:
        """The id of an experiment of a workspace."""
        return number * self.workspaces + workspace + 1

    def run(self, workspace: int, number: int) -> str:
        """The id of a run of a workspace. Ids are spread as random ones are."""
        count = number * self.workspaces + workspace
        return f"{count * 2654435761 % 4294967296:08x}{count:024x}"

    def id(self, prefix: str = "") -> str:
        """The id of row `i` as SQL."""
        spread = "(i * CAST(2654435761 AS BIGINT)) % 4294967296"
        if self.backend == "sqlite":
            return f"printf('{prefix}%08x%024x', {spread}, i)"
        return f"'{prefix}' || lpad(to_hex({spread}), 8, '0') || lpad(to_hex(i), 24, '0')"

    def rows(self, table: str, columns: str, values: str, each: int) -> str:
        """``each`` rows of a table in every workspace: `w` is the workspace, `n` the number in it, `i` that of all."""
        count = self.workspaces * each
        series = (f"WITH RECURSIVE s(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM s WHERE i + 1 < {count}) SELECT i FROM s"
                  if self.backend == "sqlite" else f"SELECT i::bigint FROM generate_series(0, {count} - 1) AS s(i)")
        return (f"INSERT INTO {table} ({columns}) SELECT {values} FROM (SELECT i, i % {self.workspaces} AS w, i / {self.workspaces} AS n "
                f"FROM ({series}) AS numbers) AS rows")

    def fill(self, execute: Callable, _many: Callable) -> None:
        # Foreign keys are not checked: the ids are those that were just written.
        execute("PRAGMA synchronous = OFF" if self.backend == "sqlite" else "SET session_replication_role = replica")
        if self.backend == "sqlite":
            execute("PRAGMA cache_size = -400000")
        number = "printf('%05d', w)" if self.backend == "sqlite" else "lpad(w::text, 5, '0')"
        name = f"CASE WHEN w = 0 THEN '{DEFAULT}' ELSE 'team-' || {number} END"
        first = "w + 1"
        experiment = f"CASE WHEN n % 2 = 0 THEN w + 1 ELSE (1 + n / 2 % {max(self.experiments - 1, 1)}) * {self.workspaces} + w + 1 END"
        execute(self.rows("workspaces", "name", name, 1) + " WHERE w > 0")
        execute(self.rows(
            "experiments", "experiment_id, name, artifact_location, lifecycle_stage, creation_time, last_update_time, workspace",
            f"i + 1, 'experiment-' || n, 'mlflow-artifacts:/' || (i + 1), 'active', {START} + i, {START} + i, {name}", self.experiments))
        execute(self.rows("experiment_tags", "experiment_id, key, value", "i + 1, 'stage', 'stage-' || (n % 10)", self.experiments))
        execute(self.rows(
            "runs", "run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time, source_version, "
            "lifecycle_stage, artifact_uri, experiment_id",
            f"{self.id()}, 'run-' || n, 'LOCAL', '', '', 'bench', 'FINISHED', {START} + i, '', 'active', 'mlflow-artifacts:/0', {experiment}", RUNS))
        for key in range(KEYS):
            execute(self.rows("latest_metrics", "key, value, timestamp, run_uuid, step, is_nan",
                              f"'metric-{key}', (i * 7919 % 1000003) / 1000003.0, i, {self.id()}, 1, FALSE", RUNS))
            execute(self.rows("params", "key, value, run_uuid", f"'param-{key}', 'value-' || (n % 50), {self.id()}", RUNS))
            execute(self.rows("tags", "key, value, run_uuid", f"'tag-{key}', 'value-' || (n % 20), {self.id()}", RUNS))
        execute(self.rows(
            "logged_models", "model_id, experiment_id, name, artifact_location, creation_timestamp_ms, last_updated_timestamp_ms, status, lifecycle_stage",
            f"{self.id('m-')}, {first}, 'model-' || n, 'mlflow-artifacts:/0', {START} + i, {START} + i, 2, 'active'", LOGGED_MODELS))
        execute(self.rows("registered_models", "workspace, name, creation_time, last_updated_time, description",
                          f"{name}, 'model-' || n, {START} + i, {START} + i, 'about it'", REGISTERED_MODELS))
        execute(self.rows("registered_model_tags", "workspace, name, key, value", f"{name}, 'model-' || n, 'tier', 'tier-' || (n % 7)", REGISTERED_MODELS))
        execute(self.rows(
            "model_versions", "workspace, name, version, creation_time, last_updated_time, description, current_stage, source, storage_location, "
            "run_link, status",
            f"{name}, 'model-' || n, 1, {START} + i, {START} + i, '', 'None', 's3://bucket/model', 's3://bucket/model', '', 'READY'", REGISTERED_MODELS))
        execute(self.rows(
            "trace_info", "request_id, experiment_id, timestamp_ms, execution_time_ms, status, request_preview, response_preview, db_payload_generation",
            f"{self.id('tr-')}, {first}, {START} + i, 100 + n, 'OK', 'question ' || n, 'answer ' || n, 1", TRACES))
        for key, value in (("mlflow.traceName", "'agent-' || (n % 20)"), ("env", "CASE WHEN n % 3 = 0 THEN 'dev' ELSE 'prod' END")):
            execute(self.rows("trace_tags", "key, value, request_id", f"'{key}', {value}, {self.id('tr-')}", TRACES))
