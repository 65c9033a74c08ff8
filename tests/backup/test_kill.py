"""A killed backup is no backup, and a killed restore is no server."""

import signal
import subprocess
import time

import pytest
from conftest import Home
from support import command
from work import check, log_run

RUNS = 40
KILLS = 16


@pytest.fixture
def filled(server):
    return [log_run(server.url, size=150_000) for _ in range(RUNS)]


def seconds(*args) -> float:
    """How long a command takes that is left alone."""
    start = time.monotonic()
    command.run(*args)
    return time.monotonic() - start


def kill_after(process: subprocess.Popen, seconds: float) -> bool:
    """Kills a command unless it ends before; whether it was killed."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode in (0, -signal.SIGKILL)
    return process.returncode != 0


def names(place):
    return [line.split()[0] for line in command.run("backup", place, "--list").splitlines()[1:]] if place.exists() else []


def test_a_killed_backup_is_none_and_the_next_one_is_whole(server, home, other, place, filled):
    kept = home.back_up(place)
    whole = seconds("backup", place, *home.flags, "--read-all")
    killed = 0
    for step in range(KILLS):
        before = names(place)
        filled.append(log_run(server.url, size=150_000))
        if kill_after(command.start("backup", place, *home.flags, "--read-all", "--keep", 3), whole * step / KILLS):
            killed += 1
            # Whatever is there is whole: with the new one when it was killed after that one was complete.
            command.run("backup", place, "--check")
            assert set(names(place)) - set(before) <= set(names(place)[-1:])
    assert killed >= KILLS / 4, "the backups were too fast to be killed"
    # As one leaves them that is killed while it writes a manifest or a block.
    for folder in (place / "backups", next((place / "blocks").iterdir())):
        (folder / f".mlflow-tmp-{'0' * 32}").write_bytes(b"unfinished")
    last = home.back_up(place, "--keep", 1)
    assert names(place) == [last] and last != kept
    # What killed ones had left is gone.
    assert not [path for path in place.rglob("*") if ".mlflow-tmp-" in path.name or path.name == "staging"]
    other.restore(place)
    with other.server() as restored:
        assert check(restored.url, filled) == len(filled)


@pytest.mark.parametrize("force", [False, True], ids=["new", "over"])
def test_a_killed_restore_leaves_no_half_server(server, home, other, place, filled, force, tmp_path):
    home.back_up(place)
    (tmp_path / "unharmed").mkdir()
    whole = seconds("restore", place, *Home(tmp_path / "unharmed").flags)
    if force:
        with other.server() as previous:
            log_run(previous.url)
    killed = 0
    for step in range(KILLS):
        args = ["--force"] if force or other.artifacts.exists() else []
        was = other.database.exists()
        if not kill_after(command.start("restore", place, *other.flags, *args), whole * step / KILLS):
            break
        killed += 1
        # Only a restore that came to its end puts a new database there: with everything it needs.
        if other.database.exists() and not was:
            with other.server() as restored:
                assert check(restored.url, filled) == len(filled)
    assert killed >= KILLS / 4, "the restore was too fast to be killed"
    if not other.database.exists() or force:
        other.restore(place, "--force")
    with other.server() as restored:
        assert check(restored.url, filled) == len(filled)
    assert not [path for path in other.folder.iterdir() if path.name.endswith(".restoring")]


def test_two_backups_at_once_do_not_mix(server, home, place, filled):
    processes = [command.start("backup", place, *home.flags) for _ in range(3)]
    errors = [process.communicate(timeout=command.SECONDS)[1] for process in processes]
    codes = [process.returncode for process in processes]
    assert codes.count(0) >= 1
    for code, error in zip(codes, errors, strict=True):
        assert code == 0 or "another backup is running" in error, error
    command.run("backup", place, "--check")
    assert len(names(place)) == codes.count(0)
