"""What the chart's cluster does with its backups, without a cluster: archiving, base backups, recovery, and again.

One story: a server is used, its database is lost, and comes back under another name, at the latest state and at a moment.
"""

import contextlib
import os
import subprocess
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path

import cluster
import mlflow
import pytest
import requests
from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore
from mlflow.tracking import MlflowClient
from support import required
from support.servers import MAKERS, ferroflow

V1, V2, V2_EARLIER, V3 = "pg-cluster-v1", "pg-cluster-v2", "pg-cluster-v2-earlier", "pg-cluster-v3"

#: Seconds after which an unfinished piece of the log is archived. The chart says five minutes.
ARCHIVE_TIMEOUT = 5

PASSWORD = "a long password of ada"


@dataclass
class Story:
    """What happened, and what was acknowledged."""

    s3: str
    bucket: cluster.Bucket
    #: The time that one recovers to.
    moment: str = ""
    #: Runs that were logged before and after it, with what is in them.
    before: dict[str, dict] = field(default_factory=dict)
    after: dict[str, dict] = field(default_factory=dict)
    #: Runs that were acknowledged until the cluster was lost, with the seconds.
    last: list[tuple[float, str]] = field(default_factory=list)
    #: When it was lost.
    lost: float = 0.0
    experiment: str = ""

    def serve(self, server: cluster.Cluster):
        """ferroflow on a cluster, with the bucket of artifacts."""
        return ferroflow(server.url("mlflow", "mlflow"), "s3://artifacts/mlflow", env=s3_env(self.s3))


def s3_env(url: str) -> dict[str, str]:
    return {
        "MLFLOW_S3_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "drill",
        "AWS_SECRET_ACCESS_KEY": "drill",
        "AWS_DEFAULT_REGION": "us-east-1",
        "FERROFLOW_PRESIGNED_TRANSFERS": "false",
    }


def log_runs(story: Story, url: str, name: str, folder: Path, count: int = 5) -> dict[str, dict]:
    """Runs of the official SDK: a metric's history, a param, an artifact."""
    sdk = MlflowClient(url)
    story.experiment = story.experiment or sdk.create_experiment("drill")
    made = {}
    for number in range(count):
        run = sdk.create_run(story.experiment, run_name=f"{name}-{number}").info.run_id
        for step in range(20):
            sdk.log_metric(run, "loss", 1 / (step + 1 + number), step=step)
        sdk.log_param(run, "when", f"{name}-{number}")
        path = folder / f"{name}-{number}.txt"
        path.write_text(f"{name} {number}\n" * 100)
        sdk.log_artifact(run, str(path))
        sdk.set_terminated(run)
        made[run] = {"when": f"{name}-{number}", "loss": 1 / (20 + number), "file": path.name, "text": path.read_text()}
    return made


def add_user(server: cluster.Cluster, name: str, password: str) -> None:
    """A user in the users database, as the reference keeps it."""
    store = SqlAlchemyStore()
    store.init_db(server.url("mlflow_auth", "mlflow").replace("postgresql://", "postgresql+psycopg2://"))
    store.create_user(name, password)
    store.engine.dispose()


@pytest.fixture(scope="module")
def story(bucket, s3, tmp_path_factory):
    """Up to the loss of the first cluster."""
    folder = tmp_path_factory.mktemp("story")
    story = Story(s3, bucket)
    with cluster.new(V1, bucket, ARCHIVE_TIMEOUT) as first:
        with story.serve(first) as server:
            story.before = log_runs(story, server.url, "before", folder)
            add_user(first, "ada", PASSWORD)
            first.backup()
            story.before |= log_runs(story, server.url, "before, after the backup", folder)
            time_of = first.sql("SELECT clock_timestamp()")[0][0].astimezone(UTC)
            story.moment = time_of.isoformat()
            story.after = log_runs(story, server.url, "after", folder)
            add_user(first, "grace", PASSWORD)
            first.archive()
            write_until_lost(story, first, server)
            server.kill()
    yield story


