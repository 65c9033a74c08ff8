"""Artifacts in a directory: one that cannot be used, one that is full, clients that send next to nothing."""

import contextlib
import os
import pathlib
import re
import resource
import subprocess
import threading
import time

import faults
import pytest
import requests
from folders import confined, mounted, names
from mlflow import MlflowClient
from test_start import lines, ready

API = "/api/2.0/mlflow-artifacts/artifacts"
MIB = 1024 * 1024


@contextlib.contextmanager
def unwritable(folder):
    place = folder / "place"
    place.mkdir(mode=0o555)
    yield place, "is not writable: Permission denied", lambda: place.chmod(0o755)


@contextlib.contextmanager
def unreadable(folder):
    place = folder / "place"
    place.mkdir()
    (place / "0").mkdir(mode=0o333)
    place.chmod(0o333)
    yield place, "is not readable: Permission denied", lambda: [folder.chmod(0o755) for folder in (place, place / "0")]


@contextlib.contextmanager
def no_directory(folder):
    place = folder / "place"
    place.write_text("")
    yield place, "is not a directory", place.unlink


@contextlib.contextmanager
def missing(folder):
    place = folder / "above" / "place"
    place.parent.mkdir(mode=0o555)
    yield place, f"cannot be created: {place.parent} is not writable", lambda: place.parent.chmod(0o755)


@contextlib.contextmanager
def read_only(folder):
    with mounted(folder, "ro") as place:
        yield place, "is on a read-only file system", None


