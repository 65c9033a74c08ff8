"""Bearer tokens of a real OpenID Connect provider: whose they are, which count, and what groups give."""

import contextlib
import os
import re
import sqlite3
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
from api_server import account, api_server
from people import ADMIN, People, settings
from support import oidc, ports, postgres, required, servers
from werkzeug.security import check_password_hash

pytestmark = pytest.mark.rotates(every=4)

API, API3 = "/api/2.0/mlflow", "/api/3.0/mlflow"
ME = f"{API}/users/current"

SECTION = """
[oidc]
issuer = {issuer}
audience = another, urn:mlflow
key_refresh_seconds = 1
group_roles =
    ml = makers
    cn=readers,o=example = readers
admin_group = root
"""


def start(stack, dialect, folder, section, *args):
    """A server with users and a section more in its settings."""
    backend = stack.enter_context(postgres.database(dialect, folder, "oidc"))
    env = settings(folder, f"sqlite:///{folder}/users.db" if dialect == "sqlite" else backend)
    with (folder / "auth.ini").open("a") as ini:
        ini.write(section)
    server = stack.enter_context(
        servers.ferroflow(backend, folder / "artifacts", args=["--app-name", "basic-auth", *args], env=env)
    )
    return People(server.url), server


@pytest.fixture(scope="module", params=postgres.DIALECTS)
def guarded(request, tmp_path_factory):
    """A server that takes the tokens of a provider."""
    with ExitStack() as stack:
        provider = stack.enter_context(oidc.provider())
        provider.clients = [{"client_id": name} for name in ("trainer", "reader", "boss")]
        provider.update()
        folder = tmp_path_factory.mktemp(request.param)
        people, server = start(stack, request.param, folder, SECTION.format(issuer=provider.issuer))
        yield SimpleNamespace(people=people, url=people.url, provider=provider, server=server)


def get(guarded, token, path=ME, **query):
    headers = {"Authorization": f"Bearer {token}"}
    return requests.get(guarded.url + path, headers=headers, params=query, timeout=60, allow_redirects=False)


def role(guarded, name):
    """The role of a name, as the administrator sees it."""
    roles = guarded.people.must(ADMIN, "GET", f"{API3}/roles/list", query={"workspace": "default"})["roles"]
    return next(role for role in roles if role["name"] == name)


def roles_of(guarded, username):
    found = guarded.people.must(ADMIN, "GET", f"{API3}/users/roles/list", query={"username": username})
    return sorted(role["name"] for role in found["roles"] if not role["name"].startswith("__user_"))


def grant(guarded, name, experiment, permission):
    body = {"role_id": role(guarded, name)["id"], "resource_type": "experiment", "resource_pattern": experiment}
    guarded.people.must(ADMIN, "POST", f"{API3}/roles/permissions/add", body=body | {"permission": permission})


