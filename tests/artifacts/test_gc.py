"""``ferroflow gc``: what is deleted for good, what is kept, and what is told."""

import contextlib
import json
import pathlib
import sqlite3
import subprocess
import threading
import uuid

import psycopg2
import pytest
import requests
from folders import names
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from support import postgres, required, stores
from support.servers import ferroflow

pytestmark = pytest.mark.rotates(every=4)


class Folder:
    """A directory for artifacts, looked at as a bucket is."""

    def __init__(self, root):
        self._root, self.env = root, {}

    def put(self, key: str, body: bytes) -> None:
        file = self._root / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)

    def keys(self, prefix: str = "") -> list[str]:
        return [name for name in names(self._root) if name.startswith(prefix)]

    def folders(self) -> list[str]:
        """The folders below the destination."""
        return sorted(str(file.relative_to(self._root / "pre")) for file in self._root.glob("pre/**/*") if file.is_dir())


class Place:
    """A database, a bucket or a directory, and a server on both."""

    def __init__(self, uri, store, destination, server):
        self.uri, self.store, self.destination, self.server = uri, store, destination, server
        self.client = MlflowClient(server.url)

    def command(self, *args, destination=True) -> list[str]:
        command = [required("FERROFLOW_BIN"), "gc", "--backend-store-uri", self.uri, *args]
        return [*command, "--artifacts-destination", self.destination] if destination else command

    def gc(self, *args, destination=True, code=0) -> list[str]:
        command = self.command(*args, destination=destination)
        outcome = subprocess.run(command, env=self.store.env, capture_output=True, text=True, timeout=120)
        assert outcome.returncode == code, outcome.stdout + outcome.stderr
        return (outcome.stdout + outcome.stderr).splitlines()

    @contextlib.contextmanager
    def database(self):
        """A cursor of the database, and the mark that stands for a value in its statements."""
        sqlite = self.uri.startswith("sqlite")
        connect = (lambda: sqlite3.connect(self.uri.removeprefix("sqlite:///"))) if sqlite else lambda: psycopg2.connect(self.uri)
        with contextlib.closing(connect()) as connection, contextlib.closing(connection.cursor()) as cursor:
            yield cursor, "?" if sqlite else "%s"
            connection.commit()

    def insert(self, table: str, rows: list[dict]) -> None:
        with self.database() as (cursor, mark):
            marks = ", ".join([mark] * len(rows[0]))
            statement = f"INSERT INTO {table} ({', '.join(rows[0])}) VALUES ({marks})"
            cursor.executemany(statement, [tuple(row.values()) for row in rows])

    def trace(self, experiment="0") -> str:
        id = f"tr-{uuid.uuid4().hex}"
        self.insert("trace_info", [{"request_id": id, "experiment_id": int(experiment), "timestamp_ms": 1, "status": "OK"}])
        location = f"mlflow-artifacts:/{experiment}/traces/{id}/artifacts"
        self.insert("trace_tags", [{"request_id": id, "key": "mlflow.artifactLocation", "value": location}])
        self.store.put(f"pre/{experiment}/traces/{id}/artifacts/traces.json", b"{}")
        return id

    def deleted_runs(self, number: int) -> list[str]:
        """Runs that were deleted long ago, written past the server, which would take its time."""
        runs = [uuid.uuid4().hex for _ in range(number)]
        row = {"status": "FINISHED", "lifecycle_stage": "deleted", "experiment_id": 0, "start_time": 1, "deleted_time": 2}
        self.insert(
            "runs", [row | {"run_uuid": run, "artifact_uri": f"mlflow-artifacts:/0/{run}/artifacts"} for run in runs]
        )
        return runs

    def run(self, experiment="0") -> str:
        run = self.client.create_run(experiment).info.run_id
        self.client.log_metric(run, "m", 1)
        self.client.log_param(run, "p", 1)
        self.client.set_tag(run, "t", 1)
        self.client.log_text(run, "x", "a/b.txt")
        self.client.log_text(run, "x", "c.txt")
        return run

    def model(self, experiment="0") -> str:
        model = self.client.create_logged_model(experiment, "m", params={"a": "b"}, tags={"t": "u"})
        self.store.put(f"pre/{experiment}/models/{model.model_id}/artifacts/MLmodel", b"x")
        return model.model_id


@contextlib.contextmanager
def placed(dialect, store, destination, folder):
    with postgres.database(dialect, folder, "gc") as uri:
        with ferroflow(uri, destination, env=store.env) as server:
            yield Place(uri, store, destination, server)


