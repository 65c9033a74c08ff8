"""Every command of the user guide is checked against what the chart makes: names, kinds, labels, keys, files.

Those that need no cluster are run. A command that nobody here understands fails: each is covered.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import validate
import yaml
from support import chart as helm
from support import required
from support.chart import CHART, GENERATIONS, Objects, flags

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("openshift", "kubernetes", "operations", "maintenance")

#: What an operator of the chart's forerunner types, word for word.
RUNBOOK = """\
oc create secret generic s3-credentials --from-env-file=env/s3-credentials
oc create secret generic mlflow-auth-config --from-file=basic-auth.ini=env/basic-auth.ini
helm install mlflow . -f values.yaml
oc start-build mlflow
oc scale deployment/mlflow --replicas=1
oc scale deployment/mlflow --replicas=0
helm upgrade mlflow -f values.yaml .
oc process mlflow-migrate | oc apply -f -
oc rollout restart deployment/mlflow
oc delete secret mlflow-auth-config
oc create secret generic mlflow-auth-config --from-file=basic-auth.ini=basic-auth.ini
""".splitlines()
SED = """sed "s/pg-cluster-v1/$(oc get cluster -o name | sed 's|.*/||')/" env/basic-auth.ini"""


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of a page, without the indentation of a list."""
    found, block, indent = [], None, 0
    for line in (DOCS / f"{page}.md").read_text().splitlines():
        if block is None and (start := re.match(rf"( *)```{language}$", line)):
            block, indent = [], len(start[1])
        elif block is not None and line.strip() == "```":
            found.append("\n".join(block) + "\n")
            block = None
        elif block is not None:
            block.append(line[indent:])
    return found


def commands(page: str) -> list[str]:
    """The commands of the blocks and, where they begin with a program, of the text."""
    text = (DOCS / f"{page}.md").read_text()
    found = [line for block in blocks(page, "sh") for line in block.splitlines() if line.strip()]
    found += [code for code in re.findall(r"`([^`\n]+)`", text) if re.match(r"(oc|kubectl|helm|sed|aws|curl|podman) \S+ \S", code)]
    return [re.sub(r"\s+# .*$", "", command) for command in found]


ALL = [(page, command) for page in PAGES for command in dict.fromkeys(commands(page))]

#: What the operator, OpenShift or Kubernetes makes of the chart's objects.
MADE_BY_OTHERS = {
    ("service", "pg-cluster-v1-rw"),
    ("service", "pg-cluster-v2-rw"),
    ("secret", "pg-cluster-v1-app"),
    ("pod", "describe"),
    ("backup", "before-upgrade"),
    ("job", "mlflow-migrate-1"),
    ("job", "mlflow-drill-1"),
}

KINDS = {
    "deploy": "deployment",
    "svc": "service",
    "clusters.postgresql.cnpg.io": "cluster",
    "clusters": "cluster",
    "backups.postgresql.cnpg.io": "backup",
    "objectstores.barmancloud.cnpg.io": "objectstore",
    "pods": "pod",
    "jobs": "job",
    "builds": "build",
    "pvc": "persistentvolumeclaim",
}


@pytest.fixture(scope="module")
def made() -> set[tuple[str, str]]:
    """Kind and name of everything that the guide's installations have, before and after a recovery."""
    cases = ("openshift", "openshift-everything", "openshift-recovery", "kubernetes", "kubernetes-in-tree-drill", "kubernetes-try-out")
    found = {(kind.lower(), name) for case in cases for kind, name in helm.objects(case).keys}
    secrets = {("secret", name) for case in cases for name, _ in referenced_keys(helm.objects(case))}
    return found | secrets | MADE_BY_OTHERS


def referenced_keys(rendered: Objects) -> set[tuple[str, str | None]]:
    """The Secrets that pods and clusters read, with the keys."""
    found = set()

    def walk(part):
        if isinstance(part, list):
            for one in part:
                walk(one)
        elif isinstance(part, dict):
            if set(part) >= {"name", "key"} and "topologyKey" not in part:
                found.add((part["name"], part["key"]))
            if "secretRef" in part:
                found.add((part["secretRef"]["name"], None))
            if "secretName" in part:
                found.update((part["secretName"], item["key"]) for item in part.get("items", []))
            for one in part.values():
                walk(one)

    walk([o for o in rendered])
    return found