def test_an_sdk_logs_a_run_with_a_token(guarded):
    code = (
        "import mlflow\n"
        "mlflow.set_experiment('of a token')\n"
        "with mlflow.start_run() as run:\n"
        "    mlflow.log_metric('m', 1.5)\n"
        "    mlflow.log_text('hello', 'a.txt')\n"
        "print(mlflow.MlflowClient().get_run(run.info.run_id).data.metrics, mlflow.artifacts.load_text(run.info.artifact_uri + '/a.txt'))"
    )
    token = guarded.provider.token("trainer")
    env = {"MLFLOW_TRACKING_URI": guarded.url, "MLFLOW_TRACKING_TOKEN": token, "MLFLOW_DISABLE_TELEMETRY": "true"}
    ran = subprocess.run(
        [required("FERROFLOW_REFERENCE_PYTHON"), "-c", code],
        env=os.environ | env,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == "{'m': 1.5} hello"
    assert get(guarded, token).json()["user"] | {"id": 0} == {"id": 0, "username": "trainer", "is_admin": False}
    # Everybody can see the user, whom no password lets in.
    names = [user["username"] for user in guarded.people.must(ADMIN, "GET", f"{API}/users/list")["users"]]
    assert "trainer" in names
    assert requests.get(guarded.url + ME, auth=("trainer", ""), timeout=60).status_code == 401


def test_only_what_the_provider_signed_for_us_counts(guarded):
    provider, now = guarded.provider, int(time.time())
    good = provider.key.sign(provider.claims("mallory"))
    assert get(guarded, good).status_code == 200
    stranger = oidc.SigningKey("first")
    head, body, signature = good.split(".")
    claims = provider.claims("mallory")
    of = lambda **more: provider.key.sign(provider.claims("mallory", **more))  # noqa: E731
    wrong = {
        "issuer": of(iss="https://evil.example"),
        "several issuers": of(iss=[provider.issuer, "x"]),
        "no issuer": of(iss=None),
        "audience": of(aud="urn:other"),
        "no audience": of(aud=None),
        "expired": of(exp=now - 61),
        "no end": of(exp=None),
        "an end that is no number": of(exp="never"),
        "not yet": of(nbf=now + 120),
        "a beginning that is no number": of(nbf="later"),
        "no subject": of(sub=None),
        "no name": of(preferred_username=None),
        "a name with a colon": of(preferred_username="system:serviceaccount:a:b"),
        "signature": f"{head}.{body}.{signature[:-8]}AAAAAAAA",
        "no signature": f"{head}.{body}.",
        "other claims": f"{head}.{oidc.unsigned(provider.claims('admin')).split('.')[1]}.{signature}",
        "alg none": oidc.unsigned(claims),
        "alg none with a key": oidc.unsigned(claims, kid="first"),
        "the public key as a secret": oidc.signed_with_secret(claims, provider.key.public_pem, kid="first"),
        "an unknown key": provider.key.sign(claims, kid="unknown"),
        "the key of another provider": stranger.sign(claims),
        "its own key in the header": stranger.sign(claims, jwk=stranger.jwk),
        "unknown extensions": provider.key.sign(claims, crit=["b64"], b64=False),
        "another kind": provider.key.sign(claims, typ="logout+jwt"),
        "another algorithm of the key": provider.key.sign(claims, alg="PS256"),
        "no token": "x",
        "nothing": "",
        "too long": of(more="x" * 20_000),
    }
    for what, token in wrong.items():
        answer = get(guarded, token)
        assert answer.status_code == 401, what
        if token:
            assert answer.headers["WWW-Authenticate"] == 'Bearer realm="mlflow", error="invalid_token"', what
    # A clock that is a little off is no reason.
    assert get(guarded, of(exp=now - 30)).status_code == 200
    assert get(guarded, of(nbf=now + 30)).status_code == 200


def test_a_new_key_counts_without_a_restart(guarded):
    provider = guarded.provider
    before = provider.token("trainer")
    assert get(guarded, before).status_code == 200
    provider.key = oidc.SigningKey("second")
    provider.update()
    soon(lambda: get(guarded, provider.token("trainer")).status_code, 200)


def test_made_up_keys_do_not_flood_the_provider(guarded):
    provider = guarded.provider
    begun, before = time.monotonic(), provider.request_count("/jwks")
    for number in range(60):
        token = provider.key.sign(provider.claims("mallory"), kid=f"made up {number}")
        assert get(guarded, token).status_code == 401
    # Once a second, as it is set.
    assert provider.request_count("/jwks") - before <= time.monotonic() - begun + 1


def test_groups_give_and_take_roles(guarded):
    provider, people = guarded.provider, guarded.people
    experiment = people.must(ADMIN, "POST", f"{API}/experiments/create", body={"name": "of groups"})["experiment_id"]
    tag = lambda token: requests.post(  # noqa: E731
        f"{guarded.url}{API}/experiments/set-experiment-tag",
        json={"experiment_id": experiment, "key": "k", "value": "v"},
        headers={"Authorization": f"Bearer {token}"},
        timeout=60,
    ).status_code
    sign = lambda *groups: provider.key.sign(provider.claims("gina", groups=list(groups)))  # noqa: E731
    assert tag(sign()) == 403
    assert tag(sign("ml", "cn=readers,o=example")) == 403
    assert roles_of(guarded, "gina") == ["makers", "readers"]
    grant(guarded, "makers", experiment, "EDIT")
    grant(guarded, "readers", experiment, "READ")
    assert tag(sign("ml", "cn=readers,o=example", "more")) == 200
    # A role that no group gives is nobody's business but the admin's.
    body = {"name": "by hand", "workspace": "default"}
    by_hand = people.must(ADMIN, "POST", f"{API3}/roles/create", body=body)["role"]["id"]
    people.must(ADMIN, "POST", f"{API3}/roles/assign", body={"username": "gina", "role_id": by_hand})
    assert tag(sign("cn=readers,o=example")) == 403
    assert roles_of(guarded, "gina") == ["by hand", "readers"]
    assert tag(sign("none of them")) == 403
    assert roles_of(guarded, "gina") == ["by hand"]


def test_the_admin_group_makes_and_unmakes_admins(guarded):
    provider = guarded.provider
    sign = lambda *groups: provider.key.sign(provider.claims("boss", groups=list(groups)))  # noqa: E731
    assert get(guarded, sign("root")).json()["user"]["is_admin"]
    assert not get(guarded, sign("ml")).json()["user"]["is_admin"]


def test_a_name_stays_with_its_account(guarded):
    provider = guarded.provider
    guarded.people.join("local")
    sign = lambda name, subject: provider.key.sign(provider.claims(name, sub=subject, groups=["root"]))  # noqa: E731
    assert get(guarded, sign("local", "1")).status_code == 401
    assert get(guarded, sign(ADMIN, "1")).status_code == 401
    assert get(guarded, sign("henry", "1")).status_code == 200
    assert get(guarded, sign("henry", "2")).status_code == 401
    guarded.server.wait_logged("belongs to another user")
    # Who was deleted begins anew, with nothing.
    guarded.people.must(ADMIN, "DELETE", f"{API}/users/delete", body={"username": "henry"})
    soon(lambda: get(guarded, sign("henry", "2")).status_code, 200)


@pytest.mark.parametrize("groups,status", [([], 401), (["root"], 200)])
def test_a_local_user_is_linked_where_that_is_allowed(groups, status, tmp_path):
    with ExitStack() as stack:
        provider = stack.enter_context(oidc.provider())
        provider.update()
        section = SECTION.format(issuer=provider.issuer) + "link_existing_users = true\nallowed_groups =\n  root\n  ml\n"
        people, server = start(stack, "sqlite", tmp_path, section)
        guarded = SimpleNamespace(people=people, url=people.url)
        people.join("local")
        sign = lambda name, groups: provider.key.sign(provider.claims(name, groups=groups))  # noqa: E731
        found = get(guarded, sign("local", ["ml", *groups]))
        # An admin is not made of somebody with a password.
        assert found.status_code == 200 and not found.json()["user"]["is_admin"]
        assert roles_of(guarded, "local") == ["makers"]
        # The password stays.
        people.must("local", "GET", ME)
        # An admin with a password is reached by who is an admin at the provider.
        assert get(guarded, sign(ADMIN, ["ml", *groups])).status_code == status
        assert get(guarded, sign("other", ["none of them"])).status_code == 401


def test_a_provider_that_does_not_answer_is_said(tmp_path):
    with ExitStack() as stack:
        port = ports.free_port()
        section = SECTION.format(issuer=f"http://127.0.0.1:{port}")
        people, server = start(stack, "sqlite", tmp_path, section)
        claims = {"iss": f"http://127.0.0.1:{port}", "aud": "urn:mlflow", "sub": "x", "exp": int(time.time()) + 60}
        answer = get(SimpleNamespace(url=people.url), oidc.SigningKey("k").sign(claims))
        assert answer.status_code == 503 and "cannot be read now" in answer.json()["message"]
        # Passwords go on.
        people.must(ADMIN, "GET", ME)


def test_without_the_section_a_token_is_nobody(tmp_path):
    with ExitStack() as stack:
        people, _ = start(stack, "sqlite", tmp_path, "")
        answer = get(SimpleNamespace(url=people.url), oidc.unsigned({"sub": ADMIN}))
        assert answer.status_code == 401 and answer.headers["WWW-Authenticate"].startswith("Basic")
        assert people.send(ADMIN, "GET", "/oidc/login").status_code == 404


@pytest.mark.parametrize(
    "section,words",
    [
        ("[oidc]\nissuer = https://id.example\n", "audience"),
        ("[oidc]\nissuer = https://id.example\naudience = a\nalgorithms = HS256\n", "HS256"),
        ("[oidc]\nissuer = https://id.example\naudience = a\nca_file = /nowhere\n", "/nowhere"),
        ("[kubernetes]\nnamespaces = ml\n", "api_server"),
        ("[kubernetes]\napi_server = http://10.0.0.1\nnamespaces = ml\n", "https"),
    ],
)
def test_what_can_not_be_meant_stops_the_start(section, words, tmp_path):
    with pytest.raises(RuntimeError, match=words), ExitStack() as stack:
        start(stack, "sqlite", tmp_path, section)


def soon(status, expected):
    deadline = time.monotonic() + 5
    while (found := status()) != expected:
        assert time.monotonic() < deadline, found


def test_the_examples_of_the_guide_work(tmp_path):
    text = (Path(__file__).parents[2] / "docs/security.md").read_text("utf-8")
    sections = re.findall("```ini\n(.*?)```", text, re.DOTALL)
    assert [section.split("]")[0] for section in sections] == ["[oidc", "[kubernetes"]
    with ExitStack() as stack:
        # Outside of a cluster the files of a pod are not there.
        cluster = stack.enter_context(api_server(tmp_path))
        more = f"api_server = {cluster.url}\nca_file = {cluster.ca_file}\ntoken_file = {cluster.token_file}\n"
        cluster.tokens["of a pod"] = account("training", "default", "mlflow")
        people, _ = start(stack, "sqlite", tmp_path, "\n".join(sections) + more)
        guarded = SimpleNamespace(people=people, url=people.url)
        assert get(guarded, "of a pod").status_code == 200
        assert roles_of(guarded, "system:serviceaccount:training:default") == ["makers"]
        assert get(guarded, "of nobody").status_code == 401


def test_the_reference_lets_nobody_in_by_a_tokens_user(tmp_path):
    with ExitStack() as stack:
        provider = stack.enter_context(oidc.provider())
        provider.update()
        people, _ = start(stack, "sqlite", tmp_path, SECTION.format(issuer=provider.issuer))
        token = provider.key.sign(provider.claims("gina"))
        assert get(SimpleNamespace(url=people.url), token).status_code == 200
        with contextlib.closing(sqlite3.connect(tmp_path / "users.db")) as users:
            [(stored,)] = users.execute("SELECT password_hash FROM users WHERE username = 'gina'").fetchall()
        # It is a hash as the reference's library reads them, and of no password.
        assert stored.startswith("scrypt:") and len(stored) <= 255
        for secret in ("", stored, "0" * 64, "gina"):
            assert not check_password_hash(stored, secret)
            assert requests.get(people.url + ME, auth=("gina", secret), timeout=60).status_code == 401
