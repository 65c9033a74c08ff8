"""The registry of models: its list, a model with its versions, one version, and how they change."""

import uuid

import pytest
from content import model_file
from mlflow import MlflowClient
from playwright.sync_api import expect

pytestmark = pytest.mark.rotates(every=4)


@pytest.fixture
def client(url):
    return MlflowClient(url)


@pytest.fixture
def name():
    return f"churn {uuid.uuid4().hex[:8]} ü雪"


@pytest.fixture
def run(client):
    """A run with a model among its artifacts."""
    experiment_id = client.create_experiment(f"registry {uuid.uuid4().hex[:8]}")
    run = client.create_run(experiment_id, run_name="trainer").info
    client.log_text(run.run_id, model_file(), "forest/MLmodel")
    return run


@pytest.fixture
def model(client, run, name):
    """The name of a registered model of two versions."""
    client.create_registered_model(name, tags={"team": "vision"}, description="Who leaves, and **why**")
    for number in (1, 2):
        source = f"{run.artifact_uri}/forest"
        client.create_model_version(name, source, run_id=run.run_id, tags={"number": f"no. {number}"})
    client.set_registered_model_alias(name, "champion", "1")
    return name


def search(ui, text):
    ui.page.get_by_placeholder("Search registered models").fill(text)
    ui.page.keyboard.press("Enter")


def test_the_list_shows_models_and_no_prompts(ui, client, model):
    mark = model.split()[1]
    client.create_prompt(f"{mark}-prompt")
    ui.open("/models")
    search(ui, mark.upper())
    row = ui.page.get_by_role("row").filter(has_text=model)
    expect(row.get_by_role("link", name="Version 2", exact=True)).to_be_visible()
    expect(row.get_by_role("link", name="champion : Version 1")).to_be_visible()
    expect(row).to_contain_text("team: vision")
    # The head of the table and this row.
    expect(ui.page.get_by_role("row")).to_have_count(2)
    row.get_by_role("link", name=model).click()
    expect(ui.page.get_by_role("heading", name=model)).to_be_visible()


def test_the_list_is_searched_by_tags(ui, client, model):
    ui.open("/models")
    client.set_registered_model_tag(model, "only", model)
    search(ui, f"tags.only = '{model}' AND tags.team = 'vision'")
    expect(ui.page.get_by_role("row")).to_have_count(2)
    expect(ui.page.get_by_role("link", name=model)).to_be_visible()
    search(ui, f"tags.only = '{model}' AND tags.team = 'nobody'")
    expect(ui.page.get_by_text("No results.")).to_be_visible()


def test_the_list_has_pages(ui, client, name):
    # A page has 25 rows. The newest of the tests before are not in between.
    made = [client.create_registered_model(f"{name} {number:02}").name for number in range(30)]
    ui.open("/models")
    search(ui, name)
    rows = ui.page.get_by_role("row").filter(has_text=name)
    expect(rows).to_have_count(25)
    expect(rows.first).to_contain_text(made[0])
    ui.button("Next").click()
    expect(rows).to_have_count(5)
    expect(rows.last).to_contain_text(made[-1])
    ui.button("Previous").click()
    expect(rows).to_have_count(25)


def test_a_model_shows_its_versions(ui, model):
    ui.open(f"/models/{model}")
    main = ui.page.get_by_role("main")
    expect(main.get_by_role("heading", name=model)).to_be_visible()
    expect(main.locator("strong", has_text="why")).to_be_visible()
    expect(main.get_by_role("row", name="team vision")).to_be_visible()
    for number, alias in ((1, "champion"), (2, None)):
        row = main.get_by_role("row").filter(has_text=f"Version {number}")
        expect(row).to_contain_text(f"number: no. {number}")
        expect(row.get_by_role("status", name="champion")).to_have_count(1 if alias else 0)
    main.get_by_role("link", name="Version 2").click()
    expect(main.get_by_role("heading", name="Version 2")).to_be_visible()


def test_a_model_is_created(ui, client, name):
    ui.open("/models")
    # It asks first whether the name is free.
    ui.will_refuse("GET", "/ajax-api/2.0/mlflow/registered-models/get", 404)
    ui.button("Create Model").click()
    dialog = ui.dialog("Create Model")
    dialog.get_by_label("Model name").fill(name)
    dialog.get_by_role("button", name="Create").click()
    expect(ui.page.get_by_role("heading", name=name)).to_be_visible()
    assert client.get_registered_model(name).name == name


def test_a_model_of_a_run_is_registered(ui, client, run, name):
    ui.open(f"/experiments/{run.experiment_id}/runs/{run.run_id}/artifacts")
    main = ui.page.get_by_role("main")
    main.get_by_role("listitem").get_by_text("forest", exact=True).click()
    ui.button("Register model").click()
    dialog = ui.dialog("Register model")
    dialog.get_by_role("combobox").click()
    ui.page.get_by_text("Create New Model", exact=True).click()
    dialog.get_by_placeholder("Input a model name").fill(name)
    dialog.get_by_role("button", name="Register").click()
    expect(dialog).to_have_count(0)
    (version,) = client.search_model_versions(f"name = '{name}'")
    assert (version.run_id, version.source) == (run.run_id, f"runs:/{run.run_id}/forest")
    # The pages of the run know it from now on.
    ui.open(f"/experiments/{run.experiment_id}/runs/{run.run_id}")
    expect(main.get_by_role("link", name=name)).to_be_visible()


