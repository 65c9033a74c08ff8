"""A server with workspaces: their list on the home page, the switcher, and what the pages of each show."""

import contextlib
import dataclasses
import json
import os
import re
import uuid

import mlflow
import pytest
import requests
from conftest import PICTURES
from content import png
from mlflow import MlflowClient
from mlflow.utils.workspace_context import WorkspaceContext
from playwright.sync_api import expect
from support import required, servers
from web_ui import WebUi, remember

pytestmark = pytest.mark.rotates(every=3)

# Traces are sent before their block ends.
os.environ["MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"] = "false"

RED, BLUE = "team-red", "team-blue"


@dataclasses.dataclass(frozen=True)
class Space:
    """What a workspace has. Both have an experiment, a model and a prompt of the same names."""

    name: str
    experiment_id: str
    run_id: str
    trace_id: str


@pytest.fixture(scope="module")
def spaced(request, tmp_path_factory):
    """The address of a server with workspaces."""
    against = request.config.getoption("--against")
    if against.startswith("http"):
        yield against.rstrip("/")
        return
    folder = tmp_path_factory.mktemp("spaced")
    args = ["--enable-workspaces"]
    if against == "ferroflow":
        args += ["--ui-dir", required("FERROFLOW_UI_DIR")]
    with servers.MAKERS[against](f"sqlite:///{folder}/browser.db", folder / "artifacts", args=args) as server:
        yield server.url


@pytest.fixture(scope="module")
def spaces(spaced) -> dict[str, Space]:
    """Two workspaces. Tests look at them and change nothing in them."""
    return {name: fill(spaced, name) for name in (RED, BLUE)}


def fill(url: str, name: str) -> Space:
    client = MlflowClient(url, url)
    with contextlib.suppress(mlflow.MlflowException):
        client.create_workspace(name, description=f"What {name} does")
    with WorkspaceContext(name), workspace_of_test(url):
        experiment_id = client.create_experiment("shared")
        client.create_experiment(f"only {name}")
        run = client.create_run(experiment_id, run_name=f"run of {name}")
        run_id = run.info.run_id
        client.log_metric(run_id, "accuracy", 0.25 if name == RED else 0.75)
        client.log_text(run_id, f"notes of {name}", "notes.txt")
        client.log_text(run_id, "<!doctype html><h1 id='headline'>A stored page</h1>", "page.html")
        path = f"/tmp/{uuid.uuid4().hex}.png"
        with open(path, "wb") as file:
            file.write(png(64, 48))
        client.log_artifact(run_id, path, "pictures")
        os.unlink(path)
        client.set_terminated(run_id)
        client.create_registered_model("model", description=f"The model of {name}")
        client.create_model_version("model", f"{run.info.artifact_uri}/model", run_id=run_id)
        client.create_registered_model(f"model-{name}")
        client.register_prompt("greeting", f"Hello from {name}")
        mlflow.set_experiment(experiment_id=experiment_id)
        with mlflow.start_span(f"agent of {name}") as span:
            span.set_inputs({"question": name})
            span.set_outputs("answer")
        return Space(name, experiment_id, run_id, span.trace_id)


@contextlib.contextmanager
def workspace_of_test(url: str):
    """The fluent calls go to a server, and the next test starts without one."""
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(url)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)


@pytest.fixture
def tab(request, chromium, spaced, spaces):
    """A tab that remembers no workspace, in which nothing may fail."""
    context = chromium.new_context(viewport={"width": 1600, "height": 1000}, timezone_id="UTC", locale="en-GB")
    remember(context, spaced)
    ui = WebUi(context, spaced)
    yield ui
    ui.screenshot(PICTURES / f"{request.node.name}.png")
    context.close()
    assert not ui.complaints, "\n".join(ui.complaints)


def open_anew(ui, fragment):
    """Opens a page as a user does who follows a link: the UI keeps what it has loaded when only the fragment changes."""
    ui.page.goto("about:blank")
    ui.open(fragment)


def switcher(ui):
    return ui.page.get_by_role("combobox", name="Workspace")


def switch(ui, name):
    switcher(ui).click()
    ui.page.get_by_role("option", name=name, exact=True).click()


def calls_of(ui):
    """The workspaces that the calls of the page named."""
    return {answer.request.headers.get("x-mlflow-workspace") for answer in ui.responses if "/ajax-api/" in answer.url or answer.url.endswith("/graphql")}


