"""The page of reviews: the questions that reviewers answer."""

import time

import mlflow
import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.rotates(every=4)


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
