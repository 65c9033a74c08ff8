"""A disk that is full is said so, does no harm, and the same command goes on when there is room again."""

import contextlib
import errno
import os
import signal
import subprocess
import tempfile
import uuid
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import ferroflow_db
import pytest
import rows
from chains import TRACKING
from support import introspect, required
from support.postgres import connect, copy_of, drop, exclusively

pytestmark = pytest.mark.rotates(every=3)

#: An old revision: much is pending, and there are tables with rows.
OLD = "2b4d017a5e9b"

#: Bytes of a file system in memory that stands for the disk.
DISK = 96 << 20


@pytest.fixture
def disk():
    """A small disk, where the user of the PostgreSQL server can go: not below the private folders of pytest."""
    with tempfile.TemporaryDirectory(prefix="ferroflow-disk-") as folder:
        # Only an administrator mounts; PostgreSQL runs as somebody else then.
        administrator = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
        options = f"size={DISK},mode=755,uid={os.geteuid()}"
        subprocess.run([*administrator, "mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
        os.chmod(folder, 0o755)
        yield Path(folder)
        subprocess.run([*administrator, "umount", folder], check=True)


@pytest.fixture
def filled(tracking, dialect, disk):
    """What a database of an old revision becomes, and that database on a small disk."""
    expected = tracking(OLD)
    rows.fill(expected)
    with (copy_of(expected, disk) if dialect == "sqlite" else on_tablespace(expected, disk)) as actual:
        ferroflow_db.upgrade(expected)
        yield expected, actual


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_without_room_it_does_not_begin(filled, disk):
    expected, actual = filled
    before = introspect.catalogue(actual), introspect.rows(actual)
    with full(disk, but=8 << 20):
        refused = ferroflow_db.db("upgrade", actual, expect=1)
    assert "8 MiB free" in refused.stderr
    assert "Nothing was changed" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert (introspect.catalogue(actual), introspect.rows(actual)) == before
    assert [file.name for file in disk.iterdir()] == [Path(urlsplit(actual).path).name]
    ferroflow_db.upgrade(actual)
    ferroflow_db.assert_same(expected, actual)


@pytest.mark.rotates
def test_it_becomes_full_on_the_way(filled, disk, catalogues, dialect):
    expected, actual = filled
    with ferroflow_db.start_upgrade(actual) as process:
        begun = []
        while not begun or not begun[-1].startswith("upgraded to "):
            begun.append(process.stdout.readline())
            assert begun[-1], begun
        process.send_signal(signal.SIGSTOP)
        with exclusively(), full(disk):
            process.send_signal(signal.SIGCONT)
            output = "".join(begun) + process.communicate(timeout=ferroflow_db.TIMEOUT)[0]
    assert process.returncode == 1, output
    reached = TRACKING.current(actual)
    assert reached != TRACKING.head
    said = output.splitlines()[-1]
    assert "full" in said or "No space left on device" in said, output
    assert reached in said, output
    ferroflow_db.assert_sound(actual)
    found = introspect.differences(catalogues(TRACKING, dialect)[reached], introspect.catalogue(actual))
    assert not found, f"full at {reached}:\n" + "\n".join(found)

    ferroflow_db.upgrade(actual)
    ferroflow_db.assert_same(expected, actual)


@contextlib.contextmanager
def full(disk: Path, but: int = 0):
    """Another program takes what is free on a disk, but for some bytes."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        # The last write is a short one, and the next one fails.
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            while True:
                file.write(bytes(1 << 20))
        if but:
            file.truncate(file.tell() - but)
    yield
    filler.unlink()


@contextlib.contextmanager
def on_tablespace(uri: str, folder: Path):
    """A copy of a PostgreSQL database with its files in a folder."""
    name = f"disk_{uuid.uuid4().hex[:12]}"
    server = urlunsplit(urlsplit(required("FERROFLOW_TEST_POSTGRES_URL"))._replace(path="/postgres"))
    url = urlunsplit(urlsplit(uri)._replace(path=f"/{name}"))
    with contextlib.closing(connect(server)) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW data_directory")
        [data] = cursor.fetchone()
        place = folder / "space"
        place.mkdir()
        os.chown(place, os.stat(data).st_uid, os.stat(data).st_gid)
        cursor.execute(f"CREATE TABLESPACE {name} LOCATION '{place}'")
        try:
            cursor.execute(f'CREATE DATABASE {name} TEMPLATE "{urlsplit(uri).path[1:]}" TABLESPACE {name}')
            yield url
            drop(url)
        finally:
            cursor.execute(f"DROP TABLESPACE {name}")