@pytest.mark.parametrize("broken", [unwritable, unreadable, no_directory, missing, read_only])
def test_a_directory_that_can_not_be_used_is_told(broken, tmp_path):
    with broken(tmp_path) as (place, wrong, mend), confined(tmp_path, place) as server:
        status, body = ready(server)
        assert (status, body["ready"], body["database"]) == (503, False, "ok")
        assert body["artifacts"].startswith(f"{place} {wrong}") and body["artifact_store"] == str(place)
        faults.wait_until(lambda: lines(server, "cannot be used"), "the line")
        (line,) = lines(server, "the artifact storage cannot be used")
        assert f"{place} {wrong}" in line and "ERROR" in line
        # Where nothing can be read, something can be written.
        method = "GET" if broken is unreadable else "PUT"
        answer = requests.request(method, f"{server.url}{API}{'?path=0' if method == 'GET' else '/0/a.txt'}", data=b"x")
        assert (answer.status_code, answer.json()["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
        assert answer.headers["Retry-After"] and str(place) not in answer.text
        wanted = re.compile("ermission denied|not a directory|ead-only")
        faults.wait_until(lambda: any(map(wanted.search, lines(server, "path=0"))), "the line of the request")
        assert requests.get(server.url + "/api/2.0/mlflow/experiments/get?experiment_id=0").status_code == 200
        if mend:
            # What is missing may still come.
            mend()
            # For a second the last answer is given again.
            faults.wait_until(lambda: ready(server)[0] == 200, "the server to be ready")
            assert requests.put(f"{server.url}{API}/0/a.txt", data=b"x").status_code == 200
            assert names(place) == ["0/a.txt"]


def test_a_file_that_may_not_be_read_is_the_operators_to_mend(tmp_path):
    place = tmp_path / "place"
    with confined(tmp_path, place) as server:
        assert requests.put(f"{server.url}{API}/0/a.txt", data=b"x").status_code == 200
        (place / "0/a.txt").chmod(0)
        assert requests.get(f"{server.url}{API}/0/a.txt").status_code == 503
        (place / "0").chmod(0o555)
        assert requests.put(f"{server.url}{API}/0/b.txt", data=b"x").status_code == 503
        assert requests.put(f"{server.url}{API}/0/c/b.txt", data=b"x").status_code == 503
        (place / "0").chmod(0o755)
        assert names(place) == ["0/a.txt"]
        # What leads out is still the client's mistake.
        (place / "out").symlink_to("/etc")
        assert requests.get(f"{server.url}{API}/out/passwd").status_code == 400


def test_a_directory_that_comes_while_the_server_runs_is_used(start, tmp_path):
    place = tmp_path / "place"
    server = start(place, {})
    assert requests.put(f"{server.url}{API}/a.txt", data=b"1").status_code == 200
    # As when a volume is mounted late, or somebody starts anew.
    place.rename(tmp_path / "before")
    assert requests.get(f"{server.url}{API}/a.txt").status_code == 404
    assert requests.put(f"{server.url}{API}/b.txt", data=b"2").status_code == 200
    assert names(place) == ["b.txt"]


def test_a_full_disk_is_told_and_nothing_is_left_behind(start, tmp_path):
    with mounted(tmp_path, "size=8m") as place:
        server = start(place, {})
        answer = requests.put(f"{server.url}{API}/0/run/large.bin", data=bytes(9 * MIB))
        assert (answer.status_code, answer.json()["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
        assert any("No space left" in line for line in lines(server, "cannot store the file"))
        assert names(place) == []
        body = os.urandom(7 * MIB)
        assert requests.put(f"{server.url}{API}/0/run/fits.bin", data=body).status_code == 200
        assert requests.get(f"{server.url}{API}/0/run/fits.bin").content == body
        server.stop()


def test_clients_that_send_next_to_nothing_hold_up_nobody(start, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    place = tmp_path / "place"
    server = start(place, {})
    assert requests.put(f"{server.url}{API}/a.txt", data=b"x").status_code == 200
    with contextlib.ExitStack() as stack:
        # More than there are threads for work that blocks.
        clients = [
            stack.enter_context(faults.half_an_upload(server.url, f"{API}/slow/{number}", 1, 3)) for number in range(600)
        ]
        begun = lambda: len([name for name in names(place) if name.startswith("slow/")])  # noqa: E731
        faults.wait_until(lambda: begun() >= 512, "the uploads to begin")
        for _ in range(3):
            assert requests.get(f"{server.url}{API}/a.txt", timeout=20).content == b"x"
            assert requests.get(server.url + API, params={"path": ""}, timeout=20).status_code == 200
        faults.wait_until(lambda: begun() == 600, "all uploads to begin")
        for client in clients[:10]:
            client.sendall(b"y")
        for client in clients[:10]:
            client.sendall(b"z")
            assert client.recv(1000).startswith(b"HTTP/1.1 200")
        assert all((place / f"slow/{number}").read_bytes() == b"\0yz" for number in range(10))
    faults.wait_until(lambda: begun() == 10, "what the others sent to be removed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


#: Notes what a program has had put on the disk, by the name that it has at that moment.
NOTE_SYNCS = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int fsync(int fd) {
    char link[64], line[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, line, sizeof line - 1);
    int outcome = ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
    if (outcome == 0 && length > 0) {
        line[length++] = '\n';
        int notes = open(getenv("SYNC_NOTES"), O_WRONLY | O_CREAT | O_APPEND, 0644);
        if (write(notes, line, length) != length) abort();
        close(notes);
    }
    return outcome;
}
"""


def test_what_was_answered_outlasts_a_loss_of_power(start, tmp_path):
    (tmp_path / "note.c").write_text(NOTE_SYNCS)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", tmp_path / "note.so", tmp_path / "note.c", "-ldl"], check=True)
    place, notes = tmp_path / "new/place", tmp_path / "notes"
    server = start(place, {"LD_PRELOAD": str(tmp_path / "note.so"), "SYNC_NOTES": str(notes)})

    def synced(path: str) -> list[str]:
        notes.write_text("")
        assert requests.put(f"{server.url}{API}/{path}", data=b"x").status_code == 200
        found = [pathlib.Path(line) for line in notes.read_text().splitlines()]
        found = [file.relative_to(tmp_path) for file in found if file.is_relative_to(tmp_path)]
        return [re.sub("-tmp-.*", "-tmp-", str(file)) for file in found if not file.name.startswith("db-")]

    folder = "new/place/0/run/artifacts"
    # Each folder that was made is a name in the one above it.
    made = [".", "new", "new/place", "new/place/0", "new/place/0/run"]
    assert synced("0/run/artifacts/a.txt") == [*made, f"{folder}/.mlflow-tmp-", folder]
    assert synced("0/run/artifacts/b.txt") == [f"{folder}/.mlflow-tmp-", folder]
    assert synced("c.txt") == ["new/place/.mlflow-tmp-", "new/place"]


@pytest.mark.parametrize("chunk", [1, 1000, 3 * MIB])
def test_a_body_in_chunks_of_any_size_is_stored_as_it_is(start, tmp_path, chunk):
    server = start(tmp_path / "place", {})
    body = os.urandom(min(1500 * chunk, 10 * MIB))
    parts = (body[at : at + chunk] for at in range(0, len(body), chunk))
    assert requests.put(f"{server.url}{API}/a.bin", data=parts).status_code == 200
    assert (tmp_path / "place/a.bin").read_bytes() == body


@pytest.mark.rotates(every=8)
def test_a_download_of_what_is_replaced_meanwhile_is_of_one_file(start, tmp_path):
    server = start(tmp_path / "place", {})
    versions = [b"1" * 1000, b"2" * 300_000]
    stop = threading.Event()

    def replace():
        session = requests.Session()
        session.trust_env = False
        while not stop.is_set():
            for body in versions:
                assert session.put(f"{server.url}{API}/a.bin", data=body).status_code == 200

    assert requests.put(f"{server.url}{API}/a.bin", data=versions[0]).status_code == 200
    threads = [threading.Thread(target=replace) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        with requests.Session() as session:
            session.trust_env = False
            for _ in range(1000):
                answer = session.get(f"{server.url}{API}/a.bin")
                assert answer.status_code == 200 and answer.content in versions
                assert answer.headers["ETag"].endswith(f"-{len(answer.content):x}\"")
                # A part is of the file that it is said to be of, or the client is told to come again.
                answer = session.get(f"{server.url}{API}/a.bin", headers={"Range": "bytes=500-"})
                assert answer.status_code in (206, 503)
                if answer.status_code == 206:
                    size = int(answer.headers["Content-Range"].removeprefix("bytes 500-").partition("/")[2])
                    assert answer.content in [version[500:] for version in versions if len(version) == size]
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_what_a_killed_server_was_writing_is_swept(start, tmp_path):
    place = tmp_path / "place"
    server = start(place, {})
    client = faults.half_an_upload(server.url, f"{API}/0/run/artifacts/large.bin", 2 * MIB, 100 * MIB)
    faults.wait_until(lambda: any(file.stat().st_size for file in place.rglob(".mlflow-tmp-*")), "the upload to begin")
    server.kill()
    client.close()
    (left,) = names(place)
    assert left.startswith("0/run/artifacts/.mlflow-tmp-")
    # What is named otherwise is not ours, however old.
    for other in ["0/.mlflow-tmp-mine", f"0/{'a' * 32}", "0/old.bin"]:
        (place / other).write_bytes(b"x")
    for file in place.rglob("*"):
        os.utime(file, (1, 1))
    replicas = [start(place, {"FERROFLOW_UPLOAD_SWEEP_AGE": "4s"}) for _ in range(2)]
    slow = faults.half_an_upload(replicas[0].url, f"{API}/0/slow.bin", 1, 1000)
    stop = threading.Event()

    def send():
        while not stop.wait(0.5):
            slow.sendall(b"x")

    thread = threading.Thread(target=send)
    thread.start()
    try:
        faults.wait_until(lambda: left not in names(place), "the old one to be swept")
        # Sweep after sweep, until the slow one is older than the age.
        begun = time.monotonic()
        while time.monotonic() - begun < 6:
            old = place / f"0/.mlflow-tmp-{os.urandom(16).hex()}"
            old.write_bytes(b"x")
            os.utime(old, (1, 1))
            faults.wait_until(lambda: not old.exists(), "another one to be swept")
            assert len(list(place.rglob(".mlflow-tmp-*"))) == 2, "the slow one, and what is not ours"
    finally:
        stop.set()
        thread.join()
    assert sorted(name for name in names(place) if "-tmp-" not in name) == [f"0/{'a' * 32}", "0/old.bin"]
    faults.wait_until(lambda: any("removed incomplete uploads" in replica.logs for replica in replicas), "the line of the sweep")
    slow.close()


def test_locations_are_read_below_the_allowed_roots_and_nowhere_else(start, tmp_path):
    allowed, outside = tmp_path / "allowed", tmp_path / "outside"
    for folder in (allowed / "inside", outside):
        folder.mkdir(parents=True)
        (folder / "a.txt").write_bytes(b"x")
    (allowed / "out").symlink_to(outside)
    (allowed / "in").symlink_to(allowed / "inside")
    server = start(tmp_path / "place", {}, args=["--allowed-local-artifact-roots", str(allowed)])
    client = MlflowClient(server.url)

    def statuses(number: int, location) -> list[int]:
        experiment = client.create_experiment(str(number), artifact_location=str(location))
        run = client.create_run(experiment).info
        # The location of a run is below its experiment's; the folder is put there as a client would.
        place = pathlib.Path(str(location).removeprefix("file://")) / run.run_id / "artifacts"
        place.mkdir(parents=True)
        (place / "a.txt").write_bytes(b"x")
        query = {"run_id": run.run_id, "path": "a.txt"}
        upload = {"run_uuid": run.run_id, "path": "b.txt"}
        answers = [
            requests.get(f"{server.url}/get-artifact", params=query),
            requests.get(f"{server.url}/ajax-api/2.0/mlflow/artifacts/list", params={"run_id": run.run_id}),
            requests.post(f"{server.url}/ajax-api/2.0/mlflow/upload-artifact", params=upload, data=b"y"),
        ]
        written = (place / "b.txt").exists()
        assert written == answers[2].ok
        if answers[0].ok:
            assert answers[0].content == b"x"
            assert [file["path"] for file in answers[1].json()["files"]] == ["a.txt"]
            # Put there afterwards, neither a file nor a folder that is a link leads out.
            (place / "passwd").symlink_to(outside / "a.txt")
            answer = requests.get(f"{server.url}/get-artifact", params=query | {"path": "passwd"})
            assert answer.status_code == 400 and str(outside) not in answer.text
        return [answer.status_code for answer in answers]

    for number, location in enumerate([allowed, allowed / "new" / "x", f"file://{allowed}/inside", allowed / "in"]):
        assert statuses(number, location) == [200, 200, 200], location
    for number, location in enumerate([outside, allowed / "out", f"file://{outside}", f"{allowed}2", f"{allowed}/../outside"]):
        assert statuses(100 + number, location) == [403, 403, 403], location
