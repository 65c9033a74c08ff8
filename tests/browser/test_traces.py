"""Traces: their table, a trace with its spans and assessments, sessions, and the charts of an experiment."""

import dataclasses
import os
import re
import time

import mlflow
import pytest
from mlflow.entities import AssessmentSource, SpanType
from playwright.sync_api import expect

pytestmark = pytest.mark.rotates(every=4)

# Traces are sent before their block ends.
os.environ["MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"] = "false"

QUESTIONS = 6
#: The one that fails.
FAILED = 3


@dataclasses.dataclass(frozen=True)
class Agents:
    """An experiment with the traces of an agent."""

    experiment_id: str
    run_id: str
    #: Oldest first.
    trace_ids: list[str]


def answer(number: int) -> None:
    """A trace of three spans."""
    with mlflow.start_span(f"agent-{number}", span_type=SpanType.AGENT) as agent:
        agent.set_inputs({"question": f"marker-Q{number:02}"})
        tags = {"env": "prod" if number % 2 else "dev"}
        metadata = {"mlflow.trace.session": f"session-{number // 2}", "mlflow.trace.user": "ann"}
        mlflow.update_current_trace(tags=tags, metadata=metadata)
        with mlflow.start_span("look up", span_type=SpanType.TOOL, attributes={"source": "almanac"}) as tool:
            tool.set_inputs({"key": number})
            tool.set_outputs({"hits": [number]})
        with mlflow.start_span("chat", span_type=SpanType.CHAT_MODEL) as chat:
            usage = {"input_tokens": 10 + number, "output_tokens": 2, "total_tokens": 12 + number}
            chat.set_attribute("mlflow.chat.tokenUsage", usage)
            chat.set_outputs(f"größe-{number}")
        agent.set_outputs(f"answer-{number}")
        if number == FAILED:
            raise ValueError("no answer")


def log_traces(url: str) -> Agents:
    mlflow.set_tracking_uri(url)
    experiment_id = mlflow.create_experiment(f"agents {time.time_ns()}")
    mlflow.set_experiment(experiment_id=experiment_id)
    trace_ids = []
    with mlflow.start_run() as run:
        for number in range(QUESTIONS):
            try:
                answer(number)
            except ValueError:
                assert number == FAILED
            trace_ids.append(mlflow.get_last_active_trace_id())
    source = AssessmentSource("HUMAN", "ann")
    mlflow.log_feedback(trace_id=trace_ids[0], name="correct", value=True, source=source, rationale="checked by hand")
    mlflow.log_expectation(trace_id=trace_ids[0], name="expected", value="answer-0", source=source)
    return Agents(experiment_id, run.info.run_id, trace_ids)


@pytest.fixture(scope="session")
def agents(url) -> Agents:
    """For tests that change nothing in it."""
    return log_traces(url)


@pytest.fixture
def own(url) -> Agents:
    """For a test that changes something."""
    return log_traces(url)


def rows(page):
    return page.get_by_role("row").filter(has=page.get_by_role("checkbox", name=re.compile("^Select (trace|session) ")))


@pytest.fixture
def table(genai, agents):
    """The page of the table."""
    genai.open(f"/experiments/{agents.experiment_id}/traces")
    expect(rows(genai.page)).to_have_count(QUESTIONS)
    return genai.page


def opened(ui, agents, number):
    """The panel of a trace."""
    ui.open(f"/experiments/{agents.experiment_id}/traces?selectedEvaluationId={agents.trace_ids[number]}")
    panel = ui.page.get_by_role("dialog")
    expect(panel.get_by_text(f"agent-{number}").first).to_be_visible()
    return panel


def test_the_table_shows_each_trace(table):
    for row, number in enumerate(reversed(range(QUESTIONS))):
        shown = rows(table).nth(row)
        for text in (f"marker-Q{number:02}", f"answer-{number}", f"session-{number // 2}", str(12 + number)):
            expect(shown).to_contain_text(text)
        expect(shown).to_contain_text("Error" if number == FAILED else "OK")
        expect(shown).to_contain_text("env: prod" if number % 2 else "env: dev")
    expect(rows(table).nth(QUESTIONS - 1)).to_contain_text("True")


