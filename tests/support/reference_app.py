"""The reference's server without a process of its own: its application answers inside this one.

It reads the database with the stores that the server would make at its start, checks of the revision included.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

from flask.testing import FlaskClient  # noqa: E402
from mlflow.server import app, handlers  # noqa: E402
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as ModelRegistry  # noqa: E402
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Tracking  # noqa: E402


@contextlib.contextmanager
def reference_app(uri: str, artifacts: Path | str) -> Iterator[FlaskClient]:
    """A client of the application on a database."""
    uri = uri.replace("postgresql://", "postgresql+psycopg2://", 1)
    stores = (Tracking(uri, str(artifacts)), ModelRegistry(uri))
    before = handlers._tracking_store, handlers._model_registry_store
    handlers._tracking_store, handlers._model_registry_store = stores
    try:
        yield app.test_client()
    finally:
        handlers._tracking_store, handlers._model_registry_store = before
        for store in stores:
            store.engine.dispose()
