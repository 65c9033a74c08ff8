"""A server with content and a browser for the whole run, and for every test a tab that remembers nothing.

Tabs share the browser's cache: the UI is 8 MB of scripts.
"""

import json
import os
from pathlib import Path

import pytest
from content import Content, log
from playwright.sync_api import expect, sync_playwright
from support import receiver, required, servers
from web_ui import TIMEOUT, WebUi, remember

_ROOT = Path(__file__).parents[2]
#: Where each test leaves a picture of its last page.
PICTURES = Path(os.environ.get("CARGO_TARGET_DIR") or _ROOT / "target") / "browser"

#: No browser of ours talks to anyone but the server under test.
_FLAGS = [
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_addoption(parser):
    parser.addoption(
        "--against",
        default="ferroflow",
        metavar="SERVER",
        help="ferroflow, reference, or the URL of a server that runs",
    )


@pytest.fixture(scope="session")
def url(request, tmp_path_factory):
    """The address of the server under test."""
    against = request.config.getoption("--against")
    if against.startswith("http"):
        yield against.rstrip("/")
        return
    folder = tmp_path_factory.mktemp("server")
    database = f"sqlite:///{folder}/browser.db"
    if against == "reference":
        running = servers.reference(database, folder / "artifacts", env=receiver.SETTINGS)
    else:
        ui_dir = ("--ui-dir", required("FERROFLOW_UI_DIR"))
        running = servers.ferroflow(database, folder / "artifacts", args=ui_dir, env=receiver.SETTINGS)
    with running as server:
        yield server.url


@pytest.fixture(scope="session")
def content(url, tmp_path_factory) -> Content:
    """An experiment with runs and artifacts. Tests look at it and change nothing in it."""
    return log(url, tmp_path_factory.mktemp("artifacts"))


@pytest.fixture(scope="session")
def chromium():
    expect.set_options(timeout=TIMEOUT)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=required("FERROFLOW_CHROMIUM"), args=_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def visitor(chromium, url):
    """Where the tabs of the tests are. It starts with what a browser remembers of an earlier visit."""
    context = chromium.new_context(viewport={"width": 1600, "height": 1000}, timezone_id="UTC", locale="en-GB")
    remember(context, url)
    yield context
    context.close()


@pytest.fixture
def ui(request, visitor, url):
    """A tab in which nothing may fail."""
    tab = WebUi(visitor, url)
    yield tab
    tab.screenshot(PICTURES / f"{request.node.name}.png")
    visitor.new_cdp_session(tab.page).send(
        "Storage.clearDataForOrigin", {"origin": url, "storageTypes": "cookies,indexeddb,local_storage"}
    )
    tab.close()
    assert not tab.complaints, "\n".join(tab.complaints)


@pytest.fixture
def genai(ui):
    """A tab with the pages of GenAI, and without a word about what else there is."""
    kept = {"mlflow.workflowType_v1": '"genai"', "mlflow.detectIssues.guidanceShown_v1": "true"}
    ui.page.add_init_script(f"Object.entries({json.dumps(kept)}).forEach(([name, value]) => localStorage.setItem(name, value))")
    return ui
