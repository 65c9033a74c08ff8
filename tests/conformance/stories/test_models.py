"""A small model of scikit-learn: logged and loaded."""

import mlflow
import numpy as np
import pytest
from helpers import log_model

FEATURES = np.array([[0.0], [1.0], [2.0]])


def test_a_model_is_loaded_from_its_run(model):
    with mlflow.start_run() as run:
        log_model(model)
    loaded = mlflow.sklearn.load_model(f"runs:/{run.info.run_id}/model")
    assert loaded.predict([[3.0]]) == pytest.approx([6.0])


def test_a_model_is_loaded_as_a_python_function(model):
    with mlflow.start_run():
        info = log_model(model, input_example=FEATURES)
    loaded = mlflow.pyfunc.load_model(info.model_uri)
    assert loaded.predict(np.array([[3.0]])) == pytest.approx([6.0])
    assert mlflow.models.get_model_info(info.model_uri).signature is not None


@pytest.mark.since(3)
def test_a_logged_model_is_loaded_by_its_id(model):
    with mlflow.start_run():
        info = log_model(model)
    assert info.model_uri == f"models:/{info.model_id}"
    assert info.model_id.startswith("m-")
    assert mlflow.sklearn.load_model(info.model_uri).predict([[3.0]]) == pytest.approx([6.0])


@pytest.mark.since(3)
def test_a_run_knows_the_models_it_made(client, model):
    with mlflow.start_run() as run:
        info = log_model(model)
    assert [output.model_id for output in client.get_run(run.info.run_id).outputs.model_outputs] == [info.model_id]
    stored = mlflow.get_logged_model(info.model_id)
    assert (stored.source_run_id, stored.name, str(stored.status)) == (run.info.run_id, "model", "READY")


@pytest.mark.since(3)
def test_metrics_belong_to_a_model_and_a_data_set(client, model):
    import pandas as pd

    dataset = mlflow.data.from_pandas(pd.DataFrame({"x": [1, 2]}), name="validation")
    with mlflow.start_run() as run:
        info = log_model(model, params={"depth": 3})
        mlflow.log_metric("rmse", 0.25, step=4, model_id=info.model_id, dataset=dataset)
    stored = client.get_logged_model(info.model_id)
    assert stored.params == {"depth": "3"}
    (metric,) = stored.metrics
    assert (metric.key, metric.value, metric.step) == ("rmse", 0.25, 4)
    assert (metric.run_id, metric.dataset_name, metric.dataset_digest) == (
        run.info.run_id,
        "validation",
        dataset.digest,
    )


@pytest.mark.since(3)
def test_a_logged_model_brings_what_it_needs(model, client):
    with mlflow.start_run():
        info = log_model(model)
    listed = {entry.path for entry in client.list_logged_model_artifacts(info.model_id)}
    assert {"MLmodel", "requirements.txt"} <= listed
