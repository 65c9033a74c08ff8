"""What is known to go wrong is found, with the value to change."""

import pytest
from conftest import OLD
from support import chart, command

pytestmark = pytest.mark.rotates(every=4)


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


def without_plugin(cluster):
    cluster.status("Cluster", OLD, pluginStatus=[])


def operator(version):
    return lambda cluster: cluster.patch("Pod", f"{OLD}-1", {"metadata": {"annotations": {"cnpg.io/operatorVersion": version}}})


def replica_without_standby(cluster):
    spec = cluster.get("Deployment", "mlflow")["spec"]["template"]["spec"]
    uri = "postgresql://$(FERROFLOW_STANDBYS):5432/mlflow"
    spec["containers"][0]["env"].append({"name": "MLFLOW_READ_REPLICA_BACKEND_STORE_URI", "value": uri})
    cluster.patch("Deployment", "mlflow", {"spec": {"template": {"spec": spec}}})
    cluster.status("Cluster", OLD, readyInstances=1)


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
    "a plugin that is not loaded": (without_plugin, "has not loaded the Barman Cloud plugin"),
    "an operator without plugins": (operator("1.25.4"), "upgrade it to 1.26 or newer, or set backup.method=inTree"),
    "no certificate": (lambda c: c.delete("Secret", "mlflow-tls", None), "kubectl create secret tls mlflow-tls"),
    "no certificate in its secret": (
        lambda c: (c.delete("Secret", "mlflow-tls", None), c.secret("mlflow-tls", {"cert.pem": "x"})),
        "the Secret mlflow-tls has no tls.crt",
    ),
    "something else in its place": (
        lambda c: (c.delete("Secret", "mlflow-tls", None), c.secret("mlflow-tls", {"tls.crt": "x"})),
        "put the server's own certificate first",
    ),
    "a read replica without a standby": (replica_without_standby, "postgresql.readReplica.enabled=false"),
    "no schedule": (schedule, "backup.enabled=true"),
    "a schedule that a recovery has suspended": (
        patch("ScheduledBackup", f"{OLD}-daily", spec={"suspend": True}),
        f"kubectl patch scheduledbackups.postgresql.cnpg.io/{OLD}-daily --type=merge --patch='{{\"spec\":{{\"suspend\":false}}}}'",
    ),
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
    "rollups that this server does not use": (
        lambda c: c.execute(OLD, "INSERT INTO sql_trace_rollup_rebuild_queue VALUES (0, '2026-01-01', 'trace_metric')"),
        "MLFLOW_SQL_TRACE_ROLLUPS_ENABLED=true for all servers",
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
    process = command.start("ops", "doctor", "--look-inside", env={"KUBECONFIG": str(plain.kubeconfig())})
    out, error = process.communicate(timeout=command.SECONDS)
    assert process.returncode == 1, out + error
    assert "WRONG" in out and remedy in out, out + error


CERTIFICATES = {
    "expired": ("mlflow.example", -1, "has expired at"),
    "about to expire": ("mlflow.example", 7, "expires soon, at"),
    "for another host": ("other.example", 90, "is for other.example, not for mlflow.example"),
}


@pytest.mark.parametrize("trouble", CERTIFICATES)
def test_a_certificate_that_is_not_good_is_found(plain, certificate, trouble):
    host, days, words = CERTIFICATES[trouble]
    plain.delete("Secret", "mlflow-tls", None)
    plain.secret("mlflow-tls", {"tls.crt": certificate(host, days), "tls.key": "key"})
    assert "1 problems were found" in plain.refused("doctor")
    plain.delete("Secret", "mlflow-tls", None)
    plain.secret("mlflow-tls", {"tls.crt": certificate("*.example", 90), "tls.key": "key"})
    assert "the certificate in the Secret mlflow-tls is for mlflow.example" in plain.ops("doctor")
    assert words in said_of(plain, certificate(host, days))


def said_of(cluster, certificate):
    """What is said when a Route has it."""
    cluster.missing_apis.clear()
    cluster.rights.rules = None
    route = chart.objects("openshift").one("Route")
    route["spec"] |= {"host": "mlflow.example", "tls": {"termination": "edge", "certificate": certificate}}
    cluster.create(route)
    process = command.start("ops", "doctor", env={"KUBECONFIG": str(cluster.kubeconfig())})
    return process.communicate(timeout=command.SECONDS)[0]


def test_hosts_of_the_gateway_are_looked_at(cluster):
    cluster.install("kubernetes-gateway")
    assert "the server answers to mlflow.example" in cluster.ops("doctor")
    cluster.patch("HTTPRoute", "mlflow", {"spec": {"hostnames": ["elsewhere.example"]}})
    assert "1 problems were found" in cluster.refused("doctor")


def test_an_operator_without_backups_of_its_own_is_found(cluster):
    cluster.install("openshift-in-tree")
    assert "the operator is CloudNativePG 1.29.1" in cluster.ops("doctor")
    operator("1.31.0")(cluster)
    assert "1 problems were found" in cluster.refused("doctor")


def test_without_a_cluster_it_is_said_what_is_missing(tmp_path):
    (tmp_path / "kubeconfig").write_text("{}")
    assert command.refused("ops", "doctor", env={"KUBECONFIG": str(tmp_path / "kubeconfig"), "HOME": str(tmp_path)})
    said = command.refused("ops", "doctor", env={"KUBECONFIG": str(tmp_path / "none"), "HOME": str(tmp_path)})
    assert "kubeconfig" in said
