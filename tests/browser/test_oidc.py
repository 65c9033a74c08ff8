"""Browsers that log in at a provider: the code flow with PKCE, the session's cookie, and who may not use it."""

import base64
import re
import uuid
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
import requests
from conftest import PICTURES
from playwright.sync_api import expect
from support import oidc, ports, required, servers
from web_ui import WebUi, remember

pytestmark = pytest.mark.rotates(by="guarded", together=True)

SESSION, LOGIN = "ferroflow-session", "ferroflow-login"
ME = "/ajax-api/2.0/mlflow/users/current"
CREATE = "/ajax-api/2.0/mlflow/experiments/create"


@pytest.fixture(scope="module", params=["", "/ml"], ids=["root", "prefix"])
def guarded(request, tmp_path_factory):
    """The address of a server whose users log in at a provider, without its host and origin checks."""
    prefix, folder = request.param, tmp_path_factory.mktemp("oidc")
    port = ports.free_port()
    with oidc.provider() as provider:
        url = f"http://127.0.0.1:{port}{prefix}"
        redirect = f"{url}/oidc/callback"
        provider.clients = [
            {"client_id": "ferroflow", "redirect_uris": [redirect], "post_logout_redirect_uris": [f"{url}/oidc/login"]}
        ]
        provider.accounts = {"alice": {"groups": ["ml"]}}
        provider.update()
        (folder / "auth.ini").write_text(
            f"[mlflow]\ndefault_permission = EDIT\ndatabase_uri = sqlite:///{folder}/users.db\nadmin_username = admin\n"
            f"[oidc]\nissuer = {provider.issuer}\naudience = urn:mlflow\nclient_id = ferroflow\n"
            f"redirect_uri = {redirect}\nlogout_redirect_uri = {url}/oidc/login\ngroup_roles =\n  ml = makers\n"
        )
        env = {
            "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
            "MLFLOW_AUTH_ADMIN_PASSWORD": "the admin's password",
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "the same for all servers",
            "FERROFLOW_OIDC_CLIENT_SECRET": oidc.SECRET,
        }
        args = ["--app-name", "basic-auth", "--ui-dir", required("FERROFLOW_UI_DIR"), "--disable-security-middleware"]
        args += ["--static-prefix", prefix] if prefix else []
        database = f"sqlite:///{folder}/browser.db"
        with servers.ferroflow(database, folder / "artifacts", args=args, env=env, port=port):
            yield url


@pytest.fixture
def context(chromium, guarded):
    origin = "{0.scheme}://{0.netloc}".format(urlsplit(guarded))
    context = chromium.new_context(viewport={"width": 1600, "height": 1000})
    remember(context, origin)
    yield context
    context.close()


def log_in(context, url, username="alice"):
    """Goes to a page of the server and through those of the provider."""
    page = context.new_page()
    page.goto(url)
    page.get_by_placeholder("Enter any login").fill(username)
    page.get_by_placeholder("and password").fill("anything")
    page.get_by_role("button", name="Sign-in").click()
    page.get_by_role("button", name="Continue").click()
    return page


def cookies(context):
    return {cookie["name"]: cookie for cookie in context.cookies()}


def test_a_browser_logs_in_works_and_logs_out(request, context, guarded):
    page = log_in(context, f"{guarded}/")
    expect(page.get_by_role("button", name="Account menu for alice")).to_be_visible()
    assert page.url.split("#")[0] == f"{guarded}/"
    session = cookies(context)[SESSION]
    assert session["httpOnly"] and session["sameSite"] == "Lax"
    assert LOGIN not in cookies(context)
    page.close()

    origin = "{0.scheme}://{0.netloc}".format(urlsplit(guarded))
    ui = WebUi(context, origin)
    ui.page.goto(f"{guarded}/#/experiments")
    name = f"by a browser {uuid.uuid4().hex[:8]}"
    # The UI asks whether there is one of the name.
    ui.will_refuse("GET", f"{urlsplit(guarded).path}/ajax-api/2.0/mlflow/experiments/get-by-name", 404)
    ui.button("Create").first.click()
    ui.page.get_by_placeholder("Input an experiment name").fill(name)
    ui.page.get_by_role("dialog").get_by_role("button", name="Create").click()
    expect(ui.page.get_by_text(name).first).to_be_visible()
    ui.screenshot(PICTURES / f"{request.node.name}.png")
    assert not ui.complaints, "\n".join(ui.complaints)
    found = requests.get(
        f"{guarded}/api/3.0/mlflow/users/roles/list",
        params={"username": "alice"},
        auth=("admin", "the admin's password"),
        timeout=60,
    ).json()
    assert "makers" in [role["name"] for role in found["roles"]]

    # The UI's own way out ends the session here and leads to the provider's page.
    ui.close()
    page = context.new_page()
    page.goto(f"{guarded}/")
    page.get_by_role("button", name="Account menu for alice").click()
    page.get_by_role("menuitem", name="Logout").click()
    page.get_by_role("button", name="Yes, sign me out").click()
    expect(page.get_by_placeholder("Enter any login")).to_be_visible()
    assert SESSION not in cookies(context)