def write_until_lost(story: Story, first: cluster.Cluster, server) -> None:
    """A run every now and then, until the cluster is killed in the middle of it."""
    stop = threading.Event()

    def write():
        sdk = MlflowClient(server.url)
        while not stop.is_set():
            with contextlib.suppress(Exception):
                run = sdk.create_run(story.experiment, run_name="last").info.run_id
                story.last.append((time.time(), run))
            stop.wait(0.2)

    writer = threading.Thread(target=write)
    writer.start()
    # Long enough that a piece of the log is archived by its age.
    [(archived,)] = first.sql("SELECT archived_count FROM pg_stat_archiver")
    first.wait_until(f"SELECT archived_count > {archived} FROM pg_stat_archiver", "nothing is archived by age")
    enough = len(story.last) + 5
    deadline = time.monotonic() + 60
    while len(story.last) < enough and time.monotonic() < deadline:
        time.sleep(0.05)
    first.kill()
    story.lost = time.time()
    stop.set()
    writer.join(300)
    story.last = [(at, run) for at, run in story.last if at <= story.lost]


@pytest.fixture(scope="module")
def latest(story):
    """The second cluster: the latest state of the first one."""
    with cluster.recovered(V2, V1, story.bucket) as second:
        yield second


@pytest.fixture(scope="module")
def earlier(story):
    """Another second cluster: the first one at the noted moment."""
    with cluster.recovered(V2_EARLIER, V1, story.bucket, story.moment) as second:
        yield second


def assert_runs(url: str, expected: dict[str, dict], folder: Path) -> None:
    sdk = MlflowClient(url)
    for run, content in expected.items():
        found = sdk.get_run(run)
        assert found.data.params["when"] == content["when"]
        assert found.data.metrics["loss"] == content["loss"]
        assert len(sdk.get_metric_history(run, "loss")) == 20
        assert found.info.status == "FINISHED"
        path = sdk.download_artifacts(run, content["file"], str(folder))
        assert Path(path).read_text() == content["text"]


def run_ids(url: str, experiment: str) -> set[str]:
    sdk, found, token = MlflowClient(url), set(), None
    while True:
        page = sdk.search_runs([experiment], max_results=1000, page_token=token)
        found |= {run.info.run_id for run in page}
        token = page.token
        if not token:
            return found


def test_the_latest_state_has_everything_that_was_archived(story, latest, figures, tmp_path):
    with story.serve(latest) as server:
        assert_runs(server.url, story.before | story.after, tmp_path)
        there = run_ids(server.url, story.experiment)
    recovered = [at for at, run in story.last if run in there]
    lost = [at for at, run in story.last if run not in there]
    # What is lost is lost from the end.
    assert not recovered or not lost or max(recovered) <= min(lost)
    seconds = story.lost - (max(recovered) if recovered else story.last[0][0])
    figures.append(
        f"latest state: recovered in {latest.took:.1f} s; lost: the last {seconds:.1f} s before the kill, with archive_timeout {ARCHIVE_TIMEOUT} s, "
        f"{len(lost)} of the {len(story.last)} runs that were written in the end"
    )
    assert seconds <= ARCHIVE_TIMEOUT + 5, "more is lost than archive_timeout allows"


@pytest.mark.parametrize("kind", ["ferroflow", "reference"])
def test_users_come_back_with_their_passwords_in_either_server(kind, story, latest, tmp_path):
    ini = tmp_path / "basic-auth.ini"
    users = latest.url("mlflow_auth", "mlflow").replace("postgresql://", "postgresql+psycopg2://")
    ini.write_text(f"[mlflow]\ndefault_permission = READ\ndatabase_uri = {users}\nadmin_username = admin\nadmin_password = the administrator's own\n")
    env = s3_env(story.s3) | {"MLFLOW_AUTH_CONFIG_PATH": str(ini), "MLFLOW_FLASK_SERVER_SECRET_KEY": "drill"}
    with MAKERS[kind](latest.url("mlflow", "mlflow"), "s3://artifacts/mlflow", args=["--app-name", "basic-auth"], env=env) as server:
        run = next(iter(story.after))
        ask = lambda name, password: requests.get(f"{server.url}/api/2.0/mlflow/runs/get", params={"run_id": run}, auth=(name, password), timeout=60)
        for name in ("ada", "grace"):
            answer = ask(name, PASSWORD)
            assert answer.status_code == 200, answer.text
            assert {p["key"]: p["value"] for p in answer.json()["run"]["data"]["params"]}["when"] == story.after[run]["when"]
        assert ask("ada", "something else").status_code == 401
        name = story.after[run]["file"]
        artifact = requests.get(f"{server.url}/get-artifact", params={"run_uuid": run, "path": name}, auth=("ada", PASSWORD), timeout=60)
        assert artifact.text == story.after[run]["text"]


