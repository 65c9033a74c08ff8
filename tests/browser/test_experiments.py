"""The list of experiments, and what can be done to one."""

import uuid

import pytest
from mlflow import MlflowClient
from playwright.sync_api import expect

pytestmark = pytest.mark.rotates(every=3)


@pytest.fixture
def client(url):
    return MlflowClient(url)


@pytest.fixture
def name():
    return f"ui {uuid.uuid4().hex[:8]} ü雪"


def test_the_list_shows_and_finds_experiments(ui, content, client, name):
    client.create_experiment(name)
    ui.open("/experiments")
    link = ui.page.get_by_role("link", name=content.experiment)
    other = ui.page.get_by_role("link", name=name)
    expect(link).to_be_visible()
    expect(other).to_be_visible()
    ui.page.get_by_placeholder("Search experiments").fill(content.experiment.upper())
    ui.page.keyboard.press("Enter")
    expect(other).to_have_count(0)
    link.click()
    expect(ui.page.get_by_role("link", name="forest-5")).to_be_visible()


def test_an_experiment_is_created(ui, client, name):
    ui.open("/experiments")
    # It asks first whether the name is free.
    ui.will_refuse("GET", "/ajax-api/2.0/mlflow/experiments/get-by-name", 404)
    ui.button("Create").click()
    dialog = ui.dialog("Create Experiment")
    dialog.get_by_label("Experiment Name").fill(name)
    dialog.get_by_role("button", name="Create").click()
    expect(ui.page.get_by_role("main").get_by_role("link", name=name)).to_be_visible()
    experiment = client.get_experiment_by_name(name)
    assert f"/experiments/{experiment.experiment_id}" in ui.page.url
    assert experiment.artifact_location == f"mlflow-artifacts:/{experiment.experiment_id}"


def test_a_name_that_is_taken_is_refused(ui, content):
    ui.open("/experiments")
    ui.button("Create").click()
    dialog = ui.dialog("Create Experiment")
    dialog.get_by_label("Experiment Name").fill(content.experiment)
    expect(dialog.get_by_text("already exists")).to_be_visible()


def test_an_experiment_is_renamed(ui, client, name):
    experiment_id = client.create_experiment(name)
    ui.open(f"/experiments/{experiment_id}/runs")
    ui.will_refuse("GET", "/ajax-api/2.0/mlflow/experiments/get-by-name", 404)
    ui.button("Open header dropdown menu").click()
    ui.page.get_by_role("menuitem", name="Edit experiment").click()
    dialog = ui.page.get_by_role("dialog")
    dialog.get_by_label("Name").first.fill(f"{name} renamed")
    dialog.get_by_role("button", name="Save").click()
    expect(ui.page.get_by_role("main").get_by_role("link", name=f"{name} renamed")).to_be_visible()
    assert client.get_experiment(experiment_id).name == f"{name} renamed"


def test_an_experiment_is_deleted(ui, client, name):
    experiment_id = client.create_experiment(name)
    ui.open("/experiments")
    row = ui.page.get_by_role("row").filter(has_text=name)
    row.get_by_role("checkbox").check()
    ui.button("Delete").click()
    ui.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(row).to_have_count(0)
    assert client.get_experiment(experiment_id).lifecycle_stage == "deleted"
