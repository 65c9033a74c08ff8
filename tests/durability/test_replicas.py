"""A read replica answers what takes long, and no client can tell: it reads its own writes, and sees no error."""

import contextlib
import re
import subprocess
import threading
import time
from pathlib import Path

import mlflow
import pytest
import requests
from support import postgres, required
from support.ports import free_port
from support.postgres_server import pair, started
from support.servers import ferroflow

FLAG = "--read-replica-backend-store-uri"
#: Seconds until a replica is left out, or in use again after the longest back-off.
CHANGE_SECONDS = 60
SEARCH = "FROM runs r"


@pytest.fixture(scope="module")
def nodes():
    with pair() as (primary, standby):
        yield primary, standby


@pytest.fixture
def servers(nodes):
    """Two servers on one database with one replica, as behind a balancer."""
    primary, standby = nodes
    arguments = {"args": (FLAG, standby.url("mlflow"), "--expose-prometheus", "metrics")}
    with ferroflow(primary.url("mlflow"), **arguments) as first, ferroflow(primary.url("mlflow"), **arguments) as second:
        for server in (first, second):
            wait_metric(server, "ferroflow_read_replica_in_use", 1)
        yield Client(first), Client(second)


class Client:
    """A client of a server."""

    def __init__(self, server):
        self.server, self.session = server, requests.Session()

    def post(self, path, **body):
        answer = self.session.post(f"{self.server.url}/api/2.0/mlflow/{path}", json=body, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def experiment(self):
        return self.post("experiments/create", name=f"e{time.monotonic_ns()}")["experiment_id"]

    def run(self, experiment="0"):
        return self.post("runs/create", experiment_id=experiment, start_time=1)["run"]["info"]["run_id"]

    def log(self, run, value):
        self.post("runs/log-metric", run_id=run, key="m", value=value, timestamp=value, step=value)

    def latest(self, experiment, **search):
        """The latest value of the metric of the newest run, as a search finds it."""
        runs = self.post("runs/search", experiment_ids=[experiment], max_results=1, **search)["runs"]
        return {metric["key"]: metric["value"] for metric in runs[0]["data"].get("metrics", [])}.get("m")

    def history(self, run):
        query = {"run_id": run, "metric_key": "m"}
        answer = self.session.get(f"{self.server.url}/api/2.0/mlflow/metrics/get-history", params=query, timeout=60)
        assert answer.status_code == 200, answer.text
        return [point["value"] for point in answer.json().get("metrics", [])]

    def reads(self, target):
        return metric(self.server, f'ferroflow_read_replica_reads{{target="{target}"}}')


def metric(server, name):
    text = requests.get(f"{server.url}/metrics", timeout=60).text
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    assert found, f"no {name} in\n{text}"
    return float(found[1])


def wait_metric(server, name, value):
    deadline = time.monotonic() + CHANGE_SECONDS
    while metric(server, name) != value:
        assert time.monotonic() < deadline, f"{name} does not become {value}:\n{server.logs}"
        time.sleep(0.05)


def test_reads_that_take_long_are_answered_by_the_replica(nodes, servers):
    primary, standby = nodes
    client, _ = servers
    experiment = client.experiment()
    run = client.run(experiment)
    client.log(run, 7)
    standby.reaches(primary)
    before = len(standby.log)
    assert client.latest(experiment) == 7
    assert client.history(run) == [7]
    seen = standby.log[before:]
    assert SEARCH in seen and "FROM latest_metrics" in seen and "FROM metrics" in seen
    assert client.reads("replica") >= 2
    # What looks up one row, and all that writes need, stays on the primary.
    before = len(standby.log)
    client.session.get(f"{client.server.url}/api/2.0/mlflow/runs/get", params={"run_id": run}, timeout=60)
    client.post("runs/set-tag", run_id=run, key="t", value="v")
    assert "FROM runs" not in standby.log[before:]


def test_every_client_reads_what_was_written_before_through_any_server(servers):
    writer, reader = servers
    experiment = writer.experiment()
    run = writer.run(experiment)
    for value in range(300):
        writer.log(run, value)
        assert reader.latest(experiment) == value, "a search does not see a write that was acknowledged"
        if value % 10 == 0:
            assert reader.history(run)[-1] == value
    # The replica is some milliseconds behind, for which a read waits.
    assert reader.reads("replica") > 200, reader.server.logs


def test_a_replica_that_replays_nothing_is_left_out_and_later_used_again(nodes, servers):
    primary, standby = nodes
    writer, reader = servers
    experiment = writer.experiment()
    run = writer.run(experiment)
    writer.log(run, 1)
    standby.sql("SELECT pg_wal_replay_pause()")
    try:
        for value in range(2, 30):
            writer.log(run, value)
            assert reader.latest(experiment) == value
            assert reader.history(run)[-1] == value
        assert metric(reader.server, "ferroflow_read_replica_in_use") == 0
        reader.server.wait_logged("the read replica is left out")
        assert reader.reads("primary") > 0 and reader.reads("repeated") > 0
        deadline = time.monotonic() + CHANGE_SECONDS
        while metric(reader.server, "ferroflow_read_replica_lag_seconds") < 1:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert metric(reader.server, "ferroflow_read_replica_lag_bytes") > 0
    finally:
        standby.sql("SELECT pg_wal_replay_resume()")
    wait_metric(reader.server, "ferroflow_read_replica_in_use", 1)
    reader.server.wait_logged("the read replica is in use again")
    before = reader.reads("replica")
    assert reader.latest(experiment) == 29
    assert reader.reads("replica") == before + 1
    assert metric(reader.server, "ferroflow_read_replica_lag_bytes") == 0
    assert reader.server.logs.count("the read replica is left out") < 5, "it logs changes only"


class Load(threading.Thread):
    """Writes and reads until it is told to stop; an error ends it."""

    def __init__(self, client):
        super().__init__()
        self.client, self.ended, self.error, self.rounds = Client(client.server), threading.Event(), None, 0
        self.slowest = 0.0

    def run(self):
        try:
            experiment = self.client.experiment()
            run = self.client.run(experiment)
            while not self.ended.is_set():
                began = time.monotonic()
                self.client.log(run, self.rounds)
                assert self.client.latest(experiment) == self.rounds
                assert self.client.history(run)[-1] == self.rounds
                self.slowest = max(self.slowest, time.monotonic() - began)
                self.rounds += 1
        except BaseException as error:  # noqa: BLE001 the test raises it
            self.error = error


@contextlib.contextmanager
def load(clients, threads=3):
    work = [Load(client) for client in clients for _ in range(threads)]
    for one in work:
        one.start()
    try:
        yield work
    finally:
        for one in work:
            one.ended.set()
        for one in work:
            one.join()
    for one in work:
        if one.error:
            raise one.error


def wait_rounds(work, more):
    goal = [one.rounds + more for one in work]
    deadline = time.monotonic() + CHANGE_SECONDS
    while any(one.rounds < least for one, least in zip(work, goal, strict=True)):
        assert not any(one.error for one in work), [one.error for one in work]
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.rotates
@pytest.mark.parametrize("end", ["kill", "freeze"])
def test_a_replica_that_is_lost_under_load_is_no_error(nodes, servers, end):
    _, standby = nodes
    with load(servers) as work:
        wait_rounds(work, 20)
        if end == "kill":
            standby.kill()
        else:
            standby.freeze()
        for client in servers:
            wait_metric(client.server, "ferroflow_read_replica_in_use", 0)
        wait_rounds(work, 20)
        if end == "kill":
            standby.start()
        else:
            standby.thaw()
        for client in servers:
            wait_metric(client.server, "ferroflow_read_replica_in_use", 1)
        before = [client.reads("replica") for client in servers]
        wait_rounds(work, 20)
        assert all(client.reads("replica") > least for client, least in zip(servers, before, strict=True))
    assert max(one.slowest for one in work) < 20, "a read hangs with the replica"


@pytest.mark.rotates(every=2)
def test_a_read_that_conflicts_with_what_is_replayed_goes_on_at_the_primary():
    with pair(max_standby_streaming_delay="0") as (primary, standby):
        arguments = ("--expose-prometheus", "metrics", FLAG, standby.url("mlflow"))
        with ferroflow(primary.url("mlflow"), args=arguments) as server:
            client = Client(server)
            run = client.run()
            points = 150_000
            primary.sql(
                "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) "
                f"SELECT 'm', n, n, '{run}', n, FALSE FROM generate_series(1, {points}) n",
                "mlflow",
            )
            standby.reaches(primary)
            deadline = time.monotonic() + CHANGE_SECONDS
            conflicts = "SELECT confl_lock + confl_snapshot FROM pg_stat_database_conflicts WHERE datname = 'mlflow'"
            histories = []
            while client.reads("repeated") == 0:
                assert time.monotonic() < deadline, standby.log[-4000:]
                reader = threading.Thread(target=lambda: histories.append(len(Client(server).history(run))))
                reader.start()
                while reader.is_alive():
                    # The standby ends what reads the table, because it has to replay the lock.
                    primary.sql("BEGIN; LOCK TABLE metrics IN ACCESS EXCLUSIVE MODE; COMMIT", "mlflow")
                    time.sleep(0.02)
                reader.join()
            assert set(histories) == {points}
            while standby.sql(conflicts)[0][0] == 0:
                assert time.monotonic() < deadline, "there was no conflict"
                time.sleep(0.05)
            assert metric(server, "ferroflow_read_replica_in_use") == 1, "a conflict is no reason to leave it out"


@pytest.mark.rotates(every=2)
def test_the_standby_of_a_database_that_was_restored_to_another_one_is_no_replica_of_that():
    """Both have the identifier of the cluster that they come from, and the older one may be further in its log."""
    with pair() as (primary, standby):
        with ferroflow(primary.url("mlflow")) as server:
            experiment = Client(server).experiment()
        with started(primary.follower("restored")) as restored:
            restored.reaches(primary)
            restored.sql("SELECT pg_promote()")
            primary.sql("CREATE TABLE more AS SELECT generate_series(1, 200000) n", "mlflow")
            standby.reaches(primary)
            arguments = (FLAG, standby.url("mlflow"), "--expose-prometheus", "metrics")
            with ferroflow(restored.url("mlflow"), args=arguments) as server:
                server.wait_logged("it is in timeline 1, and the primary in 2")
                client = Client(server)
                run = client.run(experiment)
                client.log(run, 1)
                assert client.latest(experiment) == 1
                assert metric(server, "ferroflow_read_replica_in_use") == 0


@pytest.mark.rotates(every=2)
def test_after_a_fail_over_a_replica_that_follows_is_used_again():
    with pair() as (primary, standby), ferroflow(primary.url("mlflow")) as server:
        experiment = Client(server).experiment()
        server.stop()
        follower = standby.follower("follower", {"log_statement": "all"})
        with started(follower):
            primary.kill()
            standby.sql("SELECT pg_promote()")
            with ferroflow(standby.url("mlflow"), args=(FLAG, follower.url("mlflow"), "--expose-prometheus", "metrics")) as after:
                client = Client(after)
                run = client.run(experiment)
                client.log(run, 1)
                assert client.latest(experiment) == 1
                standby.sql("CHECKPOINT")
                follower.reaches(standby)
                follower.sql("CHECKPOINT")
                wait_metric(after, "ferroflow_read_replica_in_use", 1)
                client.log(run, 2)
                assert client.latest(experiment) == 2
                assert client.reads("replica") > 0


def start(backend, replica):
    """Starts a server that must not start, and returns what it says."""
    command = [required("FERROFLOW_BIN"), "server", "--port", str(free_port()), "--backend-store-uri", backend, FLAG, replica]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=Path.home(), check=False)
    assert ended.returncode != 0
    return ended.stdout + ended.stderr