def test_the_home_page_lists_the_workspaces(tab):
    tab.open("/")
    for name in (RED, BLUE):
        row = tab.page.get_by_role("row").filter(has=tab.page.get_by_role("link", name=name, exact=True))
        expect(row).to_contain_text(f"What {name} does")
    expect(tab.page.get_by_role("link", name="default", exact=True)).to_be_visible()
    tab.page.get_by_role("link", name=BLUE, exact=True).click()
    expect(switcher(tab)).to_contain_text(BLUE)
    assert f"workspace={BLUE}" in tab.page.url
    tab.page.get_by_role("link", name="Experiments", exact=True).click()
    expect(tab.page.get_by_role("link", name=f"only {BLUE}")).to_be_visible()
    expect(tab.page.get_by_role("link", name=f"only {RED}")).to_have_count(0)


def test_the_switcher_leads_to_another_workspace(tab):
    tab.open(f"/experiments?workspace={RED}")
    expect(tab.page.get_by_role("link", name=f"only {RED}")).to_be_visible()
    expect(switcher(tab)).to_contain_text(RED)
    tab.responses.clear()
    switch(tab, BLUE)
    expect(tab.page.get_by_role("link", name=f"only {BLUE}")).to_be_visible()
    expect(tab.page.get_by_role("link", name=f"only {RED}")).to_have_count(0)
    expect(switcher(tab)).to_contain_text(BLUE)
    assert f"workspace={BLUE}" in tab.page.url
    switch(tab, "default")
    expect(tab.page.get_by_role("link", name="Default", exact=True)).to_be_visible()
    expect(tab.page.get_by_role("link", name=f"only {BLUE}")).to_have_count(0)


def test_the_choice_is_remembered(tab, spaces):
    tab.open(f"/experiments?workspace={BLUE}")
    expect(tab.page.get_by_role("link", name=f"only {BLUE}")).to_be_visible()
    # The same browser comes back without a word about the workspace.
    open_anew(tab, "/")
    expect(tab.page.get_by_role("row").filter(has_text=BLUE).get_by_text("Last used")).to_be_visible()


def test_links_carry_the_workspace(tab, spaces):
    tab.open(f"/experiments?workspace={RED}")
    link = tab.page.get_by_role("link", name="shared", exact=True)
    expect(link).to_have_attribute("href", re.compile(f"workspace={RED}"))
    for name in ("Experiments", "Model registry", "Prompts"):
        found = tab.page.get_by_role("navigation").get_by_role("link", name=name, exact=True)
        if found.count():
            expect(found).to_have_attribute("href", re.compile(f"workspace={RED}"))
    link.click()
    tab.page.get_by_role("link", name=f"run of {RED}").first.click()
    expect(tab.page.get_by_role("heading", name=f"run of {RED}")).to_be_visible()
    assert f"workspace={RED}" in tab.page.url
    expect(tab.page.get_by_role("main").get_by_role("row", name="accuracy 0.25")).to_be_visible()
    # A user who follows the link sees the same page.
    address = tab.page.url
    tab.page.goto("about:blank")
    tab.page.evaluate("1")
    tab.page.goto(address)
    expect(tab.page.get_by_role("heading", name=f"run of {RED}")).to_be_visible()
    assert calls_of(tab) - {RED} <= {None, ""}


def test_a_run_of_another_workspace_is_not_found(tab, spaces):
    red = spaces[RED]
    for path in ("/ajax-api/2.0/mlflow/experiments/get", "/ajax-api/2.0/mlflow/runs/get", "/ajax-api/2.0/mlflow/artifacts/list"):
        tab.will_refuse("GET", path, 404)
    tab.open(f"/experiments/{red.experiment_id}/runs/{red.run_id}?workspace={BLUE}")
    expect(tab.page.get_by_text(re.compile("not found|does not exist|Can't load|No Experiment", re.IGNORECASE)).first).to_be_visible()
    expect(tab.page.get_by_text(f"run of {RED}")).to_have_count(0)


