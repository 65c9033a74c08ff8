"""A model's way from a run into the registry, and from there to who uses it."""

import os
import subprocess
import sys
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from helpers import log_model, refused, unique
from sklearn.linear_model import LinearRegression


def answer(loaded) -> float:
    """What a loaded model makes of 3: the model of these stories doubles it."""
    return float(loaded.predict([[3.0]])[0])


@pytest.fixture
def name() -> str:
    return unique("model")


@pytest.fixture
def logged(model):
    """A logged model of a finished run."""
    with mlflow.start_run():
        return log_model(model)


@pytest.fixture
def registered(logged, name) -> str:
    """The name of a registered model of one version."""
    mlflow.register_model(f"runs:/{logged.run_id}/model", name)
    return name


def test_a_model_of_a_run_is_registered_and_loaded(client, logged, name):
    version = mlflow.register_model(f"runs:/{logged.run_id}/model", name, tags={"checked": "yes"})
    assert (version.name, int(version.version), version.run_id) == (name, 1, logged.run_id)
    assert client.get_model_version(name, "1").tags == {"checked": "yes"}
    assert answer(mlflow.sklearn.load_model(f"models:/{name}/1")) == pytest.approx(6)
    assert mlflow.models.get_model_info(f"models:/{name}/1").run_id == logged.run_id


def test_a_model_is_registered_when_it_is_logged(client, model, name):
    with mlflow.start_run() as run:
        info = log_model(model, registered_model_name=name)
        again = log_model(model, registered_model_name=name)
    assert [int(info.registered_model_version), int(again.registered_model_version)] == [1, 2]
    found = client.search_model_versions(f"run_id = '{run.info.run_id}'", order_by=["version_number ASC"])
    assert [(version.name, int(version.version)) for version in found] == [(name, 1), (name, 2)]
    assert answer(mlflow.pyfunc.load_model(f"models:/{name}/2")) == pytest.approx(6)


def test_a_registered_model_gets_another_version(registered, logged):
    assert int(mlflow.register_model(f"runs:/{logged.run_id}/model", registered).version) == 2


@pytest.mark.since(3)
def test_a_logged_model_is_registered_by_its_id(client, logged, name):
    version = mlflow.register_model(f"models:/{logged.model_id}", name)
    assert (version.source, version.run_id) == (f"models:/{logged.model_id}", logged.run_id)
    assert name in mlflow.get_logged_model(logged.model_id).tags["mlflow.modelVersions"]
    assert client.get_model_version_download_uri(name, "1").endswith(f"/models/{logged.model_id}/artifacts")
    assert answer(mlflow.sklearn.load_model(f"models:/{name}/1")) == pytest.approx(6)


@pytest.mark.since(3)
def test_a_model_that_no_run_has_is_not_registered(client, run, name):
    with pytest.raises(mlflow.MlflowException, match="(?i)unable to find a logged_model"):
        mlflow.register_model(f"runs:/{run}/model", name)
    assert client.search_model_versions(f"name = '{name}'") == []


def test_a_version_of_one_model_is_registered_as_another(client, registered):
    target = unique("other")
    version = mlflow.register_model(f"models:/{registered}/1", target)
    assert (version.source, int(version.version)) == (f"models:/{registered}/1", 1)
    assert answer(mlflow.sklearn.load_model(f"models:/{target}/1")) == pytest.approx(6)


def test_who_follows_an_alias_gets_the_new_champion(client, registered):
    client.set_registered_model_alias(registered, "champion", "1")
    assert answer(mlflow.sklearn.load_model(f"models:/{registered}@champion")) == pytest.approx(6)
    with mlflow.start_run():
        tripling = LinearRegression().fit([[0.0], [1.0]], [0.0, 3.0])
        log_model(tripling, registered_model_name=registered)
    assert answer(mlflow.sklearn.load_model(f"models:/{registered}@champion")) == pytest.approx(6)
    client.set_registered_model_alias(registered, "champion", "2")
    assert answer(mlflow.sklearn.load_model(f"models:/{registered}@champion")) == pytest.approx(9)
    assert answer(mlflow.pyfunc.load_model(f"models:/{registered}@champion")) == pytest.approx(9)


