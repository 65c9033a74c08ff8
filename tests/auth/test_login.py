"""What a browser is let in with: the ID token of its own login and no other, whatever the provider sends."""

import contextlib
import json
import threading
import time
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from support import command, oidc
from test_oidc import start

CLIENT = "ferroflow"
LOGIN, SESSION = "ferroflow-login", "ferroflow-session"


@contextlib.contextmanager
def crooked_provider():
    """A provider that answers every code with the ID token that a test sets."""
    key = oidc.SigningKey("first")
    public = {name: key.jwk[name] for name in ("kty", "kid", "use", "alg", "n", "e")}
    provider = SimpleNamespace(key=key, token="", issuer="", said_issuer=None, forms=[])

    class Handler(BaseHTTPRequestHandler):
        def answer(self, value):
            data = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self):
            issuer = provider.issuer
            if self.path == "/keys":
                return self.answer({"keys": [public]})
            return self.answer(
                {
                    "issuer": provider.said_issuer or issuer,
                    "jwks_uri": f"{issuer}/keys",
                    "authorization_endpoint": f"{issuer}/auth",
                    "token_endpoint": f"{issuer}/token",
                }
            )

        def do_POST(self):
            provider.forms.append(parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode()))
            self.answer({"id_token": provider.token})

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        provider.issuer = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        yield provider
        http.shutdown()


SECTION = """
[oidc]
issuer = {issuer}
audience = urn:mlflow
client_id = ferroflow
redirect_uri = http://127.0.0.1/oidc/callback
"""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("login")
    with ExitStack() as stack:
        provider = stack.enter_context(crooked_provider())
        people, _ = start(stack, "sqlite", folder, SECTION.format(issuer=provider.issuer))
        yield SimpleNamespace(people=people, url=people.url, provider=provider)


def log_in(guarded, **claims):
    """Comes back from the provider, which gives a token with these claims for the login's code."""
    begin = requests.get(f"{guarded.url}/oidc/login", allow_redirects=False, timeout=60)
    asked = {name: values[0] for name, values in parse_qs(urlsplit(begin.headers["Location"]).query).items()}
    provider = guarded.provider
    good = {"iss": provider.issuer, "aud": CLIENT, "sub": "1", "preferred_username": "gina", "exp": 4_000_000_000}
    said = good | {"nonce": asked["nonce"]} | claims
    provider.token = provider.key.sign({name: value for name, value in said.items() if value is not None})
    return requests.get(
        f"{guarded.url}/oidc/callback",
        params={"code": "a code", "state": asked["state"]},
        cookies={LOGIN: begin.cookies[LOGIN]},
        allow_redirects=False,
        timeout=60,
    )


def test_the_token_of_the_own_login_lets_in(guarded):
    answer = log_in(guarded)
    assert answer.status_code == 302 and answer.headers["Location"] == "/" and SESSION in answer.cookies
    # Without a secret the client is named, and the verifier of PKCE shows whose the code is.
    form = guarded.provider.forms[-1]
    assert form["client_id"] == [CLIENT] and len(form["code_verifier"][0]) >= 43
    assert log_in(guarded, aud=[CLIENT, "other"], azp=CLIENT).status_code == 302


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "of another login"},
        {"nonce": None},
        {"aud": "another client"},
        {"aud": "urn:mlflow"},
        {"azp": "another client"},
        {"iss": "https://evil.example"},
        {"exp": 1},
        {"preferred_username": None},
        {"preferred_username": "admin"},
    ],
    ids=str,
)
def test_any_other_token_does_not(claims, guarded):
    answer = log_in(guarded, **claims)
    assert answer.status_code == 403 and SESSION not in answer.cookies
    assert "evil" not in answer.text


def test_a_login_that_was_refused_is_in_the_audit_log(tmp_path, monkeypatch):
    monkeypatch.setenv("FERROFLOW_AUDIT_LOG", str(tmp_path / "audit"))
    with ExitStack() as stack:
        provider = stack.enter_context(crooked_provider())
        people, _ = start(stack, "sqlite", tmp_path, SECTION.format(issuer=provider.issuer))
        guarded = SimpleNamespace(people=people, url=people.url, provider=provider)
        assert log_in(guarded).status_code == 302
        assert log_in(guarded, nonce="of another login").status_code == 403
        lines = [json.loads(line) for line in (tmp_path / "audit").read_text().splitlines()]
        [login] = [line for line in lines if line["path"] == "/oidc/callback" and line["result"] == "login"]
        assert login["user"] and login["status"] == 302
        [line] = [line for line in lines if line["result"] != "login"]
        assert (line["path"], line["result"], line["status"]) == ("/oidc/callback", "refused", 403)
        # Neither the code nor the token is in it.
        assert "a code" not in str(line) and provider.token not in str(line)


def test_a_provider_that_says_it_is_another_is_not_gone_to(tmp_path):
    with ExitStack() as stack:
        provider = stack.enter_context(crooked_provider())
        provider.said_issuer = "https://evil.example"
        people, server = start(stack, "sqlite", tmp_path, SECTION.format(issuer=provider.issuer))
        for _ in range(2):
            answer = requests.get(f"{people.url}/oidc/login", allow_redirects=False, timeout=60)
            assert answer.status_code == 503 and "Location" not in answer.headers
        server.wait_logged("is of the issuer 'https://evil.example'")


def session_of(guarded):
    """The cookies of a browser that has logged in."""
    return log_in(guarded).cookies.get_dict()


def who_is(guarded, cookies):
    headers = {"Sec-Fetch-Site": "same-origin"}
    return requests.get(f"{guarded.url}/ajax-api/2.0/mlflow/users/current", cookies=cookies, headers=headers, timeout=60)


def test_an_operator_ends_all_sessions(tmp_path):
    with ExitStack() as stack:
        provider = stack.enter_context(crooked_provider())
        people, _ = start(stack, "sqlite", tmp_path, SECTION.format(issuer=provider.issuer))
        guarded = SimpleNamespace(people=people, url=people.url, provider=provider)
        cookies = session_of(guarded)
        assert who_is(guarded, cookies).json()["user"]["username"] == "gina"
        command.run("user", "end-sessions", "--database", f"sqlite:///{tmp_path}/users.db")
        deadline = time.monotonic() + 5
        while who_is(guarded, cookies).status_code != 401:
            assert time.monotonic() < deadline
        assert who_is(guarded, session_of(guarded)).status_code == 200


def test_a_session_does_not_outlive_a_restore(tmp_path):
    """Whoever was logged in when the backup was taken may have been shut out since."""
    with crooked_provider() as provider:

        def serve(stack):
            people, _ = start(stack, "sqlite", tmp_path, SECTION.format(issuer=provider.issuer))
            return SimpleNamespace(people=people, url=people.url, provider=provider)

        with ExitStack() as stack:
            guarded = serve(stack)
            cookies = session_of(guarded)
            [tracking] = tmp_path.glob("oidc_*.db")
            flags = ["--backend-store-uri", f"sqlite:///{tracking}", "--no-artifacts"]
            flags += ["--users-store-uri", f"sqlite:///{tmp_path}/users.db"]
            command.run("backup", tmp_path / "place", *flags)
            people = guarded.people
            people.must("admin", "DELETE", "/api/2.0/mlflow/users/delete", body={"username": "gina"})
            assert who_is(guarded, cookies).status_code == 401
        out = command.run("restore", tmp_path / "place", *flags, "--force")
        assert "'gina' is a user again: deleted since" in out and "all sessions of browsers have ended" in out
        with ExitStack() as stack:
            assert who_is(serve(stack), cookies).status_code == 401
