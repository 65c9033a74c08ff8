"""A training script as people write them: autologging, a loop of steps, artifacts, a data set, tuning.

    python training.py --tracking-uri http://127.0.0.1:5000
"""

import argparse
import math
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import mlflow
import pandas as pd
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split

STEPS = 100
METRICS = ("train_loss", "val_loss", "train_accuracy", "val_accuracy", "learning_rate")
DEPTHS = (1, 2, 3)


def train(tracking_uri: str, experiment: str) -> str:
    """Trains and tunes a small classifier. Returns the id of the outer run."""
    mlflow.set_tracking_uri(tracking_uri)
    mlflow.set_experiment(experiment)
    mlflow.sklearn.autolog(log_datasets=False, silent=True)
    try:
        with mlflow.start_run(run_name="iris", description="Species from four lengths") as run:
            _train()
        return run.info.run_id
    finally:
        mlflow.sklearn.autolog(disable=True)


def _train() -> None:
    table = load_iris(as_frame=True).frame
    training, validation = train_test_split(table, test_size=0.3, random_state=0)
    dataset = mlflow.data.from_pandas(training, source="https://example.org/iris.csv", name="iris", targets="target")
    mlflow.log_input(dataset, context="training")
    mlflow.log_params({"batch_size": 16, "optimizer": "none", "seed": 0})

    accuracy = {depth: _tune(depth, training, validation) for depth in DEPTHS}
    mlflow.log_metric("best_accuracy", max(accuracy.values()))
    for step in range(STEPS):
        mlflow.log_metrics(dict(zip(METRICS, _curves(step))), step=step)
    _log_artifacts(table, accuracy)

    # Autologging writes what this fit was given and what came out, and the model, into the outer run.
    best = max(accuracy, key=accuracy.get)
    RandomForestClassifier(n_estimators=5, max_depth=best, random_state=0).fit(*split(training))


def _tune(depth: int, training: pd.DataFrame, validation: pd.DataFrame) -> float:
    """One nested run for one depth."""
    with mlflow.start_run(run_name=f"depth {depth}", nested=True):
        mlflow.log_param("depth", depth)
        with _without_autologging():
            model = RandomForestClassifier(n_estimators=3, max_depth=depth, random_state=0).fit(*split(training))
            features, target = split(validation)
            accuracy = accuracy_score(target, model.predict(features))
        mlflow.log_metric("accuracy", accuracy)
    return accuracy


def _without_autologging():
    return mlflow.utils.autologging_utils.disable_autologging()


def split(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    """The four lengths and the species."""
    return table.drop(columns="target"), table["target"]


def _curves(step: int) -> tuple[float, ...]:
    decay = math.exp(-step / 30)
    return decay, decay * 1.1 + 0.02, 1 - decay, 0.97 - decay, 0.1 * 0.99**step


def _log_artifacts(table: pd.DataFrame, accuracy: dict[int, float]) -> None:
    """One of each kind that the web UI shows."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report"
        (report / "data").mkdir(parents=True)
        table.head(20).to_csv(report / "data" / "sample.csv", index=False)
        (report / "page.html").write_text("<h1>Iris</h1><p>Größe und Form</p>", encoding="utf-8")
        mlflow.log_artifacts(str(report), "report")
    mlflow.log_text("Trained without surprises.\n", "notes.txt")
    mlflow.log_dict({f"depth {depth}": value for depth, value in accuracy.items()}, "accuracy.json")
    figure, axes = plt.subplots()
    axes.plot(list(accuracy), list(accuracy.values()))
    mlflow.log_figure(figure, "plots/accuracy.png")
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tracking-uri", required=True)
    parser.add_argument("--experiment", default="iris")
    arguments = parser.parse_args()
    print(train(arguments.tracking_uri, arguments.experiment))


if __name__ == "__main__":
    main()
