"""An installation by the chart in what stands in for a Kubernetes cluster."""

import functools
import os
import shutil
import signal
import sqlite3
import sys
import time
from pathlib import Path

import pytest
from support import certificates, chart, command, stores

# How objects are checked is the same here.
sys.path.insert(0, str(Path(__file__).parents[1] / "chart"))

from cluster import RESOURCES, Cluster, wait  # noqa: E402

OLD, NEW = "pg-cluster-v1", "pg-cluster-v2"
INI = "[mlflow]\ndatabase_uri = postgresql://mlflow:pw@pg-cluster-v1-rw:5432/mlflow_auth\nadmin_username = admin\nadmin_password = x8Jq\n"
BUCKET = "team-mlflow"
HELM = {"meta.helm.sh/release-name": "mlflow", "meta.helm.sh/release-namespace": "research"}


class Installation(Cluster):
    """The chart's objects, with runs and users in the database."""

    def install(self, case: str, *sets: str, revision: str | None = None) -> None:
        kinds = {kind for _, kind in RESOURCES.values()} - {"Role"}
        for object_ in self.prepare(case, *sets, revision=revision):
            if object_["kind"] in kinds:
                object_["metadata"]["annotations"] = object_["metadata"].get("annotations", {}) | HELM
                self.create(object_)
        self.wait_for_cluster()

    def wait_for_cluster(self) -> None:
        wait(lambda: self.is_ready(OLD))
        self.changes.clear()

    def prepare(self, case: str, *sets: str, revision: str | None = None) -> chart.Objects:
        """Creates what is there before the chart is installed; returns the objects of the chart."""
        self.case = case
        self.sets = (f"s3.endpointUrl={self.store.endpoint}", *sets)
        self.fill(self.databases(OLD), revision)
        self.secret("s3-credentials", {"AWS_ACCESS_KEY_ID": stores.KEY, "AWS_SECRET_ACCESS_KEY": stores.SECRET})
        self.secret("mlflow-tls", {"tls.crt": self.certificate, "tls.key": "key"})
        self.secret("mlflow-auth-config", {"basic-auth.ini": INI})
        if not case.startswith("openshift"):
            self.missing_apis |= {f"/apis/{group}.openshift.io/v1" for group in ("build", "image", "route", "template")}
        objects = chart.objects(case, *self.sets, "ops.role=true")
        # The runbooks' user has exactly the rights of the chart's Role.
        self.rights.rules = objects.one("Role", "mlflow-ops")["rules"]
        return objects

    def install_gc(self) -> None:
        """As gc.enabled does."""
        gc = chart.objects(self.case, *self.sets, "gc.enabled=true").one("CronJob", "mlflow-gc")
        gc["metadata"]["annotations"] = HELM
        self.create(gc)

    def fill(self, folder: Path, revision: str | None) -> None:
        shutil.copytree(self.empty_databases(revision), folder)
        self.execute(OLD, "INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (1, 'x', 'active')")
        self.log_run(OLD, "first")
        self.execute(OLD, "INSERT INTO users (username, password_hash, is_admin) VALUES ('ann', 'h', 1)", "mlflow_auth")

    def execute(self, cluster: str, sql: str, database: str = "mlflow") -> list:
        connection = sqlite3.connect(self.databases(cluster) / f"{database}.db")
        with connection:
            rows = connection.execute(sql).fetchall()
        connection.close()
        return rows

    def log_run(self, cluster: str, run: str) -> None:
        time_ = int(time.time() * 1000)
        columns = "run_uuid, experiment_id, status, lifecycle_stage, start_time, artifact_uri"
        values = f"'{run}', 1, 'RUNNING', 'active', {time_}, 'mlflow-artifacts:/1/{run}/artifacts'"
        self.execute(cluster, f"INSERT INTO runs ({columns}) VALUES ({values})")
        self.log_artifact(run, "notes/a.txt", f"what {run} has found")

    def log_artifact(self, run: str, path: str, text: str) -> None:
        """Under the key that the server gives it."""
        self.store.put(f"artifacts/1/{run}/artifacts/{path}", text.encode())

    def runs(self, cluster: str) -> list[str]:
        return [row[0] for row in self.execute(cluster, "SELECT run_uuid FROM runs ORDER BY start_time")]

    def is_ready(self, cluster: str) -> bool:
        conditions = (self.get("Cluster", cluster) or {}).get("status", {}).get("conditions", [])
        return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

    @property
    def server(self) -> dict:
        return self.get("Deployment", "mlflow")

    @property
    def environment(self) -> dict:
        """Variables of the server."""
        return chart.env(self.server["spec"]["template"]["spec"]["containers"][0])

    def take_backup(self) -> str:
        return self._keep(OLD)

    def state(self) -> dict:
        """All objects, without what the API server and controllers write."""
        kept = {}
        for kind in ("Deployment", "CronJob", "Cluster", "ScheduledBackup", "Pooler", "Job"):
            for found in self.all(kind):
                kept[kind, found["metadata"]["name"]] = (found["spec"], found["metadata"].get("annotations"))
        return kept

    # The runbooks.

    def ops(self, *args: object) -> str:
        return command.run("ops", *args, env={"KUBECONFIG": str(self.kubeconfig())})

    def ops_until(self, words: str, then, *args: object) -> str:
        """Runs a runbook, and calls ``then`` when it has printed these words."""
        process = command.start("ops", *args, env={"KUBECONFIG": str(self.kubeconfig())})
        lines = []
        for line in process.stdout:
            lines.append(line)
            if words in line and then:
                then()
                then = None
        error = process.communicate(timeout=command.SECONDS)[1]
        said = "".join(lines)
        assert process.returncode == 0, said + error
        assert not then, f"it has not printed '{words}':\n{said}"
        return said

    def refused(self, *args: object) -> str:
        return command.refused("ops", *args, env={"KUBECONFIG": str(self.kubeconfig())})

    def killed(self, *args: object, after: int) -> bool:
        """Runs a runbook and kills it when its n-th change was made; whether it came to that."""
        begun = len(self.changes)
        process = command.start("ops", *args, env={"KUBECONFIG": str(self.kubeconfig())})
        self.on_change = lambda number: os.kill(process.pid, signal.SIGKILL) if number - begun == after else None
        process.communicate(timeout=command.SECONDS)
        self.on_change = lambda number: None
        self.expire_lease()
        return process.returncode == -signal.SIGKILL

    def expire_lease(self) -> None:
        """As if the time of a killed runbook's lease were over."""
        if lease := self.objects.get(("Lease", "mlflow-ops")):
            lease["spec"]["renewTime"] = "2026-01-01T00:00:00.000000Z"


