"""Logged models, which SDKs have since version 3."""

import math
from pathlib import Path

import mlflow
import pytest
from helpers import UNICODE, refused

pytestmark = pytest.mark.since(3)


def test_a_model_is_pending_until_it_is_finalized(client, experiment):
    model = mlflow.initialize_logged_model(name="forest", params={"depth": "3"}, tags={"team": "red"}, model_type="clf")
    assert model.model_id.startswith("m-")
    assert (model.name, str(model.status), model.experiment_id) == ("forest", "PENDING", experiment)
    assert model.artifact_location == f"{client.get_experiment(experiment).artifact_location}/models/{model.model_id}/artifacts"
    ready = mlflow.finalize_logged_model(model.model_id, "READY")
    assert str(ready.status) == "READY"
    stored = mlflow.get_logged_model(model.model_id)
    assert (stored.params, stored.model_type) == ({"depth": "3"}, "clf")
    assert (stored.tags["team"], stored.tags["mlflow.source.type"]) == ("red", "LOCAL")
    assert stored.creation_timestamp == model.creation_timestamp <= stored.last_updated_timestamp


def test_a_model_whose_upload_failed_says_so():
    model = mlflow.initialize_logged_model(name="broken")
    mlflow.finalize_logged_model(model.model_id, "FAILED")
    assert str(mlflow.get_logged_model(model.model_id).status) == "FAILED"


def test_a_model_without_a_name_gets_one():
    names = {mlflow.create_external_model().name for _ in range(4)}
    assert len(names) > 1
    assert all(name.count("-") == 2 for name in names)


def test_two_models_may_share_a_name():
    first, second = (mlflow.create_external_model(name="twin") for _ in range(2))
    assert first.model_id != second.model_id
    assert first.name == second.name == "twin"


def test_a_model_is_found_from_its_run(client):
    with mlflow.start_run() as run:
        model = mlflow.create_external_model(name="agent")
        assert model.source_run_id == run.info.run_id
        mlflow.log_outputs([mlflow.entities.LoggedModelOutput(model.model_id, step=7)])
    outputs = client.get_run(run.info.run_id).outputs.model_outputs
    assert [(output.model_id, output.step) for output in outputs] == [(model.model_id, 7)]


def test_a_run_remembers_the_models_it_used(client):
    model = mlflow.create_external_model(name="judge")
    with mlflow.start_run() as run:
        client.log_inputs(run.info.run_id, models=[mlflow.entities.LoggedModelInput(model.model_id)])
    inputs = client.get_run(run.info.run_id).inputs.model_inputs
    assert [entry.model_id for entry in inputs] == [model.model_id]


def test_params_of_a_model_can_be_added():
    model = mlflow.initialize_logged_model(name="p", params={"depth": "3"})
    mlflow.log_model_params({"größe": UNICODE, "long": "x" * 6000}, model.model_id)
    assert mlflow.get_logged_model(model.model_id).params == {"depth": "3", "größe": UNICODE, "long": "x" * 6000}


def test_tags_of_a_model_can_change_and_go():
    model = mlflow.create_external_model(name="t", tags={"stage": "a"})
    mlflow.set_logged_model_tags(model.model_id, {"stage": "b", "größe": UNICODE})
    mlflow.set_logged_model_tags(model.model_id, {"goes": "1"})
    mlflow.delete_logged_model_tag(model.model_id, "goes")
    tags = mlflow.get_logged_model(model.model_id).tags
    assert (tags["stage"], tags["größe"], "goes" in tags) == ("b", UNICODE, False)
    with refused("RESOURCE_DOES_NOT_EXIST", "No tag with key|not found"):
        mlflow.delete_logged_model_tag(model.model_id, "goes")


def test_a_deleted_model_is_gone(client, experiment):
    model = mlflow.create_external_model(name="goes")
    client.delete_logged_model(model.model_id)
    with refused("RESOURCE_DOES_NOT_EXIST", model.model_id):
        mlflow.get_logged_model(model.model_id)
    assert client.search_logged_models([experiment]) == []


