"""What ferroflow does beyond the reference: several servers on one users database, guessing, the audit log, the CLI."""

import contextlib
import json
import os
import pty
import subprocess
import termios
import time

import pytest
import requests
from people import ADMIN, People, password, settings
from support import postgres, required, servers

pytestmark = pytest.mark.rotates(every=4)

API, API3 = "/api/2.0/mlflow", "/api/3.0/mlflow"
ME = f"{API}/users/current"


@pytest.fixture(scope="module", params=postgres.DIALECTS)
def replicas(request, tmp_path_factory):
    """Two servers with the same databases, and their audit logs."""
    folder = tmp_path_factory.mktemp(request.param)
    with contextlib.ExitStack() as stack:
        backend = stack.enter_context(postgres.database(request.param, folder, "replicas"))
        users = f"sqlite:///{folder}/users.db" if request.param == "sqlite" else backend
        env = settings(folder, users)
        both = []
        for name in ("one", "two"):
            args = ["--app-name", "basic-auth", "--audit-log", str(folder / name)]
            server = stack.enter_context(servers.ferroflow(backend, folder / "artifacts", args=args, env=env))
            people = People(server.url)
            people.audit = folder / name
            both.append(people)
        yield both


def lines(people: People) -> list[dict]:
    return [json.loads(line) for line in people.audit.read_text().splitlines()]


def logs_in(people: People, username: str, secret: str) -> int:
    return requests.get(people.url + ME, auth=(username, secret), timeout=60).status_code


def test_what_one_server_changes_the_other_knows(replicas):
    one, two = replicas
    one.join("alice")
    experiment = one.must("alice", "POST", f"{API}/experiments/create", body={"name": "of alice"})
    tag = {**experiment, "key": "k", "value": "v"}
    # What was granted a moment ago counts at once.
    two.must("alice", "POST", f"{API}/experiments/set-experiment-tag", body=tag)
    one.join("bob")
    assert two.send("bob", "POST", f"{API}/experiments/set-experiment-tag", body=tag).status_code == 403
    one.grant("bob", "experiment", experiment["experiment_id"], "EDIT")
    two.must("bob", "POST", f"{API}/experiments/set-experiment-tag", body=tag)
    found = two.must("bob", "GET", f"{API}/experiments/search", query={"max_results": 10})
    assert [experiment["name"] for experiment in found["experiments"]] == ["of alice"]
    # And what was taken back within a second.
    body = {"username": "bob", "resource_type": "experiment", "resource_id": experiment["experiment_id"]}
    one.must(ADMIN, "POST", f"{API3}/users/permissions/revoke", body=body)
    assert one.send("bob", "POST", f"{API}/experiments/set-experiment-tag", body=tag).status_code == 403
    gone(lambda: two.send("bob", "POST", f"{API}/experiments/set-experiment-tag", body=tag).status_code, 403)
    new = {"username": "bob", "password": password("bob") + "!"}
    one.must(ADMIN, "PATCH", f"{API}/users/update-password", body=new)
    gone(lambda: two.send("bob", "GET", ME).status_code, 401)
    assert logs_in(two, "bob", new["password"]) == 200
    one.must(ADMIN, "DELETE", f"{API}/users/delete", body={"username": "bob"})
    gone(lambda: logs_in(two, "bob", new["password"]), 401)


def gone(status, expected: int) -> None:
    deadline = time.monotonic() + 1.5
    while (found := status()) != expected:
        assert time.monotonic() < deadline, found


def test_a_search_has_full_pages_of_what_may_be_read(replicas):
    one, _ = replicas
    one.join("carol")
    for number in range(30):
        body = {"name": f"experiment {number}"}
        id_ = one.must(ADMIN, "POST", f"{API}/experiments/create", body=body)["experiment_id"]
        if number % 3 == 0:
            one.grant("carol", "experiment", id_, "READ")
    seen, token = [], None
    for size in (4, 4, 2):
        query = {"max_results": 4, "filter": "name LIKE 'experiment %'"} | ({"page_token": token} if token else {})
        page = one.must("carol", "GET", f"{API}/experiments/search", query=query)
        assert len(page["experiments"]) == size
        seen += [experiment["name"] for experiment in page["experiments"]]
        token = page.get("next_page_token")
    assert token is None
    assert sorted(seen) == sorted(f"experiment {number}" for number in range(0, 30, 3))


def test_guessing_ends_at_every_server(replicas):
    one, two = replicas
    one.join("dave")
    tries = [logs_in(people, "dave", f"wrong {number}") for number in range(5) for people in replicas]
    assert tries == [401] * 10
    for people in replicas:
        answer = requests.get(people.url + ME, auth=("dave", password("dave")), timeout=60)
        assert answer.status_code == 429 and "Try again in" in answer.text
    # Others, and who is logged in already, are not in the way.
    assert logs_in(two, ADMIN, password(ADMIN)) == 200


