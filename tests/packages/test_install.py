"""A fresh environment with the wheel, or the unpacked archive, serves MLflow with its UI: no Python, no download."""

import contextlib
import os
import signal
import subprocess
import urllib.request
from pathlib import Path

import pytest
from conftest import on_path, run
from mlflow import MlflowClient
from support import required
from support.ports import free_port
from support.servers import Server


def pip(wheel: Path, folder: Path, env: dict[str, str]) -> list:
    """``pip install ferroflow``, and the command that starts what it installed."""
    # With pip, which comes from this machine's package index, and installs from none.
    run([required("FERROFLOW_UV"), "venv", "--quiet", "--no-project", "--seed", folder / "venv"], dict(os.environ))
    run([folder / "venv/bin/python", "-m", "pip", "install", "--quiet", wheel], env)
    return [folder / "venv/bin/ferroflow"]


def uv_tool(wheel: Path, folder: Path, env: dict[str, str]) -> list:
    """``uv tool install ferroflow``: the program is a link into an environment of its own."""
    run([required("FERROFLOW_UV"), "tool", "install", "--quiet", "--offline", wheel], env)
    return [Path(env["HOME"]) / ".local/bin/ferroflow"]


def uvx(wheel: Path, folder: Path, env: dict[str, str]) -> list:
    """``uvx ferroflow``."""
    return [required("FERROFLOW_UV"), "tool", "run", "--quiet", "--offline", "--from", wheel, "ferroflow"]


def archive(wheel: Path, folder: Path, env: dict[str, str]) -> list:
    """The archive, unpacked."""
    [file] = wheel.parent.glob("*.tar.gz")
    run(["tar", "-xzf", file, "-C", folder], env)
    return [folder / file.name.removesuffix(".tar.gz") / "bin/ferroflow"]


@pytest.mark.rotates
@pytest.mark.parametrize("install", [pip, uv_tool, uvx, archive], ids=lambda install: install.__name__)
def test_what_is_installed_serves(install, wheel, tmp_path, machine):
    command = install(wheel, tmp_path, machine)
    assert run([*command, "--version"], machine).startswith("ferroflow ")
    with started(command, tmp_path, machine) as server:
        # The UI is there at once, with its scripts: it came with the package.
        page = read(server.url)
        assert "<title>MLflow</title>" in page, page
        script = page.partition('src="static-files/')[2].partition('"')[0]
        assert len(read(f"{server.url}/static-files/{script}")) > 100_000
        client = MlflowClient(server.url)
        logged = client.create_run("0")
        client.log_metric(logged.info.run_id, "loss", 0.25)
        client.log_text(logged.info.run_id, "hello", "note.txt")
        assert client.get_run(logged.info.run_id).data.metrics == {"loss": 0.25}
        assert [file.path for file in client.list_artifacts(logged.info.run_id)] == ["note.txt"]
    # As the reference does: in the folder that it was started in.
    assert (tmp_path / "mlflow.db").exists() and (tmp_path / "mlartifacts").is_dir()


@contextlib.contextmanager
def started(command: list, folder: Path, env: dict[str, str]):
    """The server, with nothing said but a free port."""
    port = free_port()
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*map(str, command), "server", "--port", str(port)],
            cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    server = Server(process, f"http://127.0.0.1:{port}", log)
    try:
        server.wait_healthy()
        yield server
        assert server.stop() in (0, -signal.SIGTERM), server.logs
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.read().decode()


def test_kubectl_and_oc_find_the_plug_in(wheel, tmp_path, machine):
    """Both are found by name, of the wheel and of the archive. (kubectl looks for plug-ins as oc does.)"""
    for install in (uv_tool, archive):
        [program] = install(wheel, tmp_path, machine)
        env = on_path(program.parent, machine)
        kubectl = required("FERROFLOW_KUBECTL")
        assert str(program.parent / "kubectl-ferroflow") in run([kubectl, "plugin", "list"], env)
        assert "--look-inside" in run([kubectl, "ferroflow", "doctor", "--help"], env)
