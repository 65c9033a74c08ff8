"""PostgreSQL servers as CloudNativePG runs them: archiving into a bucket, made anew or from a backup in it.

The operator and its plugin run the same programs, ``barman-cloud-…``, with the same arguments.
"""

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg2
from support import required
from support.ports import free_port
from support.postgres_programs import as_user, ask, give, program

#: Seconds until a server accepts connections, a restored one after reading its whole log.
START_SECONDS = 120


@dataclass(frozen=True)
class Bucket:
    """A folder in a bucket with the backups of any number of clusters."""

    endpoint: str
    destination: str

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": "drill",
            "AWS_SECRET_ACCESS_KEY": "drill",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
            "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
        }

    def command(self, tool: str, *arguments: str, options: tuple[str, ...] = ()) -> list[str]:
        program = str(Path(required("FERROFLOW_BARMAN")) / f"barman-cloud-{tool}")
        return [program, "--endpoint-url", self.endpoint, *options, self.destination, *arguments]

    def run(self, tool: str, *arguments: str, options: tuple[str, ...] = (), **more) -> subprocess.CompletedProcess:
        return subprocess.run(
            self.command(tool, *arguments, options=options), env=_system() | self.environment | more, capture_output=True, text=True, timeout=300
        )

    def backups(self, server_name: str) -> list[dict]:
        """The base backups of a cluster, the oldest first."""
        listed = self.run("backup-list", server_name, options=("--format", "json"))
        assert listed.returncode == 0, listed.stderr
        return sorted(json.loads(listed.stdout)["backups_list"], key=lambda backup: backup["begin_time_iso"])

    def archive_is_empty(self, server_name: str) -> bool:
        """What the operator asks before a new cluster may archive under a name."""
        return self.run("check-wal-archive", server_name).returncode == 0


@dataclass
class Cluster:
    """A running server with the databases of the chart, which archives under its own name."""

    name: str
    bucket: Bucket
    data: Path
    port: int
    process: subprocess.Popen
    #: Seconds from the first step until it accepted writes.
    took: float = 0.0
    stopped: bool = field(default=False)

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def sql(self, statement: str, database: str = "postgres") -> list[tuple]:
        return ask(self.url(database), statement)

    def backup(self) -> None:
        """Takes a base backup, as a ScheduledBackup does."""
        options = ("--gzip", "--immediate-checkpoint", "--host", "127.0.0.1", "--port", str(self.port), "--user", "postgres")
        done = self.bucket.run("backup", self.name, options=options)
        assert done.returncode == 0, done.stderr

    def archive(self) -> None:
        """Has everything archived that was committed."""
        [(segment,)] = self.sql("SELECT pg_walfile_name(pg_switch_wal())")
        self.wait_until(f"SELECT last_archived_wal >= '{segment}' FROM pg_stat_archiver", "the log was not archived")

    def wait_until(self, question: str, complaint: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                if self.sql(question) == [(True,)]:
                    return
            except psycopg2.OperationalError:
                # It answers while it recovers, and ends when it cannot go on.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(5)
                    raise RecoveryFailed(self.log) from None
            assert time.monotonic() < deadline, f"{complaint}:\n{self.log}"
            time.sleep(0.1)

    @property
    def log(self) -> str:
        return (self.data.parent / f"{self.data.name}.log").read_text(errors="replace")[-4000:]

    def kill(self) -> None:
        """Ends it as a lost node does: nothing is written or archived any more."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)
        self.stopped = True

    def stop(self) -> None:
        if not self.stopped and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.kill()
        self.stopped = True


class RecoveryFailed(Exception):
    """The server gave up; the message is the end of its log."""


@contextlib.contextmanager
def new(name: str, bucket: Bucket, archive_timeout: int = 0) -> Iterator[Cluster]:
    """``bootstrap.initdb`` of the chart: an owner and its two databases."""
    assert bucket.archive_is_empty(name), f"there is an archive of {name} already"
    with _folder() as folder:
        data = folder / name
        made = subprocess.run(
            as_user([program("initdb"), "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums", f"--pgdata={data}"]),
            capture_output=True,
            text=True,
            cwd=folder,
        )
        assert made.returncode == 0, made.stderr
        with _started(name, bucket, data, archive_timeout) as cluster:
            cluster.sql('CREATE ROLE "mlflow" LOGIN')
            cluster.sql('CREATE DATABASE "mlflow_auth" OWNER "mlflow" TEMPLATE template0')
            cluster.sql('CREATE DATABASE "mlflow" OWNER "mlflow"')
            yield cluster


@contextlib.contextmanager
def recovered(name: str, source: str, bucket: Bucket, target_time: str = "") -> Iterator[Cluster]:
    """``bootstrap.recovery`` of the chart: a new cluster from the newest backup of another one before the target."""
    began = time.monotonic()
    assert bucket.archive_is_empty(name), f"there is an archive of {name} already"
    backups = bucket.backups(source)
    if target_time:
        backups = [backup for backup in backups if backup["end_time_iso"] <= target_time]
    with _folder() as folder:
        data = folder / name
        data.mkdir(mode=0o700)
        done = bucket.run("restore", source, backups[-1]["backup_id"], str(data))
        assert done.returncode == 0, done.stderr
        fetch = shlex.join(bucket.command("wal-restore", source)) + " %f %p"
        settings = [f"restore_command = '{fetch}'", "recovery_target_timeline = latest", "recovery_target_action = promote"]
        if target_time:
            settings.append(f"recovery_target_time = '{target_time}'")
        with (data / "postgresql.auto.conf").open("a") as file:
            file.write("\n".join(["", *settings, ""]))
        (data / "recovery.signal").touch()
        give(data)
        with _started(name, bucket, data, 0) as cluster:
            cluster.wait_until("SELECT NOT pg_is_in_recovery()", "the recovery does not end")
            cluster.took = time.monotonic() - began
            yield cluster


@contextlib.contextmanager
def _started(name: str, bucket: Bucket, data: Path, archive_timeout: int) -> Iterator[Cluster]:
    port = free_port()
    archive = shlex.join(bucket.command("wal-archive", name, options=("--gzip",))) + " %p"
    settings = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "archive_mode": "on",
        "archive_command": archive,
        "archive_timeout": str(archive_timeout),
        "wal_level": "replica",
        # Tests kill servers, never the machine.
        "fsync": "off",
    }
    arguments = [argument for key, value in settings.items() for argument in ("-c", f"{key}={value}")]
    with (data.parent / f"{data.name}.log").open("wb") as log:
        process = subprocess.Popen(
            as_user([program("postgres"), "-D", str(data), "-p", str(port), *arguments]),
            cwd=data.parent,
            env=_system() | bucket.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    cluster = Cluster(name, bucket, data, port, process)
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            if process.poll() is not None:
                raise RecoveryFailed(cluster.log)
            with contextlib.suppress(psycopg2.OperationalError):
                cluster.sql("SELECT 1")
                break
            assert time.monotonic() < deadline, f"{name} does not start:\n{cluster.log}"
            time.sleep(0.1)
        yield cluster
    finally:
        cluster.stop()


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="ferroflow-drill-"))
    try:
        give(folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _system() -> dict[str, str]:
    return {"PATH": f"{required('FERROFLOW_POSTGRES_BIN')}{os.pathsep}/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/tmp"}