def test_changes_and_refusals_are_in_the_audit_log(replicas):
    one, _ = replicas
    one.join("erin")
    before = len(lines(one))
    answer = one.send("erin", "POST", f"{API}/experiments/create", body={"name": "audited"})
    refused = one.send("erin", "POST", f"{API}/experiments/delete", body={"experiment_id": "0"})
    one.send("erin", "GET", f"{API}/experiments/search", query={"max_results": 1})
    one.send(None, "GET", f"{API}/runs/get", query={"run_id": "x"})
    login, made, not_deleted, nobody = lines(one)[before:]
    assert (login["user"], login["result"]) == ("erin", "login")
    assert made["user"] == "erin" and made["result"] == "changed" and made["subject"] == {"name": "audited"}
    assert made["from"] == "127.0.0.1" and made["request_id"] == answer.headers["x-request-id"]
    assert not_deleted["result"] == "refused" and not_deleted["status"] == 403
    assert not_deleted["subject"] == {"experiment_id": "0"}
    assert not_deleted["request_id"] == refused.headers["x-request-id"]
    assert nobody["result"] == "unauthenticated" and nobody["user"] is None
    text = one.audit.read_text()
    assert password("erin") not in text and password(ADMIN) not in text


def test_only_the_form_signs_somebody_up(replicas):
    one, two = replicas
    page = one.send(ADMIN, "GET", "/signup").text
    token = page.split('name=csrf_token value="')[1].split('"')[0]
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for wrong in ("", "1.x", token[:-1] + "0" if token[-1] != "0" else token[:-1] + "1"):
        body = f"csrf_token={wrong}&username=frank&password=a+long+enough+one"
        answer = one.send(ADMIN, "POST", f"{API}/users/create-ui", raw=body, headers=form)
        assert answer.status_code == 400 and "CSRF" in answer.text
    # Any server takes the token of any other.
    body = f"csrf_token={token}&username=frank&password=a+long+enough+one"
    assert "Successfully signed up" in two.send(ADMIN, "POST", f"{API}/users/create-ui", raw=body, headers=form).text
    assert "already been taken" in two.send(ADMIN, "POST", f"{API}/users/create-ui", raw=body, headers=form).text
    assert logs_in(one, "frank", "a long enough one") == 200


def user(*args: str, database: str, secret: str = "") -> subprocess.CompletedProcess:
    command = [required("FERROFLOW_BIN"), "user", *args, "--database", database]
    return subprocess.run(command, input=secret + "\n", capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("dialect", postgres.DIALECTS)
def test_users_from_the_command_line(dialect, tmp_path):
    with postgres.database(dialect, tmp_path, "cli") as backend:
        users = f"sqlite:///{tmp_path}/users.db" if dialect == "sqlite" else backend
        run = lambda *args, secret="": user(*args, database=users, secret=secret)  # noqa: E731
        assert run("add", "root", "--admin", secret=password("root")).returncode == 0
        assert run("add", "gina", secret=password("gina")).returncode == 0
        short = run("add", "hugo", secret="short")
        assert short.returncode == 1 and "12 characters" in short.stderr
        assert run("add", "gina", secret=password("gina")).returncode == 1
        assert run("role", "add", "makers").returncode == 0
        assert run("role", "grant", "makers", "registered_model", "*", "READ").returncode == 0
        assert run("role", "assign", "makers", "gina").returncode == 0
        # A role of the same name in another workspace is another role.
        assert run("role", "add", "makers", "--workspace", "team").returncode == 0
        granted = run("role", "grant", "makers", "experiment", "*", "EDIT", "--workspace", "team")
        assert granted.stdout == "the role 'makers' of workspace 'team' allows EDIT on every experiment\n"
        listed = run("role", "list").stdout
        assert listed == "makers\n\tREAD\tevery registered_model\nmakers of workspace 'team'\n\tEDIT\tevery experiment\n"
        assert run("role", "list", "--workspace", "default").stdout.splitlines()[0] == "makers"
        assert run("role", "delete", "makers", "--workspace", "team").returncode == 0
        assert run("role", "assign", "makers", "gina", "--workspace", "team").returncode == 1
        assert run("grant", "gina", "experiment", "0", "EDIT").returncode == 0
        assert run("list").stdout == "root\tadmin\t\ngina\tuser\tmakers\n"
        env = settings(tmp_path, users, admin_username="root") | {"MLFLOW_AUTH_ADMIN_PASSWORD": ""}
        args = ["--app-name", "basic-auth"]
        with servers.ferroflow(backend, tmp_path / "artifacts", args=args, env=env) as server:
            people = People(server.url)
            people.must("root", "GET", ME)
            tag = {"experiment_id": "0", "key": "k", "value": "v"}
            people.must("gina", "POST", f"{API}/experiments/set-experiment-tag", body=tag)
            assert run("revoke", "gina", "experiment", "0").returncode == 0
            gone(lambda: people.send("gina", "POST", f"{API}/experiments/set-experiment-tag", body=tag).status_code, 403)
            assert run("passwd", "gina", secret="another long password").returncode == 0
            gone(lambda: people.send("gina", "GET", ME).status_code, 401)
            assert logs_in(people, "gina", "another long password") == 200
            assert run("delete", "gina").returncode == 0
            gone(lambda: logs_in(people, "gina", "another long password"), 401)


def typed(users: str, *lines: str) -> tuple[int, str]:
    """What comes of passwords that somebody types at a terminal, and what is seen there."""
    child, terminal = pty.fork()
    if child == 0:
        os.execv(required("FERROFLOW_BIN"), ["ferroflow", "user", "passwd", "gina", "--database", users])
    seen = b""
    with contextlib.suppress(OSError):  # The end of the terminal.
        for line in lines:
            before = len(seen)
            # A colon ends each question; then the terminal is told to show nothing.
            while not seen[before:].rstrip().endswith(b":"):
                seen += os.read(terminal, 1024)
            gone(lambda: termios.tcgetattr(terminal)[3] & termios.ECHO, 0)
            os.write(terminal, line.encode() + b"\n")
        while True:
            seen += os.read(terminal, 1024)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), seen.decode()