@pytest.fixture(scope="session")
def bucket(tmp_path_factory):
    """The bucket that the chart is given, in an S3 server that checks signatures."""
    with stores.running("seaweed", tmp_path_factory.mktemp("s3")) as running:
        yield running.with_bucket(BUCKET)


@pytest.fixture
def store(bucket):
    """The same, empty, and there."""
    if any(found["Name"] == BUCKET for found in bucket.client.list_buckets()["Buckets"]):
        bucket.clear()
    else:
        bucket.client.create_bucket(Bucket=BUCKET)
    return bucket


@pytest.fixture(scope="session")
def certificate():
    """Certificates by their host and the days that they are good for."""
    return functools.cache(lambda host, days: certificates.issue("x", [host], days=days).pem)


@pytest.fixture(scope="session")
def empty_databases(tmp_path_factory):
    """Folders with both databases, by the revision of the tracking database: a copy costs less than an upgrade."""

    @functools.cache
    def folder(revision: str | None) -> Path:
        made = tmp_path_factory.mktemp("databases")
        for name, flags in (("mlflow", ["--to", revision] if revision else []), ("mlflow_auth", ["--auth"])):
            command.run("db", "upgrade", *flags, f"sqlite:///{made}/{name}.db")
        return made

    return folder


@pytest.fixture
def cluster(tmp_path, store, certificate, empty_databases):
    installation = Installation(tmp_path)
    installation.store = store
    installation.empty_databases = empty_databases
    installation.certificate = certificate("mlflow.example", 90)
    yield installation
    installation.close()


@pytest.fixture(params=["kubernetes", "openshift-in-tree"])
def installed(request, cluster) -> Installation:
    """By the plugin's interface on Kubernetes, and by the operator's own on OpenShift."""
    cluster.install(request.param)
    return cluster


@pytest.fixture
def plain(cluster) -> Installation:
    cluster.install("kubernetes")
    return cluster
