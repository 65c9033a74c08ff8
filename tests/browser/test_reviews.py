"""The page of reviews: the questions that reviewers answer."""

import os
import time

import mlflow
import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.rotates(every=4)

# Traces are sent before their block ends.
os.environ["MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"] = "false"


@pytest.fixture
def experiment_id(url) -> str:
    mlflow.set_tracking_uri(url)
    return mlflow.create_experiment(f"reviews {time.time_ns()}")


def test_questions_are_made_and_deleted(genai, experiment_id):
    from mlflow.genai.label_schemas import InputCategorical, create_label_schema, list_label_schemas

    create_label_schema(
        name="tone", type="feedback", input=InputCategorical(options=["friendly", "curt"]), experiment_id=experiment_id
    )
    genai.open(f"/experiments/{experiment_id}/review-queue")
    genai.button("Manage questions").click()
    dialog = genai.dialog("Review questions")
    expect(dialog.get_by_text("tone", exact=True)).to_be_visible()
    dialog.get_by_role("button", name="Add question").click()
    form = genai.dialog("Add question")
    form.get_by_label("Question for reviewer").fill("Is it true?")
    form.get_by_label("Positive label").fill("true")
    form.get_by_label("Negative label").fill("false")
    form.get_by_role("button", name="Create", exact=True).click()
    expect(dialog.get_by_text("Is it true?", exact=True)).to_be_visible()
    found = {schema.name: schema for schema in list_label_schemas(experiment_id)}
    assert (found["Is it true?"].input.positive_label, found["Is it true?"].type) == ("true", "feedback")
    dialog.get_by_role("button", name="tone Delete question").get_by_role("button", name="Delete question").click()
    genai.page.get_by_role("dialog").last.get_by_role("button", name="Delete", exact=True).click()
    expect(dialog.get_by_text("tone", exact=True)).to_have_count(0)
    assert "tone" not in {schema.name for schema in list_label_schemas(experiment_id)}


def test_a_queue_is_worked_through_by_keyboard(genai, experiment_id):
    from mlflow.genai import review_queues
    from mlflow.genai.label_schemas import InputPassFail, InputText, create_label_schema

    mlflow.set_experiment(experiment_id=experiment_id)
    asked = InputPassFail(positive_label="yes", negative_label="no")
    good = create_label_schema(name="good", type="feedback", input=asked, experiment_id=experiment_id, enable_comment=True)
    remark = create_label_schema(name="remark", type="feedback", input=InputText(), experiment_id=experiment_id)
    traces = []
    for number in range(2):
        with mlflow.start_span(f"answer {number}") as span:
            span.set_outputs(f"answer {number}")
            traces.append(span.trace_id)
    queue = review_queues.create_review_queue("answers", queue_type="custom", schema_ids=[good.schema_id, remark.schema_id])
    review_queues.add_items_to_review_queue(queue.queue_id, item_ids=traces)

    page, keyboard = genai.page, genai.page.keyboard
    genai.open(f"/experiments/{experiment_id}/review-queue")
    page.get_by_role("button", name="answers").focus()
    keyboard.press("Enter")
    genai.button("Start review").focus()
    keyboard.press("Enter")
    for done in range(len(traces)):
        expect(page.get_by_text(f"{done} of 2 reviewed")).to_be_visible()
        text = page.get_by_role("textbox").first
        expect(text).to_have_value("")
        text.focus()
        keyboard.type(f"remark {done}")
        keyboard.press("Tab")
        keyboard.press("Space")
        expect(page.get_by_role("radio", name="yes")).to_be_checked()
        keyboard.press("Tab")
        keyboard.type("I know it.")
        expect(genai.button("Submit")).to_be_enabled()
        keyboard.press("Tab")
        expect(genai.button("Submit")).to_be_focused()
        keyboard.press("Enter")
    expect(page.get_by_text("All items in this queue have been reviewed!")).to_be_visible()

    items = review_queues.list_review_queue_items(queue.queue_id)
    assert {item.item_id: item.status.value.lower() for item in items} == dict.fromkeys(traces, "complete")
    remarks = set()
    for trace in traces:
        found = {one.name: one for one in mlflow.get_trace(trace).info.assessments}
        assert (found["good"].value, found["good"].rationale) == (True, "I know it.")
        remarks.add(found["remark"].value)
    assert remarks == {"remark 0", "remark 1"}