def test_an_unknown_model_is_not_found(client):
    nobody = "m-" + "0" * 32
    asks = (
        lambda: mlflow.get_logged_model(nobody),
        lambda: mlflow.finalize_logged_model(nobody, "READY"),
        lambda: client.delete_logged_model(nobody),
    )
    for ask in asks:
        with refused("RESOURCE_DOES_NOT_EXIST", nobody):
            ask()


def test_a_model_needs_a_good_name():
    for wrong in ("a/b", "a:b", "a.b", "100%", 'q"', "it's"):
        with pytest.raises(mlflow.MlflowException, match="Invalid model name"):
            mlflow.create_external_model(name=wrong)


def test_a_metric_of_a_run_can_be_about_a_model(client):
    with mlflow.start_run() as run:
        model = mlflow.create_external_model(name="measured")
        mlflow.log_metric("accuracy", 0.8, step=1, timestamp=1000, model_id=model.model_id)
        mlflow.log_metric("accuracy", 0.9, step=2, timestamp=2000, model_id=model.model_id)
        mlflow.log_metrics({"loss": math.inf}, model_id=model.model_id)
    metrics = mlflow.get_logged_model(model.model_id).metrics
    latest = {metric.key: metric for metric in metrics if metric.key != "accuracy" or metric.step == 2}
    assert latest["accuracy"].value == 0.9
    assert latest["accuracy"].run_id == run.info.run_id
    assert latest["loss"].value > 1e308
    assert client.get_run(run.info.run_id).data.metrics["accuracy"] == 0.9


@pytest.fixture
def models(client):
    """Four models of one run by name; accuracy on two datasets, a parameter and a tag."""
    made = {}
    rows = (("m1", 0.1, 0.9, "3", "red"), ("m2", 0.2, 0.8, "10", "Red"), ("m3", 0.3, None, "3", "blue"))
    with mlflow.start_run() as run:
        for name, train, test, depth, team in rows:
            model = made[name] = mlflow.create_external_model(name=name, params={"depth": depth}, tags={"team": team})
            for dataset, value in (("train", train), ("test", test)):
                if value is not None:
                    about = {"dataset_name": dataset, "dataset_digest": f"{dataset}-1", "model_id": model.model_id}
                    client.log_metric(run.info.run_id, f"{dataset}_accuracy", value, **about)
                    client.log_metric(run.info.run_id, "accuracy", value, **about)
    made["m4"] = mlflow.initialize_logged_model(name="m4")
    return made


@pytest.fixture
def found(client, experiment):
    """Asks for the names of the models that a search finds."""

    def ask(condition=None, order=None, **more):
        order = order or [{"field_name": "name"}]
        models = client.search_logged_models([experiment], condition, order_by=order, **more)
        return " ".join(model.name for model in models)

    return ask


def test_models_are_found_by_what_they_are(models, found):
    assert found() == "m1 m2 m3 m4"
    assert found("name = 'm2'") == "m2"
    assert found("attributes.name != 'm2'") == "m1 m3 m4"
    assert found("name LIKE 'm%' AND name != 'm3'") == "m1 m2 m4"
    assert found("name IN ('m4', 'm1', 'nobody')") == "m1 m4"
    assert found("name NOT IN ('m4', 'm1')") == "m2 m3"
    assert found(f"model_id = '{models['m3'].model_id}'") == "m3"
    assert found(f"source_run_id = '{models['m1'].source_run_id}'") == "m1 m2 m3"
    assert found(f"creation_timestamp >= {models['m1'].creation_timestamp}") == "m1 m2 m3 m4"
    assert found("creation_time < 1000") == ""