def test_what_is_no_replica_of_the_database_is_refused(nodes, tmp_path):
    primary, standby = nodes
    with postgres.database("postgresql", tmp_path) as other:
        assert "it is another database" in start(primary.url("mlflow"), other)
    assert "it is another database" in start(primary.url("mlflow"), standby.url("postgres"))
    assert "it is another database" in start(primary.url("mlflow"), f"{standby.url('mlflow')}?options=-csearch_path=other")
    assert "SQLite" in start(primary.url("mlflow"), f"sqlite:///{tmp_path}/x.db")
    assert "SQLite" in start(f"sqlite:///{tmp_path}/x.db", standby.url("mlflow"))


def test_without_its_replica_the_server_starts_and_uses_the_primary(nodes):
    primary, _ = nodes
    nothing = f"postgresql://postgres@127.0.0.1:{free_port()}/mlflow"
    # The primary by another name is no replica either; by the same name it is a mistake that is told.
    for uri, text in [
        (nothing, "the read replica is left out"),
        (primary.url("mlflow").replace("127.0.0.1", "localhost"), "the server is not a standby"),
        (primary.url("mlflow"), "it is the backend store itself"),
    ]:
        with ferroflow(primary.url("mlflow"), args=(FLAG, uri)) as server:
            client = Client(server)
            run = client.run()
            client.log(run, 3)
            assert client.history(run) == [3]
            assert requests.get(f"{server.url}/readyz", timeout=60).ok
            server.wait_logged(text)


