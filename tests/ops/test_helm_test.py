"""``helm test``: what its pod runs, where the bucket is not there. `tests/drill` has it where the server is not."""

import os
import subprocess

from support import chart, command, required, stores
from support.ports import free_port
from support.servers import ferroflow

HOST = "host=mlflow.research.svc\nport=5000"


def pod(endpoint: str) -> dict[str, dict]:
    made = chart.objects("kubernetes", f"s3.endpointUrl={endpoint}").one("Pod", "mlflow-test")
    return {container["name"]: container for container in made["spec"]["containers"]}


def ask(container: dict, port: int) -> subprocess.CompletedProcess:
    """Runs the script of the container, with the Service at a port of this machine."""
    [script] = container["args"]
    assert HOST in script
    script = script.replace(HOST, f"host=127.0.0.1\nport={port}")
    return subprocess.run([*container["command"], script], capture_output=True, text=True, timeout=60)


def test_a_server_without_its_bucket_fails(tmp_path, store):
    nowhere = store.env | {"MLFLOW_S3_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}"}
    with ferroflow(f"sqlite:///{tmp_path}/mlflow.db", "s3://team-mlflow/artifacts", env=nowhere) as server:
        done = ask(pod(store.endpoint)["test"], int(server.url.rsplit(":", 1)[1]))
        assert done.returncode == 1 and "GET /readyz: 503" in done.stdout


def test_the_bucket_is_written_to(store):
    container = pod(store.endpoint)["bucket"]
    [program, *arguments] = container["command"]
    assert program == "ferroflow" and container["envFrom"] == [{"secretRef": {"name": "s3-credentials"}}]
    plain = {name: value for name, value in chart.env(container).items() if isinstance(value, str)}
    keys = {"AWS_ACCESS_KEY_ID": stores.KEY, "AWS_SECRET_ACCESS_KEY": stores.SECRET}
    assert '"failed":null' in command.run(*arguments, env=plain | keys)
    wrong = plain | keys | {"AWS_SECRET_ACCESS_KEY": "another"}
    done = subprocess.run([required("FERROFLOW_BIN"), *arguments], env=os.environ | wrong, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1 and "SignatureDoesNotMatch" in done.stdout