def test_a_password_is_typed_unseen(tmp_path):
    users = f"sqlite:///{tmp_path}/users.db"
    assert user("add", "gina", database=users, secret=password("gina")).returncode == 0
    code, seen = typed(users, "a new long password", "a new long passwort")
    assert code == 1 and "the passwords differ" in seen
    code, seen = typed(users, "a new long password", "a new long password")
    assert code == 0 and "changed the password" in seen and "new long" not in seen
    assert typed(users, "short")[0] == 1


@pytest.mark.parametrize(
    "secret,words",
    [("", "needs a password"), ("password1234", "insecure default password"), ("short", "at least 12 characters")],
)
def test_there_is_no_default_password(secret, words, tmp_path):
    env = settings(tmp_path, f"sqlite:///{tmp_path}/users.db") | {"MLFLOW_AUTH_ADMIN_PASSWORD": secret}
    with pytest.raises(RuntimeError) as failed:
        with servers.ferroflow(f"sqlite:///{tmp_path}/x.db", args=["--app-name", "basic-auth"], env=env):
            pass
    assert words in str(failed.value) and "MLFLOW_AUTH_ADMIN_PASSWORD" in str(failed.value)


def test_the_password_that_everybody_knows_is_replaced(tmp_path):
    users = f"sqlite:///{tmp_path}/users.db"
    assert user("add", ADMIN, "--admin", database=users, secret="password1234").returncode == 0
    args, backend = ["--app-name", "basic-auth"], f"sqlite:///{tmp_path}/x.db"
    env = settings(tmp_path, users) | {"MLFLOW_AUTH_ADMIN_PASSWORD": "password1234"}
    with servers.ferroflow(backend, args=args, env=env) as server:
        assert logs_in(People(server.url), ADMIN, "password1234") == 401
        server.wait_logged("insecure default password")
    with servers.ferroflow(backend, args=args, env=settings(tmp_path, users)) as server:
        assert logs_in(People(server.url), ADMIN, "password1234") == 401
        assert logs_in(People(server.url), ADMIN, password(ADMIN)) == 200


def test_an_old_users_database_is_refused_or_migrated(tmp_path):
    users, backend = f"sqlite:///{tmp_path}/users.db", f"sqlite:///{tmp_path}/x.db"
    old = ["db", "upgrade", "--auth", users, "--to", "c3d4e5f6a7b8"]
    subprocess.run([required("FERROFLOW_BIN"), *old], check=True, capture_output=True, timeout=60)
    env = settings(tmp_path, users)
    with pytest.raises(RuntimeError, match="ferroflow db upgrade --auth"):
        with servers.ferroflow(backend, args=["--app-name", "basic-auth"], env=env):
            pass
    with servers.ferroflow(backend, args=["--app-name", "basic-auth", "--auto-migrate"], env=env) as server:
        assert logs_in(People(server.url), ADMIN, password(ADMIN)) == 200