def test_the_story_of_an_sdk(servers):
    writer, _ = servers
    client = mlflow.MlflowClient(writer.server.url)
    for number in range(5):
        name = f"story{time.monotonic_ns()}"
        experiment = client.create_experiment(name)
        assert name in [found.name for found in client.search_experiments()]
        info = client.create_run(experiment, run_name=name).info
        run = info.run_id
        client.log_batch(run, [mlflow.entities.Metric("loss", step / 2, step, step) for step in range(50)])
        client.log_param(run, "p", str(number))
        [found] = client.search_runs([experiment], f"params.p = '{number}' and metrics.loss > 1")
        assert found.data.metrics == {"loss": 24.5}
        assert [point.step for point in client.get_metric_history(run, "loss")] == list(range(50))
        client.create_registered_model(name)
        version = client.create_model_version(name, f"{info.artifact_uri}/model", run)
        assert client.search_model_versions(f"name = '{name}'")[0].version == version.version
        client.delete_run(run)
        assert not client.search_runs([experiment])


@pytest.mark.rotates(every=2)
def test_another_database_in_place_of_the_replica_is_left_out(nodes):
    """A replica that was away at the start is compared with the primary when it comes."""
    primary, _ = nodes
    port = free_port()
    uri = f"postgresql://postgres@127.0.0.1:{port}/mlflow"
    with ferroflow(primary.url("mlflow"), args=(FLAG, uri, "--expose-prometheus", "metrics")) as server:
        with pair(log_connections="on") as (_, other):
            # A standby with a database of the same name, of another cluster.
            other.kill()
            other.port = port
            other.start()
            deadline = time.monotonic() + CHANGE_SECONDS
            while other.log.count("database=mlflow application_name=ferroflow") < 2:
                assert time.monotonic() < deadline, other.log[-4000:]
                time.sleep(0.05)
            assert metric(server, "ferroflow_read_replica_in_use") == 0
