"""A server with users: logging in, signing up, the pages of the account and of the administrator."""

import uuid

import pytest
import requests
from playwright.sync_api import Error, expect
from support import required, servers
from users import ADMIN, PASSWORD, settings, tabs_of_users

pytestmark = pytest.mark.rotates(every=3)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """The address of a server with an administrator."""
    folder = tmp_path_factory.mktemp("guarded")
    args = ["--app-name", "basic-auth", "--ui-dir", required("FERROFLOW_UI_DIR")]
    with servers.ferroflow(f"sqlite:///{folder}/browser.db", folder / "artifacts", args=args, env=settings(folder)) as server:
        yield server.url


@pytest.fixture
def log_in(request, chromium, guarded):
    """A function that gives a tab of a user who logs in."""
    # After a change of the password the UI has the browser forget the old one: it asks without a user.
    with tabs_of_users(chromium, guarded, request.node.name, expected="mlflow-logged-out-") as tab:
        yield tab


@pytest.fixture
def user(guarded):
    """The name of a user to whom nothing is granted."""
    name = f"user-{uuid.uuid4().hex[:8]}"
    call(guarded, "POST", "2.0/mlflow/users/create", json={"username": name, "password": PASSWORD})
    return name


def call(url, method, path, auth=ADMIN, **more):
    answer = requests.request(method, f"{url}/api/{path}", auth=auth, timeout=60, **more)
    answer.raise_for_status()
    return answer.json()


def may_log_in(url, *login):
    return requests.get(f"{url}/api/2.0/mlflow/users/current", auth=login, timeout=60).status_code == 200


def test_without_a_login_there_is_no_page(chromium, guarded):
    context = chromium.new_context()
    page = context.new_page()
    # Nobody answers the browser's question for a password.
    with pytest.raises(Error, match="ERR_INVALID_AUTH_CREDENTIALS"):
        page.goto(guarded)
    context.close()


def test_somebody_signs_up(log_in, guarded):
    name = f"user-{uuid.uuid4().hex[:8]}"
    ui = log_in(*ADMIN)
    ui.page.goto(f"{guarded}/signup")
    ui.page.get_by_label("Username:").fill(name)
    ui.page.get_by_label("Password:").fill(PASSWORD)
    ui.button("Sign up").click()
    expect(ui.page.get_by_text(f"Successfully signed up user: {name}")).to_be_visible()
    ui.page.get_by_role("link", name="Continue").click()
    expect(ui.page.get_by_role("button", name="Account menu for admin")).to_be_visible()
    assert may_log_in(guarded, name, PASSWORD)


def test_only_what_may_be_read_is_listed(log_in, guarded, user):
    for kind in ("hidden", "seen"):
        made = call(guarded, "POST", "2.0/mlflow/experiments/create", json={"name": f"{kind} {user}"})
    grant = {"username": user, "resource_type": "experiment", "resource_id": made["experiment_id"], "permission": "READ"}
    call(guarded, "POST", "3.0/mlflow/users/permissions/grant", json=grant)
    ui = log_in(user, PASSWORD)
    ui.open("/experiments")
    expect(ui.page.get_by_role("link", name=f"seen {user}", exact=True)).to_be_visible()
    expect(ui.page.get_by_text(f"hidden {user}")).to_have_count(0)


def test_a_user_changes_the_own_password(log_in, guarded, user):
    ui = log_in(user, PASSWORD)
    ui.open("/account")
    expect(ui.page.get_by_role("main").get_by_text(user, exact=True)).to_be_visible()
    ui.button("Change password").click()
    dialog = ui.dialog("Change password")
    dialog.get_by_placeholder("Enter current password").fill(PASSWORD)
    dialog.get_by_placeholder("Enter new password").fill(PASSWORD + " 2")
    dialog.get_by_placeholder("Confirm new password").fill(PASSWORD + " 2")
    # The browser goes on with the old one and is asked again: by a call, or by the page that the UI then loads anew.
    ui.will_refuse("GET", "/ajax-api/2.0/mlflow/users/current", 401)
    ui.will_refuse("GET", "/", 401)
    with ui.page.expect_response(lambda answer: answer.url.endswith("users/update-password")) as answered:
        dialog.get_by_role("button", name="Update password").click()
    assert answered.value.status == 200
    assert may_log_in(guarded, user, PASSWORD + " 2")
    assert not may_log_in(guarded, user, PASSWORD)


def test_an_admin_creates_and_deletes_a_user(log_in, guarded):
    name = f"user-{uuid.uuid4().hex[:8]}"
    ui = log_in(*ADMIN)
    ui.open("/admin")
    ui.button("Create User").click()
    dialog = ui.dialog("Create User")
    dialog.get_by_placeholder("Enter username").fill(name)
    dialog.get_by_placeholder("Enter password").fill(PASSWORD)
    dialog.get_by_role("button", name="Create user").click()
    expect(ui.page.get_by_role("link", name=name, exact=True)).to_be_visible()
    assert may_log_in(guarded, name, PASSWORD)

    ui.page.get_by_role("checkbox", name=f"Select user {name}").check()
    ui.button("Delete (1)").click()
    ui.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(ui.page.get_by_role("link", name=name, exact=True)).to_have_count(0)
    assert not may_log_in(guarded, name, PASSWORD)


def test_an_admin_makes_a_role_and_gives_it_to_a_user(log_in, guarded, user):
    role = f"role-{uuid.uuid4().hex[:8]}"
    ui = log_in(*ADMIN)
    ui.open("/admin?tab=roles")
    ui.button("Create Role").click()
    dialog = ui.dialog("Create Role")
    dialog.get_by_placeholder("Enter role name").fill(role)
    dialog.get_by_role("button", name="Create role").click()
    expect(ui.page.get_by_role("link", name=role, exact=True)).to_be_visible()

    ui.open(f"/admin/users/{user}")
    ui.button("Edit access").click()
    dialog = ui.dialog(f"Edit access for {user}")
    dialog.get_by_role("combobox").first.click()
    ui.page.get_by_role("option", name=role).click()
    ui.page.keyboard.press("Escape")
    dialog.get_by_role("button", name="Review changes").click()
    ui.page.get_by_role("dialog").get_by_role("button", name="Apply").click()
    expect(ui.page.get_by_role("main").get_by_text(role)).to_be_visible()
    found = call(guarded, "GET", "3.0/mlflow/users/roles/list", params={"username": user})
    assert [given["name"] for given in found["roles"]] == [role]
