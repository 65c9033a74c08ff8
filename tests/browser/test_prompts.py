"""The registry of prompts: its list, a prompt with its versions, and the prompts of an experiment."""

import json
import uuid

import pytest
from mlflow import MlflowClient
from playwright.sync_api import expect

pytestmark = pytest.mark.rotates(every=4)

FIRST, SECOND = "Hello {{name}}", "Hello dear {{name}}, größe"


@pytest.fixture
def client(url):
    return MlflowClient(url)


@pytest.fixture
def name():
    return f"greeting-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def prompt(client, name):
    """The name of a prompt of two versions."""
    client.register_prompt(name, FIRST, commit_message="The first one")
    client.register_prompt(name, SECOND, commit_message="A kinder one")
    return name


@pytest.fixture
def page(ui, prompt):
    """Its page."""
    ui.open(f"/prompts/{prompt}")
    expect(ui.page.get_by_role("heading", name="Viewing version 2")).to_be_visible()
    return ui.page


def row(page, number):
    return page.get_by_role("row").filter(has_text=f"Version {number}")


def test_the_list_shows_prompts_and_no_models(ui, client, prompt):
    client.create_registered_model(f"{prompt}-model")
    ui.open("/prompts")
    ui.page.get_by_placeholder("Search prompts by name").fill(prompt.upper())
    found = ui.page.get_by_role("row").filter(has_text=prompt)
    expect(found).to_have_count(1)
    # The head of the table and this row.
    expect(ui.page.get_by_role("row")).to_have_count(2)
    expect(found).to_contain_text("Version 2")
    found.get_by_role("link", name=prompt).click()
    expect(ui.page.get_by_role("heading", name=prompt)).to_be_visible()


def test_a_prompt_is_created(ui, client, name):
    # A page without any prompt has another button.
    client.register_prompt(f"{name}-before", SECOND)
    ui.open("/prompts")
    # It asks first whether the name is free.
    ui.will_refuse("GET", "/ajax-api/2.0/mlflow/registered-models/get", 404)
    ui.button("Create prompt").click()
    dialog = ui.dialog("Create prompt")
    dialog.get_by_label("Name:").fill(name)
    dialog.get_by_label("Prompt:", exact=True).fill(SECOND)
    dialog.get_by_label("Commit message (optional):").fill("From the page")
    dialog.get_by_role("button", name="Create").click()
    expect(ui.page.get_by_role("heading", name="Viewing version 1")).to_be_visible()
    stored = client.load_prompt(name, version=1)
    assert (stored.template, stored.commit_message) == (SECOND, "From the page")


def test_a_chat_prompt_shows_its_messages(ui, client, name):
    client.register_prompt(name, [{"role": "system", "content": "You are kind"}, {"role": "user", "content": "{{q}}"}])
    ui.open(f"/prompts/{name}")
    main = ui.page.get_by_role("main")
    for text in ("You are kind", "{{q}}"):
        expect(main.get_by_text(text)).to_be_visible()


def test_a_prompt_shows_its_versions(page):
    main = page.get_by_role("main")
    expect(main.get_by_text(SECOND)).to_be_visible()
    expect(main.get_by_text("A kinder one")).to_be_visible()
    row(page, 1).click()
    expect(main.get_by_role("heading", name="Viewing version 1")).to_be_visible()
    expect(main.get_by_text(FIRST, exact=True)).to_be_visible()
    expect(main.get_by_text("The first one")).to_be_visible()


def test_versions_of_a_prompt_are_compared(page):
    page.get_by_role("radiogroup").get_by_text("Compare").click()
    main = page.get_by_role("main")
    expect(main.get_by_role("heading", name="Comparing version 2 with version 1")).to_be_visible()
    for text in ("A kinder one", "The first one"):
        expect(main.get_by_text(text)).to_be_visible()
    # As text, what one has and the other lacks stands out.
    main.get_by_role("radiogroup").get_by_text("Text").click()
    expect(main.get_by_text("dear ", exact=True)).to_be_visible()


def test_a_version_of_a_prompt_is_added(ui, page, client, prompt):
    ui.button("Create prompt version").click()
    dialog = ui.dialog("Create prompt version")
    box = dialog.get_by_label("Prompt:", exact=True)
    expect(box).to_have_value(SECOND)
    box.fill("Bye {{name}}")
    dialog.get_by_role("button", name="Create").click()
    expect(page.get_by_role("heading", name="Viewing version 3")).to_be_visible()
    assert client.load_prompt(prompt, version=3).template == "Bye {{name}}"


def test_aliases_of_a_prompt_are_edited(ui, page, client, prompt):
    client.set_prompt_alias(prompt, "production", 2)
    row(page, 1).get_by_role("button", name="Add").click()
    dialog = ui.dialog("Add/edit alias for prompt version 1")
    for alias in ("production", "first"):
        dialog.get_by_role("combobox").fill(alias)
        dialog.get_by_role("combobox").press("Enter")
    dialog.get_by_role("button", name="Save aliases").click()
    for alias in ("production", "first"):
        expect(row(page, 1).get_by_role("status", name=alias)).to_be_visible()
    assert sorted(client.get_prompt_version(prompt, "1").aliases) == ["first", "production"]
    assert client.get_prompt_version(prompt, "2").aliases == []


def test_a_prompt_is_tagged(ui, page, client, prompt):
    ui.button("Edit tags").click()
    dialog = ui.dialog("Add/Edit tags")
    dialog.get_by_role("combobox").fill("team")
    page.keyboard.press("Enter")
    dialog.get_by_label("Value").fill("visión 雪")
    dialog.get_by_role("button", name="Add tag").click()
    dialog.get_by_role("button", name="Save tags").click()
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("main").get_by_text("visión 雪")).to_be_visible()
    assert client.get_prompt(prompt).tags["team"] == "visión 雪"


def test_a_version_of_a_prompt_is_deleted(ui, page, client, prompt):
    ui.button("Delete version").click()
    ui.dialog("Delete prompt version").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", name="Viewing version 1")).to_be_visible()
    expect(row(page, 2)).to_have_count(0)
    assert [version.version for version in client.search_prompt_versions(prompt)] == [1]


def test_a_prompt_is_deleted(ui, page, client, prompt):
    ui.button("More actions").click()
    page.get_by_role("menuitem", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", name="Prompts")).to_be_visible()
    assert client.get_prompt(prompt) is None


def test_an_experiment_shows_its_prompts(ui, client, prompt):
    experiment_id = client.create_experiment(f"prompts {prompt}")
    client.set_prompt_tag(prompt, "_mlflow_experiment_ids", f",{experiment_id},")
    # The id of one experiment may stand inside that of another.
    client.create_prompt(f"{prompt}-other", tags={"_mlflow_experiment_ids": f",1{experiment_id},"})
    ui.open(f"/experiments/{experiment_id}/prompts")
    found = ui.page.get_by_role("row").filter(has_text="greeting-")
    expect(found).to_have_count(1)
    found.get_by_role("link", name=prompt).click()
    expect(ui.page.get_by_role("heading", name=prompt)).to_be_visible()


def test_a_run_shows_the_prompts_it_used(ui, client, prompt):
    experiment_id = client.create_experiment(f"run of {prompt}")
    run_id = client.create_run(experiment_id, run_name="reader").info.run_id
    client.set_tag(run_id, "mlflow.linkedPrompts", json.dumps([{"name": prompt, "version": "1"}]))
    ui.open(f"/experiments/{experiment_id}/runs/{run_id}")
    expect(ui.page.get_by_role("main").get_by_role("link", name=f"{prompt} (v1)")).to_be_visible()
