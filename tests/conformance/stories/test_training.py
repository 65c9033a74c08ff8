"""The main job: a whole training script."""

import sys
from pathlib import Path

import mlflow
import pytest

sys.path.append(str(Path(__file__).parents[1]))

import training  # noqa: E402


@pytest.mark.heavy
def test_a_training_script_leaves_everything_it_logged(client, url, experiment):
    run_id = training.train(url, client.get_experiment(experiment).name)
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "iris"
    assert run.data.tags["mlflow.note.content"] == "Species from four lengths"
    assert {"batch_size": "16", "n_estimators": "5", "seed": "0"}.items() <= run.data.params.items()
    assert run.data.metrics["training_accuracy_score"] > 0.8
    for key in training.METRICS:
        assert [metric.step for metric in client.get_metric_history(run_id, key)] == list(range(training.STEPS))

    (entry,) = run.inputs.dataset_inputs
    assert entry.dataset.name == "iris"
    paths = {info.path for info in client.list_artifacts(run_id)}
    assert {"notes.txt", "accuracy.json", "plots", "report"} <= paths
    assert mlflow.artifacts.load_text(f"runs:/{run_id}/report/page.html").startswith("<h1>Iris</h1>")

    children = client.search_runs(
        [experiment], f"tags.mlflow.parentRunId = '{run_id}'", order_by=["attributes.start_time ASC"]
    )
    assert [child.data.params["depth"] for child in children] == [str(depth) for depth in training.DEPTHS]
    assert max(child.data.metrics["accuracy"] for child in children) == pytest.approx(
        run.data.metrics["best_accuracy"]
    )
    features, _ = training.split(training.load_iris(as_frame=True).frame)
    assert len(mlflow.sklearn.load_model(f"runs:/{run_id}/model").predict(features)) == 150
