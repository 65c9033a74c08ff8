"""Guessing passwords, from one address and from many, and shutting others out by it."""

import json
from contextlib import ExitStack
from types import SimpleNamespace

import pytest
import requests
from people import People, password, settings
from support import postgres, servers

pytestmark = pytest.mark.rotates(every=4)

ME = "/api/2.0/mlflow/users/current"


def start(stack, dialect, folder, *args, **ini):
    """A server behind a proxy on this machine, if ``args`` say so, and its audit log."""
    folder.mkdir()
    backend = stack.enter_context(postgres.database(dialect, folder, "guessing"))
    users = f"sqlite:///{folder}/users.db" if dialect == "sqlite" else backend
    audit = folder / "audit"
    args = ["--app-name", "basic-auth", "--audit-log", str(audit), *args]
    env = settings(folder, users, **ini)
    server = stack.enter_context(servers.ferroflow(backend, folder / "artifacts", args=args, env=env))
    people = People(server.url)
    for name in ("alice", "bob", "carol", "dave", "erin"):
        people.join(name)
    return SimpleNamespace(url=server.url, audit=audit, server=server)


TRUSTED = ["--trusted-proxies", "10.0.0.0/8,127.0.0.1"]


@pytest.fixture(scope="module", params=postgres.DIALECTS)
def proxied(request, tmp_path_factory):
    with ExitStack() as stack:
        yield start(stack, request.param, tmp_path_factory.mktemp(request.param) / "proxied", *TRUSTED)


def log_in(server, username, secret, client, **headers):
    """What comes of a login that a proxy passes on from ``client``."""
    sent = {"X-Forwarded-For": client} if client else {}
    answer = requests.get(server.url + ME, auth=(username, secret), headers=sent | headers, timeout=60)
    return answer.status_code


def guess(server, username, clients):
    return [log_in(server, username, f"guess {number}", client) for number, client in enumerate(clients)]


def test_a_name_is_guessed_from_no_number_of_addresses(proxied):
    assert log_in(proxied, "alice", password("alice"), "203.0.113.1") == 200
    guesses = guess(proxied, "alice", [f"198.51.100.{1 + number % 30}" for number in range(90)])
    assert guesses.count(401) < 35 and guesses.count(429) > 55, guesses
    # Neither who was let in a moment ago is shut out, nor anybody else.
    assert log_in(proxied, "alice", password("alice"), "203.0.113.1") == 200
    assert log_in(proxied, "bob", password("bob"), "198.51.100.1") == 200


def test_who_has_logged_in_from_an_address_is_not_shut_out_from_others(tmp_path):
    """Also where no password is remembered, and at another server."""
    with ExitStack() as stack:
        server = start(stack, "sqlite", tmp_path / "forgetful", *TRUSTED, auth_cache_ttl_seconds="0")
        assert log_in(server, "alice", password("alice"), "203.0.113.1") == 200
        assert 429 in guess(server, "alice", [f"198.51.100.{number}" for number in range(1, 33)])
        assert log_in(server, "alice", password("alice"), "203.0.113.1") == 200
        assert log_in(server, "alice", password("alice"), "203.0.113.2") == 429
        # There, too, guessing ends.
        assert guess(server, "alice", ["203.0.113.1"] * 11) == [401] * 10 + [429]


@pytest.mark.rotates(every=8)
def test_invented_names_shut_nobody_out(proxied):
    client = "192.0.2.99"
    failed = [log_in(proxied, f"invented {number}", "a wrong password", client) for number in range(110)]
    assert failed == [401] * 110
    # For the first time, from the same address.
    assert log_in(proxied, "carol", password("carol"), client) == 200
    # An invented name is limited as one that somebody has.
    assert guess(proxied, "nobody at all", [client] * 11) == [401] * 10 + [429]


def test_an_ipv6_network_is_one_address(proxied):
    assert guess(proxied, "dave", [f"2001:db8:1:2::{number:x}" for number in range(1, 12)]) == [401] * 10 + [429]
    assert log_in(proxied, "dave", password("dave"), "2001:db8:1:2:ffff::1") == 429
    assert log_in(proxied, "dave", password("dave"), "2001:db8:1:3::1") == 200


def test_what_a_client_says_of_itself_does_not_count(proxied):
    # The proxy has added the last one.
    clients = [f"203.0.113.{number}, 192.0.2.7, 10.1.2.3" for number in range(1, 12)]
    assert guess(proxied, "erin", clients) == [401] * 10 + [429]
    line = json.loads(proxied.audit.read_text().splitlines()[-1])
    assert (line["from"], line["claimed"], line["result"]) == ("192.0.2.7", "erin", "limited")
    assert line["forwarded_for"] == clients[-1]
    # A header that the proxy only passes on.
    assert log_in(proxied, "erin", "a wrong one", "192.0.2.8", Forwarded="for=192.0.2.9") == 401
    assert json.loads(proxied.audit.read_text().splitlines()[-1])["from"] == "127.0.0.1"


def test_without_a_trusted_proxy_the_connection_counts(tmp_path):
    with ExitStack() as stack:
        server = start(stack, "sqlite", tmp_path / "plain", "--trusted-proxies", "10.0.0.0/8")
        clients = [f"203.0.113.{number}" for number in range(1, 12)]
        assert guess(server, "alice", clients) == [401] * 10 + [429]
        assert json.loads(server.audit.read_text().splitlines()[-1])["from"] == "127.0.0.1"


def test_the_own_password_is_not_guessed_from_a_session(proxied):
    change = lambda current: requests.patch(  # noqa: E731
        f"{proxied.url}/api/2.0/mlflow/users/update-password",
        json={"username": "bob", "password": "another long password", "current_password": current},
        auth=("bob", password("bob")),
        headers={"X-Forwarded-For": "198.51.100.200"},
        timeout=60,
    ).status_code
    assert [change(f"guess {number}") for number in range(11)] == [400] * 10 + [429]
    # That is no reason to shut the user out.
    assert log_in(proxied, "bob", password("bob"), "198.51.100.200") == 200


@pytest.mark.parametrize("wrong", ["10.*", "10.0.0.0/33", "proxy.example"])
def test_proxies_are_addresses_or_the_server_does_not_start(wrong, tmp_path):
    with pytest.raises(RuntimeError, match="--trusted-proxies"):
        with servers.ferroflow(f"sqlite:///{tmp_path}/x.db", args=["--trusted-proxies", wrong]):
            pass


def test_the_client_is_in_the_log(tmp_path):
    with servers.ferroflow(f"sqlite:///{tmp_path}/x.db", args=TRUSTED, env={"RUST_LOG": "debug"}) as server:
        headers = {"X-Forwarded-For": "192.0.2.44"}
        assert requests.get(f"{server.url}/health", headers=headers, timeout=60).status_code == 200
        server.wait_logged("192.0.2.44")
