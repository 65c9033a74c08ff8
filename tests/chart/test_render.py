"""Every file of values renders with both Helms to what a cluster accepts and a platform allows."""

import difflib
import re
import shutil
import tarfile
from pathlib import Path

import pytest
import validate
import yaml
from support.chart import (
    CASES,
    CHART,
    GENERATIONS,
    PLATFORMS,
    Case,
    a_sixth,
    containers,
    env,
    flags,
    helm,
    objects,
    text,
)

SNAPSHOTS = Path(__file__).parent / "snapshots"

each_case = pytest.mark.parametrize("case", [*CASES, *PLATFORMS], ids=lambda case: case.name)
each_generation = pytest.mark.parametrize("generation", GENERATIONS)


def test_there_are_many_of_them():
    assert len(CASES) >= 75


@a_sixth
@each_case
@each_generation
def test_lint_finds_nothing(case, generation):
    done = helm(generation, "lint", "--strict", CHART, *flags(case.files))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout + done.stderr
    assert "[ERROR]" not in done.stdout + done.stderr


@each_generation
def test_lint_finds_nothing_in_the_defaults(generation):
    done = helm(generation, "lint", CHART)
    assert done.returncode == 0, done.stdout + done.stderr


@a_sixth
@each_case
def test_every_field_exists(case):
    found = [error for document in objects(case) for error in validate.errors(document, case.kubernetes)]
    assert not found, "\n".join(found)


def test_a_field_that_does_not_exist_is_found():
    for document, field in (("Cluster", "instance"), ("Deployment", "replica"), ("BuildConfig", "trigger"), ("ObjectStore", "retention")):
        broken = objects("openshift").one(document)
        broken["spec"][field] = 1
        assert validate.errors(broken), f"{field} of {document}"
        del broken["spec"][field]
        broken["metadata"]["label"] = {}
        assert validate.errors(broken), f"metadata of {document}"


@a_sixth
@each_case
def test_both_helms_make_the_same(case):
    """But for the trigger, which Helm 4 cannot live with."""
    new, old = objects(case), objects(case, generation="3")
    for deployment in (new.one("Deployment"), old.one("Deployment")):
        deployment["metadata"].pop("annotations", None)
    by_key = lambda some: {(o["kind"], o["metadata"]["name"]): o for o in some}
    assert by_key(new) == by_key(old)


@a_sixth
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_rendering_is_as_reviewed(case, request):
    """The two bases in full, the others by what differs from their base. ``-- --write`` writes them anew."""
    rendered = normal(case)
    if case.base:
        lines = difflib.unified_diff(normal(case.base).splitlines(), rendered.splitlines(), lineterm="", n=1)
        # Without the line numbers, which a change anywhere above would change.
        rendered = "\n".join("@@" if line.startswith("@@") else line for line in list(lines)[2:]) + "\n"
    path = SNAPSHOTS / f"{case.name}.{'diff' if case.base else 'yaml'}"
    if request.config.getoption("write"):
        path.write_text(rendered)
    assert path.exists() and path.read_text() == rendered, f"{path.name} is not what is rendered: look at the difference, then `cargo xtask chart -- --write`"


def normal(case: Case) -> str:
    """What is rendered, sorted, in one way of writing."""
    documents = sorted(objects(case), key=lambda o: (o["kind"], o["metadata"]["name"]))
    return "".join(f"--- # {o['kind']} {o['metadata']['name']}\n{yaml.safe_dump(o, width=200)}" for o in documents)


@a_sixth
@each_case
def test_two_renderings_are_the_same(case):
    """GitOps renders again and again: nothing is random, and nothing is looked up in the cluster."""
    assert text.__wrapped__("4", case) == text("4", case)


def test_no_template_is_random_or_looks_something_up():
    for path in CHART.glob("templates/**/*"):
        if path.is_file():
            found = re.findall(r"\b(lookup|randAlpha\w*|randNumeric|randAscii|randBytes|uuidv4|genSelfSigned\w*|genCA\w*|genPrivateKey|now|htpasswd|bcrypt)\b *[(\"$.]", path.read_text())
            assert not found, f"{path.name}: {found}"


# What a platform demands of every pod.


@a_sixth
@each_case
def test_pods_meet_the_restricted_profile(case):
    for owner, spec in objects(case).pods():
        pod = spec["securityContext"]
        assert pod["runAsNonRoot"] is True, owner
        assert pod["seccompProfile"] == {"type": "RuntimeDefault"}, owner
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), owner
        allowed = {"configMap", "emptyDir", "projected", "secret", "persistentVolumeClaim", "downwardAPI"}
        assert {kind for volume in spec.get("volumes", []) for kind in volume if kind != "name"} <= allowed, owner
        for container in containers(spec):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, (owner, container["name"])
            assert context["readOnlyRootFilesystem"] is True, (owner, container["name"])
            assert context["capabilities"] == {"drop": ["ALL"]}, (owner, container["name"])
            assert not context.get("privileged"), (owner, container["name"])


@a_sixth
@each_case
def test_openshift_chooses_the_user(case):
    """restricted-v2 refuses a user that is not of the namespace's range; elsewhere the official image would be root."""
    fixed = "openshift" not in case.name
    for owner, spec in objects(case).pods():
        assert ("runAsUser" in spec["securityContext"]) == fixed, owner
        assert ("fsGroup" in spec["securityContext"]) == fixed, owner
        assert spec["securityContext"].get("runAsUser", 1) != 0, owner


@a_sixth
@each_case
def test_no_image_is_latest_or_without_a_tag(case):
    for owner, spec in objects(case).pods():
        for container in containers(spec):
            name = container["image"].rsplit("/", 1)[1]
            assert ":" in name and not name.endswith(":latest"), (owner, container["image"])