def test_a_moment_has_what_there_was_at_it_and_nothing_later(story, earlier, figures, tmp_path):
    with story.serve(earlier) as server:
        assert_runs(server.url, story.before, tmp_path)
        assert run_ids(server.url, story.experiment) == set(story.before)
    assert earlier.sql("SELECT username FROM users ORDER BY 1", "mlflow_auth") == [("ada",)]
    figures.append(f"to a moment: recovered in {earlier.took:.1f} s")


def test_both_databases_are_at_the_revisions_that_they_had(story, latest):
    for arguments in (["status", latest.url("mlflow", "mlflow")], ["check", latest.url("mlflow", "mlflow")], ["status", "--auth", latest.url("mlflow_auth", "mlflow")]):
        done = subprocess.run([required("FERROFLOW_BIN"), "db", *arguments], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_recovered_cluster_is_recovered_in_its_turn(story, latest, figures, tmp_path):
    """v2 → v3, from v2's own archive."""
    with story.serve(latest) as server:
        latest.backup()
        later = log_runs(story, server.url, "in the second cluster", tmp_path)
    latest.archive()
    with cluster.recovered(V3, V2, story.bucket) as third, story.serve(third) as server:
        assert_runs(server.url, story.before | story.after | later, tmp_path)
        new = log_runs(story, server.url, "in the third cluster", tmp_path, count=1)
        assert_runs(server.url, new, tmp_path)
        figures.append(f"the recovered one again: recovered in {third.took:.1f} s")


def test_t6_t7_no_cluster_archives_where_another_one_did(story, latest):
    """The operator asks this before a new cluster archives, and refuses to start it: so a name is used once."""
    assert not story.bucket.archive_is_empty(V1)
    assert not story.bucket.archive_is_empty(V2)
    assert story.bucket.archive_is_empty("pg-cluster-v2-2")
    with pytest.raises(AssertionError, match="there is an archive of pg-cluster-v1 already"):
        with cluster.recovered(V1, V1, story.bucket):
            pass


def test_t27_the_charts_comparison_tells_a_good_restore_from_a_bad_one(story, latest, earlier, tmp_path):
    """The script of the drill's Job, with a real psql, on the cluster that was recovered and copies of it."""
    script = Path(__file__).parents[2] / "chart/files/drill-compare.sh"

    def compare(live, restored, **variables):
        folder = tmp_path / f"{live.name}-{restored.name}-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        text = script.read_text().replace("/tmp/", f"{folder}/")
        # The Service of each cluster has the same port; here they are told apart by it.
        text = text.replace("PGHOST=$SCRATCH_HOST", f"PGHOST=$SCRATCH_HOST PGPORT={restored.port}")
        env = {
            "PATH": f"{required('FERROFLOW_POSTGRES_BIN')}{os.pathsep}/usr/bin:/bin",
            "PGHOST": "127.0.0.1",
            "PGPORT": str(live.port),
            "PGUSER": "mlflow",
            "PGPASSWORD": "",
            "SCRATCH_HOST": "127.0.0.1",
            "SCRATCH_PASSWORD": "",
            "SCRATCH_SSLMODE": "disable",
            "DATABASE": "mlflow",
            "USERS_DATABASE": "mlflow_auth",
            "MAX_LAG_SECONDS": "900",
        }
        done = subprocess.run(["bash", "-c", text], env=env | variables, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        failed = folder / "failed"
        return (folder / "report").read_text(), failed.read_text() if failed.exists() else ""

    report, failed = compare(latest, latest)
    assert failed == ""
    assert "data loss: the newest change is 0 s behind" in report
    for database, table in (("mlflow", "runs"), ("mlflow_auth", "users")):
        [(rows,)] = latest.sql(f"SELECT count(*) FROM {table}", database)
        assert rows > 1 and f"{database}.{table}: {rows} rows, {rows} restored\n" in report

    report, failed = compare(latest, earlier)
    assert failed == "", "it is older, and not too old"
    _, failed = compare(latest, earlier, MAX_LAG_SECONDS="0")
    assert "behind, more than 0 s" in failed

    earlier.sql("DELETE FROM latest_metrics; UPDATE alembic_version SET version_num = 'cc1f77228345'", "mlflow")
    _, failed = compare(latest, earlier)
    assert "mlflow.latest_metrics came back empty" in failed
    assert "mlflow.alembic_version: another revision" in failed

    _, failed = compare(latest, earlier, SCRATCH_HOST="127.0.0.2", PGCONNECT_TIMEOUT="2", DATABASE="gone")
    assert failed


def test_the_sdk_of_today_made_the_runs():
    assert mlflow.__version__ == "3.17.2"
