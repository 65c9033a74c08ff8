"""Helm 3 and 4 after each runbook: upgrades and rollbacks work, and runbooks print what Helm would revert."""

import json
import re
import subprocess

import pytest
import yaml
from cluster import now
from conftest import NEW, OLD
from support import chart, command, required

pytestmark = pytest.mark.rotates(every=12)

IMAGE, NEWER = "registry.example/ferroflow:0.2.0", "registry.example/ferroflow:0.3.0"

#: The fake API server has no OpenAPI document; it checks objects itself.
NO_SCHEMA = "--disable-openapi-validation"


def tag(image):
    repository, _, tag_ = image.rpartition(":")
    return f"mlflow.image.repository={repository}", f"mlflow.image.tag={tag_}"


class Helm:
    """A release in the fake cluster, by a Helm of one generation."""

    def __init__(self, cluster, generation):
        self.cluster, self.generation = cluster, generation
        cluster.prepare("kubernetes", "gc.enabled=true")
        self("install", "mlflow", chart.CHART, *self.values(), NO_SCHEMA)
        cluster.wait_for_cluster()

    def values(self, *sets):
        return chart.flags(chart.Case(self.cluster.case).files, (*self.cluster.sets, *sets))

    def run(self, *arguments):
        return subprocess.run(
            [required(f"FERROFLOW_HELM_{self.generation}"), *map(str, arguments), "--namespace=research"],
            env={"HOME": str(self.cluster.folder), "PATH": "/usr/bin:/bin", "KUBECONFIG": str(self.cluster.kubeconfig())},
            capture_output=True,
            text=True,
            timeout=120,
        )

    def __call__(self, *arguments):
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def upgrade(self, *sets):
        return self("upgrade", "mlflow", chart.CHART, *self.values(*sets), NO_SCHEMA)

    @property
    def image(self):
        return self.cluster.server["spec"]["template"]["spec"]["containers"][0]["image"]


@pytest.fixture(params=chart.GENERATIONS)
def helm(request, cluster):
    return Helm(cluster, request.param)


def printed(said):
    """The values that a recovery prints at its end."""
    values = yaml.safe_load(said.split("then `helm upgrade`:\n\n")[1].split("\n\n")[0])
    return [f"{top}.{key}={value}" for top, inner in values.items() for key, value in inner.items()]


