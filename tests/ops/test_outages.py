"""An API server that is unavailable for seconds, at every step of every runbook."""

import pytest
from cluster import now
from conftest import NEW, OLD

pytestmark = pytest.mark.rotates(every=16)

IMAGE = "registry.example/ferroflow:0.2.0"
LOST = ("request", "answer")


def away(cluster, lost, change, *args):
    """Runs a runbook with an outage at a change; returns whether the runbook made that many changes."""
    cluster.outages.at, cluster.outages.lost, cluster.outages.count = len(cluster.changes) + change, lost, 0
    said = cluster.ops(*args)
    assert not cluster.names("Lease")
    assert "the API server does not answer" in said or not cluster.outages.count
    return bool(cluster.outages.count)


def owners(cluster):
    """The field managers of runbooks that own fields of Helm's objects."""
    kept = [entry["manager"] for kind in ("Deployment", "CronJob", "Cluster", "ScheduledBackup") for one in cluster.all(kind) for entry in one["metadata"]["managedFields"] if entry]
    return {manager for manager in kept if manager == "ferroflow-ops"}


@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize("change", range(1, 16))
def test_a_recovery_completes(plain, lost, change):
    plain.install_gc()
    plain.log_run(OLD, "second")
    was_away = away(plain, lost, change, "recover")
    assert was_away or change > 10
    assert plain.runs(NEW) == ["first", "second"] and plain.environment["PGHOST"] == f"{NEW}-rw"
    assert plain.names("Cluster") == {OLD, NEW} and not plain.names("Job") and len(plain.names("Backup")) == 1
    assert plain.get("ScheduledBackup", f"{NEW}-daily") and plain.get("ScheduledBackup", f"{OLD}-daily")["spec"]["suspend"] is True
    assert not [key for key in plain.server["metadata"].get("annotations", {}) if key.startswith("ferroflow-ops/")]
    assert not owners(plain)


@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize("change", range(1, 14))
def test_an_upgrade_completes(cluster, lost, change):
    cluster.install("kubernetes", revision="1bd49d398cd23")
    was_away = away(cluster, lost, change, "upgrade", "--image", IMAGE)
    assert was_away or change > 8
    assert cluster.execute(OLD, "SELECT version_num FROM alembic_version") == [("dc11669786a5",)]
    assert cluster.server["spec"]["template"]["spec"]["containers"][0]["image"] == IMAGE
    assert cluster.server["status"]["readyReplicas"] == 1 and not cluster.names("Job") and len(cluster.names("Backup")) == 1
    assert not owners(cluster)


@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize("change", range(1, 5))
@pytest.mark.parametrize("runbook", ["rollback", "abandon", "drill", "backup"])
def test_other_runbooks_complete(plain, lost, change, runbook):
    before = plain.server["spec"]["template"]["spec"]["containers"][0]["image"]
    match runbook:
        case "rollback":
            plain.ops("upgrade", "--image", IMAGE)
            away(plain, lost, change, "rollback")
            assert plain.server["spec"]["template"]["spec"]["containers"][0]["image"] == before
        case "abandon":
            assert plain.killed("recover", "--to", now(), after=5)
            away(plain, lost, change, "recover", "--abandon")
            assert plain.environment["PGHOST"] == f"{OLD}-rw" and plain.server["status"]["readyReplicas"] == 1
        case "drill":
            away(plain, lost, change, "drill")
            assert plain.names("Cluster") == {OLD} and not plain.names("Job")
        case "backup":
            away(plain, lost, change, "backup")
            assert len(plain.names("Backup")) == 1


def test_an_api_server_that_never_answered_is_reported_soon(plain):
    plain.outages.requests = 1000
    plain.outages.begin()
    assert "the API server does not answer" in plain.refused("backup")