def test_a_model_is_tagged_and_described(ui, client, model):
    ui.open(f"/models/{model}")
    main = ui.page.get_by_role("main")
    main.get_by_placeholder("Name").fill("reviewed")
    main.get_by_placeholder("Value").fill("yes ü")
    main.get_by_role("button", name="Add", exact=True).first.click()
    expect(main.get_by_role("row", name="reviewed yes ü")).to_be_visible()
    main.get_by_role("button", name="Edit", exact=True).click()
    main.locator("textarea").fill("A *new* word")
    ui.button("Save").click()
    expect(main.locator("em", has_text="new")).to_be_visible()
    stored = client.get_registered_model(model)
    assert (stored.tags, stored.description) == ({"team": "vision", "reviewed": "yes ü"}, "A *new* word")


def test_a_model_is_deleted(ui, client, name):
    client.create_registered_model(name)
    ui.open(f"/models/{name}")
    ui.button("Open header dropdown menu").click()
    ui.page.get_by_role("menuitem", name="Delete").click()
    ui.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(ui.page.get_by_role("heading", name="Registered Models")).to_be_visible()
    assert client.search_registered_models(f"name = '{name}'") == []


@pytest.fixture
def version(ui, model):
    """The page of the newest version."""
    ui.open(f"/models/{model}/versions/2")
    expect(ui.page.get_by_role("heading", name="Version 2")).to_be_visible()
    return ui


def test_a_version_shows_where_it_comes_from_and_what_it_takes(version):
    main = version.page.get_by_role("main")
    expect(main.get_by_role("link", name="trainer")).to_be_visible()
    expect(main.get_by_role("row", name="number no. 2")).to_be_visible()
    main.get_by_role("cell", name="Inputs (2)").click()
    main.get_by_role("cell", name="Outputs (1)").click()
    for row in ("größe (required) double", "age (optional) long", "species (required) string"):
        expect(main.get_by_role("row", name=row)).to_be_visible()


def test_aliases_of_a_version_are_edited(version, client, model):
    main = version.page.get_by_role("main")
    main.get_by_role("button", name="Add", exact=True).first.click()
    dialog = version.dialog("Add/Edit alias for model version 2")
    box = dialog.get_by_role("combobox")
    for alias in ("challenger", "champion"):
        box.fill(alias)
        box.press("Enter")
    dialog.get_by_role("button", name="Save aliases").click()
    for alias in ("challenger", "champion"):
        expect(main.get_by_role("status", name=alias)).to_be_visible()
    aliases = client.get_registered_model(model).aliases
    assert {alias: int(number) for alias, number in aliases.items()} == {"challenger": 2, "champion": 2}


def test_a_version_is_tagged(version, client, model):
    main = version.page.get_by_role("main")
    main.get_by_placeholder("Name").fill("reviewed")
    main.get_by_placeholder("Value").fill("yes")
    main.get_by_role("button", name="Add", exact=True).last.click()
    expect(main.get_by_role("row", name="reviewed yes")).to_be_visible()
    assert client.get_model_version(model, "2").tags == {"number": "no. 2", "reviewed": "yes"}


def test_a_version_moves_to_production(version, client, model):
    client.transition_model_version_stage(model, "1", "Production")
    version.page.get_by_role("switch", name="New model registry UI").click()
    version.dialog("Disable the new model stages").get_by_role("button", name="Disable").click()
    main = version.page.get_by_role("main")
    main.get_by_role("status").filter(has_text="None").click()
    version.page.get_by_role("menuitem").filter(has_text="Production").click()
    dialog = version.dialog("Stage transition")
    dialog.get_by_role("checkbox").check()
    dialog.get_by_role("button", name="OK").click()
    expect(main.get_by_role("status").filter(has_text="Production")).to_be_visible()
    stages = [client.get_model_version(model, number).current_stage for number in "12"]
    assert stages == ["Archived", "Production"]


def test_a_version_is_promoted_to_another_model(version, client, model):
    target = client.create_registered_model(f"{model} in production").name
    version.button("Promote model").click()
    dialog = version.dialog(f"Promote {model} version 2")
    dialog.get_by_role("combobox").click()
    version.page.keyboard.type(target)
    version.page.get_by_title(target, exact=True).click()
    dialog.get_by_role("button", name="Promote").click()
    expect(version.page.get_by_role("heading", name="Version 1")).to_be_visible()
    copy = client.get_model_version(target, "1")
    assert copy.source == f"models:/{model}/2"


def test_a_version_is_deleted(version, client, model):
    version.button("Open header dropdown menu").click()
    version.page.get_by_role("menuitem", name="Delete").click()
    version.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(version.page.get_by_role("heading", name=model)).to_be_visible()
    expect(version.page.get_by_role("row").filter(has_text="Version 1")).to_be_visible()
    assert [int(v.version) for v in client.search_model_versions(f"name = '{model}'")] == [1]


def test_versions_are_compared(ui, model):
    ui.open(f"/models/{model}")
    for number in (1, 2):
        ui.page.get_by_role("row").filter(has_text=f"Version {number}").get_by_role("checkbox").check()
    ui.button("Compare").click()
    main = ui.page.get_by_role("main")
    expect(main.get_by_role("heading", name="Comparing 2 Versions")).to_be_visible()
    expect(main.get_by_role("row", name="Run Name: trainer trainer")).to_be_visible()


def test_a_model_that_does_not_exist_says_so(ui, name):
    ui.will_refuse("GET", "/ajax-api/2.0/mlflow/registered-models/get", 404)
    ui.will_refuse("GET", "/ajax-api/2.0/mlflow/model-versions/get", 404)
    ui.open(f"/models/{name}")
    expect(ui.page.get_by_text(f"Model {name} does not exist")).to_be_visible()