@pytest.fixture
def folder(tmp_path) -> Path:
    """A copy of the chart as an operator has it: Secrets' files and ``values.yaml`` filled in."""
    folder = tmp_path / "chart"
    shutil.copytree(CHART, folder)
    shutil.copy(folder / "env/s3-credentials.example", folder / "env/s3-credentials")
    shutil.copy(folder / "env/basic-auth.ini.example", folder / "env/basic-auth.ini")
    shutil.copy(folder / "env/basic-auth.ini.example", folder / "basic-auth.ini")
    return folder


def fill_in(folder: Path, *changes: dict) -> None:
    """Does what the guide says about ``values.yaml``."""

    def merge(into, what):
        for key, value in what.items():
            if isinstance(value, dict) and into.get(key):
                merge(into[key], value)
            else:
                assert key in into, f"values.yaml has no {key}"
                into[key] = value

    path = folder / "values.yaml"
    values = yaml.safe_load(path.read_text())
    for change in changes:
        merge(values, change)
    path.write_text(yaml.safe_dump(values))


@pytest.mark.parametrize("command", RUNBOOK)
def test_the_runbook_is_in_the_guide_word_for_word(command):
    assert command in commands("openshift")


def test_the_names_of_the_runbook_are_the_defaults_of_the_values():
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert values["postgresql"]["clusterName"] == "pg-cluster-v1"
    assert (values["s3"]["existingSecret"], values["auth"]["existingSecret"]) == ("s3-credentials", "mlflow-auth-config")
    assert values["mlflow"]["replicas"] is None and values["recovery"]["serverName"] == ""
    assert values["mlflow"]["image"].keys() >= {"repository", "tag"}


@pytest.mark.parametrize(("page", "command"), ALL, ids=[f"{page}: {command[:70]}" for page, command in ALL])
def test_a_command_means_something_that_is_there(page, command, made, folder, tmp_path):
    if command.startswith("sed "):
        return run_sed(command, folder)
    for one in command.split(" | "):
        check(shlex.split(one), page, made, folder)


