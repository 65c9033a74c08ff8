"""The server's container as the chart renders it, run: its script, its flags, its variables, and `helm test` against it."""

import os
import re
import subprocess
import time
from pathlib import Path

import pytest
import requests
from support import required
from support.chart import env, objects, runnable, with_databases
from support.ports import free_port
from support.postgres import create, drop
from support.servers import Server

PASSWORD = "the administrator's own"

#: Values of settings that are lists or numbers to the server.
SETTINGS = ("quotas.hard.experiment\\.runs=100000", "quotas.soft.workspace\\.points=500000000", "mlflow.slowStatementSeconds=2")


@pytest.fixture
def server(tmp_path):
    url, users = create("served"), create("served_users")
    container = objects("openshift", *SETTINGS).server
    port = free_port()
    (tmp_path / "auth").mkdir()
    (tmp_path / "auth/basic-auth.ini").write_text(f"[mlflow]\ndefault_permission = READ\nadmin_username = admin\nadmin_password = {PASSWORD}\n")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/ferroflow").symlink_to(Path(required("FERROFLOW_BIN")).absolute())
    there = requests.utils.urlparse(url)
    variables = {name: value for name, value in env(container).items() if isinstance(value, str)} | {
        "PATH": f"{tmp_path}/bin{os.pathsep}/usr/bin:/bin",
        "PGHOST": there.hostname,
        "PGPORT": str(there.port),
        "PGUSER": there.username,
        "PGPASSWORD": "",
        "PGSSLMODE": "disable",
        "HOME": str(tmp_path),
        "FERROFLOW_UI_DIR": required("FERROFLOW_UI_DIR"),
        "MLFLOW_ARTIFACTS_DESTINATION": str(tmp_path / "artifacts"),
        "MLFLOW_BACKEND_STORE_URI": f"postgresql+psycopg2:///{there.path[1:]}",
    }
    variables.pop("PGSSLROOTCERT")
    command = [part.replace("--port=5000", f"--port={port}") for part in runnable(container, tmp_path)]
    command = with_databases(command, {"mlflow_auth": users})
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=variables, cwd=tmp_path, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    server = Server(process, f"http://127.0.0.1:{port}", log)
    try:
        server.wait_healthy()
        yield server
    finally:
        server.kill()
        drop(url)
        drop(users)


def test_it_starts_knows_its_hosts_asks_for_a_login_and_stops(server):
    ask = lambda path, host, **more: requests.get(f"{server.url}{path}", headers={"Host": host}, timeout=30, **more)
    for probe in ("/livez", "/readyz"):
        assert ask(probe, "localhost").status_code == 200
    call = "/api/2.0/mlflow/experiments/get?experiment_id=0"
    assert ask(call, "mlflow.research.svc:5000").status_code == 401
    for host in ("mlflow", "mlflow.research.svc:5000", "mlflow-research.apps.cluster.example", "10.128.0.7:5000"):
        assert ask(call, host, auth=("admin", PASSWORD)).status_code == 200, host
    assert ask(call, "evil.example", auth=("admin", PASSWORD)).status_code == 403
    # The shell has made way for the server, which gets the signal that Kubernetes sends.
    assert server.stop() == 0


def test_its_quotas_are_those_of_the_values(server):
    expected = {f'ferroflow_quotas_reached{{quota="{quota}",limit="hard"}} 0' for quota in ("experiment.runs", "workspace.points")}
    deadline = time.monotonic() + 60
    while not expected <= (found := set(requests.get(f"{server.url}/metrics", auth=("admin", PASSWORD), timeout=30).text.splitlines())):
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def test_helm_test_tells_a_server_that_works_from_one_that_does_not(server):
    [container, _] = objects("openshift").one("Pod", "mlflow-test")["spec"]["containers"]
    port = server.url.rsplit(":", 1)[1]
    script = re.sub(r"^port=.*$", f"port={port}", re.sub(r"^host=.*$", "host=127.0.0.1", container["args"][0], flags=re.MULTILINE), flags=re.MULTILINE)
    run = lambda: subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60)
    done = run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == ["GET /health: 200", "GET /readyz: 200"]
    server.kill()
    assert run().returncode != 0