def test_models_are_found_by_params_tags_and_metrics(models, found):
    assert found("params.depth = '3'") == "m1 m3"
    assert found("params.depth != '3'") == "m2"
    assert found("tags.team = 'red'") == "m1"
    assert found("tags.team ILIKE 'RED'") == "m1 m2"
    assert found("metrics.train_accuracy > 0.15") == "m2 m3"
    assert found("metrics.train_accuracy > 0.15 AND params.depth = '3'") == "m3"
    assert found("metrics.test_accuracy <= 0.8") == "m2"


def test_models_are_found_by_a_metric_on_a_dataset(models, found):
    def above(least, *names, digest=None):
        datasets = [{"dataset_name": name, "dataset_digest": digest or f"{name}-1"} for name in names]
        return found(f"metrics.accuracy > {least}", datasets=datasets)

    assert above(0.5, "test") == "m1 m2"
    assert above(0.5, "train") == ""
    assert above(0.25, "train") == "m3"
    assert above(0.25, "train", "test") == "m1 m2 m3"
    assert above(0.25, "train", digest="other") == ""


def test_models_are_ordered(models, found):
    assert found(order=[{"field_name": "name", "ascending": False}]) == "m4 m3 m2 m1"
    assert found(order=[{"field_name": "creation_timestamp"}, {"field_name": "name"}]).split()[0] == "m1"
    assert found(order=[{"field_name": "metrics.train_accuracy", "ascending": False}]) == "m3 m2 m1 m4"
    assert found(order=[{"field_name": "metrics.train_accuracy", "ascending": True}]) == "m1 m2 m3 m4"
    by_test = {"field_name": "metrics.accuracy", "ascending": True, "dataset_name": "test"}
    assert found(order=[by_test, {"field_name": "name", "ascending": False}]) == "m2 m1 m4 m3"


def test_models_are_read_in_pages(client, experiment):
    made = [mlflow.create_external_model(name=f"page-{number}").model_id for number in range(5)]
    seen, sizes, token = [], [], None
    while not sizes or token:
        order = [{"field_name": "name"}]
        page = client.search_logged_models([experiment], order_by=order, max_results=2, page_token=token)
        seen += [model.model_id for model in page]
        sizes.append(len(page))
        token = page.token
    assert (seen, sizes) == (made, [2, 2, 1])


def test_models_are_found_as_a_table(models):
    table = mlflow.search_logged_models(order_by=[{"field_name": "name"}])
    assert list(table["name"]) == ["m1", "m2", "m3", "m4"]
    assert list(table["params"])[:2] == [{"depth": "3"}, {"depth": "10"}]
    listed = mlflow.search_logged_models(filter_string="name = 'm1'", output_format="list")
    assert [model.model_id for model in listed] == [models["m1"].model_id]


def test_a_bad_search_of_models_says_what_is_wrong(client, experiment):
    for wrong in ("name > 'x'", "params.a >= '1'", "metrics.a LIKE '1'", "foo.a = 'x'", "name = 'a' OR name = 'b'"):
        with refused("INVALID_PARAMETER_VALUE"):
            client.search_logged_models([experiment], wrong)
    with refused("INVALID_PARAMETER_VALUE"):
        client.search_logged_models([experiment], order_by=[{"field_name": "nobody"}])


def test_files_of_a_model_are_listed_and_read(client, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "MLmodel").write_text("flavors: {}\n")
    (tmp_path / "sub" / "größe.bin").write_bytes(b"\0\1\2")
    model = mlflow.initialize_logged_model(name="files")
    client.log_model_artifacts(model.model_id, str(tmp_path))
    mlflow.finalize_logged_model(model.model_id, "READY")
    listed = client.list_logged_model_artifacts(model.model_id)
    assert [(file.path, file.is_dir) for file in listed] == [("MLmodel", False), ("sub", True)]
    assert [file.path for file in client.list_logged_model_artifacts(model.model_id, "sub")] == ["sub/größe.bin"]
    local = mlflow.artifacts.download_artifacts(f"{model.artifact_location}/sub/größe.bin")
    assert Path(local).read_bytes() == b"\0\1\2"