def check(words: list[str], page: str, made, folder: Path) -> None:
    program, verb, *rest = words[:2] + words[2:]
    plain = [word for word in rest if not word.startswith("-")]
    match program, verb:
        case ("cp" | "vi", _):
            for file in words[1:]:
                assert (folder / file).exists(), file
        case ("helm", "install" | "upgrade"):
            assert sorted(plain) == [".", "mlflow", "values.yaml"] or sorted(plain) == [".", "engine=mlflow", "mlflow", "values.yaml"]
        case ("helm", "test" | "rollback" | "uninstall"):
            assert plain == ["mlflow"]
        case ("helm", "history" | "get"):
            assert plain[-1] == "mlflow"
        case ("helm", "template"):
            pass
        case ("oc" | "kubectl", "create") if rest[0] == "secret":
            create_secret(words, folder)
        case ("oc" | "kubectl", "create") if rest[0] == "job":
            [source] = re.findall(r"--from=(\w+)/(\S+)", " ".join(rest))
            assert source in made and ("job", plain[1]) in made
        case ("oc" | "kubectl", "create" | "apply"):
            assert rest in (["-f", "backup.yaml"], ["-f", "-"]), "the block before it"
        case ("oc", "start-build"):
            assert ("buildconfig", plain[0]) in made
        case ("oc", "process"):
            assert ("template", plain[0]) in made
        case ("oc" | "kubectl", "scale"):
            assert re.search(r"--replicas=\d", " ".join(rest))
            assert_exists(plain[0], made)
        case ("oc" | "kubectl", "rollout"):
            assert plain[0] in ("status", "restart")
            assert_exists(plain[1], made)
        case ("oc" | "kubectl", "exec"):
            # The number of an instance says nothing of who is the primary after a failover.
            kind, name = plain[0].split("/")
            assert (kind, name) in made and name.endswith("-rw")
            statement = rest[rest.index("psql") :]
            database = statement[statement.index("-d") + 1] if "-d" in statement else "postgres"
            assert database in ("postgres", "mlflow", "mlflow_auth")
        case ("oc" | "kubectl", "logs"):
            assert_exists(plain[0] if plain and "/" in plain[0] else None, made, rest, default="pod")
        case ("oc" | "kubectl", "port-forward"):
            assert_exists(plain[0], made)
            [port] = [p["port"] for p in helm.objects("kubernetes").one("Service")["spec"]["ports"]]
            assert plain[1].endswith(f":{port}")
        case ("oc" | "kubectl", "get" | "delete" | "describe" | "wait"):
            assert_exists(*plain[:1], made, rest)
        case ("oc" | "kubectl", "project"):
            pass
        case ("curl", _):
            assert words[-1].startswith("http://localhost:5000/readyz")
        case ("podman", "build"):
            assert (CHART / words[words.index("-f") + 1]).exists()
        case ("podman", "push"):
            pass
        case ("aws", "s3"):
            rendered = helm.objects("kubernetes")
            artifacts = rendered.server_env()["MLFLOW_ARTIFACTS_DESTINATION"]
            backups = rendered.one("ObjectStore")["spec"]["configuration"]["destinationPath"]
            assert words[-1] in (f"{artifacts}/", f"{backups}/pg-cluster-v1/")
        case ("ferroflow", "usage" | "gc"):
            assert page == "maintenance", "tests/artifacts/test_usage.py runs the commands of that page"
        case ("ferroflow", "db"):
            assert rest == ["tune", "$MLFLOW_BACKEND_STORE_URI", *rest[2:]], "crates/cli/tests/it/db.rs runs it"
            assert rest[2:] in ([], ["--dry-run"])
        case _:
            raise AssertionError(f"{page}.md: nobody checks `{' '.join(words)}`")


def assert_exists(target: str | None, made, rest=(), default=None) -> None:
    """``kind/name``, ``kind name`` or ``kind`` with a label that something has."""
    rest = list(rest)
    if "-l" in rest:
        label = rest[rest.index("-l") + 1]
        key, value = label.split("=")
        if key == "cnpg.io/cluster":
            assert ("cluster", value) in made
        else:
            assert any(has_label(o, key, value) for case in ("openshift-everything", "openshift") for o in helm.objects(case)), label
        return
    if target and "/" in target:
        kind, name = target.split("/")
    else:
        kind = target or default
        plain = [word for word in rest if not word.startswith(("-", "jsonpath"))]
        name = next((word for word in plain[plain.index(target) + 1 :]), None) if target in plain else None
        name = name if name not in ("name", "yaml") else None
    kind = KINDS.get(kind, kind)
    known = {k for k, _ in made} | {"build"}
    assert kind in known or kind == "pod", f"no {kind}"
    if name and kind != "build":
        if kind == "pod" and name not in {n for k, n in made if k == "pod"}:
            assert ("deployment", name) in made or ("cluster", name) in made, (kind, name)
        else:
            assert (kind, name) in made, (kind, name)


def has_label(part, key: str, value: str) -> bool:
    if isinstance(part, list):
        return any(has_label(one, key, value) for one in part)
    if isinstance(part, dict):
        return part.get("labels", {}).get(key) == value if isinstance(part.get("labels"), dict) and key in part["labels"] else any(has_label(one, key, value) for one in part.values())
    return False


