"""What is known to go wrong is found, with the value to change."""

import pytest
from conftest import OLD


def test_a_healthy_installation_is_found_healthy(installed):
    said = installed.ops("doctor", "--look-inside")
    assert "WRONG" not in said
    for what in ("the write-ahead log is archived", "the tracking database is at", "the auth database is at", "1 of 1 servers"):
        assert what in said
    assert "Kubernetes v1.31.0" in said
    assert not [change for change in installed.changes if change[1] != "Job"]


def patch(kind, name, **patch):
    return lambda cluster: cluster.patch(kind, name, patch)


def schedule(cluster):
    cluster.delete("ScheduledBackup", f"{OLD}-daily", None)


def password(cluster):
    cluster.delete("Secret", "mlflow-auth-config", None)
    ini = "[mlflow]\nadmin_username = admin\nadmin_password = password1234\n"
    cluster.secret("mlflow-auth-config", {"basic-auth.ini": ini})


def other_keys(cluster):
    cluster.delete("Secret", "s3-credentials", None)
    cluster.secret("s3-credentials", {"ACCESS_KEY_ID": "a", "ACCESS_SECRET_KEY": "b"})


def other_host(cluster):
    ingress = cluster.get("Ingress", "mlflow")
    rules = ingress["spec"]["rules"]
    rules[0]["host"] = "elsewhere.example"
    cluster.patch("Ingress", "mlflow", {"spec": {"rules": rules}})


TROUBLES = {
    "scaled to zero": (patch("Deployment", "mlflow", spec={"replicas": 0}), "--replicas=1"),
    "no secret of the login": (lambda c: c.delete("Secret", "mlflow-auth-config", None), "create secret generic mlflow-auth-config"),
    "no secret of the bucket": (lambda c: c.delete("Secret", "s3-credentials", None), "create secret generic s3-credentials"),
    "other keys in it": (other_keys, "s3.accessKeyIdKey"),
    "the well-known password": (password, "admin_password"),
    "no key in the secret": (
        lambda c: (c.delete("Secret", "mlflow-auth-config", None), c.secret("mlflow-auth-config", {"auth.ini": "x"})),
        "has no basic-auth.ini",
    ),
    "a host that is not allowed": (other_host, "mlflow.allowedHosts: [elsewhere.example]"),
    "no operator": (lambda c: c.missing_apis.add("/apis/postgresql.cnpg.io/v1"), "postgresql.mode=external"),
    "no plugin": (lambda c: c.missing_apis.add("/apis/barmancloud.cnpg.io/v1"), "backup.method=inTree"),
    "no schedule": (schedule, "backup.enabled=true"),
    "a schedule of five fields": (
        patch("ScheduledBackup", f"{OLD}-daily", spec={"schedule": "0 0 * * *"}),
        'backup.schedule: "0 0 0 * * *"',
    ),
    "an old backup": (lambda c: c.status("Cluster", OLD, lastSuccessfulBackup="2026-01-01T00:00:00Z"), "hours old"),
    "no archive": (
        lambda c: c.status(
            "Cluster",
            OLD,
            conditions=[
                {"type": "Ready", "status": "True"},
                {"type": "ContinuousArchiving", "status": "False", "message": "Expected empty archive"},
            ],
        ),
        "backup.serverName",
    ),
    "no cluster": (lambda c: c.delete("Cluster", OLD, None), "postgresql.clusterName"),
    "a recovery that was begun": (
        patch("Deployment", "mlflow", metadata={"annotations": {"ferroflow-ops/recovering": "a to b"}}),
        "recovering a to b",
    ),
    "an older database": (
        lambda c: c.execute(OLD, "UPDATE alembic_version SET version_num = '1bd49d398cd23'"),
        "ferroflow ops upgrade",
    ),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_trouble_is_found(plain, trouble):
    make, remedy = TROUBLES[trouble]
    make(plain)
    from support import command

    process = command.start("ops", "doctor", "--look-inside", env={"KUBECONFIG": str(plain.kubeconfig())})
    out, error = process.communicate(timeout=command.SECONDS)
    assert process.returncode == 1, out + error
    assert "WRONG" in out and remedy in out, out + error


def test_without_a_cluster_it_is_said_what_is_missing(tmp_path):
    from support import command

    (tmp_path / "kubeconfig").write_text("{}")
    assert command.refused("ops", "doctor", env={"KUBECONFIG": str(tmp_path / "kubeconfig"), "HOME": str(tmp_path)})
    said = command.refused("ops", "doctor", env={"KUBECONFIG": str(tmp_path / "none"), "HOME": str(tmp_path)})
    assert "kubeconfig" in said
