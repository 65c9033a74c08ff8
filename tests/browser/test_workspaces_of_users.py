"""Workspaces on a server with users: who sees which, and the pages of the account and of the manager of a workspace."""

import uuid

import pytest
import requests
from playwright.sync_api import expect
from support import required, servers
from users import ADMIN, PASSWORD, settings, tabs_of_users

pytestmark = pytest.mark.rotates(every=3)

RED, BLUE = "team-red", "team-blue"


@pytest.fixture(scope="module")
def guarded(request, tmp_path_factory):
    """The address of a server with users and two workspaces."""
    against = request.config.getoption("--against")
    folder = tmp_path_factory.mktemp("guarded")
    args = ["--app-name", "basic-auth", "--enable-workspaces"]
    if against != "reference":
        args += ["--ui-dir", required("FERROFLOW_UI_DIR")]
    server = servers.reference if against == "reference" else servers.ferroflow
    with server(f"sqlite:///{folder}/browser.db", folder / "artifacts", args=args, env=settings(folder)) as running:
        for name in (RED, BLUE):
            call(running.url, "POST", "3.0/mlflow/workspaces", json={"name": name})
            call(running.url, "POST", "2.0/mlflow/experiments/create", json={"name": f"only {name}"}, space=name)
        yield running.url


@pytest.fixture
def log_in(request, chromium, guarded):
    """A function that gives a tab of a user who logs in."""
    with tabs_of_users(chromium, guarded, request.node.name) as tab:
        yield tab


def call(url, method, path, auth=ADMIN, space=None, **more):
    headers = {"X-MLFLOW-WORKSPACE": space} if space else {}
    answer = requests.request(method, f"{url}/api/{path}", auth=auth, headers=headers, timeout=60, **more)
    assert answer.status_code in (200, 201), f"{path}: {answer.status_code} {answer.text}"
    return answer.json()


@pytest.fixture
def member(guarded):
    """A function that makes a user with a role that gives a permission for a workspace, and returns its name and the role's."""

    def make(space, permission):
        name = f"user-{uuid.uuid4().hex[:8]}"
        call(guarded, "POST", "2.0/mlflow/users/create", json={"username": name, "password": PASSWORD})
        role = call(guarded, "POST", "3.0/mlflow/roles/create", json={"name": f"role of {name}", "workspace": space})["role"]
        grant = {"role_id": role["id"], "resource_type": "workspace", "resource_pattern": "*", "permission": permission}
        call(guarded, "POST", "3.0/mlflow/roles/permissions/add", json=grant)
        call(guarded, "POST", "3.0/mlflow/roles/assign", json={"username": name, "role_id": role["id"]})
        return name, role["name"]

    return make


def test_an_admin_sees_every_workspace(log_in):
    ui = log_in(*ADMIN)
    ui.open("/")
    for name in ("default", RED, BLUE):
        expect(ui.page.get_by_role("link", name=name, exact=True)).to_be_visible()


def test_a_user_sees_the_own_workspace_alone(log_in, member):
    name, _ = member(RED, "MANAGE")
    ui = log_in(name, PASSWORD)
    ui.open("/")
    expect(ui.page.get_by_role("link", name=RED, exact=True)).to_be_visible()
    expect(ui.page.get_by_role("link", name=BLUE, exact=True)).to_have_count(0)
    ui.open(f"/experiments?workspace={RED}")
    expect(ui.page.get_by_role("link", name=f"only {RED}")).to_be_visible()
    ui.page.get_by_role("combobox", name="Workspace").click()
    expect(ui.page.get_by_role("option", name=RED, exact=True)).to_be_visible()
    expect(ui.page.get_by_role("option", name=BLUE, exact=True)).to_have_count(0)


def test_the_account_shows_roles_with_their_workspaces(log_in, member):
    name, role = member(BLUE, "USE")
    ui = log_in(name, PASSWORD)
    ui.open("/account")
    row = ui.page.get_by_role("row").filter(has_text=role)
    expect(row).to_contain_text(BLUE)
    ui.page.get_by_role("tab", name="Permissions").click()
    row = ui.page.get_by_role("row").filter(has_text="USE")
    expect(row.first).to_contain_text(BLUE)


def test_a_manager_has_the_roles_of_the_workspace(log_in, member):
    name, role = member(RED, "MANAGE")
    _, other = member(BLUE, "USE")
    ui = log_in(name, PASSWORD)
    ui.open(f"/admin/ws?workspace={RED}")
    expect(ui.page.get_by_text(f"Workspace: {RED}").first).to_be_visible()
    ui.page.get_by_role("tab", name="Roles").click()
    expect(ui.page.get_by_role("link", name=role, exact=True)).to_be_visible()
    expect(ui.page.get_by_text(other)).to_have_count(0)