def test_a_page_is_shown_after_the_login(context, guarded):
    page = log_in(context, f"{guarded}/version?a=b%2Fc")
    page.wait_for_url(f"{guarded}/version?a=b%2Fc")


def session_of(context, guarded):
    """The cookies of somebody who is logged in, for requests without a browser."""
    log_in(context, f"{guarded}/version").wait_for_url(f"{guarded}/version")
    return {name: cookie["value"] for name, cookie in cookies(context).items() if cookie["domain"] == "127.0.0.1"}


def test_only_a_cookie_that_was_made_here_counts(context, guarded):
    held = session_of(context, guarded)
    status = lambda **more: requests.get(guarded + ME, cookies=held | more, timeout=60).status_code  # noqa: E731
    assert status() == 200
    value = held[SESSION]
    text, signature = value.split(".")
    other = "A" if value[-2] != "A" else "B"
    for wrong in ("x", text, f"{text}.", f"{text[:-1]}A.{signature}", value[:-2] + other + value[-1], signature):
        assert status(**{SESSION: wrong}) == 401, wrong
    # The browser is not made to ask for a password.
    answer = requests.get(guarded + ME, cookies=held | {SESSION: "x"}, timeout=60)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    # What the UI deletes when somebody logs out ends the session.
    assert requests.get(guarded + ME, cookies={SESSION: value}, timeout=60).status_code == 401


def test_other_sites_can_not_use_a_session(context, guarded):
    held = session_of(context, guarded)
    host = urlsplit(guarded).netloc

    def create(**headers):
        body = {"name": f"x {uuid.uuid4().hex}"}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return requests.post(guarded + CREATE, json=body, cookies=held, headers=named, timeout=60).status_code

    assert create(Sec_Fetch_Site="same-origin") == 200
    assert create(Origin=f"http://{host}") == 200
    for headers in (
        {},
        {"Sec_Fetch_Site": "cross-site", "Origin": "https://evil.example"},
        {"Sec_Fetch_Site": "same-site", "Origin": f"http://{host}"},
        {"Sec_Fetch_Site": "none"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "null"},
    ):
        assert create(**headers) == 403, headers
    read = lambda **headers: requests.get(  # noqa: E731
        guarded + ME, cookies=held, headers={k.replace("_", "-"): v for k, v in headers.items()}, timeout=60
    ).status_code
    assert read(Sec_Fetch_Site="same-site", Sec_Fetch_Mode="cors") == 403
    # A password needs none of this.
    login = ("admin", "the admin's password")
    assert requests.post(guarded + CREATE, json={"name": "by hand " + uuid.uuid4().hex}, auth=login, timeout=60).ok


def test_a_login_that_was_not_begun_here_is_refused(guarded):
    begin = requests.get(f"{guarded}/oidc/login", allow_redirects=False, timeout=60)
    asked = {name: values[0] for name, values in parse_qs(urlsplit(begin.headers["Location"]).query).items()}
    assert asked["response_type"] == "code" and asked["code_challenge_method"] == "S256" and asked["nonce"]
    held = {LOGIN: begin.cookies[LOGIN]}
    back = lambda query, cookies: requests.get(  # noqa: E731
        f"{guarded}/oidc/callback", params=query, cookies=cookies, allow_redirects=False, timeout=60
    )
    for query, cookies in (
        ({"code": "x", "state": asked["state"]}, {}),
        ({"code": "x", "state": "other"}, held),
        ({"code": "x"}, held),
        ({"code": "x", "state": asked["state"]}, {LOGIN: held[LOGIN][:-1]}),
    ):
        answer = back(query, cookies)
        assert answer.status_code == 400 and SESSION not in answer.cookies
    for query in (
        {"code": "made up", "state": asked["state"]},
        {"state": asked["state"]},
        {"error": "access_denied", "state": asked["state"]},
        {"code": "x", "state": asked["state"], "iss": "https://evil.example"},
    ):
        answer = back(query, held)
        assert answer.status_code == 403 and SESSION not in answer.cookies, query