@pytest.fixture(params=["sqlite", "postgresql", "directory"])
def place(request, servers, tmp_path):
    """A bucket with either database, and a directory."""
    if request.param == "directory":
        with placed("sqlite", Folder(tmp_path / "artifacts"), str(tmp_path / "artifacts/pre"), tmp_path) as place:
            yield place
        return
    store = servers("seaweed").with_bucket(stores.random_name("gc"))
    with placed(request.param, store, f"s3://{store.bucket}/pre", tmp_path) as place:
        yield place


@pytest.fixture
def directory(tmp_path):
    with placed("sqlite", Folder(tmp_path / "artifacts"), str(tmp_path / "artifacts/pre"), tmp_path) as place:
        yield place


def missing(call) -> bool:
    try:
        call()
    except MlflowException as error:
        return error.error_code == "RESOURCE_DOES_NOT_EXIST"
    return False


def test_deleted_runs_and_models_go_with_their_artifacts_and_the_rest_stays(place):
    kept, gone = place.run(), place.run()
    kept_model, gone_model = place.model(), place.model()
    place.client.delete_run(gone)
    place.client.delete_logged_model(gone_model)
    told = place.gc("--dry-run")
    assert sum("would be deleted." in line and gone in line for line in told) == 1
    assert told[-1] == "2 would be deleted, 0 kept."
    assert len(place.store.keys(f"pre/0/{gone}/")) == 2
    told = place.gc()
    assert f"Run with ID {gone} has been permanently deleted." in told
    assert f"Logged model with ID {gone_model} has been permanently deleted." in told
    assert missing(lambda: place.client.get_run(gone))
    assert place.client.get_run(kept).data.params == {"p": "1"}
    assert place.client.get_logged_model(kept_model).params == {"a": "b"}
    assert place.store.keys() == [
        f"pre/0/{kept}/artifacts/a/b.txt",
        f"pre/0/{kept}/artifacts/c.txt",
        f"pre/0/models/{kept_model}/artifacts/MLmodel",
    ]
    assert place.gc()[-1] == "0 deleted, 0 kept."


def test_a_deleted_experiment_goes_with_all_that_is_in_it(place):
    other = place.run()
    experiment = place.client.create_experiment("old", tags={"a": "b"})
    runs = [place.run(experiment) for _ in range(3)]
    models = [place.model(experiment) for _ in range(2)]
    traces = [place.trace(experiment) for _ in range(2)]
    kept_trace = place.trace()
    place.client.delete_experiment(experiment)
    # Its runs are deleted with it, and are told once.
    for args in ([], ["--experiment-ids", experiment], ["--run-ids", runs[0], "--logged-model-ids", ",".join(models)]):
        if "--logged-model-ids" in args:
            for model in models:
                place.client.delete_logged_model(model)
        told = place.gc("--dry-run", *args)
        assert told[-1] == "8 would be deleted, 0 kept.", told
        assert len(set(told)) == 9
    told = place.gc("--experiment-ids", experiment)
    assert told[-1] == "8 deleted, 0 kept."
    assert all(f"Trace with ID {trace} has been permanently deleted." in told for trace in traces)
    assert f"Experiment with ID {experiment} has been permanently deleted." in told
    assert all(missing(lambda run=run: place.client.get_run(run)) for run in runs)
    assert all(missing(lambda model=model: place.client.get_logged_model(model)) for model in models)
    assert missing(lambda: place.client.get_experiment(experiment))
    assert {key.split("/")[2] for key in place.store.keys()} == {other, "traces"}
    assert [key.split("/")[3] for key in place.store.keys("pre/0/traces")] == [kept_trace]
    # Its name is free again.
    assert place.client.create_experiment("old")


def rows_of(place, experiment: str) -> dict[str, int]:
    """The number of rows of evaluation data that belong to an experiment, by table."""
    own = {
        "scorers": "experiment_id = {0}",
        "scorer_versions": "scorer_id IN (SELECT scorer_id FROM scorers WHERE experiment_id = {0})",
        "online_scoring_configs": "experiment_id = {0}",
        "label_schemas": "experiment_id = {0}",
        "review_queues": "experiment_id = {0}",
        "review_queue_items": "queue_id IN (SELECT queue_id FROM review_queues WHERE experiment_id = {0})",
        "issues": "experiment_id = {0}",
        "assessments": "trace_id IN (SELECT request_id FROM trace_info WHERE experiment_id = {0})",
        "entity_associations": "destination_type = 'experiment' AND destination_id = '{0}'",
    }
    found = {}
    with place.database() as (cursor, _):
        for table, condition in own.items():
            cursor.execute(f"SELECT COUNT(*) FROM {table} WHERE {condition.format(experiment)}")
            [found[table]] = cursor.fetchone()
    return found


