"""A backup while the server serves, and what a restored server has."""

import hashlib
import json
import os
import sqlite3
import stat
import subprocess
import time
from datetime import datetime, timezone

import mlflow
from mlflow import MlflowClient
from support import command, required
from work import Client, call, check, log_run


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def blocks(place):
    return {path.name for path in (place / "blocks").rglob("*") if path.is_file()}


def listed(place):
    return [line.split() for line in command.run("backup", place, "--list").splitlines()[1:]]


def test_a_backup_under_load_has_everything_that_was_acknowledged(server, home, other, place):
    clients = [Client(server.url) for _ in range(6)]
    for client in clients:
        client.start()
    try:
        for _ in range(3):
            for client in clients:
                client.log(5)
            before = [run for client in clients for run in list(client.logged)]
            home.back_up(place)
    finally:
        for client in clients:
            client.stop()
    said = other.restore(place)
    with other.server() as restored:
        runs = check(restored.url, before)
        assert f"{runs} runs" in said
        assert call(restored.url, "runs/create", experiment_id="0")["run"]["info"]["lifecycle_stage"] == "active"


def test_the_official_sdk_reads_what_was_restored(server, home, other, place, tmp_path):
    client = MlflowClient(server.url)
    experiment = client.create_experiment("ünïcode/experiment")
    run = client.create_run(experiment, run_name="one").info.run_id
    client.log_param(run, "lr", "0.1")
    for step in range(50):
        client.log_metric(run, "loss", 1 / (step + 1), step=step)
    client.log_text(run, "hello", "notes/100% done.txt")
    client.create_registered_model("model")
    client.create_model_version("model", f"runs:/{run}/model", run)
    client.set_registered_model_alias("model", "champion", "1")
    home.back_up(place)
    server.stop()

    other.restore(place)
    with other.server() as restored:
        client = MlflowClient(restored.url)
        found = client.search_runs([client.get_experiment_by_name("ünïcode/experiment").experiment_id])
        assert [(one.info.run_id, one.data.params) for one in found] == [(run, {"lr": "0.1"})]
        assert [point.step for point in client.get_metric_history(run, "loss")] == list(range(50))
        assert client.get_model_version_by_alias("model", "champion").run_id == run
        mlflow.set_tracking_uri(restored.url)
        assert [file.path for file in client.list_artifacts(run, "notes")] == ["notes/100% done.txt"]
        assert mlflow.artifacts.load_text(f"{found[0].info.artifact_uri}/notes/100%25 done.txt") == "hello"