@pytest.mark.parametrize("name", [RED, BLUE])
def test_artifacts_of_a_workspace_are_shown(tab, spaces, name):
    space = spaces[name]
    tab.open(f"/experiments/{space.experiment_id}/runs/{space.run_id}/artifacts?workspace={name}")
    tree = tab.page.get_by_role("main").get_by_role("listitem")
    tree.get_by_text("notes.txt", exact=True).click()
    expect(tab.page.get_by_text(f"notes of {name}")).to_be_visible()
    tree.get_by_text("page.html", exact=True).click()
    expect(tab.page.frame_locator("iframe").get_by_role("heading", name="A stored page")).to_be_visible()


def test_models_of_a_workspace(tab):
    tab.open(f"/models?workspace={RED}")
    expect(tab.page.get_by_role("link", name=f"model-{RED}", exact=True)).to_be_visible()
    expect(tab.page.get_by_role("link", name=f"model-{BLUE}", exact=True)).to_have_count(0)
    tab.page.get_by_role("link", name="model", exact=True).click()
    expect(tab.page.get_by_text(f"The model of {RED}")).to_be_visible()
    assert f"workspace={RED}" in tab.page.url
    switch(tab, BLUE)
    expect(tab.page.get_by_role("link", name=f"model-{BLUE}", exact=True)).to_be_visible()


def test_prompts_of_a_workspace(tab):
    for name in (RED, BLUE):
        open_anew(tab, f"/prompts/greeting?workspace={name}")
        expect(tab.page.get_by_text(f"Hello from {name}").first).to_be_visible()


def test_traces_of_a_workspace(tab, spaces):
    kept = {"mlflow.workflowType_v1": '"genai"', "mlflow.detectIssues.guidanceShown_v1": "true"}
    tab.page.add_init_script(f"self.origin === {json.dumps(tab.url)} && Object.entries({json.dumps(kept)}).forEach(([name, value]) => localStorage.setItem(name, value))")
    for name in (RED, BLUE):
        open_anew(tab, f"/experiments/{spaces[name].experiment_id}/traces?workspace={name}")
        expect(tab.page.get_by_role("checkbox", name=f"Select trace {spaces[name].trace_id}")).to_be_visible()
        expect(tab.page.get_by_role("checkbox", name=re.compile("^Select trace "))).to_have_count(1)
    tab.page.get_by_role("link", name=f"Open trace {spaces[BLUE].trace_id} — input").click()
    expect(tab.page.get_by_role("dialog").get_by_text(f"agent of {BLUE}").first).to_be_visible()


def test_a_workspace_is_made_on_the_home_page(tab, spaced):
    name = f"made-{uuid.uuid4().hex[:8]}"
    tab.open("/")
    tab.button("Create new workspace").click()
    dialog = tab.dialog("Create Workspace")
    dialog.get_by_placeholder("Enter workspace name").fill("Not A Name")
    dialog.get_by_role("button", name="Create").click()
    expect(dialog.get_by_text("must be lowercase alphanumeric")).to_be_visible()
    dialog.get_by_placeholder("Enter workspace name").fill(name)
    dialog.get_by_placeholder("Enter workspace description").fill("brand new")
    dialog.get_by_role("button", name="Create").click()
    expect(switcher(tab)).to_contain_text(name)
    made = requests.get(f"{spaced}/api/3.0/mlflow/workspaces/{name}", timeout=60).json()["workspace"]
    assert made == {"name": name, "description": "brand new"}
    # The page goes to the new workspace by itself.
    expect(tab.page).to_have_url(re.compile(f"workspace={name}"))
    # An empty one has no experiment at all.
    tab.open(f"/experiments?workspace={name}")
    expect(tab.page.get_by_role("link", name="shared", exact=True)).to_have_count(0)


def test_a_workspace_is_edited_on_the_home_page(tab, spaced):
    name = f"edited-{uuid.uuid4().hex[:8]}"
    requests.post(f"{spaced}/api/3.0/mlflow/workspaces", json={"name": name}, timeout=60).raise_for_status()
    tab.open("/")
    tab.page.get_by_role("row").filter(has_text=name).get_by_role("button", name="Edit workspace").click()
    dialog = tab.dialog("Edit Workspace")
    dialog.get_by_placeholder("Enter workspace description").fill("changed")
    dialog.get_by_role("button", name="Save").click()
    expect(tab.page.get_by_role("row").filter(has_text=name)).to_contain_text("changed")
    assert requests.get(f"{spaced}/api/3.0/mlflow/workspaces/{name}", timeout=60).json()["workspace"]["description"] == "changed"