def test_after_an_upgrade(helm):
    before = helm.image
    said = helm.cluster.ops("upgrade", "--image", IMAGE)
    assert "Put this into your file of values" in said
    state = helm.cluster.state()
    helm.upgrade(*tag(IMAGE))
    assert helm.cluster.state() == state, "Helm makes the same of the values"
    helm.upgrade(*tag(NEWER))
    assert helm.image == NEWER
    assert {one["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["image"] for one in helm.cluster.all("CronJob")} == {NEWER}
    helm("rollback", "mlflow", "2")
    assert helm.image == IMAGE
    helm("rollback", "mlflow", "1")
    assert helm.image == before


def test_helm_returns_to_the_older_image_until_the_values_have_the_new_one(helm):
    """As the runbook says at its end."""
    before = helm.image
    assert "`helm upgrade` and `helm rollback` return to the older image" in helm.cluster.ops("upgrade", "--image", IMAGE)
    helm.upgrade("mlflow.logFormat=json")
    assert helm.image == before


def test_after_a_rollback(helm):
    before = helm.image
    helm.cluster.ops("upgrade", "--image", IMAGE)
    helm.cluster.ops("rollback")
    state = helm.cluster.state()
    helm.upgrade()
    assert helm.image == before and helm.cluster.state() == state
    helm.upgrade(*tag(NEWER))
    assert helm.image == NEWER


def test_after_a_recovery(helm):
    helm.cluster.log_run(OLD, "second")
    values = printed(helm.cluster.ops("recover"))
    state = helm.cluster.state()
    helm.upgrade(*values)
    after = helm.cluster.state()
    # The schedule of the old cluster is no longer of the release; nothing else changes.
    assert {key: value for key, value in state.items() if key != ("ScheduledBackup", f"{OLD}-daily")} == after
    assert helm.cluster.environment["PGHOST"] == f"{NEW}-rw" and helm.cluster.is_ready(OLD)
    helm.upgrade(*values, *tag(NEWER), "backup.schedule=0 0 1 * * *")
    assert helm.image == NEWER
    assert helm.cluster.get("ScheduledBackup", f"{NEW}-daily")["spec"]["schedule"] == "0 0 1 * * *"
    helm("rollback", "mlflow", "2")
    assert helm.cluster.environment["PGHOST"] == f"{NEW}-rw" and helm.image != NEWER
    assert helm.cluster.server["spec"]["replicas"] == 1


def test_a_rollback_across_a_recovery_returns_to_the_old_database_and_is_undone_by_values(helm):
    """The runbook warns of it, `doctor` reports it, and the values of the recovery undo it."""
    said = helm.cluster.ops("recover")
    assert f"`helm upgrade` returns the server to {OLD}" in said and "`helm rollback` to a revision from before this recovery" in said
    helm.upgrade(*printed(said))
    done = helm.run("rollback", "mlflow", "1")
    assert helm.cluster.environment["PGHOST"] == f"{OLD}-rw"
    helm.cluster.take_backup()
    found = doctor(helm)
    assert f"the Cluster {NEW} was recovered from {OLD}, and the server uses {OLD}" in found
    if helm.generation == "3":
        # It has kept the Cluster, and does not find it in the release that it rolls back from.
        assert done.returncode == 1 and f'no Cluster with the name "{OLD}" found' in done.stderr
        assert f"WRONG no backups of {OLD} are scheduled" in found and "the values that the recovery printed" in found
    else:
        assert done.returncode == 0, done.stderr
        assert not helm.cluster.get("ScheduledBackup", f"{OLD}-daily")["spec"].get("suspend") and "WRONG" not in found
    helm.upgrade(*printed(said))
    assert helm.cluster.environment["PGHOST"] == f"{NEW}-rw"
    assert helm.cluster.get("ScheduledBackup", f"{NEW}-daily")["spec"]["suspend"] is False


@pytest.mark.parametrize("how", ["upgrade", "rollback"])
def test_without_the_values_helm_returns_to_the_old_database_with_its_backups(helm, how):
    helm.upgrade("mlflow.logFormat=json")
    helm.cluster.ops("recover")
    assert helm.cluster.get("ScheduledBackup", f"{OLD}-daily")["spec"]["suspend"] is True
    helm.upgrade() if how == "upgrade" else helm("rollback", "mlflow", "1")
    assert helm.cluster.environment["PGHOST"] == f"{OLD}-rw"
    if helm.generation == "3":
        # It sends no patch: it compares custom resources with the previous revision only, not with the live object.
        [remedy] = re.findall(rf"kubectl patch (\S+)/{OLD}-daily --type=merge --patch='(.*)'", doctor(helm))
        assert remedy[0] == "scheduledbackups.postgresql.cnpg.io"
        helm.cluster.patch("ScheduledBackup", f"{OLD}-daily", json.loads(remedy[1]))
    assert helm.cluster.get("ScheduledBackup", f"{OLD}-daily")["spec"]["suspend"] is False
    assert "WRONG" not in doctor(helm)


def doctor(helm):
    process = command.start("ops", "doctor", env={"KUBECONFIG": str(helm.cluster.kubeconfig())})
    return process.communicate(timeout=command.SECONDS)[0]


def test_after_a_recovery_that_was_abandoned(helm):
    state = helm.cluster.state()
    assert helm.cluster.killed("recover", "--to", now(), after=6)
    helm.cluster.ops("recover", "--abandon")
    helm.upgrade()
    kept = {key: value for key, value in helm.cluster.state().items() if NEW not in key[1] and key[0] != "Job"}
    assert kept == state
    helm.upgrade(*tag(NEWER))
    assert helm.image == NEWER


@pytest.mark.parametrize("runbook", ["backup", "drill", "doctor --look-inside"])
def test_after_runbooks_that_change_nothing(helm, runbook):
    state = helm.cluster.state()
    helm.cluster.ops(*runbook.split())
    assert helm.cluster.state() == state
    helm.upgrade(*tag(NEWER))
    assert helm.image == NEWER


def test_fields_owned_by_a_runbook_conflict_with_helm_4(cluster):
    """Proves the tests above: the fake API server has conflicts of server-side apply."""
    helm = Helm(cluster, "4")
    spec = cluster.server["spec"]["template"]["spec"]
    spec["containers"][0]["image"] = IMAGE
    cluster.patch("Deployment", "mlflow", {"spec": {"template": {"spec": {"containers": spec["containers"]}}}}, "ferroflow-ops")
    done = helm.run("upgrade", "mlflow", chart.CHART, *helm.values(*tag(NEWER)), NO_SCHEMA)
    assert done.returncode != 0 and 'conflict with "ferroflow-ops"' in done.stderr