def test_what_did_not_change_is_not_copied_again(server, home, place):
    for _ in range(3):
        log_run(server.url, size=200_000)
    settle(home.artifacts)
    home.back_up(place)
    before = blocks(place)
    log_run(server.url, size=200_000)
    out = command.run("backup", place, *home.flags)
    assert "3 of 4 artifacts were in an older backup" in out
    new = blocks(place) - before
    # The new artifact, and the piece of the database that changed.
    assert len(new) == 2, new
    # A file with the size and the time of another content is found by reading it.
    changed = next(home.artifacts.rglob("weights.bin"))
    times = changed.stat()
    changed.write_bytes(b"\0" * times.st_size)
    os.utime(changed, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert "0 of 4 artifacts" in command.run("backup", place, *home.flags, "--read-all")
    assert len(blocks(place) - before - new) == 1


def test_what_the_place_has_lost_is_written_again(server, home, other, place):
    """Whoever relies on what older backups say that is there has no backup at all."""
    runs = [log_run(server.url, size=size) for size in (200_000, 300_000)]
    settle(home.artifacts)
    home.back_up(place)
    by_size = {path.stat().st_size: path for path in (place / "blocks").rglob("*") if path.is_file()}
    by_size[200_000].unlink()
    by_size[300_000].write_bytes(b"short")
    for database in [path for size, path in by_size.items() if size not in (200_000, 300_000)]:
        database.unlink()
    process = command.start("backup", place, *home.flags, "--keep", 1)
    out, error = process.communicate(timeout=command.SECONDS)
    assert process.returncode == 0, error
    assert "of older backups are missing or truncated" in error, error
    assert "0 of 2 artifacts were in an older backup" in out
    command.run("backup", place, "--check")
    other.restore(place)
    with other.server() as restored:
        check(restored.url, runs)


def test_read_all_writes_what_has_rotted_again(server, home, other, place):
    run = log_run(server.url, size=200_000)
    settle(home.artifacts)
    home.back_up(place)
    [rotten] = [path for path in (place / "blocks").rglob("*") if path.is_file() and path.stat().st_size == 200_000]
    rotten.write_bytes(b"\0" * 200_000)
    # Size and name do not tell.
    home.back_up(place)
    assert "is damaged" in command.refused("backup", place, "--check")
    home.back_up(place, "--read-all")
    command.run("backup", place, "--check")
    other.restore(place)
    with other.server() as restored:
        check(restored.url, [run])


def test_a_clock_that_was_ahead_costs_no_backup(server, home, other, place):
    log_run(server.url)
    future = redate(place, home.back_up(place), "2100-01-01T00:00:00Z")
    kept = log_run(server.url)
    process = command.start("backup", place, *home.flags, "--keep", 1)
    out, error = process.communicate(timeout=command.SECONDS)
    assert process.returncode == 0, error
    mine = out.split()[1]
    assert mine in [line[0] for line in listed(place)], "the one that was just taken"
    assert future in error and "clock" in error
    other.restore(place, "--at", mine)
    with other.server() as restored:
        check(restored.url, [kept])


def redate(place, backup, time_):
    """A backup as it would be, had the clock been wrong."""
    path = place / "backups" / f"{backup}.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    id_ = time_.replace("-", "").replace(":", "")
    lines[0]["backup"] |= {"id": id_, "time": time_}
    body = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines[:-1]).encode()
    lines[-1]["end"]["sha256"] = hashlib.sha256(body).hexdigest()
    path.with_name(f"{id_}.jsonl").write_bytes(body + json.dumps(lines[-1]).encode() + b"\n")
    path.unlink()
    return id_


def settle(folder):
    """Makes files old enough for their times to be believed."""
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, (1_700_000_000, 1_700_000_000))


def test_the_database_at_any_time_that_was_kept(server, home, other, place):
    names, times = [], []
    for runs in (1, 2, 3):
        log_run(server.url)
        names.append(home.back_up(place))
        times.append(datetime.now(timezone.utc).isoformat())
        # Names have seconds; the next one is later than this time.
        while datetime.now(timezone.utc).isoformat() <= times[-1]:
            time.sleep(0)
        assert [line[-2] for line in listed(place)] == [str(number) for number in range(1, runs + 1)]
    for at, runs in [(names[0], 1), (times[1], 2), ("latest", 3)]:
        said = other.restore(place, "--at", at, "--force")
        assert f" {runs} runs" in said
        with other.server() as restored:
            assert check(restored.url, []) == runs
    early = command.refused("restore", place, *other.flags, "--force", "--at", "2020-01-01T00:00:00Z")
    assert names[0] in early and names[2] in early
    assert "with its zone" in command.refused("restore", place, *other.flags, "--force", "--at", "2020-01-01T00:00:00")


def test_old_backups_go_with_what_only_they_had(server, home, other, place):
    gone = log_run(server.url, size=100_000)
    first = home.back_up(place)
    before = blocks(place)
    call(server.url, "runs/delete", run_id=gone)
    for file in home.artifacts.rglob("weights.bin"):
        file.unlink()
    kept = log_run(server.url, size=100_000)
    second = home.back_up(place, "--keep", 2)
    assert before <= blocks(place)
    third = home.back_up(place, "--keep", 2)
    assert [line[0] for line in listed(place)] == [second, third]
    assert len(before - blocks(place)) >= 1
    command.run("backup", place, "--check")
    other.restore(place, "--at", second)
    with other.server() as restored:
        check(restored.url, [kept])
    assert "no such backup" in command.refused("restore", place, *other.flags, "--force", "--at", first)


