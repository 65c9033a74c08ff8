"""The rights of the runbooks: checked before the first change, and all of them in the chart's Role."""

import re

import pytest
from cluster import RESOURCES
from conftest import NEW, OLD
from support import chart, command

pytestmark = pytest.mark.rotates(every=4)

IMAGE = "registry.example/ferroflow:0.2.0"
COMMANDS = {
    "upgrade": ["upgrade", "--image", IMAGE],
    "rollback": ["rollback"],
    "backup": ["backup"],
    "recover": ["recover"],
    "abandon": ["recover", "--abandon"],
    "drill": ["drill"],
}


@pytest.mark.rotates
@pytest.mark.parametrize("runbook", COMMANDS)
def test_nothing_is_changed_without_any_one_of_its_rights(cluster, runbook):
    cluster.install("openshift-in-tree", "networkPolicy.enabled=true", "gc.enabled=true")
    command.start("ops", *COMMANDS[runbook], "--dry-run", env={"KUBECONFIG": str(cluster.kubeconfig())}).communicate()
    asked = {(verb, resource) for verb, resource, _ in cluster.rights.asked}
    assert len(asked) >= 7, asked
    for verb, resource in sorted(asked):
        cluster.rights.without = {(verb, resource)}
        said = cluster.refused(*COMMANDS[runbook])
        # The Deployment is read before the rights are checked.
        assert re.search(rf"\b{verb} {resource}\b", said) or "you lack the right" in said and (verb, resource) == ("get", "deployments"), said
        assert not cluster.changes and not cluster.names("Lease"), (verb, resource)


def test_all_missing_rights_are_named_at_once(plain):
    plain.rights.without = {("create", "jobs"), ("get", "pods/log"), ("patch", "secrets")}
    said = plain.refused("recover")
    assert "create jobs.batch, " in said and "get pods/log" in said and "patch secrets/mlflow-auth-config" in said
    assert "ops.role=true" in said and not plain.changes


def everything(cluster):
    """Every runbook to its end, with the rights that each asks for and uses."""
    rights = cluster.rights
    for runbook in ("upgrade", "rollback", "backup", "drill", "recover"):
        rights.asked.clear(), rights.used.clear()
        cluster.ops(*COMMANDS[runbook])
        yield runbook
    rights.asked.clear(), rights.used.clear()
    assert cluster.killed("recover", "--again", after=5)
    rights.asked.clear(), rights.used.clear()
    cluster.ops("recover", "--abandon")
    yield "abandon"


@pytest.mark.parametrize("case", ["kubernetes", "openshift"])
def test_runbooks_check_every_right_they_use_and_the_role_has_no_more(cluster, case):
    sets = ("networkPolicy.enabled=true", "gc.enabled=true", "postgresql.pooler.enabled=true")
    cluster.install(case, *sets)
    needed = set()
    for runbook in everything(cluster):
        # What the API server does not have is not asked for.
        used = {right for right in cluster.rights.used if f"/apis/{RESOURCES[right[1].split('/')[0]][0]}" not in cluster.missing_apis}
        asked = set(cluster.rights.asked)
        # For this object, or for all of the namespace.
        unasked = {right for right in used if right not in asked and (*right[:2], "") not in asked and right[2]}
        unasked |= {right for right in used if not right[2] and right[:2] not in {other[:2] for other in asked}}
        assert not unasked, (runbook, unasked)
        needed |= {(verb, resource) for verb, resource, _ in asked}
    cluster.rights.used.clear()
    command.start("ops", "doctor", "--look-inside", env={"KUBECONFIG": str(cluster.kubeconfig())}).communicate()
    needed |= {(verb, resource) for verb, resource, _ in cluster.rights.used}
    rules = chart.objects(case, *cluster.sets, "ops.role=true").one("Role", "mlflow-ops")["rules"]
    granted = {(verb, resource) for rule in rules for verb in rule["verbs"] for resource in rule["resources"]}
    assert granted - needed == set()


def test_the_role_is_bound_to_the_subjects_of_the_values():
    subject = "ops.subjects[0].kind=Group,ops.subjects[0].name=ml,ops.subjects[0].apiGroup=rbac.authorization.k8s.io"
    made = chart.objects("kubernetes", "ops.role=true", subject)
    assert made.one("RoleBinding", "mlflow-ops")["subjects"] == [{"kind": "Group", "name": "ml", "apiGroup": "rbac.authorization.k8s.io"}]
    assert made.one("RoleBinding", "mlflow-ops")["roleRef"]["name"] == made.one("Role", "mlflow-ops")["metadata"]["name"]
    assert "mlflow-ops" not in chart.objects("kubernetes").names("Role")
    assert "mlflow-ops" not in chart.objects("kubernetes", "ops.role=true").names("RoleBinding")


def test_a_runbook_that_lacked_a_right_continues_with_it(plain):
    """Admission may deny what the review allowed."""
    plain.rights.is_silent = True
    plain.rights.without = {("create", "clusters")}
    said = plain.refused("recover")
    assert "you lack the right" in said and "clusters" in said and not plain.names("Lease")
    plain.rights.without = set()
    plain.ops("recover")
    assert plain.environment["PGHOST"] == f"{NEW}-rw"


def test_a_kind_that_the_api_server_lacks_is_no_missing_right(plain):
    """The API server answers 403, not 404, to a user without rights to a kind that does not exist."""
    plain.missing_apis.add("/apis/gateway.networking.k8s.io/v1")
    assert "WRONG" not in plain.ops("doctor")
    plain.ops(*COMMANDS["upgrade"])
    plain.ops("recover")


DOCTOR = {
    ("get", "secrets"): "Secret mlflow-auth-config",
    ("get", "clusters"): f"Cluster {OLD}",
    ("list", "clusters"): "clusters cannot be listed",
    ("list", "scheduledbackups"): "scheduledbackups cannot",
    ("get", "objectstores"): "ObjectStore mlflow-backup",
    ("list", "pods"): "pods cannot",
    ("list", "ingresses"): "ingresses cannot",
    ("get", "deployments"): "Deployment mlflow",
    ("get", "leases"): "Lease mlflow-ops",
}


@pytest.mark.parametrize("right", DOCTOR, ids="-".join)
def test_doctor_lists_checks_without_rights_and_makes_the_others(plain, right):
    plain.rights.without = {right}
    process = command.start("ops", "doctor", env={"KUBECONFIG": str(plain.kubeconfig())})
    out, error = process.communicate(timeout=command.SECONDS)
    listed = [line for line in out.splitlines() if line.startswith("?")]
    assert process.returncode == 1 and f"Error: {len(listed)} checks were not made, because you lack rights" in error
    assert f"?     {DOCTOR[right]}" in out and "you lack the right" in out and "WRONG" not in out
    if right != ("get", "deployments"):
        assert "the server answers to mlflow.example" in out or right == ("list", "ingresses")
        assert "the newest backup is less than 26 hours old" in out or right == ("get", "clusters")