@a_sixth
@each_case
def test_everything_has_resources(case):
    rendered = objects(case)
    for owner, spec in rendered.pods():
        for container in containers(spec):
            assert container["resources"]["requests"].keys() >= {"cpu", "memory"}, (owner, container["name"])
            assert "memory" in container["resources"]["limits"], (owner, container["name"])
    for cluster in (o for o in rendered if o["kind"] == "Cluster"):
        assert cluster["spec"]["resources"]["requests"].keys() >= {"cpu", "memory"}


@a_sixth
@each_case
def test_servers_have_probes_and_drain(case):
    spec = objects(case).one("Deployment")["spec"]["template"]["spec"]
    assert spec["terminationGracePeriodSeconds"] >= 30
    for container in spec["containers"]:
        assert {"livenessProbe", "readinessProbe"} <= set(container), container["name"]
    server = spec["containers"][0]
    paths = [server[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")]
    official = "mlflow" in (server["command"][0], server["args"][1])
    assert paths == (["/health"] * 3 if official else ["/readyz", "/livez", "/readyz?needs=database"])
    assert server["lifecycle"]["preStop"], "routers need a moment"


@a_sixth
@each_case
def test_pods_have_no_rights_but_the_drill(case):
    rendered = objects(case)
    for owner, spec in rendered.pods():
        assert spec["automountServiceAccountToken"] is False, owner
    # Only on request, and only to list namespaces and read what they choose, or to ask whose a token is or what users may do.
    own = rendered.names("ClusterRole")
    with_namespaces = ("kubernetes-namespaces", "kubernetes-namespaces-proxy")
    assert own == ({"research-mlflow-workspaces"} if case.name in with_namespaces else set())
    for role in (o for o in rendered if o["kind"] == "ClusterRole"):
        listed, *others = role["rules"]
        assert listed == {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list"]}
        assert bool(others) == (case.name == "kubernetes-namespaces-proxy")
        for rule in others:
            is_review = rule["verbs"] == ["create"] and rule["resources"][0].endswith("reviews")
            assert is_review or (rule["verbs"] == ["get"] and len(rule["resourceNames"]) == 1), rule
    for binding in (o for o in rendered if o["kind"] == "ClusterRoleBinding"):
        assert case.name in ("kubernetes-service-accounts", *with_namespaces)
        assert {binding["roleRef"]["name"]} == (own or {"system:auth-delegator"})
    for role in (o for o in rendered if o["kind"] == "Role"):
        for rule in role["rules"]:
            assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]
            if role["metadata"]["name"] == "mlflow-ops":
                # For people: `tests/ops` compares it with what the runbooks use.
                assert "pods/exec" not in rule["resources"]
                continue
            assert "secrets" not in rule["resources"] and "pods/exec" not in rule["resources"]
            assert rule["verbs"] == ["create"] or rule["resourceNames"], "limited to the scratch cluster"


@a_sixth
@each_case
def test_nothing_secret_is_rendered(case):
    rendered = objects(case)
    assert rendered.names("Secret") == set()
    for owner, spec in rendered.pods():
        for container in containers(spec):
            for name, value in env(container).items():
                if re.search(r"PASSWORD|SECRET_KEY|ACCESS_KEY", name):
                    assert isinstance(value, tuple), f"{owner}: {name} is written out"


@a_sixth
@each_case
def test_objects_are_told_apart_and_found(case):
    rendered = objects(case)
    assert len(rendered.keys) == len(rendered)
    # Only what was written by hand may go without labels.
    for document in rendered:
        if document["metadata"]["name"] not in ("more", "tracking-text"):
            assert document["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "Helm", document["metadata"]
    selector = rendered.one("Deployment")["spec"]["selector"]["matchLabels"]
    assert rendered.one("Service")["spec"]["selector"] == selector
    for document in rendered:
        if document["kind"] in ("CronJob", "Template", "Pod"):
            assert document["metadata"]["labels"]["app.kubernetes.io/name"] != "mlflow", "the Service would send requests there"


@a_sixth
@each_case
def test_what_is_mounted_is_there(case):
    for owner, spec in objects(case).pods():
        volumes = {volume["name"] for volume in spec.get("volumes", [])}
        mounted = {mount["name"] for container in containers(spec) for mount in container.get("volumeMounts", [])}
        assert mounted <= volumes, owner


@each_generation
def test_the_package_has_the_chart_and_no_secret(generation, tmp_path):
    """Everything in the folder but what .helmignore names would get into the package and into the release's Secret."""
    folder = tmp_path / "chart"
    shutil.copytree(CHART, folder)
    (folder / "env/s3-credentials").write_text("AWS_SECRET_ACCESS_KEY=hush")
    (folder / "env/basic-auth.ini").write_text("admin_password = hush")
    (folder / "basic-auth.ini").write_text("admin_password = hush")
    done = helm(generation, "package", folder, "--destination", tmp_path)
    assert done.returncode == 0, done.stderr
    [package] = tmp_path.glob("*.tgz")
    with tarfile.open(package) as archive:
        names = set(archive.getnames())
        assert {"ferroflow/values.schema.json", "ferroflow/templates/deployment.yaml", "ferroflow/files/drill-restore.sh"} <= names
        assert not [name for name in names if "env/" in name or name.endswith(".ini")]
        assert not any(b"hush" in archive.extractfile(member).read() for member in archive if member.isfile())
    done = helm(generation, "template", "mlflow", package, *flags(Case("kubernetes").files))
    assert done.returncode == 0, done.stderr
