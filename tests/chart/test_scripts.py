"""The shell scripts that the chart renders, run."""

import configparser
import os
import socket
import subprocess

import pytest
from support.chart import containers, env, objects, runnable

INI = """\
[mlflow]
default_permission = READ
database_uri = postgresql://mlflow:old@pg-cluster-v1-rw:5432/users
admin_username = admin
admin_password = pa%ss=wo;rd
"""


@pytest.fixture
def run(tmp_path):
    """Runs the script of a container with its variables; the programs that it ends in say how they were called."""

    def run(container, ini=INI, **variables):
        mounted = tmp_path / "auth"
        mounted.mkdir(exist_ok=True)
        (mounted / "basic-auth.ini").write_text(ini)
        programs = tmp_path / "bin"
        programs.mkdir(exist_ok=True)
        for name in ("ferroflow", "mlflow", "python"):
            program = programs / name
            program.write_text('#!/bin/bash\nprintf "%s\\n" "$0 $*" "key=$MLFLOW_FLASK_SERVER_SECRET_KEY" >>"$CALLS"\n')
            program.chmod(0o755)
        calls = tmp_path / "calls"
        calls.unlink(missing_ok=True)
        plain = {name: value for name, value in env(container).items() if isinstance(value, str)}
        done = subprocess.run(
            runnable(container, tmp_path),
            env={"PATH": f"{programs}{os.pathsep}/usr/bin:/bin", "CALLS": str(calls), **plain, **variables},
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.returncode == 0, done.stderr
        written = configparser.ConfigParser(interpolation=None)
        written.read(tmp_path / "basic-auth.ini")
        assert (tmp_path / "basic-auth.ini").stat().st_mode & 0o077 == 0, "others could read the password"
        return calls.read_text().replace(f"{programs}/", "").splitlines(), written["mlflow"]

    return run


@pytest.mark.parametrize(
    "ini",
    [
        INI,
        INI.replace("database_uri = ", "database_uri="),
        INI.replace("database_uri = ", "  database_uri : ").replace("  database_uri", "database_uri"),
        "".join(line for line in INI.splitlines(keepends=True) if "database_uri" not in line),
        "# a comment\n\n" + INI + "[more]\ndatabase_url = x\n",
    ],
)
def test_users_are_in_the_database_of_today_whatever_the_file_says(run, ini):
    calls, written = run(objects("openshift-recovery").server, ini)
    assert written["database_uri"] == "postgresql+psycopg2:///mlflow_auth"
    assert {key: written[key] for key in ("default_permission", "admin_username", "admin_password")} == {
        "default_permission": "READ",
        "admin_username": "admin",
        "admin_password": "pa%ss=wo;rd",
    }
    assert calls[0].startswith("ferroflow server --app-name=basic-auth --host=0.0.0.0 --port=5000")


def test_users_are_where_the_file_says_on_request(run):
    _, written = run(objects("kubernetes-own-ini").server)
    assert written["database_uri"] == "postgresql://mlflow:old@pg-cluster-v1-rw:5432/users"


def test_every_replica_has_the_same_key_of_forms_and_nobody_else(run):
    server = objects("openshift-mlflow").server
    keys = [run(server, ini, PGPASSWORD=password)[0][1] for ini, password in ((INI, "a"), (INI, "a"), (INI, "b"), (INI + "\n", "a"))]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3
    assert all(len(key) == len("key=") + 64 for key in keys)
    # A key that somebody made is left alone.
    calls, _ = run(objects("kubernetes-own-ini").server, MLFLOW_FLASK_SERVER_SECRET_KEY="given")
    assert calls[1] == "key=given"


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("openshift", ["ferroflow db upgrade postgresql+psycopg2:///mlflow", "ferroflow db upgrade --auth postgresql+psycopg2:///mlflow_auth"]),
        ("openshift-mlflow", ["mlflow db upgrade postgresql+psycopg2:///mlflow", "python -m mlflow.server.auth db upgrade --url postgresql+psycopg2:///mlflow_auth"]),
    ],
)
def test_the_migration_upgrades_both_databases(run, case, expected):
    [job] = objects(case).one("Template")["objects"]
    calls, _ = run(job["spec"]["template"]["spec"]["containers"][0])
    assert calls[::2] == expected


