"""Small words that many stories use."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator

import mlflow
import pytest
from mlflow.exceptions import MlflowException

#: How long a story waits for something that happens by itself.
PATIENCE = 60


@contextlib.contextmanager
def refused(code: str, words: str = "") -> Iterator[None]:
    """The block must fail with an error code, and ``words`` (a regular expression) in the message."""
    with pytest.raises(MlflowException, match=words or None) as caught:
        yield
    assert caught.value.error_code == code, caught.value


def in_workspace(headers: dict[str, str] | None = None) -> dict[str, str]:
    """Headers of a request that is not the SDK's, with the workspace of the story."""
    name = os.environ.get("MLFLOW_WORKSPACE")
    # gRPC takes names in lower case only.
    return dict(headers or {}) | ({"x-mlflow-workspace": name} if name else {})


def unique(name: str) -> str:
    """A name that no other story uses."""
    return f"{name}-{os.urandom(6).hex()}"


def log_model(model, name: str = "model", **options):
    """Logs a model of scikit-learn as the generation of the SDK calls it."""
    word = "name" if mlflow.__version__ >= "3" else "artifact_path"
    return mlflow.sklearn.log_model(model, **{word: name}, pip_requirements=["scikit-learn"], **options)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Asks again and again until a condition holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE} s for {what}"
        time.sleep(0.05)


#: Text that breaks what handles bytes, halves of pairs, case or direction carelessly.
UNICODE = "Größe 模型 🦀 שלום e\u0301 ﬁ İ"