def test_users_are_restored_with_the_rest(server, home, other, place):
    users, restored = home.folder / "basic_auth.db", other.folder / "basic_auth.db"
    command.run("db", "upgrade", "--auth", f"sqlite:///{users}")
    with sqlite3.connect(users) as connection:
        connection.execute("INSERT INTO users (username, password_hash, is_admin) VALUES ('ann', 'hash', 1)")
    connection.close()
    out = command.run("backup", place, *home.flags, "--users-store-uri", f"sqlite:///{users}")
    assert "1 users" in out
    # Nobody is left without their users by forgetting a flag.
    assert "--users-store-uri" in command.refused("restore", place, *other.flags)
    other.restore(place, "--users-store-uri", f"sqlite:///{restored}")
    with sqlite3.connect(restored) as connection:
        assert connection.execute("SELECT username, password_hash FROM users").fetchall() == [("ann", "hash")]
    connection.close()
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert stat.S_IMODE(restored.stat().st_mode) == 0o600


def user(home, *args, secret="a password for a test"):
    """`ferroflow user` on the users of a server."""
    process = subprocess.run(
        [required("FERROFLOW_BIN"), "user", *args, "--database", f"sqlite:///{home.folder}/basic_auth.db"],
        input=f"{secret}\n",
        capture_output=True,
        text=True,
        timeout=command.SECONDS,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def grants(home):
    with sqlite3.connect(home.folder / "basic_auth.db") as connection:
        rows = connection.execute("SELECT resource_type, resource_pattern, permission FROM role_permissions").fetchall()
    connection.close()
    return sorted(rows)


def epoch(home):
    with sqlite3.connect(home.folder / "basic_auth.db") as connection:
        [[epoch]] = connection.execute("SELECT epoch FROM ff_login_epoch").fetchall()
    connection.close()
    return epoch


def test_who_was_shut_out_since_is_told_or_stays_shut_out(server, home, place):
    command.run("db", "upgrade", "--auth", f"sqlite:///{home.folder}/basic_auth.db")
    users = ["--users-store-uri", f"sqlite:///{home.folder}/basic_auth.db"]
    for name in ("ann", "bob", "eve"):
        user(home, "add", name)
    user(home, "admin", "bob", "true")
    user(home, "grant", "ann", "experiment", "0", "EDIT")
    user(home, "end-sessions")
    first = epoch(home)
    command.run("backup", place, *home.flags, *users)
    # Since then one is deleted, one has another password, one is no longer an admin, and what is new is granted to one.
    user(home, "delete", "eve")
    user(home, "passwd", "ann", secret="another password for a test")
    user(home, "admin", "bob", "false")
    user(home, "revoke", "ann", "experiment", "0")
    user(home, "add", "joe")
    new = call(server.url, "experiments/create", name="made since")["experiment_id"]
    call(server.url, "registered-models/create", name="made since")
    user(home, "grant", "joe", "experiment", new, "MANAGE")
    user(home, "grant", "joe", "registered_model", "made since", "MANAGE")
    user(home, "grant", "joe", "experiment", "0", "READ")
    server.stop()

    out = home.restore(place, *users, "--keep-users", "--force")
    assert user(home, "list").splitlines() == ["ann\tuser\t", "bob\tuser\t", "joe\tuser\t"]
    # The next experiment will have that number: it is not joe's.
    assert f"experiment {new}: not in the backup" in out and "registered_model made since" in out
    assert grants(home) == [("experiment", "0", "READ")]
    kept = epoch(home)
    assert kept != first

    out = home.restore(place, *users, "--force")
    told = [line.strip() for line in out.splitlines()]
    for line in (
        "'eve' is a user again: deleted since",
        "'joe' is no longer a user: created since",
        "'ann' has an older password again: changed since",
        "'bob' is an admin again",
        "'ann' has again: EDIT on experiment 0",
        "to keep the newer users: --keep-users",
        "all sessions of browsers have ended",
    ):
        assert line in told, out
    assert "scrypt" not in out
    assert user(home, "list").splitlines() == ["ann\tuser\t", "bob\tadmin\t", "eve\tuser\t"]
    # What the backup had is over, too: it may be of a session that was ended since.
    assert epoch(home) not in (first, kept)
    with home.server() as restored:
        assert call(restored.url, "experiments/search", max_results=10)["experiments"][0]["experiment_id"] == "0"


def test_users_are_kept_only_where_there_are_some(server, home, other, place):
    home.back_up(place)
    server.stop()
    users = ["--users-store-uri", f"sqlite:///{other.folder}/basic_auth.db"]
    said = command.refused("restore", place, *other.flags, *users, "--keep-users", "--force")
    assert "no users to keep" in said and not other.database.exists()


def test_odd_names_links_and_empty_files_come_back(server, home, other, place):
    odd = home.artifacts / "0"
    odd.mkdir(parents=True)
    for name in ["100%25.txt", "a#b?c", "back\\slash", "schön 日本", "%2e%2e", "line\nbreak"]:
        (odd / name).write_text(name)
    (odd / "empty").touch()
    with open(os.fsencode(odd) + b"/\xff\xfe", "w") as file:
        file.write("no text")
    (odd / "link").symlink_to("../../outside")
    (odd / ".mlflow-tmp-unfinished").write_text("half")
    home.back_up(place)
    other.restore(place)
    (odd / ".mlflow-tmp-unfinished").unlink()
    assert files(other.artifacts) == files(home.artifacts)
    assert os.readlink(other.artifacts / "0" / "link") == "../../outside"
    for path in home.artifacts.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert path.stat().st_mtime_ns == (other.artifacts / path.relative_to(home.artifacts)).stat().st_mtime_ns


def test_nothing_that_is_there_is_lost_by_restoring(server, home, place):
    run = log_run(server.url)
    home.back_up(place)
    assert "exists already" in command.refused("restore", place, *home.flags)
    # Not even when told to: a server that is running would go on writing to what it has open.
    assert "stop the server" in command.refused("restore", place, *home.flags, "--force")
    later = log_run(server.url)
    server.stop()
    home.restore(place, "--force")
    with home.server() as restored:
        assert check(restored.url, [run]) == 1
    aside = [path for path in home.folder.iterdir() if ".before-restore-" in path.name]
    assert len(aside) == 2, aside
    [database] = [path for path in aside if path.is_file()]
    with sqlite3.connect(database) as connection:
        assert {row[0] for row in connection.execute("SELECT run_uuid FROM runs")} == {run, later}
    connection.close()


def test_damage_is_found_before_it_is_trusted(server, home, other, place):
    log_run(server.url, size=100_000)
    good = home.back_up(place)
    log_run(server.url, size=100_000)
    bad = home.back_up(place)
    [new] = [path for path in (place / "blocks").rglob("*") if path.stat().st_size == 100_000 and path.is_file()][-1:]
    content = bytearray(new.read_bytes())
    content[5] ^= 1
    new.write_bytes(content)
    said = command.refused("backup", place, "--check")
    assert f"{bad} is damaged" in said or f"{good} is damaged" in said
    assert "is damaged" in command.refused("restore", place, *other.flags)
    assert not other.database.exists() and not other.artifacts.exists()
    # A backup whose list was cut off is none, and is not passed over in silence.
    path = place / "backups" / f"{bad}.jsonl"
    path.write_bytes(path.read_bytes()[:-10])
    assert bad in command.refused("backup", place, "--list")
    assert bad in command.refused("restore", place, *other.flags)


def test_a_damaged_database_is_no_backup(home, place):
    with home.server() as server:
        for _ in range(20):
            log_run(server.url)
    with open(home.database, "r+b") as file:
        file.seek(30 * 4096)
        file.write(b"\xde\xad" * 8000)
    said = command.refused("backup", place, *home.flags)
    assert "damaged" in said or "malformed" in said, said
    assert listed(place) == []


def test_the_place_is_its_own(server, home, place):
    assert "within each other" in command.refused("backup", home.artifacts / "backups", *home.flags)
    assert not (home.artifacts / "backups").exists()
    assert "something else" in command.refused("backup", home.folder, *home.flags)
    assert "there are no backups" in command.refused("restore", home.folder, *home.flags)
    postgres = ["--backend-store-uri", "postgresql://u:secret@h/db"]
    said = command.refused("backup", place, *postgres)
    assert "docs/backup.md" in said and "secret" not in said


def test_artifacts_elsewhere_are_named(server, home, place, tmp_path):
    call(server.url, "experiments/create", name="elsewhere", artifact_location=str(tmp_path / "elsewhere"))
    process = command.start("backup", place, *home.flags)
    _, error = process.communicate(timeout=command.SECONDS)
    assert process.returncode == 0
    assert str(tmp_path / "elsewhere") in error and "not in the backup" in error
