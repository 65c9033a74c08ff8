"""The chart as part of another one, beside a neighbour that has templates with everyday names, and beside itself."""

import re
import shutil
from pathlib import Path

import pytest
import yaml
from support.chart import CHART, GENERATIONS, NAMESPACE, VALUES, Objects, helm

#: What starter charts define. Templates have no namespace in Helm: of two with one name the last one read is used by all.
NEIGHBOUR = """\
{{- define "name" }}neighbour{{ end }}
{{- define "labels" }}app.kubernetes.io/name: mlflow
app.kubernetes.io/instance: {{ .Release.Name }}{{ end }}
{{- define "image" }}neighbour:1{{ end }}
{{- define "env" }}[]{{ end }}
{{- define "cluster" }}neighbour{{ end }}
apiVersion: v1
kind: Service
metadata: {name: {{ .Release.Name }}, labels: { {{- include "labels" . | fromYaml | toJson | trimPrefix "{" }} }
spec: {selector: { {{- include "labels" . | fromYaml | toJson | trimPrefix "{" }}, ports: [{port: 80}]}
"""

PARENT = {
    "apiVersion": "v2",
    "name": "platform",
    "version": "1.0.0",
    "dependencies": [
        {"name": "ferroflow", "version": "0.1.0", "condition": "ferroflow.enabled"},
        {"name": "ferroflow", "version": "0.1.0", "alias": "second", "condition": "second.enabled"},
        {"name": "neighbour", "version": "1.0.0"},
    ],
}


def platform(folder: Path, generation: str, **values) -> Objects:
    """What a chart renders that has this one twice, with values for each."""
    (folder / "charts").mkdir(parents=True, exist_ok=True)
    (folder / "Chart.yaml").write_text(yaml.safe_dump(PARENT))
    shutil.copytree(CHART, folder / "charts/ferroflow", dirs_exist_ok=True)
    neighbour = folder / "charts/neighbour"
    (neighbour / "templates").mkdir(parents=True, exist_ok=True)
    (neighbour / "Chart.yaml").write_text(yaml.safe_dump({"apiVersion": "v2", "name": "neighbour", "version": "1.0.0"}))
    (neighbour / "templates/all.yaml").write_text(NEIGHBOUR)
    (folder / "values.yaml").write_text(yaml.safe_dump({"global": {"imagePullSecrets": [{"name": "company"}], "domain": "example"}, **values}))
    done = helm(generation, "template", "stack", folder, "--namespace", NAMESPACE)
    assert done.returncode == 0, done.stderr
    return Objects(yaml.safe_load_all(done.stdout))


def own(**more) -> dict:
    return {"enabled": True, **yaml.safe_load((VALUES / "kubernetes.yaml").read_text()), **more}


@pytest.mark.parametrize("generation", GENERATIONS)
def test_neighbours_change_nothing(tmp_path, generation):
    rendered = platform(tmp_path / "platform", generation, ferroflow=own(), second={"enabled": False})
    deployment = rendered.one("Deployment")
    assert deployment["metadata"]["name"] == "stack-ferroflow"
    pod = deployment["spec"]["template"]
    assert pod["spec"]["containers"][0]["image"] == "registry.example/ferroflow:0.1.0"
    assert pod["spec"]["imagePullSecrets"] == [{"name": "company"}], "of the parent's global values"
    assert rendered.one("Cluster")["metadata"]["name"] == "pg-cluster-v1"
    # The neighbour's Service selects what its own labels say: not these pods.
    selected = rendered.one("Service", "stack")["spec"]["selector"].items()
    assert not selected <= pod["metadata"]["labels"].items()


def test_two_of_them_in_one_release_are_told_apart(tmp_path):
    second = own(postgresql={"clusterName": "pg-second-v1"})
    rendered = platform(tmp_path / "platform", "4", ferroflow=own(), second=second)
    assert len(rendered.keys) == len(rendered), "each object has a name of its own"
    assert rendered.names("Deployment") == {"stack-ferroflow", "stack-second"}
    for name in ("stack-ferroflow", "stack-second"):
        selector = rendered.one("Service", name)["spec"]["selector"].items()
        found = [d["metadata"]["name"] for d in rendered if d["kind"] == "Deployment" and selector <= d["spec"]["template"]["metadata"]["labels"].items()]
        assert found == [name]


def test_templates_have_names_that_no_neighbour_has():
    for path in CHART.glob("templates/**/*"):
        if path.is_file():
            names = re.findall(r'define "([^"]*)"', path.read_text())
            assert all(name.startswith("ferroflow.") for name in names), f"{path.name}: {names}"
