"""The page of judges. The UI shows it only with an AI gateway: these tests tell it that there is one, and use what needs none."""

import time

import mlflow
import pytest
from mlflow.genai.judges import make_judge
from mlflow.genai.scorers import get_scorer, list_scorers
from playwright.sync_api import expect

pytestmark = pytest.mark.rotates(every=4)

MODEL = "openai:/gpt-4o"


@pytest.fixture
def experiment_id(url) -> str:
    """An experiment with two versions of a judge."""
    mlflow.set_tracking_uri(url)
    experiment_id = mlflow.create_experiment(f"judges {time.time_ns()}")
    for instructions in ("Is {{ outputs }} polite?", "Is {{ outputs }} friendly?"):
        make_judge(name="polite", instructions=instructions, model=MODEL).register(experiment_id=experiment_id)
    return experiment_id


def say_gateway(route) -> None:
    """Answers what the server answers, with a gateway."""
    answer = route.fetch()
    found = answer.json()
    found["features_enabled"]["gateway"] = True
    route.fulfill(response=answer, json=found)


@pytest.fixture
def judges(genai, experiment_id):
    """The page of judges."""
    genai.page.route("**/server-info", say_gateway)
    genai.will_refuse("GET", "/ajax-api/3.0/mlflow/gateway/endpoints/list", 501)
    genai.open(f"/experiments/{experiment_id}/judges")
    expect(genai.button("New LLM judge")).to_be_visible()
    return genai


def card(ui, name: str):
    """What the page shows of a judge: the smallest part with its name and its buttons."""
    heading = ui.page.get_by_role("main").get_by_role("heading", name=name, exact=True)
    return heading.locator("xpath=ancestor::*[.//button[normalize-space()='Edit']][1]")


def names(experiment_id: str) -> set[str]:
    return {scorer.name for scorer in list_scorers(experiment_id=experiment_id)}


def test_without_a_gateway_the_page_says_what_judges_are(genai, experiment_id):
    genai.open(f"/experiments/{experiment_id}/judges")
    expect(genai.page.get_by_role("heading", name="Create and manage judges")).to_be_visible()
    expect(genai.button("New LLM judge")).to_have_count(0)


def test_a_judge_shows_its_newest_version_and_gets_another_one(judges, experiment_id):
    shown = card(judges, "polite")
    expect(shown).to_contain_text("Version 2")
    shown.get_by_role("button", name="Edit").click()
    form = judges.dialog("Edit judge")
    instructions = form.get_by_role("textbox", name="Instructions")
    expect(instructions).to_have_value("Is {{ outputs }} friendly?")
    expect(form.get_by_role("textbox", name="Model")).to_have_value(MODEL)
    instructions.fill("Is {{ outputs }} kind?")
    form.get_by_role("button", name="Save").click()
    expect(form).to_have_count(0)
    expect(shown).to_contain_text("Version 3")
    of = lambda version: get_scorer(name="polite", experiment_id=experiment_id, version=version).instructions  # noqa: E731
    assert [of(version) for version in (1, 2, 3)] == [f"Is {{{{ outputs }}}} {what}?" for what in ("polite", "friendly", "kind")]


def test_a_judge_is_made_and_deleted(judges, experiment_id):
    judges.button("New LLM judge").click()
    form = judges.dialog("Create LLM judge")
    form.get_by_role("textbox", name="Name").fill("true")
    form.get_by_role("button", name="Evaluation criteria").click()
    form.get_by_role("textbox", name="Instructions").fill("Is {{ outputs }} true?")
    form.get_by_text("enter a model identifier", exact=True).click()
    form.get_by_role("textbox", name="Model").fill(MODEL)
    form.get_by_role("button", name="Create judge").click()
    expect(form).to_have_count(0)
    expect(card(judges, "true")).to_contain_text("Version 1")
    made = get_scorer(name="true", experiment_id=experiment_id)
    assert (made.instructions, made.model) == ("Is {{ outputs }} true?", MODEL)

    card(judges, "true").get_by_role("button").last.click()
    judges.page.get_by_role("menuitem", name="Delete").click()
    judges.dialog("Delete judge").get_by_role("button", name="Delete").click()
    expect(judges.page.get_by_role("heading", name="true", exact=True)).to_have_count(0)
    assert names(experiment_id) == {"polite"}