def create_secret(words: list[str], folder: Path) -> dict:
    """Makes the Secret with kubectl, and looks whether it has what the chart reads."""
    done = subprocess.run(
        [required("FERROFLOW_KUBECTL"), *words[1:], "--dry-run=client", "--output=yaml"], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    secret = yaml.safe_load(done.stdout)
    name = secret["metadata"]["name"]
    read = {key for case in ("openshift", "openshift-in-tree", "openshift-everything", "kubernetes", "openshift-mlflow") for of, key in referenced_keys(helm.objects(case)) if of == name}
    assert read, f"nothing reads the Secret {name}"
    assert read - {None} <= secret["data"].keys(), f"{name} lacks {read - secret['data'].keys()}"
    return secret


def oc(folder: Path, *clusters: str) -> dict:
    """An ``oc`` that knows these clusters, on ``PATH``."""
    program = folder.parent / "bin/oc"
    program.parent.mkdir(exist_ok=True)
    lines = " ".join(f"cluster.postgresql.cnpg.io/{name}" for name in clusters)
    program.write_text(f'#!/bin/sh\ntest "$*" = "get cluster -o name" && printf "%s\\n" {lines}\n')
    program.chmod(0o755)
    return {"PATH": f"{program.parent}{os.pathsep}/usr/bin:/bin"}


def run_sed(command: str, folder: Path) -> None:
    """Runs it where the new cluster is the only one."""
    done = subprocess.run(["bash", "-c", command], cwd=folder, env=oc(folder, "pg-cluster-v2"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    written = done.stdout or (folder / "basic-auth.ini").read_text()
    assert "@pg-cluster-v2-rw:5432/" in written and "pg-cluster-v1" not in written


def test_t9_the_runbooks_sed_does_what_the_guide_says_of_it(folder):
    """It prints and changes no file; with the old cluster still there it fails. The chart needs neither."""
    before = (folder / "env/basic-auth.ini").read_text()
    run_sed(SED, folder)
    assert (folder / "env/basic-auth.ini").read_text() == before
    both = subprocess.run(["bash", "-c", SED], cwd=folder, env=oc(folder, "pg-cluster-v1", "pg-cluster-v2"), capture_output=True, text=True)
    assert both.returncode != 0
    assert "refuses them" in (DOCS / "openshift.md").read_text()


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("page", ["openshift", "kubernetes"])
def test_the_guides_values_install_and_recover(page, generation, folder):
    """`values.yaml` as the guide says, through the guide's `helm install`, with notes for the next command."""
    install, recover = [yaml.safe_load(block) for block in blocks(page, "yaml") if block.startswith("# values")]
    program = "oc" if page == "openshift" else "kubectl"
    fill_in(folder, {"openshift": page == "openshift"}, install)
    assert run_helm(generation, folder, "template", "mlflow", ".", "-f", "values.yaml")
    notes = run_helm("4", folder, "install", "mlflow", ".", "-f", "values.yaml", "--dry-run=client")
    assert f"{program} -n default rollout status deployment/mlflow" in notes
    assert ("start-build mlflow" in notes) == (page == "openshift")

    fill_in(folder, recover)
    rendered = Objects(yaml.safe_load_all(run_helm(generation, folder, "template", "mlflow", "-f", "values.yaml", ".")))
    assert rendered.one("Cluster")["spec"]["bootstrap"]["recovery"]["source"] == "pg-cluster-v1"
    assert rendered.one("Deployment")["spec"]["replicas"] == 0
    notes = run_helm("4", folder, "install", "mlflow", ".", "-f", "values.yaml", "--dry-run=client")
    assert f"{program} -n default wait clusters.postgresql.cnpg.io/pg-cluster-v2 --for=condition=Ready" in notes
    assert f"{program} -n default scale deployment/mlflow --replicas=1" in notes
    assert f"{program} -n default delete clusters.postgresql.cnpg.io pg-cluster-v1" in notes


def test_the_values_and_objects_of_workspaces(folder):
    """The page about workspaces: its values render what it says, and an administrator creates the same."""
    section, named, more, by_hand = (list(yaml.safe_load_all(block)) for block in blocks("workspaces", "yaml")[:4])
    assert [document["kind"] for document in section] == ["ClusterRole", "ClusterRole", "Namespace", "RoleBinding", "RoleBinding"]
    [install] = [yaml.safe_load(block) for block in blocks("kubernetes", "yaml") if block.startswith("# values")][:1]
    fill_in(folder, {"openshift": False}, install, *more)
    rendered = Objects(yaml.safe_load_all(run_helm("4", folder, "template", "mlflow", ".", "-f", "values.yaml", "--namespace", "mlflow")))
    assert rendered.one("ClusterRole")["rules"] == by_hand[0]["rules"]
    assert rendered.one("ClusterRoleBinding")["subjects"] == by_hand[1]["subjects"]
    for document in [*section, *named, *by_hand]:
        assert not validate.errors(document), document


def run_helm(generation: str, folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [required(f"FERROFLOW_HELM_{generation}"), *arguments],
        cwd=folder,
        env={"HOME": str(folder.parent), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@helm.a_sixth
@pytest.mark.parametrize("case", helm.CASES, ids=lambda case: case.name)
def test_the_notes_name_what_is_there(case):
    """The commands that Helm prints after an installation, against the objects of that installation. (Helm 3 asks for a
    cluster before it prints them.)"""
    done = helm.helm("4", "install", "mlflow", CHART, "--dry-run=client", "--namespace", helm.NAMESPACE, *flags(case.files))
    assert done.returncode == 0, done.stderr
    notes = done.stdout.split("NOTES:")[1]
    rendered = helm.objects(case)
    there = {(kind.lower(), name) for kind, name in rendered.keys}
    for kind, name in re.findall(r"(?:status|restart|scale|route|port-forward) (deployment|route|service)[/ ]([\w-]+)", notes):
        assert (kind, name) in there
    for name in re.findall(r"start-build ([\w-]+)", notes):
        assert ("buildconfig", name) in there
    secrets = {name for name, _ in referenced_keys(rendered)}
    for name in re.findall(r"get secret ([\w-]+)", notes):
        assert name in secrets
    assert ("NOTHING CAN BE RECOVERED" in notes) == (case.name == "kubernetes-no-backup")


def test_objects_of_the_guide_are_valid():
    found = [yaml.safe_load(block) for page in PAGES for block in blocks(page, "yaml") if not block.startswith(("# values", "# Chart.yaml"))]
    assert found
    for document in found:
        assert not validate.errors(document)
        if document["kind"] == "Backup":
            assert document["spec"]["cluster"]["name"] == helm.objects("openshift").one("Cluster")["metadata"]["name"]


def test_every_alert_has_a_runbook():
    rules = helm.objects("openshift-everything").one("PrometheusRule")["spec"]["groups"][0]["rules"]
    text = (DOCS / "operations.md").read_text()
    headings = set(re.findall(r"^### (MLflow\w+)$", text, re.MULTILINE))
    assert {rule["alert"] for rule in rules} == headings
    for rule in rules:
        assert rule["annotations"]["runbook_url"] == f"https://docs.example/operations#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in ("warning", "critical") and rule["annotations"]["summary"]


def described(properties: dict, *path: str):
    """The names of the values and groups that have a description or values below them; what is a mistake has neither."""
    for name, schema in properties.items():
        if schema.keys() & {"description", "properties"}:
            yield ".".join([*path, name])
            yield from described(schema.get("properties", {}), *path, name)


def test_values_that_the_guide_names_exist():
    """Every `group.value` in the text is one of values.yaml."""
    properties = json.loads((helm.CHART / "values.schema.json").read_text())["properties"]
    known = set(described(properties))
    groups = {name.split(".")[0] for name in known if "." in name}
    for page in PAGES:
        for name in re.findall(r"`([a-zA-Z0-9]+(?:\.[a-zA-Z0-9]+)+)(?::[^`]*)?`", (DOCS / f"{page}.md").read_text()):
            if name.split(".")[0] in groups and not name.endswith((".yaml", ".md")):
                assert name in known, f"{page}.md: {name}"


def test_links_lead_somewhere():
    for page in PAGES:
        text = (DOCS / f"{page}.md").read_text()
        for file, anchor in re.findall(r"\]\(([\w./-]*\.md)?#?([\w-]*)\)", text):
            path = (DOCS / file).resolve() if file else DOCS / f"{page}.md"
            assert path.exists(), file
            if anchor:
                headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
                assert anchor in {re.sub(r"[^\w -]", "", h).strip().lower().replace(" ", "-") for h in headings}, f"{file}#{anchor}"