def code_of(address, guarded):
    """The code that the provider sends somebody back with who logs in there."""
    browser = requests.Session()
    answer = browser.get(address, allow_redirects=False, timeout=60)
    while True:
        if answer.is_redirect:
            address = urljoin(answer.url, answer.headers["Location"])
            if address.startswith(f"{guarded}/oidc/callback"):
                return parse_qs(urlsplit(address).query)["code"][0]
            answer = browser.get(address, allow_redirects=False, timeout=60)
            continue
        assert answer.status_code == 200, answer.text
        form = {"prompt": re.search('name="prompt" value="([a-z]+)"', answer.text)[1], "login": "alice", "password": "x"}
        action = re.search('action="([^"]+)"', answer.text)[1]
        answer = browser.post(urljoin(answer.url, action), data=form, allow_redirects=False, timeout=60)


def test_a_code_is_good_for_the_browser_that_began_alone(guarded):
    """Whoever gets hold of a code can not use it for a login of their own."""
    theirs = requests.get(f"{guarded}/oidc/login", allow_redirects=False, timeout=60)
    code = code_of(theirs.headers["Location"], guarded)
    begin = requests.get(f"{guarded}/oidc/login", allow_redirects=False, timeout=60)
    state = parse_qs(urlsplit(begin.headers["Location"]).query)["state"][0]
    answer = requests.get(
        f"{guarded}/oidc/callback",
        params={"code": code, "state": state},
        cookies={LOGIN: begin.cookies[LOGIN]},
        allow_redirects=False,
        timeout=60,
    )
    assert answer.status_code == 403 and SESSION not in answer.cookies
    # A browser that began itself gets in with what it is sent back with.
    begin = requests.get(f"{guarded}/oidc/login", allow_redirects=False, timeout=60)
    query = {"code": code_of(begin.headers["Location"], guarded)}
    query["state"] = parse_qs(urlsplit(begin.headers["Location"]).query)["state"][0]
    answer = requests.get(
        f"{guarded}/oidc/callback",
        params=query,
        cookies={LOGIN: begin.cookies[LOGIN]},
        allow_redirects=False,
        timeout=60,
    )
    assert answer.status_code == 302 and SESSION in answer.cookies


def test_nobody_is_led_to_another_site(guarded):
    for next_ in ("https://evil.example/", "//evil.example", "/\\evil.example", "\t//evil.example"):
        begin = requests.get(f"{guarded}/oidc/login", params={"next": next_}, allow_redirects=False, timeout=60)
        assert "evil" not in begin.headers["Location"]
        value = begin.cookies[LOGIN].split(".")[0]
        assert b"evil" not in base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))


def test_only_pages_lead_to_the_login(guarded):
    prefix = urlsplit(guarded).path
    go = lambda path, **headers: requests.get(  # noqa: E731
        guarded + path, headers={k.replace("_", "-"): v for k, v in headers.items()}, allow_redirects=False, timeout=60
    )
    page = go("/", Accept="text/html,*/*")
    assert page.status_code == 302 and page.headers["Location"] == f"{prefix}/oidc/login?next={prefix.replace('/', '%2F')}%2F"
    for answer in (go("/"), go(ME), go("/", Accept="text/html", Sec_Fetch_Mode="cors")):
        assert answer.status_code == 401 and answer.headers["WWW-Authenticate"].startswith("Basic")
    # Who has a password goes on with it.
    assert requests.get(guarded + ME, auth=("admin", "the admin's password"), timeout=60).status_code == 200
    assert requests.get(guarded + ME, auth=("admin", "wrong"), timeout=60).status_code == 401
