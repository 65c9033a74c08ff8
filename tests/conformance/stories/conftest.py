"""A server to talk to, and a fresh experiment for every story."""

import os

import pytest

# Before the SDK is imported: no picture on a screen, no telemetry, no patience with a broken server.
os.environ |= {
    "MPLBACKEND": "Agg",
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # Traces are sent before their block ends: the SDK needs two seconds for each flush of its queue.
    "MLFLOW_ENABLE_ASYNC_TRACE_LOGGING": "false",
    # A story about a run on the machine it runs on is not about the repository it lies in.
    "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "false",
}

import mlflow  # noqa: E402
from mlflow import MlflowClient  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--tracking-uri", required=True, help="the server under test")
    parser.addoption("--sdk", help="the version that mlflow must have")
    parser.addoption("--grpc-endpoint", help="the port of the server under test that speaks OTLP/gRPC")
    parser.addoption("--users-uri", help="a server with basic-auth, for the stories of users")


def pytest_configure(config):
    config.addinivalue_line("markers", "since(major, minor…): the first version of the SDK that can do it")
    config.addinivalue_line("markers", "heavy: takes long, and nothing of it depends on the database")
    config.addinivalue_line("markers", "without_workspaces: a server with workspaces refuses what it is about")
    config.addinivalue_line("markers", "default_workspace: is about what only the default workspace has")
    config.addinivalue_line("markers", "workspaces: needs a server with workspaces, and runs in one that is not the default one")
    expected = config.getoption("--sdk")
    if expected and mlflow.__version__ != expected:
        raise pytest.UsageError(f"this Python has mlflow {mlflow.__version__}, not {expected}")
    os.environ["MLFLOW_TRACKING_URI"] = config.getoption("--tracking-uri").rstrip("/")


def pytest_collection_modifyitems(config, items):
    """Leaves out what this SDK cannot do."""
    release = tuple(map(int, mlflow.__version__.split(".")))
    able = [item for item in items if all(mark.args <= release for mark in item.iter_markers("since"))]
    config.hook.pytest_deselected(items=[item for item in items if item not in able])
    items[:] = able


@pytest.fixture(scope="session")
def url() -> str:
    """The address of the server."""
    return os.environ["MLFLOW_TRACKING_URI"]


@pytest.fixture(scope="session")
def grpc_endpoint(pytestconfig) -> str:
    """The address of its port for OTLP/gRPC."""
    return pytestconfig.getoption("--grpc-endpoint") or pytest.skip("this server has no port for OTLP/gRPC")


@pytest.fixture
def client() -> MlflowClient:
    return MlflowClient()


@pytest.fixture(autouse=True)
def experiment(request, url) -> str:
    """The id of an empty experiment, which is the active one. No run outlives its story."""
    mlflow.set_tracking_uri(url)
    experiment_id = mlflow.create_experiment(f"{request.node.name} {os.urandom(4).hex()}")
    mlflow.set_experiment(experiment_id=experiment_id)
    yield experiment_id
    while mlflow.active_run():
        mlflow.end_run()


@pytest.fixture
def run(client, experiment) -> str:
    """The id of a run in it, made through the client and not the active one."""
    return client.create_run(experiment).info.run_id


@pytest.fixture(scope="session")
def model():
    """A small model of scikit-learn, which doubles its one feature."""
    from sklearn.linear_model import LinearRegression

    return LinearRegression().fit([[0.0], [1.0], [2.0]], [0.0, 2.0, 4.0])
