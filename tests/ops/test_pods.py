"""Pods that do not start: the reason is printed, and runbooks fail early if a pod cannot start."""

import pytest
from cluster import at, waiting
from conftest import NEW, OLD

pytestmark = pytest.mark.rotates(every=6)

IMAGE = "registry.example/ferroflow:0.2.0"
UNKNOWN = ("ImagePullBackOff", f'Back-off pulling image "{IMAGE}": manifest unknown')
SLOW = ("ErrImagePull", "failed to do request: dial tcp: i/o timeout")


def image(cluster):
    return cluster.server["spec"]["template"]["spec"]["containers"][0]["image"]


def when(cluster, kind, name, happens, then):
    """Calls ``then`` before a patch of an object that matches."""
    patch = cluster.patch

    def noted(its_kind, its_name, change, *more):
        if (its_kind, its_name) == (kind, name) and happens(change):
            then()
        return patch(its_kind, its_name, change, *more)

    cluster.patch = noted


def gets(image_):
    return lambda change: image_ in str(at(change, "spec.template") or "")


def test_an_image_that_does_not_exist_changes_nothing(plain):
    plain.no_image[IMAGE] = UNKNOWN
    said = plain.refused("upgrade", "--image", IMAGE)
    assert "manifest unknown" in said and image(plain) != IMAGE and not plain.names("Backup")


def test_a_runbook_waits_for_a_registry_that_does_not_answer(plain):
    plain.no_image[IMAGE] = SLOW
    plain.ops_until("waits: ops: ErrImagePull failed to do request", plain.no_image.clear, "upgrade", "--image", IMAGE)
    assert image(plain) == IMAGE


def test_an_upgrade_whose_server_has_no_image_fails_and_is_rolled_back(plain):
    before = image(plain)
    when(plain, "Deployment", "mlflow", gets(IMAGE), lambda: plain.no_image.update({IMAGE: UNKNOWN}))
    said = plain.refused("upgrade", "--image", IMAGE)
    assert "does not start: it waits: mlflow: ImagePullBackOff" in said and "manifest unknown" in said
    # The old server still answers, and the upgrade can be rolled back.
    assert plain.server["status"]["readyReplicas"] == 1
    plain.ops("rollback")
    assert image(plain) == before and plain.server["status"]["readyReplicas"] == 1


def test_a_recovery_whose_server_does_not_start_fails_and_continues_later(plain):
    before = image(plain)
    when(plain, "Deployment", "mlflow", lambda change: at(change, "spec.replicas") == 1, lambda: plain.no_image.update({before: UNKNOWN}))
    assert "manifest unknown" in plain.refused("recover")
    assert plain.environment["PGHOST"] == f"{NEW}-rw"
    plain.no_image.clear()
    plain._settle("mlflow")
    plain.ops("recover")
    assert plain.server["status"]["readyReplicas"] == 1


def test_a_restarting_container_is_reported_with_the_end_of_its_log(plain):
    when(plain, "Deployment", "mlflow", gets(IMAGE), lambda: plain.no_image.update({IMAGE: ("CrashLoopBackOff", "back-off 40s")}))
    plain.logs = Said(plain.logs)
    said = plain.refused("upgrade", "--image", IMAGE)
    assert "CrashLoopBackOff" in said and "The log of its container mlflow ends with: one; Error: the database is older" in said


class Said(dict):
    def get(self, name, default=""):
        return super().get(name) or "one\nError: the database is older"


def test_a_runbook_reports_a_pod_without_a_node_and_waits(plain):
    message = "0/3 nodes are available: 3 Insufficient memory."
    conditions = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]
    settle = plain._settle

    def unscheduled(name):
        settle(name)
        if image(plain) == IMAGE:
            for pod in plain.all("Pod"):
                if at(pod, "metadata.labels").get("app.kubernetes.io/component") == "server":
                    plain.status("Pod", pod["metadata"]["name"], phase="Pending", conditions=conditions)
            plain.status("Deployment", name, readyReplicas=0)

    def scheduled():
        plain._settle = settle
        settle("mlflow")

    plain._settle = unscheduled
    plain.ops_until(f"has no node: {message}", scheduled, "upgrade", "--image", IMAGE)
    assert plain.server["status"]["readyReplicas"] == 1


def test_a_deployment_past_its_progress_deadline_fails_the_upgrade(plain):
    settle = plain._settle

    def stuck(name):
        settle(name)
        if image(plain) == IMAGE:
            message = "pods mlflow-1 is forbidden: exceeded quota"
            conditions = [
                {"type": "ReplicaFailure", "status": "True", "message": message},
                {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "has timed out progressing."},
            ]
            plain.status("Deployment", name, readyReplicas=0, conditions=conditions)

    plain._settle = stuck
    said = plain.refused("upgrade", "--image", IMAGE)
    assert "makes no progress" in said and "exceeded quota" in said


def restore(cluster, number, words):
    """A cluster whose restore pods fail."""
    cluster.status("Cluster", NEW, phase="Setting up primary")
    for one in range(number):
        name = f"{NEW}-1-full-recovery-{one}"
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"cnpg.io/cluster": NEW}}}
        cluster.create(pod | {"spec": {"containers": [{"name": "full-recovery", "image": "x"}]}})
        cluster.logs[name] = words
        cluster.status("Pod", name, phase="Failed")


def test_a_restore_that_failed_three_times_fails_the_recovery(plain):
    plain._make_cluster = lambda name: restore(plain, 3, "barman: no backup found\n")
    said = plain.refused("recover")
    assert f"{NEW} cannot be created: 3 pods have failed" in said and "no backup found" in said and "recover --abandon" in said
    assert plain.environment["PGHOST"] == f"{OLD}-rw"


def test_an_archive_that_is_not_empty_fails_the_recovery_with_the_remedy(plain):
    (plain.folder / "bucket" / NEW).mkdir()
    said = plain.refused("recover")
    assert "Expected empty archive" in said and "another --name" in said
    plain.ops("recover", "--abandon")
    plain.delete("Cluster", NEW)
    plain._make_cluster = lambda name: restore(plain, 1, "WAL archive check failed: Expected empty archive")
    assert "another --name" in plain.refused("recover")


def test_a_drill_whose_pods_cannot_start_fails_and_cleans_up(plain):
    def pending(name):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"{name}-1", "labels": {"cnpg.io/cluster": name}}}
        plain.create(pod | {"spec": {"containers": [{"name": "postgres", "image": "x"}]}})
        plain.status("Pod", f"{name}-1", **waiting("postgres", *UNKNOWN))

    plain._make_cluster = pending
    assert "manifest unknown" in plain.refused("drill")
    assert plain.names("Cluster") == {OLD}
