"""The users database goes from one server to the other and back, and everybody logs in."""

import contextlib
import sqlite3

import pytest
from people import ADMIN, People, password, settings
from support import postgres, servers
from werkzeug.security import generate_password_hash

API, API3 = "/api/2.0/mlflow", "/api/3.0/mlflow"
ME = f"{API}/users/current"

#: Every way in which werkzeug has written passwords. Without a digest ``pbkdf2`` is written with sha256.
METHODS = ["scrypt", "scrypt:4096:8:2", "pbkdf2", "pbkdf2:sha256:260000", "pbkdf2:sha512:1000", "pbkdf2:sha1:1000"]


def of(method: str) -> str:
    """The user whose password is hashed so. A name has no colon: the password begins behind it."""
    return f"by {method}".replace(":", " ")


def insert(users: str, rows: list[tuple[str, str]]) -> None:
    """Puts users into the database, as other tools do."""
    if users.startswith("sqlite:"):
        with contextlib.closing(sqlite3.connect(users.removeprefix("sqlite:///"))) as database, database:
            database.executemany("INSERT INTO users (username, password_hash, is_admin) VALUES (?, ?, 0)", rows)
        return
    with contextlib.closing(postgres.connect(users)) as database, database.cursor() as cursor:
        cursor.executemany("INSERT INTO users (username, password_hash, is_admin) VALUES (%s, %s, FALSE)", rows)


@contextlib.contextmanager
def started(name: str, backend: str, users: str, folder):
    # Nothing is remembered, so that every login is one.
    env = settings(folder, users, default="READ", auth_cache_ttl_seconds="0")
    with servers.MAKERS[name](backend, folder / "artifacts", args=["--app-name", "basic-auth"], env=env) as server:
        yield People(server.url)


@pytest.mark.rotates
@pytest.mark.parametrize("first,second", [("reference", "ferroflow"), ("ferroflow", "reference")])
@pytest.mark.parametrize("dialect", postgres.DIALECTS)
def test_users_log_in_at_either_server(dialect, first, second, tmp_path, mode):
    if mode == "recorded":
        # Without the reference ferroflow takes both turns.
        first = second = "ferroflow"
    everybody = [ADMIN, "alice"]
    with postgres.database(dialect, tmp_path, "exchange") as backend:
        users = f"sqlite:///{tmp_path}/users.db" if dialect == "sqlite" else backend
        with started(first, backend, users, tmp_path) as people:
            people.join("alice")
            experiment = people.must("alice", "POST", f"{API}/experiments/create", body={"name": "of alice"})
            role = people.must(ADMIN, "POST", f"{API3}/roles/create", body={"name": "r", "workspace": "default"})
            role = role["role"]["id"]
            allowed = {"role_id": role, "resource_type": "run", "resource_pattern": "*", "permission": "DENY"}
            people.must(ADMIN, "POST", f"{API3}/roles/permissions/add", body=allowed)
        insert(users, [(of(method), generate_password_hash(password(of(method)), method)) for method in METHODS])
        everybody += map(of, METHODS)
        with started(second, backend, users, tmp_path) as people:
            for username in everybody:
                assert people.must(username, "GET", ME)["user"]["username"] == username
            people.join("bob")
            people.grant("bob", "experiment", experiment["experiment_id"], "EDIT")
            people.must(ADMIN, "POST", f"{API3}/roles/assign", body={"username": "bob", "role_id": role})
            new = {"username": "alice", "password": password("alice") + "!"}
            people.must(ADMIN, "PATCH", f"{API}/users/update-password", body=new)
            people.must(ADMIN, "DELETE", f"{API}/users/delete", body={"username": "by scrypt"})
        with started(first, backend, users, tmp_path) as people:
            assert people.send("alice", "GET", ME).status_code == 401
            people.sessions["alice"].auth = ("alice", password("alice") + "!")
            assert people.send("by scrypt", "GET", ME).status_code == 401
            for username in ["bob", *(name for name in everybody if name != "by scrypt")]:
                assert people.must(username, "GET", ME)["user"]["username"] == username
            tag = {**experiment, "key": "k", "value": "v"}
            people.must("bob", "POST", f"{API}/experiments/set-experiment-tag", body=tag)
            assert people.send("bob", "POST", f"{API}/runs/create", body=experiment).status_code == 403
