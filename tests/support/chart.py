"""Renders the chart with a real Helm."""

import copy
import functools
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from support import required

CHART = Path(__file__).parents[2] / "chart"
VALUES = Path(__file__).parents[1] / "chart/values"
#: A complete file for each platform, which the chart brings.
EXAMPLES = CHART / "examples"
GENERATIONS = ("4", "3")

#: What an installation is called in the tests.
RELEASE, NAMESPACE = "mlflow", "research"


@dataclass(frozen=True)
class Case:
    """A file of values, and the one that it is laid over. ``examples/…`` is a file of the chart's."""

    name: str

    @property
    def path(self) -> Path:
        return (CHART if self.is_example else VALUES) / f"{self.name}.yaml"

    @property
    def is_example(self) -> bool:
        return self.name.startswith("examples/")

    @property
    def files(self) -> list[Path]:
        base = re.search(r"^# Over (.*)\.yaml\.$", self.path.read_text(), re.MULTILINE)
        return [*(Case(base[1]).files if base else []), self.path]

    @property
    def kubernetes(self) -> str:
        """The oldest version of Kubernetes that has the fields of these values."""
        needs = re.search(r"^# Needs Kubernetes (.*)\.$", self.path.read_text(), re.MULTILINE)
        return needs[1] if needs else "1.25"

    @property
    def base(self) -> "Case | None":
        return Case(self.files[-2].stem) if len(self.files) > 1 else None


#: A file `*.must.yaml` beside a case has what it must render.
CASES = [Case(path.stem) for path in sorted(VALUES.glob("*.yaml")) if not path.stem.endswith(".must")]
PLATFORMS = [Case(f"examples/{path.stem}") for path in sorted(EXAMPLES.glob("*.yaml"))]


#: A push has a sixth of the cases. Its tests take the same ones: rendering them is what takes long.
a_sixth = pytest.mark.rotates(by="case", every=6, together="cases of the chart")


def helm(generation: str, *arguments) -> subprocess.CompletedProcess:
    """Runs a Helm. It has no cluster and no configuration of this machine."""
    with tempfile.TemporaryDirectory() as home:
        return subprocess.run(
            [required(f"FERROFLOW_HELM_{generation}"), *map(str, arguments)],
            env={"HOME": home, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=120,
        )


def flags(files, sets=()) -> list[str]:
    return [*(f"--values={file}" for file in files), *(f"--set={one}" for one in sets)]


@functools.cache
def text(generation: str, case: Case, *sets: str, release: str = RELEASE) -> str:
    """What ``helm template`` prints."""
    done = helm(generation, "template", release, CHART, "--namespace", NAMESPACE, *flags(case.files, sets))
    assert done.returncode == 0, done.stderr
    return done.stdout


def objects(case: Case | str, *sets: str, generation: str = "4", release: str = RELEASE) -> "Objects":
    """The objects that the chart makes of values."""
    case = Case(case) if isinstance(case, str) else case
    return copy.deepcopy(_parsed(text(generation, case, *sets, release=release)))


@functools.cache
def _parsed(rendered: str) -> "Objects":
    # The parser in C is several times faster, where PyYAML was built with it.
    return Objects(yaml.load_all(rendered, getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


def refusal(case: Case | str, *sets: str, generation: str = "4") -> str:
    """What Helm says when it does not render."""
    case = Case(case) if isinstance(case, str) else case
    done = helm(generation, "template", RELEASE, CHART, "--namespace", NAMESPACE, *flags(case.files, sets))
    assert done.returncode != 0, f"rendered in spite of {sets}"
    return done.stderr


class Objects(list):
    """Objects by kind and name."""

    def __init__(self, documents):
        super().__init__(document for document in documents if document)

    def one(self, kind: str, name: str | None = None) -> dict:
        [found] = [o for o in self if o["kind"] == kind and name in (None, o["metadata"]["name"])]
        return found

    def names(self, kind: str) -> set[str]:
        return {o["metadata"]["name"] for o in self if o["kind"] == kind}

    @property
    def keys(self) -> set[tuple[str, str]]:
        return {(o["kind"], o["metadata"]["name"]) for o in self}

    @property
    def server(self) -> dict:
        """The container of the server."""
        return self.one("Deployment")["spec"]["template"]["spec"]["containers"][0]

    def server_env(self) -> dict:
        return env(self.server)

    def pods(self) -> list[tuple[str, dict]]:
        """The specs of all pods that these objects make, with what makes them."""
        return [(f"{o['kind']} {o['metadata']['name']}", spec) for o in self for spec in pod_specs(o)]


def env(container: dict) -> dict:
    """Variables of a container: the value, or the Secret and the key that it comes from."""
    found = {}
    for variable in container.get("env", []):
        reference = variable.get("valueFrom", {}).get("secretKeyRef")
        found[variable["name"]] = (reference["name"], reference["key"]) if reference else variable.get("value")
    return found


def pod_specs(document: dict) -> list[dict]:
    spec = document.get("spec", {})
    match document["kind"]:
        case "Pod":
            return [spec]
        case "Deployment" | "Job":
            return [spec["template"]["spec"]]
        case "CronJob":
            return [spec["jobTemplate"]["spec"]["template"]["spec"]]
        case "Template":
            return [found for inner in document["objects"] for found in pod_specs(inner)]
    return []


def containers(spec: dict) -> list[dict]:
    return [*spec.get("initContainers", []), *spec["containers"]]


def runnable(container: dict, folder: Path) -> list[str]:
    """The command of a container that keeps its configuration and what it writes in a folder: ``auth`` and the folder itself."""
    moved = [argument.replace("/tmp/", f"{folder}/").replace("/etc/mlflow/auth", f"{folder}/auth") for argument in container["args"]]
    return [*container["command"], *moved]


def with_databases(texts: list[str], databases: dict[str, str]) -> list[str]:
    """Texts of the chart with the databases of other URIs: ``{"mlflow": "postgresql://h/x"}`` makes ``:///mlflow`` ``:///x``."""
    for name, uri in databases.items():
        texts = [re.sub(rf":///{name}\b", f":///{uri.rsplit('/', 1)[1]}", text) for text in texts]
    return texts
