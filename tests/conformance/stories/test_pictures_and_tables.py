"""What people look at: pictures, figures and tables."""

import re
from pathlib import Path

import mlflow
import numpy
import pandas
import PIL.Image
import pytest
from helpers import UNICODE, wait_until


def gradient(width=40, height=30) -> PIL.Image.Image:
    pixels = numpy.zeros((height, width, 3), dtype=numpy.uint8)
    pixels[:, :, 0] = numpy.linspace(0, 255, width, dtype=numpy.uint8)
    pixels[:, :, 1] = numpy.linspace(0, 255, height, dtype=numpy.uint8)[:, None]
    return PIL.Image.fromarray(pixels)


def names(client, run, path=None):
    return [file.path for file in client.list_artifacts(run, path)]


def test_a_picture_comes_back_pixel_for_pixel(client):
    picture = gradient()
    with mlflow.start_run() as run:
        mlflow.log_image(picture, "pictures/gradient.png")
        mlflow.log_image(numpy.asarray(picture), "array.png")
        mlflow.log_image(numpy.asarray(picture, dtype=float)[:, :, 0] / 255, "grey.png")
    for name in ("pictures/gradient.png", "array.png"):
        stored = mlflow.artifacts.load_image(f"{run.info.artifact_uri}/{name}")
        assert (numpy.asarray(stored) == numpy.asarray(picture)).all()
    assert names(client, run.info.run_id) == ["array.png", "grey.png", "pictures"]


def test_pictures_of_a_step_are_kept_with_their_step(client):
    with mlflow.start_run() as run:
        for step in range(3):
            mlflow.log_image(gradient(), key="validation", step=step, timestamp=1000 + step, synchronous=True)
    stored = names(client, run.info.run_id, "images")
    assert len(stored) == 6
    # The characters between the parts differ between SDKs.
    for step in range(3):
        form = re.compile(rf"images/validation.step.{step}.timestamp.{1000 + step}.[0-9a-z-]+(.compressed)?\.")
        assert sorted(Path(name).suffix for name in stored if form.match(name)) == [".png", ".webp"]
    png = next(name for name in stored if name.endswith(".png"))
    local = Path(client.download_artifacts(run.info.run_id, png))
    assert PIL.Image.open(local).size == (40, 30)
    assert client.get_run(run.info.run_id).data.tags["mlflow.loggedImages"] == "True"


def test_pictures_can_be_sent_in_the_background(client):
    with mlflow.start_run() as run:
        mlflow.log_image(gradient(), key="background", step=5, synchronous=False)
        mlflow.flush_artifact_async_logging()
    wait_until(lambda: len(names(client, run.info.run_id, "images")) == 2, "two files of the picture")


def test_a_figure_is_a_picture(client):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(2, 1), dpi=100)
    axes.plot([1, 2, 3], [2, 1, 3])
    axes.set_title("größe")
    with mlflow.start_run() as run:
        mlflow.log_figure(figure, "figures/curve.png")
        mlflow.log_figure(figure, "figures/curve.pdf")
        mlflow.log_figure(figure, "figures/curve.svg")
    plt.close(figure)
    assert names(client, run.info.run_id, "figures") == [f"figures/curve.{kind}" for kind in ("pdf", "png", "svg")]
    assert mlflow.artifacts.load_image(f"{run.info.artifact_uri}/figures/curve.png").size == (200, 100)
    path = client.download_artifacts(run.info.run_id, "figures/curve.pdf")
    assert Path(path).read_bytes().startswith(b"%PDF")


def test_a_table_grows_row_by_row(client):
    first = {"question": ["größe?", "why"], "answer": ["模型", "because"], "score": [0.5, 1.0]}
    with mlflow.start_run() as run:
        mlflow.log_table(first, "answers.json")
        mlflow.log_table(pandas.DataFrame({"question": [UNICODE], "answer": ["?"], "score": [0.0]}), "answers.json")
    table = mlflow.load_table("answers.json", run_ids=[run.info.run_id])
    assert list(table["question"]) == ["größe?", "why", UNICODE]
    assert list(table["score"]) == [0.5, 1.0, 0.0]
    assert "answers.json" in client.get_run(run.info.run_id).data.tags["mlflow.loggedArtifacts"]


def test_tables_of_many_runs_are_read_as_one(client, experiment):
    for number in range(3):
        with mlflow.start_run(run_name=f"run {number}"):
            mlflow.log_table({"n": [number, number]}, "n.json")
    with mlflow.start_run():
        pass
    table = mlflow.load_table("n.json", extra_columns=["run_id"])
    assert sorted(table["n"]) == [0, 0, 1, 1, 2, 2]
    assert table["run_id"].nunique() == 3


def test_a_table_may_hold_pictures(client):
    table = {"name": ["a"], "picture": [mlflow.Image(numpy.asarray(gradient()))]}
    with mlflow.start_run() as run:
        mlflow.log_table(table, "pictures.json")
    stored = mlflow.load_table("pictures.json", run_ids=[run.info.run_id])
    assert stored["picture"][0]["type"] == "image"
    path = stored["picture"][0]["filepath"]
    assert PIL.Image.open(client.download_artifacts(run.info.run_id, path)).size == (40, 30)


def test_a_table_that_was_never_logged_cannot_be_loaded(client, run):
    with pytest.raises(mlflow.MlflowException, match="No runs found with the corresponding table"):
        mlflow.load_table("never.json", run_ids=[run])