def evaluation_data(place, experiment: str, dataset: str) -> str:
    """Fills an experiment with a judge, a question, a queue with a trace, an issue of the trace, and a dataset."""

    def call(path, method="POST", **body):
        answer = requests.request(method, f"{place.server.url}/api/3.0/mlflow/{path}", json=body, timeout=60)
        assert answer.status_code == 200, (path, answer.text)
        return answer.json()

    scorer = {"name": "polite", "instructions_judge_pydantic_data": {"instructions": "Is {{ outputs }} polite?", "model": "openai:/x"}}
    call("scorers/register", experiment_id=experiment, name="polite", serialized_scorer=json.dumps(scorer))
    call("scorers/online-config", "PUT", experiment_id=experiment, name="polite", sample_rate=0.0)
    question = {"experiment_id": experiment, "name": "remark", "type": "FEEDBACK", "input": {"text": {}}}
    schema = call("label-schemas/create", **question)["label_schema"]["schema_id"]
    queue = call("review-queues/create", experiment_id=experiment, name="answers", queue_type="CUSTOM", schema_ids=[schema])
    trace = place.trace(experiment)
    call("review-queues/items/add", queue_id=queue["review_queue"]["queue_id"], item_ids=[trace])
    issue = call("issues", experiment_id=experiment, name="slow", description="x", categories=["latency"])["issue"]["issue_id"]
    source = {"source_type": "HUMAN", "source_id": "ann"}
    assessment = {"assessment_name": issue, "trace_id": trace, "source": source, "issue": {"issue_name": "slow"}}
    call(f"traces/{trace}/assessments", assessment=assessment)
    call(f"datasets/{dataset}/add-experiments", experiment_ids=[experiment])
    return trace


def test_evaluation_data_goes_with_its_experiment_and_datasets_stay(place):
    kept, gone = (place.client.create_experiment(name) for name in ("kept", "gone"))
    answer = requests.post(f"{place.server.url}/api/3.0/mlflow/datasets/create", json={"name": "capitals"}, timeout=60)
    dataset = answer.json()["dataset"]["dataset_id"]
    traces = {experiment: evaluation_data(place, experiment, dataset) for experiment in (kept, gone)}
    filled = rows_of(place, kept)
    assert all(filled.values()) and rows_of(place, gone) == filled
    place.client.delete_experiment(gone)
    told = place.gc("--dry-run")
    assert told[-1] == "2 would be deleted, 0 kept." and rows_of(place, gone) == filled
    told = place.gc()
    assert told[-1] == "2 deleted, 0 kept."
    assert f"Trace with ID {traces[gone]} has been permanently deleted." in told
    assert not any(rows_of(place, gone).values())
    assert rows_of(place, kept) == filled
    found = requests.get(f"{place.server.url}/api/3.0/mlflow/datasets/{dataset}/experiment-ids", timeout=60)
    assert found.json()["experiment_ids"] == [kept]
    assert place.store.keys() == [f"pre/{kept}/traces/{traces[kept]}/artifacts/traces.json"]
    assert place.gc()[-1] == "0 deleted, 0 kept."


def test_what_was_asked_for_is_checked_before_anything_is_touched(place):
    active, deleted = place.run(), place.run()
    place.client.delete_run(deleted)
    for args, words in [
        (["--run-ids", f"{deleted},{active}"], f"Run {active} is not in `deleted` lifecycle stage."),
        (["--run-ids", f"{deleted},nobody"], "Run with id=nobody not found"),
        (["--run-ids", deleted, "--older-than", "1h"], f"Run {deleted} is not older than the required age."),
        (["--run-ids", deleted, "--experiment-ids", "0"], "Experiment 0 is not in `deleted` lifecycle stage."),
        (["--run-ids", deleted, "--logged-model-ids", "m-x"], "'m-x' not found"),
        (["--workspace", "w"], "Workspace 'w' not found"),
    ]:
        told = place.gc(*args, code=1)
        assert words in told[-1], (args, told)
    assert "Could not parse any time information" in place.gc("--older-than", "soon", code=2)[-1]
    assert place.client.get_run(deleted).info.lifecycle_stage == "deleted"
    assert place.gc("--older-than", "1h")[-1] == "0 deleted, 0 kept."
    assert place.gc("--run-ids", deleted, "--older-than", "0s")[-1] == "1 deleted, 0 kept."


