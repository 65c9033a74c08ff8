"""The rows of a large database, written by SQL that both databases understand.

Every value follows from the number of its row and the seed: the same seed gives the same rows. At scale 1:

- 1,000,000 runs with 10 metrics, 10 params and 10 tags each, every second one in experiment ``LARGE``, the others in 5,000
  experiments of 100 runs. Runs are numbered from the oldest to the newest, one a minute.
- 50,000,000 points of metrics: one of each metric of each run, 100 more of each metric of every 40th run, 10 metrics of
  500,000 points of the run ``LONG``, and 10 metrics of 10,000 points of each of 100 runs of a chart.
- 100,000 logged models, as many registered models (by ``registry.py``), of which ``MANY_VERSIONS`` has 10,000 versions.
- 1,000,000 traces of five spans (by ``traces_data.py``).

What a filter selects is about as much at each scale, so that a page has as many rows: the first 5,000 runs of ``LARGE`` have
what is rare.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import registry

#: Experiments. 1 and 2 have the traces; the small ones follow ``LARGE``.
WRITERS_EXPERIMENT, CHART_EXPERIMENT, LARGE = 3, 4, 10
#: Runs that are written to.
WRITERS = [f"{number:032x}" for number in range(1, 65)]
LONG = "e" * 32
CHART_RUNS = 100
MANY_VERSIONS = "many-versions"
#: The time of the oldest run in milliseconds, and the time between two.
FIRST, BETWEEN = 1_600_000_000_000, 60_000
#: Rows of a transaction.
CHUNK = 500_000
#: The tables that have most rows: in PostgreSQL their indexes are created after the rows.
TABLES = ("runs", "experiment_tags", "metrics", "latest_metrics", "params", "tags", "datasets", "inputs", "input_tags", "logged_models", "logged_model_metrics",
          "logged_model_params", "logged_model_tags", "trace_info", "trace_tags", "trace_request_metadata", "spans", "assessments")

#: The tables whose size is told, and what a row of them is.
MEASURED = {"runs": "run", "metrics": "point of a metric", "latest_metrics": "metric of a run", "params": "param", "tags": "tag", "trace_info": "trace",
            "trace_tags": "tag of a trace", "trace_request_metadata": "metadata of a trace", "spans": "span of half a kilobyte", "model_versions": "model version"}

PARTS = ("runs", "registry", "traces")


@dataclass(frozen=True)
class Bulk:
    """Rows of a table: ``sql`` writes those that come from the numbers of a range."""

    name: str
    #: Numbers, and rows for each of them.
    count: int
    rows: int
    sql: Callable[[int, int], str]

    def chunks(self):
        step = max(CHUNK // self.rows, 1)
        for first in range(0, self.count, step):
            yield f"{self.name}/{first}", self.sql(first, min(first + step, self.count))


class Data:
    """The rows of a scale for a kind of database."""

    def __init__(self, backend: str, scale: float, seed: int = 0):
        self.is_sqlite, self.scale, self.seed = backend == "sqlite", scale, seed
        self.runs = max(int(1_000_000 * scale) // 80 * 80, 80)
        self.experiments = max(int(5_000 * scale), 10)
        self.steps_of_long = max(int(500_000 * scale), 100)
        self.chart_metrics = 10 if scale >= 0.1 else 1
        self.chart_steps = 10_000 if scale >= 0.02 else max(int(500_000 * scale), 100)
        self.logged_models = max(int(100_000 * scale), 100)
        self.registered_models = max(int(100_000 * scale), 1_000)
        self.versions = max(int(10_000 * scale), 200)
        self.traces = max(int(1_000_000 * scale), 1_000)

    def run(self, number: int) -> str:
        """The id of a run. Ids are spread as random ones are."""
        return hashlib.md5(f"{self.seed}-{number}".encode()).hexdigest()

    def run_of_large(self, number: int) -> str:
        """The id of a run of ``LARGE``, from the oldest."""
        return self.run(2 * number)

    def chart_run(self, number: int) -> str:
        return hashlib.md5(f"{self.seed}-chart-{number}".encode()).hexdigest()

    def logged_model(self, number: int) -> str:
        return "m-" + hashlib.md5(f"{self.seed}-model-{number}".encode()).hexdigest()

    def time(self, number: int) -> int:
        """The start of a run of ``LARGE``, from the oldest."""
        return FIRST + 2 * number * BETWEEN

    def points(self) -> int:
        return self.runs * 10 + self.runs // 40 * 1_000 + self.steps_of_long * 10 + CHART_RUNS * self.chart_metrics * self.chart_steps

    # --- SQL ------------------------------------------------------------------------------------------------------

    def numbers(self, first: int, end: int, name: str = "i") -> str:
        """Numbers as a source of rows."""
        if self.is_sqlite:
            return (f"(WITH RECURSIVE s({name}) AS (SELECT {first} UNION ALL SELECT {name} + 1 FROM s WHERE {name} + 1 < {end}) "
                    f"SELECT {name} FROM s) AS numbers_{name}")
        return f"generate_series(CAST({first} AS BIGINT), {end - 1}) AS numbers_{name}({name})"

    def id(self, text: str) -> str:
        return f"md5('{self.seed}-' || {text})"

    def value(self, run: str, metric: str) -> str:
        """A number from 0 to 1 that looks random."""
        return f"((({run}) * 7919 + ({metric}) * 104729 + {self.seed % 1_000_003} * 15485863) % 1000003) / CAST(1000003 AS DOUBLE PRECISION)"

    def each(self, table: str, columns: str, values: str, count: int, second: int = 1, where: str = "TRUE", name: str = "") -> Bulk:
        """A row for each ``i`` below ``count``, with ``k`` that counts every second one, and each ``m`` below ``second``."""

        def sql(first: int, end: int) -> str:
            source = f"(SELECT i, i / 2 AS k FROM {self.numbers(first, end)}) AS n"
            if second > 1:
                source += f" CROSS JOIN {self.numbers(0, second, 'm')}"
            return f"INSERT INTO {table} ({columns}) SELECT {values} FROM {source} WHERE {where}"

        return Bulk(name or table, count, second, sql)

    def bulks(self) -> list[Bulk]:
        """The rows of experiments, runs and logged models. Their order does not matter: there are no foreign keys yet."""
        run, in_large = self.id("i"), "i % 2 = 0"
        experiment = f"CASE WHEN {in_large} THEN {LARGE} ELSE {LARGE + 1} + k % {self.experiments} END"
        start = f"{FIRST} + i * CAST({BETWEEN} AS BIGINT)"
        rare = f"{in_large} AND k < 5000 AND k % 100 = 0"
        run_columns = ("run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time, end_time, source_version, "
                       "lifecycle_stage, artifact_uri, experiment_id")
        alone = "'LOCAL', '', '', 'bench', 'RUNNING', 1, NULL, '', 'active'"
        status = "CASE WHEN k % 20 = 7 THEN 'FAILED' WHEN k % 50 = 3 THEN 'RUNNING' ELSE 'FINISHED' END"
        metric = "key, value, timestamp, run_uuid, step, is_nan"
        value, is_nan = self.value("i", "m"), "m = 9 AND k % 50 = 5"
        latest = f"'metric-' || m, CASE WHEN {is_nan} THEN 0 ELSE {value} END, {start} + 100, {run}, 100, {is_nan}"
        chart_run, model = self.id("'chart-' || i"), "'m-' || " + self.id("'model-' || i")
        points_of_chart, run_of_chart = CHART_RUNS * self.chart_metrics, self.id(f"'chart-' || (m % {CHART_RUNS})")
        tag, param = "key, value, run_uuid", "key, value, run_uuid"
        tags = {
            "mlflow.runName": "'run-' || i", "mlflow.user": "'user-' || (k % 50)", "mlflow.source.name": "'train.py'",
            "mlflow.source.type": "'LOCAL'", **{f"tag-{number}": f"'value-' || ((k + {number}) % 20)" for number in range(5)},
            "group": "'group-' || (k % 50)",
        }
        tag_of = " ".join(f"WHEN {number} THEN '{key}'" for number, key in enumerate(tags))
        tag_value = " ".join(f"WHEN {number} THEN {text}" for number, text in enumerate(tags.values()))
        return [
            self.each("experiments", "experiment_id, name, artifact_location, lifecycle_stage, creation_time, last_update_time, workspace",
                      f"{WRITERS_EXPERIMENT} + i, 'experiment-' || i, 'mlflow-artifacts:/' || ({WRITERS_EXPERIMENT} + i), 'active', {FIRST} + i, "
                      f"{FIRST} + i * 7919 % 100000, 'default'", LARGE - WRITERS_EXPERIMENT + 1 + self.experiments),
            self.each("experiment_tags", "key, value, experiment_id", f"'team', 'team-' || (i % 10), {WRITERS_EXPERIMENT} + i",
                      LARGE - WRITERS_EXPERIMENT + 1 + self.experiments),
            self.each("runs", run_columns,
                      f"{run}, 'run-' || i, 'LOCAL', 'train.py', '', 'user-' || (k % 50), {status}, {start}, CASE WHEN k % 50 = 3 THEN NULL ELSE "
                      f"{start} + k * 7919 % 100000 END, '', CASE WHEN k % 50 = 49 THEN 'deleted' ELSE 'active' END, 'mlflow-artifacts:/' || "
                      f"({experiment}) || '/' || {run} || '/artifacts', {experiment}", self.runs),
            self.each("runs", run_columns, f"{chart_run}, 'chart-' || i, {alone}, 'mlflow-artifacts:/{CHART_EXPERIMENT}/' || {chart_run} || "
                      f"'/artifacts', {CHART_EXPERIMENT}", CHART_RUNS, name="chart_runs"),
            Bulk("writers", 1, 1, lambda first, end: f"INSERT INTO runs ({run_columns}) VALUES " + ", ".join(
                f"('{writer}', 'writer', {alone}, 'mlflow-artifacts:/{WRITERS_EXPERIMENT}/{writer}/artifacts', {WRITERS_EXPERIMENT})"
                for writer in [*WRITERS, LONG])),
            self.each("latest_metrics", metric, latest, self.runs, 10),
            self.each("metrics", metric, latest, self.runs, 10),
            # Here `i` counts every 40th run, and `m` 100 steps of 10 metrics.
            self.each("metrics", metric,
                      f"'metric-' || (m / 100), {self.value('i * 40', 'm / 100')} + (100 - m % 100) / CAST(100 AS DOUBLE PRECISION), "
                      f"{FIRST} + i * 40 * CAST({BETWEEN} AS BIGINT) + m % 100, {self.id('(i * 40)')}, m % 100, FALSE",
                      self.runs // 40, 1_000, name="trained"),
            self.each("metrics", metric, f"'metric-' || m, 1 / CAST(i + 1 AS DOUBLE PRECISION), {FIRST} + i, '{LONG}', i, FALSE",
                      self.steps_of_long, 10, name="long"),
            self.each("latest_metrics", metric, f"'metric-' || m, 0.5, {FIRST} + {self.steps_of_long}, '{LONG}', {self.steps_of_long}, FALSE", 1, 10,
                      name="long_latest"),
            self.each("metrics", metric, f"'metric-' || (m / {CHART_RUNS}), {self.value('i', 'm')}, {FIRST} + i, "
                      f"{run_of_chart}, i, FALSE", self.chart_steps, points_of_chart, name="chart"),
            self.each("latest_metrics", metric, f"'metric-' || m, 0.5, {FIRST}, {chart_run}, {self.chart_steps}, FALSE", CHART_RUNS,
                      max(self.chart_metrics, 2), where=f"m < {self.chart_metrics}", name="chart_latest"),
            self.each("params", param, f"'param-' || m, CASE WHEN m = 9 AND {rare} THEN 'rare' ELSE 'value-' || ((k + m) % 50) END, {run}",
                      self.runs, 10),
            self.each("tags", tag, f"CASE m {tag_of} END, CASE m {tag_value} END, {run}", self.runs, len(tags)),
            self.each("tags", tag, f"'mlflow.parentRunId', '{self.run(0)}', {run}", min(10_000, self.runs), where=rare, name="children"),
            self.each("datasets", "dataset_uuid, experiment_id, name, digest, dataset_source_type, dataset_source",
                      f"'dataset-' || i, {LARGE}, 'dataset-' || i, 'digest-' || i, 'local', '/data'", 20),
            self.each("inputs", "input_uuid, source_type, source_id, destination_type, destination_id, step",
                      f"'input-' || i, 'DATASET', 'dataset-' || (k / 4 % 20), 'RUN', {run}, 0", self.runs, where=f"{in_large} AND k % 4 = 0"),
            self.each("input_tags", "input_uuid, name, value",
                      "'input-' || i, 'mlflow.data.context', CASE WHEN k % 8 = 0 THEN 'training' ELSE 'validation' END", self.runs,
                      where=f"{in_large} AND k % 4 = 0"),
            self.each("logged_models", "model_id, experiment_id, name, artifact_location, creation_timestamp_ms, last_updated_timestamp_ms, status, "
                      "lifecycle_stage, model_type, source_run_id",
                      f"{model}, {LARGE}, 'model-' || (i % 100), 'mlflow-artifacts:/{LARGE}/models/' || {model}, {start}, {start}, "
                      f"CASE WHEN i % 5 = 4 THEN 3 ELSE 2 END, 'active', 'agent', {self.id('(i * 2)')}", self.logged_models),
            self.each("logged_model_metrics", "model_id, metric_name, metric_timestamp_ms, metric_step, metric_value, experiment_id, run_id",
                      f"{model}, 'metric-' || m, {start}, 1, {value}, {LARGE}, {self.id('(i * 2)')}", self.logged_models, 2),
            self.each("logged_model_params", "model_id, experiment_id, param_key, param_value",
                      f"{model}, {LARGE}, 'param-' || m, 'value-' || (i % 50)", self.logged_models, 2),
            self.each("logged_model_tags", "model_id, experiment_id, tag_key, tag_value", f"{model}, {LARGE}, 'tag-' || m, 'value-' || (i % 20)",
                      self.logged_models, 2),
        ]

    def fill_registry(self, execute, many) -> None:
        """The models and prompts of ``registry.py``, and one model with many versions."""
        registry.fill(many, self.registered_models)
        execute("INSERT INTO registered_models (workspace, name, creation_time, last_updated_time, description) VALUES "
                f"('default', '{MANY_VERSIONS}', 1, 1, '')")
        many("INSERT INTO model_versions (workspace, name, version, creation_time, last_updated_time, description, current_stage, source, "
             "storage_location, run_link, status) VALUES ('default', {0}, {0}, {0}, {0}, '', 'None', {0}, {0}, '', 'READY')",
             [(MANY_VERSIONS, version, version, version, registry.SOURCE, registry.SOURCE) for version in range(1, self.versions + 1)])