def test_a_model_is_loaded_by_its_stage(client, registered):
    with pytest.raises(mlflow.MlflowException, match="(?i)no versions of model.*stage 'Production'"):
        mlflow.sklearn.load_model(f"models:/{registered}/Production")
    client.transition_model_version_stage(registered, "1", "Production")
    assert answer(mlflow.sklearn.load_model(f"models:/{registered}/Production")) == pytest.approx(6)
    assert answer(mlflow.sklearn.load_model(f"models:/{registered}/production")) == pytest.approx(6)


def test_the_latest_version_is_loaded(client, registered):
    with mlflow.start_run():
        log_model(LinearRegression().fit([[0.0], [1.0]], [0.0, 4.0]), registered_model_name=registered)
    client.transition_model_version_stage(registered, "1", "Production")
    assert answer(mlflow.sklearn.load_model(f"models:/{registered}/latest")) == pytest.approx(12)


def test_what_is_not_registered_is_not_loaded(registered):
    with refused("RESOURCE_DOES_NOT_EXIST", rf"Model Version \(name={registered}, version=7\) not found"):
        mlflow.sklearn.load_model(f"models:/{registered}/7")
    with refused("INVALID_PARAMETER_VALUE", "Registered model alias nobody not found"):
        mlflow.sklearn.load_model(f"models:/{registered}@nobody")
    with refused("RESOURCE_DOES_NOT_EXIST", "Registered Model with name=nobody"):
        mlflow.sklearn.load_model(f"models:/{unique('nobody')}@champion")


def test_files_of_a_version_are_listed_and_downloaded(client, registered, tmp_path):
    client.set_registered_model_alias(registered, "champion", "1")
    listed = {file.path for file in mlflow.artifacts.list_artifacts(f"models:/{registered}@champion")}
    assert {"MLmodel", "requirements.txt"} <= {Path(path).name for path in listed}
    for uri in (f"models:/{registered}/1", f"models:/{registered}@champion"):
        folder = Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(tmp_path / uri[-1])))
        assert "scikit-learn" in (folder / "requirements.txt").read_text()
    one = mlflow.artifacts.download_artifacts(f"models:/{registered}/1/MLmodel", dst_path=str(tmp_path))
    assert "sklearn" in Path(one).read_text()


def test_a_version_that_moved_out_of_sight_takes_its_files_along(client, registered):
    """A copy has the files of what it was made from, also when that is gone."""
    target = unique("copy")
    client.copy_model_version(f"models:/{registered}/1", target)
    client.delete_registered_model(registered)
    assert answer(mlflow.sklearn.load_model(f"models:/{target}/1")) == pytest.approx(6)


def command(*arguments: str) -> str:
    """What the SDK's own command line prints. Only this Python is used, whatever the model asks for."""
    line = [sys.executable, "-m", "mlflow", *arguments]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(line, env=os.environ | {"PATH": path}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.heavy
def test_the_command_line_downloads_a_version(registered, tmp_path):
    command("artifacts", "download", "--artifact-uri", f"models:/{registered}/1", "--dst-path", str(tmp_path))
    assert "sklearn" in next(tmp_path.rglob("MLmodel")).read_text()


@pytest.mark.heavy
def test_the_command_line_asks_a_registered_model(client, registered, tmp_path):
    client.set_registered_model_alias(registered, "champion", "1")
    table, result = tmp_path / "table.csv", tmp_path / "result.json"
    pd.DataFrame({"x": [3.0, 4.0]}).to_csv(table, index=False)
    command(
        "models", "predict", "--model-uri", f"models:/{registered}@champion", "--env-manager", "local",
        "--input-path", str(table), "--content-type", "csv", "--output-path", str(result),
    )  # fmt: skip
    assert pd.read_json(result, typ="series")["predictions"] == pytest.approx([6, 8])
