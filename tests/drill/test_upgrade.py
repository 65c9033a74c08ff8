"""A server of an old release is replaced by one of today, as the guide says, while people read from it.

The database is upgraded by the very command that the chart's Template runs. Readers ask all the time, the old server until
the new one is ready, as a Service would have them; each answer that is not right is counted.
"""

import json
import os
import shutil
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
import requests
from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore
from support import required
from support.chart import env, objects, runnable, with_databases
from support.postgres import database
from support.servers import ferroflow, running

FILL = Path(__file__).parents[1] / "migrations/fill_release.py"
READERS = 4

SERVE = """
import os, sys
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
# Imported before it knows that it is a server: its checks of hosts need a package that is not in that environment.
from mlflow.server import app
from werkzeug.serving import run_simple
os.environ["_MLFLOW_SERVER_FILE_STORE"] = options["--backend-store-uri"]
os.environ["_MLFLOW_SERVER_ARTIFACT_ROOT"] = options["--artifacts-destination"]
run_simple(options["--host"], int(options["--port"]), app, threaded=True)
"""

PHASES = ("the old server", "while the database is upgraded", "while the new server starts", "the new server")


class Readers:
    """Threads that read what was there from the beginning, from wherever they are sent."""

    def __init__(self, url: str, runs: dict):
        self.url, self.runs = url, runs
        self.phase = PHASES[0]
        self.answers, self.wrong = Counter(), Counter()
        self.examples: dict[str, str] = {}
        #: Whom each thread asks at this moment.
        self.asked: dict[int, str] = {}
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._read) for _ in range(READERS)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(120)

    def move(self, url: str) -> None:
        """Asks another server from now on. What is under way ends where it began."""
        old, self.url = self.url, url
        wait_for(lambda: old not in self.asked.values())

    def _read(self):
        session = requests.Session()
        while not self._stop.is_set():
            for run, content in self.runs.items():
                phase, url = self.phase, self.url
                self.asked[threading.get_ident()] = url
                try:
                    answer = session.get(f"{url}/api/2.0/mlflow/runs/get", params={"run_id": run}, timeout=30)
                    found = answer.json()["run"]["data"] if answer.status_code == 200 else {}
                    right = {param["key"]: param["value"] for param in found.get("params", [])} == content["params"]
                    reason = f"{answer.status_code} {answer.text[:200]}"
                except requests.RequestException as error:
                    right, reason = False, type(error).__name__
                self.answers[phase] += 1
                if not right:
                    self.wrong[phase] += 1
                    self.examples.setdefault(phase, reason)
                self._stop.wait(0.02)

    def enter(self, phase: str, least: int = 20) -> None:
        """Begins a phase, after enough answers in the one before."""
        wait_for(lambda: self.answers[self.phase] >= least)
        self.phase = phase


def wait_for(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("release", ["2.22.5", "3.5.0"])
def test_a_server_of_an_old_release_becomes_one_of_today(release, figures, tmp_path):
    with database("postgresql", tmp_path, "drill") as tracking, database("postgresql", tmp_path, "drill_users") as users:
        found = fill(release, tracking, users, tmp_path)
        with old_server(release, tracking, tmp_path) as old, Readers(old.url, found["runs"]) as readers:
            readers.enter(PHASES[1])
            began = time.monotonic()
            migrate(tracking, users, tmp_path)
            migrated = time.monotonic() - began
            # Again, as somebody will who is not sure: nothing is left to do.
            migrate(tracking, users, tmp_path)
            readers.enter(PHASES[2], least=0)
            with ferroflow(tracking, tmp_path / "artifacts") as new:
                assert requests.get(f"{new.url}/readyz", timeout=30).status_code == 200
                readers.move(new.url)
                readers.enter(PHASES[3], least=0)
                old.stop()
                wait_for(lambda: readers.answers[PHASES[3]] >= 200)
                readers.stop()

        counted = ", ".join(f"{phase} {readers.wrong[phase]} of {readers.answers[phase]}" for phase in PHASES)
        figures.append(f"from {release}: migrated in {migrated:.1f} s; wrong answers: {counted} {readers.examples or ''}")
        assert readers.wrong[PHASES[0]] == readers.wrong[PHASES[3]] == 0, readers.examples

        store = SqlAlchemyStore()
        store.init_db(users.replace("postgresql://", "postgresql+psycopg2://"))
        assert store.authenticate_user("grace", "a long password 1"), "users log in with the passwords that they had"
        store.engine.dispose()


def fill(release: str, tracking: str, users: str, folder: Path) -> dict:
    """A database that the old release makes and fills itself."""
    uris = [uri.replace("postgresql://", "postgresql+psycopg2://") for uri in (tracking, users)]
    done = subprocess.run(
        [python(release), "-W", "ignore", FILL, uris[0], str(folder / "artifacts"), uris[1]],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


def old_server(release: str, tracking: str, folder: Path):
    """The application of the old release. The environments of releases have no server for production."""
    uri = tracking.replace("postgresql://", "postgresql+psycopg2://")
    return running([python(release), "-W", "ignore", "-c", SERVE], uri, folder / "artifacts", [], {}, None, folder)


def migrate(tracking: str, users: str, folder: Path) -> None:
    """Runs the container of the chart's migration on these databases."""
    [job] = objects("openshift").one("Template", "mlflow-migrate")["objects"]
    [container] = job["spec"]["template"]["spec"]["containers"]
    (folder / "auth").mkdir(exist_ok=True)
    (folder / "auth/basic-auth.ini").write_text("[mlflow]\ndefault_permission = READ\ndatabase_uri = postgresql://elsewhere/x\n")
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    if not (programs / "ferroflow").exists():
        (programs / "ferroflow").symlink_to(shutil.which(required("FERROFLOW_BIN")))
    variables = {name: value for name, value in env(container).items() if isinstance(value, str)}
    server = requests.utils.urlparse(tracking)
    # Where the cluster's databases are, in the words of the Secret of this one.
    here = {"PGHOST": server.hostname, "PGPORT": str(server.port), "PGUSER": server.username, "PGPASSWORD": "", "PGSSLMODE": "disable"}
    variables.pop("PGSSLROOTCERT")
    databases = {"mlflow_auth": users, "mlflow": tracking}
    command = with_databases(runnable(container, folder), databases)
    [variables["MLFLOW_BACKEND_STORE_URI"]] = with_databases([variables["MLFLOW_BACKEND_STORE_URI"]], databases)
    done = subprocess.run(command, env=variables | here | {"PATH": f"{programs}:/usr/bin:/bin"}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("The databases are up to date.\n")


def python(release: str) -> str:
    return str(Path(required("FERROFLOW_RELEASES")) / release / "bin/python")
