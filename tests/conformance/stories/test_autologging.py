"""Autologging: what a fit of scikit-learn writes without being asked."""

import json

import mlflow
import numpy
import pandas
import pytest
import sklearn.metrics
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV

FEATURES = pandas.DataFrame({"x": numpy.linspace(0, 1, 40), "größe": numpy.linspace(1, 0, 40) ** 2})
CLASSES = numpy.array([0, 1] * 5 + [0] * 10 + [1] * 20)


@pytest.fixture
def autologging():
    """Turns it on as the story says, and off behind it."""
    yield lambda **options: mlflow.sklearn.autolog(silent=True, **options)
    mlflow.sklearn.autolog(disable=True)


@pytest.mark.heavy
def test_a_fit_logs_its_params_scores_and_model(client, autologging):
    autologging()
    with mlflow.start_run() as run:
        LinearRegression().fit(numpy.array([[0.0], [1.0], [2.0]]), numpy.array([0.0, 2.0, 4.0]))
    stored = client.get_run(run.info.run_id)
    assert stored.data.params["fit_intercept"] == "True"
    assert stored.data.metrics["training_r2_score"] == pytest.approx(1.0)
    assert stored.data.tags["estimator_name"] == "LinearRegression"
    assert len(stored.inputs.dataset_inputs) == 1
    loaded = mlflow.sklearn.load_model(f"runs:/{run.info.run_id}/model")
    assert loaded.predict([[3.0]]) == pytest.approx([6.0])


def test_a_fit_outside_of_a_run_makes_one(experiment, client, autologging):
    autologging(log_models=False)
    LogisticRegression(C=0.5).fit(FEATURES, CLASSES)
    (run,) = client.search_runs([experiment])
    assert run.info.status == "FINISHED"
    assert run.data.params["C"] == "0.5"
    assert 0 < run.data.metrics["training_accuracy_score"] <= 1
    assert {file.path for file in client.list_artifacts(run.info.run_id)} >= {"training_confusion_matrix.png"}


def test_a_fit_remembers_the_data_it_saw(client, autologging):
    autologging(log_models=False)
    with mlflow.start_run() as run:
        LogisticRegression().fit(FEATURES, CLASSES)
    (entry,) = client.get_run(run.info.run_id).inputs.dataset_inputs
    assert {tag.key: tag.value for tag in entry.tags} == {"mlflow.data.context": "train"}
    assert json.loads(entry.dataset.profile) == {"num_rows": 40, "num_elements": 80}


def test_a_score_computed_after_the_fit_is_logged(client, autologging):
    autologging(log_models=False)
    with mlflow.start_run() as run:
        model = LogisticRegression().fit(FEATURES, CLASSES)
        accuracy = sklearn.metrics.accuracy_score(CLASSES, model.predict(FEATURES))
    metrics = client.get_run(run.info.run_id).data.metrics
    logged = [value for key, value in metrics.items() if key.startswith("accuracy_score")]
    assert logged == [pytest.approx(accuracy)]


def test_a_search_of_parameters_is_a_run_with_children(experiment, client, autologging):
    autologging(log_models=False, max_tuning_runs=3)
    with mlflow.start_run(run_name="search") as run:
        GridSearchCV(LogisticRegression(), {"C": [0.01, 0.1, 1.0]}, cv=2).fit(FEATURES, CLASSES)
    parent = client.get_run(run.info.run_id)
    assert parent.data.params["best_C"] in ("0.01", "0.1", "1.0")
    assert parent.data.metrics["best_cv_score"] > 0
    children = client.search_runs(
        [experiment], f"tags.mlflow.parentRunId = '{run.info.run_id}'", order_by=["params.C DESC"]
    )
    assert [child.data.params["C"] for child in children] == ["1.0", "0.1", "0.01"]
    assert all(child.info.status == "FINISHED" for child in children)
    assert max(child.data.metrics["mean_test_score"] for child in children) == parent.data.metrics["best_cv_score"]


def test_nothing_is_logged_once_autologging_is_off(experiment, client, autologging):
    autologging(disable=True)
    LinearRegression().fit(FEATURES, CLASSES)
    assert client.search_runs([experiment]) == []
