"""Searching traces: filters, orders, pages, sessions."""

import time

import mlflow
import pytest
from helpers import refused
from mlflow.entities import SpanType

pytestmark = pytest.mark.since(3)


@pytest.fixture
def traces(experiment) -> list[str]:
    """The ids of five traces, the oldest first; odd ones failed."""
    ids = []
    for number in range(5):
        try:
            with mlflow.start_span(f"trace {number}", span_type=SpanType.CHAIN, attributes={"label": f"label-{number}"}) as span:
                span.set_inputs({"question": f"what is {number}"})
                mlflow.update_current_trace(
                    tags={"parity": "odd" if number % 2 else "even", "n": str(number)},
                    metadata={"mlflow.trace.session": f"session {number // 2}", "version": str(number)},
                )
                with mlflow.start_span("tool", span_type=SpanType.TOOL) as tool:
                    tool.set_outputs({"found": f"needle {number}"})
                if number % 2:
                    raise ValueError("odd")
        except ValueError:
            pass
        mlflow.flush_trace_async_logging()
        ids.append(mlflow.get_last_active_trace_id())
        # Traces are ordered by milliseconds.
        time.sleep(0.002)
    return ids


@pytest.fixture
def search(client, experiment, traces):
    """The numbers of the traces that a filter finds."""

    def numbers(filter_string=None, **options):
        found = client.search_traces(locations=[experiment], filter_string=filter_string, include_spans=False, **options)
        return [traces.index(trace.info.trace_id) for trace in found]

    return numbers


def test_the_newest_traces_come_first(search):
    assert search() == [4, 3, 2, 1, 0]
    assert search(order_by=["timestamp_ms ASC"]) == [0, 1, 2, 3, 4]
    assert search(max_results=2) == [4, 3]


def test_traces_are_found_by_what_they_are(search, traces):
    assert search("status = 'ERROR'") == [3, 1]
    assert search("trace.status = 'OK'") == [4, 2, 0]
    assert search("status IN ('OK', 'ERROR')") == [4, 3, 2, 1, 0]
    assert search("name = 'trace 3'") == [3]
    assert search("name LIKE '%3'") == [3]
    assert search("timestamp_ms > 0 AND status != 'ERROR'") == [4, 2, 0]
    assert search("execution_time_ms > 100000") == []


def test_traces_are_found_by_tags_and_metadata(search):
    assert search("tags.parity = 'odd'") == [3, 1]
    assert search("tag.parity != 'odd'") == [4, 2, 0]
    assert search("tags.`n` = '2' AND metadata.version = '2'") == [2]
    assert search("metadata.`mlflow.trace.session` = 'session 1'") == [3, 2]
    assert search("tags.nobody = 'x'") == []


@pytest.mark.since(3, 17)
def test_traces_are_found_by_their_spans(search):
    assert search("span.name = 'tool'") == [4, 3, 2, 1, 0]
    assert search("span.name = 'trace 2'") == [2]
    assert search("span.type = 'TOOL' AND span.status = 'ERROR'") == []
    assert search("span.status = 'ERROR'") == [3, 1]
    assert search("span.attributes.label LIKE '%label-4%'") == [4]
    assert search("trace.text LIKE '%needle 3%'") == [3]
    assert search("span.content ILIKE '%NEEDLE 1%'") == [1]


def test_pages_have_every_trace_once(client, experiment, traces):
    seen, token = [], None
    while True:
        page = client.search_traces(locations=[experiment], max_results=2, page_token=token, include_spans=False)
        seen += [trace.info.trace_id for trace in page]
        token = page.token
        if not token:
            break
        assert len(page) == 2
    assert seen == traces[::-1]


def test_a_search_brings_the_spans(client, experiment, traces):
    found = client.search_traces(locations=[experiment])
    assert [[span.name for span in trace.data.spans] for trace in found] == [[f"trace {n}", "tool"] for n in (4, 3, 2, 1, 0)]


def test_a_search_is_a_table(experiment, traces):
    table = mlflow.search_traces(locations=[experiment], max_results=3)
    assert list(table["trace_id"]) == traces[:1:-1]
    assert list(table["state"]) == ["OK", "ERROR", "OK"]
    assert table["tags"][0]["n"] == "4"


def test_other_experiments_are_not_searched(client, traces):
    other = mlflow.create_experiment(f"other {time.time_ns()}")
    assert client.search_traces(locations=[other]) == []
    assert len(client.search_traces(locations=[other], filter_string="status = 'OK'")) == 0


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("nonsense = 'x'", "nonsense"),
        ("status >", "nvalid"),
        ("tags.a > 'b'", ">"),
        ("status = 'OK' OR status = 'ERROR'", "nvalid"),
    ],
)
def test_a_filter_that_is_none_is_told(client, experiment, wrong, words):
    with refused("INVALID_PARAMETER_VALUE", words):
        client.search_traces(locations=[experiment], filter_string=wrong)


@pytest.mark.since(3, 17)
def test_traces_are_found_by_what_was_said_of_them(search, traces):
    mlflow.log_feedback(trace_id=traces[1], name="good", value=True)
    mlflow.log_feedback(trace_id=traces[2], name="good", value=False)
    mlflow.log_expectation(trace_id=traces[3], name="answer", value="three")
    assert search("feedback.good = 'true'") == [1]
    assert search("expectation.answer = 'three'") == [3]
    assert search("feedback.good IS NOT NULL") == [2, 1]


@pytest.mark.since(3, 17)
def test_traces_of_a_session_are_together(experiment, traces):
    sessions = mlflow.search_sessions(locations=[experiment])
    assert sorted(sorted(trace.info.trace_metadata["version"] for trace in session) for session in sessions) == [
        ["0", "1"],
        ["2", "3"],
        ["4"],
    ]
