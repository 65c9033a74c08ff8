"""What the pages show: a small experiment, logged with the official SDK."""

import dataclasses
import struct
import uuid
import zlib
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

#: Milliseconds; runs are one minute apart, the last one is the newest.
FIRST_START = 1_760_000_000_000
STEPS = 20
#: The place of each run by accuracy, unlike their order in time.
RANKS = (2, 5, 0, 4, 1, 3)


@dataclasses.dataclass(frozen=True)
class Content:
    """Names and ids of what was logged."""

    url: str
    experiment: str
    experiment_id: str
    #: By name, oldest first.
    runs: dict[str, str]

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.url)


def log(url: str, folder: Path) -> Content:
    """Logs an experiment of six runs, the newest with artifacts."""
    client = MlflowClient(url)
    experiment = f"churn {uuid.uuid4().hex[:8]}"
    experiment_id = client.create_experiment(experiment)
    runs = {}
    for number, rank in enumerate(RANKS):
        name = f"forest-{number}"
        start = FIRST_START + number * 60_000
        run = client.create_run(experiment_id, start_time=start, run_name=name)
        run_id = runs[name] = run.info.run_id
        accuracy = [0.2 + 0.1 * rank + 0.001 * step for step in range(STEPS)]
        client.log_batch(
            run_id,
            metrics=[
                metric
                for step, value in enumerate(accuracy)
                for metric in (
                    Metric("accuracy", value, start + step, step),
                    Metric("loss", 1 / (step + 1) + number, start + step, step),
                )
            ],
            params=[
                Param("optimizer", "adam" if number % 2 else "sgd"),
                Param("learning_rate", f"0.{number + 1}"),
                Param("größe", "雪 <b>&amp;</b>"),
            ],
            tags=[RunTag("split", "odd" if number % 2 else "even")],
        )
        client.set_terminated(run_id, "FAILED" if number == 0 else "FINISHED", start + 42_000)
    for path in write_artifacts(folder):
        client.log_artifact(runs["forest-5"], str(path), "reports" if path.suffix == ".csv" else None)
    return Content(url, experiment, experiment_id, runs)


def write_artifacts(folder: Path) -> list[Path]:
    """One file of every kind that has a preview."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "notes.txt": "first line of the notes\nüber 雪\n",
        "settings.json": '{"depth": 7, "criterion": "gini"}\n',
        "page.html": "<!doctype html><title>t</title><h1 id='headline'>A stored page</h1>",
        "table.csv": "city,inhabitants\nOslo,709037\nKøbenhavn,660842\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "picture.png").write_bytes(png(64, 48))
    return sorted(folder.iterdir())


def model_file() -> str:
    """An `MLmodel` of two inputs and one output."""
    return """\
flavors:
  python_function:
    loader_module: mlflow.sklearn
signature:
  inputs: '[{"type": "double", "name": "größe", "required": true}, {"type": "long", "name": "age", "required": false}]'
  outputs: '[{"type": "string", "name": "species", "required": true}]'
"""


def png(width: int, height: int) -> bytes:
    """A picture with a gradient."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(
        b"\0" + bytes(value for x in range(width) for value in (x * 255 // width, y * 255 // height, 128))
        for y in range(height)
    )
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
