"""The chart's values file for each platform: what it must render, and what its page says has to be there first."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml
from support import required
from support.chart import CHART, PLATFORMS, Case, Objects, containers, helm, objects
from test_commands import blocks, referenced_keys

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/platforms.md").read_text()

each_platform = pytest.mark.parametrize("case", PLATFORMS, ids=lambda case: case.path.stem)


def section(case: Case) -> str:
    """What the page says of a platform: the section that the table links beside its file."""
    link = re.search(rf"^\| \[[^]]*\]\(#([\w-]+)\) \| \[{case.path.name}\]\(\.\./chart/examples/{case.path.name}\)", PAGE, re.MULTILINE)
    assert link, f"docs/platforms.md does not lead to {case.path.name}"
    sections = {heading.lower().replace(" ", "-"): text for heading, text in re.findall(r"^## ([^\n]*)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)}
    return sections[link[1]]


def test_every_platform_has_a_file():
    assert {case.path.stem for case in PLATFORMS} == {"openshift", "eks", "aks", "gke", "on-premises", "gitops", "air-gapped"}


def test_the_ways_in_lead_to_the_page():
    for page in ("README.md", "chart/README.md", "docs/kubernetes.md", "docs/openshift.md"):
        assert "platforms.md" in (ROOT / page).read_text(), page


@each_platform
def test_the_page_creates_every_secret_that_is_read(case, tmp_path):
    """With its own commands, run by the real kubectl. What the platform makes is said in the section by name."""
    for file in ("basic-auth.ini", "ca.crt", "server-ca.pem", "service-ca.crt"):
        (tmp_path / file).write_text("x")
    certificate(tmp_path)
    created = {}
    for block in [*blocks("platforms", "sh")[:2], *re.findall(r"```sh\n(.*?)```", section(case), re.DOTALL)]:
        for line in block.splitlines():
            if re.match(r"(kubectl|oc) create secret ", line):
                done = subprocess.run(
                    [required("FERROFLOW_KUBECTL"), *shlex.split(line)[1:], "--dry-run=client", "--output=yaml"],
                    cwd=tmp_path, capture_output=True, text=True,
                )  # fmt: skip
                assert done.returncode == 0, f"{line}: {done.stderr}"
                secret = yaml.safe_load(done.stdout)
                created[secret["metadata"]["name"]] = set(secret.get("data", {}))
    rendered = objects(case)
    read = secrets(rendered)
    assert {name for name, _ in read} >= {"mlflow-auth-config"}
    for name, key in read:
        if name in created:
            assert key is None or key in created[name], f"{name} has no {key}"
        else:
            by_operator = name.startswith("pg-cluster-v1-")
            assert by_operator or f"`{name}`" in section(case), f"nothing creates the Secret {name}"
    for name in created:
        assert name in {of for of, _ in read}, f"nothing reads the Secret {name}"


def secrets(rendered: Objects) -> set[tuple[str, str | None]]:
    """The Secrets that pods, clusters and Ingresses read."""
    found = {(name, key) for name, key in referenced_keys(rendered) if name not in config_maps(rendered)}
    for document in rendered:
        spec = document.get("spec", {})
        if document["kind"] == "Ingress":
            found |= {(entry["secretName"], "tls.key") for entry in spec.get("tls", [])}
    for _, pod in rendered.pods():
        found |= {(entry["name"], ".dockerconfigjson") for entry in pod.get("imagePullSecrets", [])}
    return found


def config_maps(rendered: Objects) -> set[str]:
    return {volume["configMap"]["name"] for _, pod in rendered.pods() for volume in pod.get("volumes", []) if "configMap" in volume}


def certificate(folder: Path) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=mlflow.example", "-keyout", "tls.key", "-out", "tls.crt"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip


@each_platform
def test_it_survives_a_node(case):
    rendered = objects(case)
    assert rendered.one("Deployment")["spec"]["replicas"] >= 2
    assert rendered.names("PodDisruptionBudget")
    if clusters := [o for o in rendered if o["kind"] == "Cluster"]:
        assert clusters[0]["spec"]["instances"] >= 3
        assert rendered.names("ScheduledBackup")
    else:
        assert re.search(r"\bIt takes\s+the backups", section(case)), "of a database that the chart does not back up"


@each_platform
def test_the_notes_have_no_warning(case):
    done = helm("4", "install", "mlflow", CHART, "--dry-run=client", *[f"--values={file}" for file in case.files])
    assert done.returncode == 0, done.stderr
    assert "rollout status deployment/mlflow" in done.stdout


def test_openshift_has_a_route_and_builds_nothing():
    rendered = objects("examples/openshift")
    assert rendered.one("Route")["spec"]["host"] == "mlflow.apps.example"
    assert not rendered.names("BuildConfig") and not rendered.names("Ingress")
    assert rendered.one("ObjectStore")["spec"]["configuration"]["endpointCA"] == {"name": "service-ca", "key": "service-ca.crt"}


def test_eks_has_roles_and_no_keys():
    rendered = objects("examples/eks")
    role = "eks.amazonaws.com/role-arn"
    assert rendered.one("ServiceAccount", "mlflow")["metadata"]["annotations"][role].endswith(":role/mlflow-server")
    template = rendered.one("Cluster")["spec"]["serviceAccountTemplate"]
    assert template["metadata"]["annotations"][role].endswith(":role/mlflow-backup")
    assert rendered.one("ObjectStore")["spec"]["configuration"]["s3Credentials"] == {"inheritFromIAMRole": True}
    assert not [name for name in rendered.server_env() if "ACCESS_KEY" in name]
    assert "s3-credentials" not in {name for name, _ in secrets(rendered)}


def test_aks_and_gke_have_an_identity_and_a_database_of_the_cloud():
    for case, destination, label in (
        ("aks", "wasbs://mlflow@teammlflow.blob.core.windows.net/artifacts", {"azure.workload.identity/use": "true"}),
        ("gke", "gs://team-mlflow/artifacts", {}),
    ):
        rendered = objects(f"examples/{case}")
        assert rendered.server_env()["MLFLOW_ARTIFACTS_DESTINATION"] == destination
        assert rendered.one("Deployment")["spec"]["template"]["metadata"]["labels"].items() >= label.items()
        assert rendered.one("ServiceAccount", "mlflow")["metadata"]["annotations"]
        assert rendered.server_env()["PGUSER"] == ("mlflow-database", "username")
        assert not rendered.names("Cluster") | rendered.names("ScheduledBackup") | rendered.names("ObjectStore")
        assert "s3-credentials" not in {name for name, _ in secrets(rendered)}
    gke = objects("examples/gke")
    assert gke.server_env()["PGSSLMODE"] == "verify-ca" and ("mlflow-database-ca", "server-ca.pem") in secrets(gke)
    assert "timeoutSec" in section(Case("examples/gke"))


def test_on_premises_trusts_the_authority_of_minio_everywhere():
    rendered = objects("examples/on-premises")
    assert rendered.server_env()["MLFLOW_S3_ENDPOINT_URL"] == "https://minio.example:9000"
    assert rendered.server_env()["AWS_CA_BUNDLE"]
    assert rendered.one("ObjectStore")["spec"]["configuration"]["endpointCA"]["name"] == "minio-ca"
    ports = [port["port"] for rule in rendered.one("NetworkPolicy")["spec"]["egress"] for port in rule.get("ports", [])]
    assert 9000 in ports
    assert {"mlflow-drill", "mlflow-gc"} <= rendered.names("CronJob")


def test_gitops_leaves_nothing_to_a_person():
    rendered = objects("examples/gitops")
    assert "--auto-migrate" in " ".join(rendered.server["args"])
    assert rendered.one("Cluster")["metadata"]["annotations"]["argocd.argoproj.io/sync-options"].startswith("Prune=false")
    values = yaml.safe_load(Case("examples/gitops").path.read_text())
    assert values["openshift"] is False, "`helm template` sees no cluster"


def test_air_gapped_pulls_from_the_mirror_alone():
    rendered = objects("examples/air-gapped")
    images = {container["image"] for _, spec in rendered.pods() for container in containers(spec)}
    images.add(rendered.one("Cluster")["spec"]["imageName"])
    assert len(images) >= 3
    assert not [image for image in images if not image.startswith("mirror.example/")], images
    for owner, spec in rendered.pods():
        assert spec["imagePullSecrets"] == [{"name": "mirror"}], owner
    assert rendered.one("Cluster")["spec"]["imagePullSecrets"] == [{"name": "mirror"}]
    ports = {port["port"] for rule in rendered.one("NetworkPolicy")["spec"]["egress"] for port in rule.get("ports", [])}
    assert ports == {53, 5353, 5432, 443}