def test_artifacts_that_can_not_be_found_keep_their_run(place):
    run = place.run()
    place.client.delete_run(run)
    told = place.gc(destination=False, code=1)
    assert any(line.startswith(f"Run with ID {run} is kept: its artifacts at mlflow-artifacts:/0/{run}") for line in told)
    place.client.restore_run(run)
    assert place.client.download_artifacts(run, "c.txt")


def test_a_store_that_fails_keeps_the_run_and_the_next_time_finishes(place):
    run = place.run()
    place.client.delete_run(run)
    broken = place.store.env | {"MLFLOW_S3_ENDPOINT_URL": "http://127.0.0.1:9"}
    destination = pathlib.Path(place.destination)
    if destination.is_dir():
        # A volume that is not there.
        destination.rename(destination.with_name("away"))
        destination.write_text("")
    outcome = subprocess.run(place.command(), env=broken, capture_output=True, text=True, timeout=120)
    assert outcome.returncode == 1 and f"Run with ID {run} is kept" in outcome.stderr
    if destination.is_file():
        destination.unlink()
        destination.with_name("away").rename(destination)
    assert place.client.get_run(run).info.lifecycle_stage == "deleted"
    assert place.gc()[-1] == "1 deleted, 0 kept."
    assert place.store.keys() == []


@pytest.mark.rotates
def test_a_restore_meanwhile_gets_all_or_nothing(place):
    runs = [place.run() for _ in range(12)]
    for run in runs:
        place.client.delete_run(run)
    restored = []

    def restore():
        for run in reversed(runs):
            if requests.post(f"{place.server.url}/api/2.0/mlflow/runs/restore", json={"run_id": run}).ok:
                restored.append(run)

    thread = threading.Thread(target=restore)
    thread.start()
    place.gc()
    thread.join()
    for run in runs:
        files = place.store.keys(f"pre/0/{run}/")
        if run in restored:
            assert len(files) == 2, "what was restored has its artifacts"
            assert place.client.get_run(run).data.params == {"p": "1"}
        else:
            assert files == [] and missing(lambda run=run: place.client.get_run(run))


def test_folders_that_belong_to_nothing_are_told(place):
    run, model = place.run(), place.model()
    place.store.put("pre/0/0123456789abcdef0123456789abcdef/artifacts/x", b"x")
    place.store.put("pre/0/models/m-gone/artifacts/x", b"x")
    place.store.put("pre/0/traces/tr-gone/artifacts/traces.json", b"x")
    place.store.put("pre/17/0123456789abcdef0123456789abcdee/artifacts/x", b"x")
    place.store.put("pre/mine/0123456789abcdef0123456789abcdee/x", b"x")
    told = place.gc("--unreferenced")
    assert sorted(told[:-1]) == [
        "0/0123456789abcdef0123456789abcdef",
        "0/models/m-gone",
        "0/traces/tr-gone",
        "17/0123456789abcdef0123456789abcdee",
    ]
    assert told[-1].startswith("4 folders")
    assert place.client.get_run(run) and place.client.get_logged_model(model)


def test_a_directory_is_left_without_the_folders_of_what_is_gone(directory):
    kept, gone = directory.run(), directory.run()
    model = directory.model()
    experiment = directory.client.create_experiment("old")
    directory.run(experiment), directory.model(experiment), directory.trace(experiment)
    directory.client.delete_run(gone)
    directory.client.delete_logged_model(model)
    directory.client.delete_experiment(experiment)
    assert f"0/{gone}" in directory.store.folders()
    # What somebody has put there is not ours.
    directory.store.put(f"pre/0/{gone}/note.txt", b"x")
    assert directory.gc()[-1] == "6 deleted, 0 kept."
    expected = ["0", f"0/{gone}", f"0/{kept}", f"0/{kept}/artifacts", f"0/{kept}/artifacts/a", "0/models"]
    assert directory.store.folders() == sorted(expected)
    assert directory.gc("--unreferenced")[:-1] == [f"0/{gone}"]


