"""Two runbooks on one release: the second one makes no change while the first one runs."""

import re
import signal

import pytest
from cluster import now, wait
from conftest import NEW, OLD
from support import command

pytestmark = pytest.mark.rotates(every=6)

BEFORE, IMAGE = "registry.example/ferroflow:0.1.0", "registry.example/ferroflow:0.2.0"
COMMANDS = {
    "upgrade": ["upgrade", "--image", IMAGE],
    "rollback": ["rollback"],
    "backup": ["backup"],
    "recover": ["recover"],
    "recover --abandon": ["recover", "--abandon"],
    "drill": ["drill"],
}


class Held:
    """Holds back all work of a cluster's controllers until it is released."""

    def __init__(self, cluster):
        self.cluster, self.waiting = cluster, []
        self.works = {name: getattr(cluster, name) for name in ("_back_up", "_make_cluster")}
        for name in self.works:
            setattr(cluster, name, lambda object_, name=name: self.waiting.append((name, object_)))

    def images(self):
        self.cluster.no_image |= dict.fromkeys((BEFORE, IMAGE), ("ErrImagePull", "i/o timeout"))

    def release(self):
        for name, work in self.works.items():
            setattr(self.cluster, name, work)
        self.cluster.no_image.clear()
        self.cluster._settle("mlflow")
        for name, object_ in self.waiting:
            self.works[name](object_)


def begin(cluster, runbook):
    """Starts a runbook that waits for held work; returns its process and the hold."""
    if runbook == "rollback":
        cluster.ops(*COMMANDS["upgrade"])
    if runbook == "recover --abandon":
        assert cluster.killed("recover", after=5)
    before = len(cluster.changes)
    held = Held(cluster)
    if runbook in ("rollback", "recover --abandon"):
        held.images()
    process = start(cluster, runbook)
    made = {"rollback": "Deployment", "recover --abandon": "Deployment", "drill": "Cluster"}.get(runbook, "Backup")
    wait(lambda: any(kind == made for _, kind, _ in cluster.changes[before:]))
    return process, held


def start(cluster, runbook):
    return command.start("ops", *COMMANDS[runbook], env={"KUBECONFIG": str(cluster.kubeconfig()), "USER": "ann", "HOSTNAME": "laptop"})


def ended(process):
    out, error = process.communicate(timeout=command.SECONDS)
    return process.returncode, out + error


@pytest.mark.parametrize("first", COMMANDS)
def test_a_second_runbook_changes_nothing(plain, first):
    process, held = begin(plain, first)
    others = {name: start(plain, name) for name in COMMANDS}
    said = {name: ended(other) for name, other in others.items()}
    for name, (code, words) in said.items():
        assert code == 1 and f"another runbook is running: `{first} by ann@laptop" in words, (name, words)
        assert "kubectl delete lease/mlflow-ops" in words
        # A change is printed before it is made.
        assert not re.search("^(create|change|delete) ", words, re.MULTILINE), (name, words)
    assert f"a runbook is running: `{first} by" in "".join(doctor(plain))
    held.release()
    code, words = ended(process)
    assert code == 0, words
    assert not plain.names("Lease")


def doctor(cluster):
    return command.start("ops", "doctor", env={"KUBECONFIG": str(cluster.kubeconfig())}).communicate(timeout=command.SECONDS)


def test_a_runbook_without_its_lease_makes_no_further_change(plain):
    process, held = begin(plain, "recover")
    changes = len(plain.changes)
    plain.delete("Lease", "mlflow-ops")
    code, words = ended(process)
    assert code == 1 and "the lease mlflow-ops was deleted: this runbook makes no further change" in words
    process, _ = begin(plain, "recover")
    with plain.lock:
        plain.objects["Lease", "mlflow-ops"]["spec"]["holderIdentity"] = "drill by bob@desk"
        plain._store(plain.objects["Lease", "mlflow-ops"])
    code, words = ended(process)
    assert code == 1 and "was lost to `drill by bob@desk`" in words
    assert {kind for _, kind, _ in plain.changes[changes:]} <= {"Backup", "Job"}
    assert NEW not in plain.names("Cluster") and held.waiting


@pytest.mark.rotates(every=4)
def test_the_next_runbook_waits_for_the_lease_of_a_killed_one(plain):
    process, held = begin(plain, "backup")
    process.kill()
    process.wait()
    held.release()
    said = plain.ops("recover")
    assert "wait for a renewal" in said
    assert plain.environment["PGHOST"] == f"{NEW}-rw"


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_runbook_releases_its_lease(plain, sent):
    process, held = begin(plain, "upgrade")
    process.send_signal(sent)
    code, words = ended(process)
    assert code == 1 and "interrupted: run it again to continue" in words
    assert not plain.names("Lease")
    held.release()
    assert "wait for a renewal" not in plain.ops(*COMMANDS["upgrade"])


def test_no_image_is_changed_during_an_unfinished_recovery(plain):
    assert plain.killed("recover", "--to", now(), after=5)
    changes = len(plain.changes)
    for name in ("upgrade", "rollback"):
        said = plain.refused(*COMMANDS[name])
        assert f"a recovery from {OLD} to {NEW} was begun and not completed" in said and "recover --abandon" in said
    assert len(plain.changes) == changes


def test_a_dry_run_acquires_no_lease_and_reports_the_existing_one(plain):
    process, held = begin(plain, "backup")
    said = plain.ops("drill", "--dry-run")
    assert "another runbook is running" in said and "backup by ann@laptop" in said
    held.release()
    assert ended(process)[0] == 0
