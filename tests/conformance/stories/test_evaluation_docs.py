"""The page about evaluation: its programs are run as they are written there, against the server under test."""

import os
import re
from pathlib import Path

import mlflow
import pytest

# A program of the page sends a request by itself, without a word about a workspace.
pytestmark = [pytest.mark.since(3, 17), pytest.mark.default_workspace]

PAGE = (Path(__file__).parents[3] / "docs" / "evaluation.md").read_text()
ADDRESS = "http://127.0.0.1:5000"


def programs() -> list[str]:
    return re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def name() -> str:
    """The experiment of the page, under a name of its own."""
    return f"capitals agent {os.urandom(4).hex()}"


def test_the_programs_of_the_page_about_evaluation_work(url, client, name):
    names = {}
    for program in programs():
        program = program.replace(ADDRESS, url).replace("capitals agent", name)
        exec(compile(program, "evaluation.md", "exec"), names)
    baseline, improved = names["baseline"], names["improved"]
    assert baseline.metrics["correct/mean"] == pytest.approx(2 / 3)
    assert improved.metrics == {"correct/mean": 1.0, "words/mean": 4.0}
    assert client.get_run(improved.run_id).data.metrics == improved.metrics
    trace = client.get_trace(names["trace"].info.trace_id)
    said = {(found.name, found.value) for found in trace.info.assessments if found.name != names["issue"]["issue_id"]}
    assert {("correct", False), ("words", 4), ("tone", "curt"), ("better_answer", "Oslo is the capital of Norway.")} <= said
    (item,) = names["list_review_queue_items"](names["queue"].queue_id)
    assert (item.item_id, item.completed_by) == (trace.info.trace_id, "ann")
    assert names["get_scorer"](name="polite", experiment_id=names["experiment"].experiment_id).name == "polite"
    found = mlflow.search_traces(
        locations=[names["experiment"].experiment_id], filter_string="feedback.tone = 'curt'", return_type="list"
    )
    assert [found.info.trace_id for found in found] == [trace.info.trace_id]
    assert {"tone", "better_answer"} <= {schema.name for schema in names["list_label_schemas"](names["experiment"].experiment_id)}
