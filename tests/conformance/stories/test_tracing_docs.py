"""The page about tracing: its programs are run as they are written there, against the server under test."""

import os
import re
import subprocess
from pathlib import Path

import mlflow
import pytest

pytestmark = [pytest.mark.since(3, 17), pytest.mark.default_workspace]

PAGE = (Path(__file__).parents[3] / "docs" / "tracing.md").read_text()
ADDRESS = "http://127.0.0.1:5000"
GRPC_ADDRESS = "http://127.0.0.1:4317"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def name() -> str:
    """The experiment of the page, under a name of its own."""
    return f"weather agent {os.urandom(4).hex()}"


def test_the_programs_of_the_page_about_tracing_work(url, grpc_endpoint, client, name, monkeypatch):
    lines = [line.removeprefix("export ") for block in blocks("sh") for line in block.splitlines() if line.startswith("export ")]
    # The one with a login is for a server with users.
    settings = dict(line.replace(ADDRESS, url).split("=", 1) for line in lines if "authorization" not in line)
    names = {}
    for block in blocks("python"):
        block = block.replace(ADDRESS, url).replace(GRPC_ADDRESS, grpc_endpoint)
        program = compile(block.replace("weather agent", name), "tracing.md", "exec")
        with monkeypatch.context() as patch:
            if "proto.http" in block:
                for key, value in settings.items():
                    patch.setenv(key, value)
            exec(program, names)
    trace = client.get_trace(names["trace"].info.trace_id)
    assert [span.name for span in trace.data.spans] == ["agent", "look_up"]
    assert [(found.name, found.value) for found in trace.info.assessments] == [("correct", True)]
    sessions = mlflow.search_sessions(locations=[client.get_experiment_by_name(name).experiment_id])
    assert [len(session) for session in sessions] == [1]
    by_grpc = client.get_trace(f"tr-{names['span'].get_span_context().trace_id:032x}")
    assert [(span.name, span.attributes["city"]) for span in by_grpc.data.spans] == [("forecast", "Cologne")]


def test_what_the_page_about_tracing_exports_is_there(url, client, monkeypatch):
    """Both requests without MLflow's SDK go to the default experiment."""
    (curl,) = [block for block in blocks("sh") if block.startswith("curl ")]
    answer = subprocess.run(["bash", "-c", curl.replace(ADDRESS, url)], check=True, capture_output=True, text=True)
    assert answer.stdout in ("{}", '{"partialSuccess":{}}', '{"partialSuccess": {}}'), answer.stdout
    trace = client.get_trace("tr-5b8efff798038103d269b633813fc60c")
    assert (trace.info.experiment_id, trace.info.execution_duration) == ("0", 1500)
    assert [span.name for span in trace.data.spans] == ["nightly job"]
