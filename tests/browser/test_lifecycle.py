"""Changing a run: its name, tags and description; deleting and restoring it."""

import uuid

import pytest
from mlflow import MlflowClient
from playwright.sync_api import expect

pytestmark = pytest.mark.rotates(every=3)


@pytest.fixture
def client(url):
    return MlflowClient(url)


@pytest.fixture
def run(client):
    """A run of its own, which the test may change."""
    experiment_id = client.create_experiment(f"lifecycle {uuid.uuid4().hex[:8]}")
    return client.create_run(experiment_id, run_name="before").info


@pytest.fixture
def row(ui, run):
    """Its row in the table, ticked."""
    ui.open(f"/experiments/{run.experiment_id}/runs")
    row = ui.page.get_by_role("row").filter(has_text="before")
    row.get_by_role("checkbox").first.check()
    return row


def test_a_run_is_renamed(ui, client, run, row):
    ui.button("Rename").click()
    dialog = ui.dialog("Rename Run")
    dialog.get_by_label("New run name").fill("after 雪")
    dialog.get_by_role("button", name="Save").click()
    expect(ui.page.get_by_role("link", name="after 雪")).to_be_visible()
    renamed = client.get_run(run.run_id)
    assert (renamed.info.run_name, renamed.data.tags["mlflow.runName"]) == ("after 雪", "after 雪")


def test_a_run_is_deleted_and_restored(ui, client, run, row):
    ui.button("Delete").click()
    ui.dialog("Delete Experiment Run").get_by_role("button", name="Delete selected").click()
    expect(row).to_have_count(0)
    assert client.get_run(run.run_id).info.lifecycle_stage == "deleted"

    ui.page.get_by_role("combobox", name="State").click()
    ui.page.get_by_role("option", name="Deleted").click()
    row.get_by_role("checkbox").first.check()
    ui.button("Restore").click()
    ui.page.get_by_role("dialog").get_by_role("button", name="Restore").click()
    expect(row).to_have_count(0)
    assert client.get_run(run.run_id).info.lifecycle_stage == "active"


def test_a_run_is_tagged(ui, client, run):
    ui.open(f"/experiments/{run.experiment_id}/runs/{run.run_id}")
    ui.button("Add tags").click()
    dialog = ui.page.get_by_role("dialog")
    dialog.get_by_role("combobox").fill("reviewed")
    ui.page.keyboard.press("Enter")
    dialog.get_by_label("Value").fill("yes ü")
    dialog.get_by_role("button", name="Add tag").click()
    dialog.get_by_role("button", name="Save tags").click()
    expect(dialog).to_have_count(0)
    assert client.get_run(run.run_id).data.tags["reviewed"] == "yes ü"


def test_a_run_is_described(ui, client, run):
    ui.open(f"/experiments/{run.experiment_id}/runs/{run.run_id}")
    ui.button("Edit description").click()
    ui.page.get_by_role("main").locator("textarea").fill("A **bold** claim")
    ui.button("Save").click()
    expect(ui.page.get_by_role("main").locator("strong", has_text="bold")).to_be_visible()
    assert client.get_run(run.run_id).data.tags["mlflow.note.content"] == "A **bold** claim"