def test_traces_are_searched_by_their_text(table):
    table.get_by_placeholder("Search traces by id, input, or output").fill("marker-Q04")
    table.keyboard.press("Enter")
    expect(rows(table)).to_have_count(1)
    expect(rows(table)).to_contain_text("answer-4")
    expect(table.get_by_text(f"1 of {QUESTIONS}")).to_be_visible()


def test_traces_are_filtered_by_a_tag(table):
    table.get_by_role("button", name="Filter by tag env: prod").first.click()
    expect(rows(table)).to_have_count(QUESTIONS // 2)
    expect(rows(table).filter(has_text="env: dev")).to_have_count(0)


def test_traces_are_sorted_by_time(table):
    expect(rows(table).first).to_contain_text("marker-Q05")
    table.get_by_role("columnheader").filter(has_text="Time").get_by_role("button", name="Sort").click()
    expect(rows(table).first).to_contain_text("marker-Q00")


def test_traces_are_grouped_by_session(table):
    table.get_by_role("button", name="Group traces by session").click()
    expect(rows(table)).to_have_count(QUESTIONS // 2)
    row = rows(table).filter(has_text="session-0")
    # The first question, the last answer, and the tokens of both.
    for text in ("marker-Q00", "answer-1", "25"):
        expect(row).to_contain_text(text)


def test_a_session_shows_its_conversation(genai, agents):
    genai.open(f"/experiments/{agents.experiment_id}/chat-sessions/session-1")
    main = genai.page.get_by_role("main")
    for number in (2, 3):
        expect(main.get_by_text(f"marker-Q{number:02}").first).to_be_visible()


def test_a_trace_shows_its_spans(genai, agents):
    panel = opened(genai, agents, 0)
    for text in ("look up", "chat", "marker-Q00", "answer-0"):
        expect(panel.get_by_text(text).first).to_be_visible()
    expect(panel.get_by_text("12 tokens")).to_be_visible()
    panel.get_by_text("look up").click()
    expect(panel.get_by_text("hits").first).to_be_visible()
    panel.get_by_role("tab", name="Attributes").click()
    expect(panel.get_by_text("almanac")).to_be_visible()


def test_a_failed_trace_shows_its_exception(genai, agents):
    panel = opened(genai, agents, FAILED)
    panel.get_by_role("tab", name="Events").click()
    expect(panel.get_by_text("no answer").first).to_be_visible()


def test_what_was_said_of_a_trace_is_shown(genai, agents):
    panel = opened(genai, agents, 0)
    panel.get_by_role("button", name="Assess trace").click()
    for text in ("Feedback (1)", "correct", "Expectations (1)", "expected"):
        expect(panel.get_by_text(text, exact=True)).to_be_visible()


def test_feedback_is_given(genai, own):
    panel = opened(genai, own, 1)
    panel.get_by_role("button", name="Assess trace").click()
    panel.get_by_role("button", name="Add feedback").click()
    genai.page.get_by_role("menuitem", name="Human feedback").click()
    panel.get_by_placeholder("Enter a feedback name").fill("helpful")
    genai.page.keyboard.press("Enter")
    panel.get_by_text("False", exact=True).click()
    panel.get_by_role("button", name="Create").click()
    expect(panel.get_by_text("Feedback (1)")).to_be_visible()
    (found,) = mlflow.MlflowClient(genai.url).get_trace(own.trace_ids[1]).info.assessments
    assert (found.name, found.value) == ("helpful", False)


def test_traces_are_deleted(genai, own):
    genai.open(f"/experiments/{own.experiment_id}/traces")
    for row in (0, 1):
        rows(genai.page).nth(row).get_by_role("checkbox").click()
    genai.page.get_by_role("button", name="Actions for selected traces").click()
    genai.page.get_by_role("menuitem", name="Delete").click()
    genai.page.get_by_role("dialog").get_by_role("button", name=re.compile("^Delete")).click()
    expect(rows(genai.page)).to_have_count(QUESTIONS - 2)
    left = mlflow.MlflowClient(genai.url).search_traces(locations=[own.experiment_id])
    assert [trace.info.trace_id for trace in left] == own.trace_ids[-3::-1]


def test_traces_are_compared(genai, agents):
    genai.open(f"/experiments/{agents.experiment_id}/traces")
    for row in (0, 1):
        rows(genai.page).nth(row).get_by_role("checkbox").click()
    genai.page.get_by_role("button", name="Actions for selected traces").click()
    genai.page.get_by_role("menuitem", name="Compare").click()
    dialog = genai.dialog("Comparing 2 traces")
    for number in (4, 5):
        expect(dialog.get_by_text(agents.trace_ids[number], exact=True)).to_be_visible()
        expect(dialog.get_by_text(f"marker-Q{number:02}").first).to_be_visible()
        expect(dialog.get_by_text(f"answer-{number}").first).to_be_visible()
    dialog.get_by_role("tab", name="Details & Timeline").click()
    # Once for each trace.
    expect(dialog.get_by_text("look up").nth(1)).to_be_visible()


def test_a_model_shows_its_traces(genai, url):
    mlflow.set_tracking_uri(url)
    experiment_id = mlflow.create_experiment(f"models {time.time_ns()}")
    mlflow.set_experiment(experiment_id=experiment_id)
    model = mlflow.create_external_model(name="agent")
    other = mlflow.create_external_model(name="another agent")
    for model_id, place in ((model.model_id, "place-1"), (model.model_id, "place-2"), (other.model_id, "place-3")):
        with mlflow.start_span("agent", attributes={"mlflow.modelId": model_id}) as span:
            span.set_inputs({"place": place})
            mlflow.update_current_trace(model_id=model_id)
    genai.open(f"/experiments/{experiment_id}/models/{model.model_id}/traces")
    main = genai.page.get_by_role("main")
    expect(main.get_by_text("2 of 2")).to_be_visible()
    for place in ("place-1", "place-2"):
        expect(main.get_by_text(place).first).to_be_visible()
    expect(main.get_by_text("place-3")).to_have_count(0)


def test_a_run_shows_its_traces(ui, agents):
    ui.open(f"/experiments/{agents.experiment_id}/runs/{agents.run_id}/traces")
    main = ui.page.get_by_role("main")
    expect(main.get_by_text(f"{QUESTIONS} of {QUESTIONS}")).to_be_visible()
    # It groups them by session, with the last answer.
    for number in (1, 3, 5):
        expect(main.get_by_text(f"answer-{number}")).to_be_visible()


def test_the_overview_counts_traces_and_tokens(genai, agents):
    genai.open(f"/experiments/{agents.experiment_id}/overview/usage")
    panel = genai.page.get_by_role("tabpanel", name="Usage")
    expect(panel.get_by_role("heading", name=str(QUESTIONS), exact=True)).to_be_visible()
    expect(panel.get_by_role("heading", name="1 (Overall error rate: 16.7%)")).to_be_visible()
    expect(panel.get_by_role("heading", name="87 (75 input, 12 output)")).to_be_visible()


def test_the_overview_counts_calls_of_tools_and_feedback(genai, agents):
    genai.open(f"/experiments/{agents.experiment_id}/overview/tool-calls")
    panel = genai.page.get_by_role("tabpanel", name="Tool calls")
    expect(panel.get_by_text("Total Tool Calls")).to_be_visible()
    expect(panel.get_by_role("button", name="look up")).to_be_visible()
    genai.page.get_by_role("tab", name="Quality").click()
    expect(genai.page.get_by_role("tabpanel", name="Quality").get_by_role("button", name="correct")).to_be_visible()


def test_a_second_page_has_the_older_traces(genai, url):
    mlflow.set_tracking_uri(url)
    experiment_id = mlflow.create_experiment(f"pages {time.time_ns()}")
    mlflow.set_experiment(experiment_id=experiment_id)
    for number in range(28):
        with mlflow.start_span(f"trace {number}") as span:
            span.set_inputs({"place": f"place-{number:02}"})
    genai.open(f"/experiments/{experiment_id}/traces")
    expect(rows(genai.page)).to_have_count(25)
    genai.page.get_by_role("button", name=re.compile("[Nn]ext")).last.click()
    expect(rows(genai.page)).to_have_count(3)
    expect(rows(genai.page).last).to_contain_text("place-00")