def test_artifacts_in_directories_of_their_own_go_too(directory, tmp_path):
    # As of a server with --default-artifact-root, or of an experiment with a location.
    elsewhere = tmp_path / "else where"
    experiment = directory.client.create_experiment("own", artifact_location=str(elsewhere / "mine"))
    gone, kept = (directory.client.create_run(experiment).info for _ in range(2))
    for run in (gone, kept):
        assert run.artifact_uri == f"{elsewhere}/mine/{run.run_id}/artifacts"
        directory.client.log_text(run.run_id, "x", "a/b.txt")
    directory.client.delete_run(gone.run_id)
    assert directory.gc()[-1] == "1 deleted, 0 kept."
    assert names(elsewhere) == [f"mine/{kept.run_id}/artifacts/a/b.txt"]
    assert [file.name for file in (elsewhere / "mine").iterdir()] == [kept.run_id]
    directory.client.delete_experiment(experiment)
    assert directory.gc()[-1] == "2 deleted, 0 kept."
    # The folder was named by its owner, who may have others in it.
    assert list(elsewhere.iterdir()) == [elsewhere / "mine"] and not list((elsewhere / "mine").iterdir())


@pytest.mark.rotates
def test_more_than_a_page_goes_and_what_is_kept_is_passed_over(place):
    runs = sorted(place.deleted_runs(1203))
    place.store.put(f"pre/0/{runs[-1]}/artifacts/last.txt", b"x")
    # One whose artifacts are not its own, on the first page.
    with place.database() as (cursor, mark):
        cursor.execute(f"UPDATE runs SET artifact_uri = 'mlflow-artifacts:/0/x' WHERE run_uuid = {mark}", (runs[3],))
    told = place.gc("--dry-run")
    assert told[-1] == "1203 would be deleted, 0 kept."
    told = place.gc(code=1)
    assert "1202 deleted, 1 kept." in told
    assert any(line.startswith(f"Run with ID {runs[3]} is kept: ") for line in told)
    assert place.store.keys() == []
    with place.database() as (cursor, _):
        cursor.execute("SELECT run_uuid FROM runs")
        assert cursor.fetchall() == [(runs[3],)]


@pytest.mark.rotates
def test_killed_on_the_way_it_goes_on_when_it_is_run_again(place):
    runs = place.deleted_runs(700)
    for run in runs[:50]:
        place.store.put(f"pre/0/{run}/artifacts/x.txt", b"x")
    with subprocess.Popen(place.command(), env=place.store.env, stdout=subprocess.PIPE, text=True) as process:
        done = [process.stdout.readline() for _ in range(20)]
        process.kill()
    assert all("has been permanently deleted" in line for line in done)
    with place.database() as (cursor, _):
        cursor.execute("SELECT run_uuid FROM runs")
        left = {run for (run,) in cursor.fetchall()}
    assert 0 < len(left) < 681
    # Whoever is gone is gone with its artifacts.
    assert {key.split("/")[2] for key in place.store.keys()} <= left
    assert place.gc()[-1] == f"{len(left)} deleted, 0 kept."
    assert place.store.keys() == []


def test_finished_jobs_go_when_that_is_asked(place):
    def jobs(created: int) -> list[str]:
        # Pending, running, succeeded, failed, timed out, canceled, in need of recovery.
        rows = [
            {"id": f"{created}-{status}", "creation_time": created, "job_name": "j", "params": "{}", "status": status,
             "retry_count": 0, "last_update_time": created}
            for status in range(7)
        ]
        place.insert("jobs", rows)
        return [row["id"] for row in rows]

    def left() -> set[str]:
        with place.database() as (cursor, _):
            cursor.execute("SELECT id FROM jobs")
            return {id for (id,) in cursor.fetchall()}

    old, new = jobs(1), jobs(4_000_000_000_000)
    everything = {*old, *new}
    assert place.gc()[-1] == "0 deleted, 0 kept." and left() == everything
    told = place.gc("--jobs", "--dry-run")
    assert told[-1] == "8 would be deleted, 0 kept." and left() == everything
    told = place.gc("--job-ids", f"{old[2]},{old[0]},nothing")
    assert told == [f"Job with ID {old[2]} has been permanently deleted.", "1 deleted, 0 kept."]
    assert left() == everything - {old[2]}
    assert place.gc("--job-ids", f"{old[3]},{new[3]}", "--older-than", "1d")[-1] == "1 deleted, 0 kept."
    assert place.gc("--jobs", "--older-than", "1d")[-1] == "2 deleted, 0 kept."
    assert left() == {*old[:2], old[6], *new}
    assert place.gc("--jobs")[-1] == "4 deleted, 0 kept."
    assert left() == {*old[:2], old[6], *new[:2], new[6]}