@pytest.mark.parametrize("case", ["openshift", "openshift-everything", "kubernetes-try-out-users", "kubernetes-own-ini"])
def test_scripts_are_well_formed(case, tmp_path):
    rendered = objects(case)
    scripts = [argument for _, spec in rendered.pods() for c in containers(spec) if c["command"] == ["bash", "-c"] for argument in c["args"][:1]]
    scripts += [text for o in rendered if o["kind"] == "ConfigMap" for name, text in o["data"].items() if name.endswith(".sh")]
    assert scripts
    for script in scripts:
        done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_waiting_ends_when_the_database_listens():
    [wait] = [c for c in objects("openshift").one("Deployment")["spec"]["template"]["spec"]["initContainers"]]
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        variables = {"PATH": "/usr/bin:/bin", "PGHOST": "127.0.0.1", "PGPORT": str(listener.getsockname()[1])}
        waiting = subprocess.Popen([*wait["command"], *wait["args"]], env=variables, stdout=subprocess.PIPE, text=True)
        assert "waiting for the database at 127.0.0.1" in waiting.stdout.readline()
        listener.listen()
        assert waiting.wait(30) == 0


URI = "postgresql://mlflow:p%40ss%2Fword@db.example:6432/mlflow?sslmode=require"


@pytest.mark.parametrize(
    ("case", "variables", "users"),
    [
        ("kubernetes-external-uri", {"MLFLOW_BACKEND_STORE_URI": URI}, URI),
        ("kubernetes-external-uris", {"MLFLOW_BACKEND_STORE_URI": URI, "FERROFLOW_USERS_URI": "postgresql://u:a%26b%7Cc@db/users"}, "postgresql://u:a%26b%7Cc@db/users"),
    ],
)
def test_users_are_in_the_database_of_the_secret_s_uri(run, case, variables, users):
    _, written = run(objects(case).server, INI.rstrip(), **variables)
    assert written["database_uri"] == users.replace("%", "%%"), "a parser of such files reads %% as %"
    assert written["admin_password"] == "pa%ss=wo;rd"
    job = objects(case).one("CronJob", "mlflow-migrate")["spec"]["jobTemplate"]
    calls, _ = run(job["spec"]["template"]["spec"]["containers"][0], **variables)
    assert calls[::2] == [f"ferroflow db upgrade {URI}", f"ferroflow db upgrade --auth {users}"]


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://u:p%40@127.0.0.1:{port}/db",
        "postgres://u:p@127.0.0.1:{port},other:1/db?sslmode=require",
        "postgresql+psycopg2://127.0.0.1:{port}",
        "postgresql://u:p@[::1]:{port}/db",
    ],
)
def test_waiting_finds_the_address_in_a_uri(uri):
    [wait] = objects("kubernetes-external-uri").one("Deployment")["spec"]["template"]["spec"]["initContainers"]
    family, host = (socket.AF_INET6, "::1") if "[" in uri else (socket.AF_INET, "127.0.0.1")
    with socket.socket(family) as listener:
        listener.bind((host, 0))
        listener.listen()
        variables = {"PATH": "/usr/bin:/bin", "MLFLOW_BACKEND_STORE_URI": uri.format(port=listener.getsockname()[1])}
        subprocess.run([*wait["command"], *wait["args"]], env=variables, check=True, timeout=30)


def test_a_uri_without_a_port_has_the_usual_one():
    [wait] = objects("kubernetes-external-uri").one("Deployment")["spec"]["template"]["spec"]["initContainers"]
    script = wait["args"][0].split("until")[0] + 'echo "$PGHOST $PGPORT"'
    for uri, address in (("postgresql://u@db.example/x", "db.example 5432"), ("postgresql://[fd00::1]/x", "fd00::1 5432")):
        done = subprocess.run(["bash", "-c", script], env={"MLFLOW_BACKEND_STORE_URI": uri}, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == address


def test_the_hook_does_not_wait_for_a_cluster_that_helm_makes_after_it(tmp_path):
    """The upgrade that begins a recovery names a cluster that is not there yet."""
    spec = objects("kubernetes-flux").one("Job")["spec"]["template"]["spec"]
    for name, code in (("getent", 2), ("sleep", 0)):
        (tmp_path / name).write_text(f"#!/bin/sh\nexit {code}\n")
        (tmp_path / name).chmod(0o755)
    for container in containers(spec):
        done = subprocess.run(
            [*container["command"], *container["args"]],
            env={"PATH": f"{tmp_path}{os.pathsep}/usr/bin:/bin", "PGHOST": "pg-cluster-v2-rw", "PGPORT": "5432"},
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.returncode == 0, done.stderr
        assert "There is no cluster at pg-cluster-v2-rw yet" in done.stdout


def test_the_hook_upgrades_a_database_that_is_there(run, tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/getent").write_text("#!/bin/sh\nexit 0\n")
    (tmp_path / "bin/getent").chmod(0o755)
    [container] = objects("kubernetes-flux").one("Job")["spec"]["template"]["spec"]["containers"]
    calls, _ = run(container)
    assert calls[::2] == ["ferroflow db upgrade postgresql+psycopg2:///mlflow", "ferroflow db upgrade --auth postgresql+psycopg2:///mlflow_auth"]
