"""Processes of the tests that run at the same time get different ports."""

import subprocess
import sys
from pathlib import Path

import pytest
from support import ports

#: Claims as many ports as a process holds, of 300, and holds them until its input ends.
CLAIMS = """
import sys
from pathlib import Path
from support import ports
ports.FOLDER, ports._candidates = Path(sys.argv[1]), lambda _: range(20_000, 20_300)
print(*(ports.free_port() for _ in range(ports.CLAIMS)), flush=True)
sys.stdin.read()
"""


def test_no_two_processes_get_the_same_port(tmp_path):
    command = [sys.executable, "-c", CLAIMS, str(tmp_path / "ports")]
    processes = [subprocess.Popen(command, cwd=Path(ports.__file__).parents[1], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    try:
        found = [port for process in processes for port in process.stdout.readline().split()]
        assert len(found) == len(set(found)) == 3 * ports.CLAIMS
    finally:
        for process in processes:
            process.communicate()


def test_a_port_that_is_in_use_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(ports, "FOLDER", tmp_path / "ports")
    monkeypatch.setattr(ports, "_is_free", lambda port: port == 20_001)
    monkeypatch.setattr(ports, "_candidates", lambda _: range(20_000, 20_002))
    assert ports.free_port() == 20_001


@pytest.mark.parametrize(
    ("of_kernel", "expected"),
    [("32768\t60999\n", range(11_000, 32_768)), ("1024 40000", range(40_001, 65_536)), ("1024 65535", range(11_000, 12_000))],
)
def test_ports_are_not_those_of_connections(of_kernel, expected):
    assert ports._candidates(of_kernel) == expected
