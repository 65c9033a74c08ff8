"""Servers that are killed, stopped, replaced, frozen, slowed down, or have another clock, under load."""

import os
import time

import pytest
from fleet import fleet
from load import load
from support import required

#: Seconds within which some client must have been served again. The figure is printed, and is far below a second.
BACK = 5.0

#: The library's offset of each server's clock, in seconds.
CLOCKS = (0, 60, -60)


def test_killed_servers_lose_nothing(database, figures):
    with fleet(database) as servers:
        with load(servers.address) as work:
            work.wait(150)
            back = []
            for member in servers.members:
                killed = work.history.event(f"kill -9 {member.port}")
                member.kill()
                work.wait(60)
                back.append(work.history.longest_gap(killed))
                member.start()
                work.history.event(f"{member.port} is back")
                work.wait(60)
        assert max(back) < BACK
        figures.append(f"kill -9 of a server: no answer for at most {max(back):.2f} s")
        work.verify("kill")


@pytest.mark.rotates(every=8)
def test_stopped_servers_cause_no_error(database, figures):
    with fleet(database) as servers:
        with load(servers.address) as work:
            work.wait(100)
            for member in servers.members * 2:
                work.history.event(f"SIGTERM {member.port}")
                member.stop()
                work.wait(60)
                member.start()
                work.wait(60)
        assert work.unsuccessful == []
        figures.append(f"SIGTERM of 6 servers: 0 of {len(work.history.ops)} attempts failed")
        work.verify("drain")


@pytest.mark.rotates(every=8)
def test_a_rolling_upgrade_causes_no_error(database, figures):
    """From the version in ``FERROFLOW_PREVIOUS_BIN``. Without one both versions are that of the test: what is tested then is
    the replacement alone."""
    previous = os.environ.get("FERROFLOW_PREVIOUS_BIN")
    with fleet(database, program=previous) as servers:
        with load(servers.address) as work:
            work.wait(100)
            for member in servers.members:
                member.stop()
                member.start(required("FERROFLOW_BIN"))
                work.history.event(f"upgraded {member.port}")
                # Both versions work side by side.
                work.wait(100)
        assert work.unsuccessful == []
        figures.append(f"rolling upgrade from {previous or 'the same version'}: 0 of {len(work.history.ops)} attempts failed")
        work.verify("upgrade")


@pytest.mark.rotates(every=8)
def test_clocks_that_differ_by_a_minute_change_nothing(database):
    library = required("FERROFLOW_FAKETIME")
    with fleet(database, env_of=lambda number: {"LD_PRELOAD": library, "FAKETIME": f"{CLOCKS[number]:+d}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}) as servers:
        for member, offset in zip(servers.members, CLOCKS, strict=True):
            assert abs(member.clock - time.time() - offset) < 10, "the clock is the real one"
        with load(servers.address) as work:
            work.wait(600)
            victim = servers.members[1]
            victim.kill()
            work.history.event("kill -9 of the server that is ahead")
            work.wait(150)
            victim.start()
            work.wait(150)
        work.verify("clocks")


@pytest.mark.rotates(every=8)
def test_a_frozen_server_delays_only_what_it_has(database, figures):
    with fleet(database) as servers:
        with load(servers.address, clients=16) as work:
            work.wait(100)
            frozen = work.history.event("frozen")
            with servers.members[0].frozen():
                # The balancer finds out after two checks; until then clients may run into it.
                deadline = time.monotonic() + 8
                while time.monotonic() < deadline:
                    work.wait(10)
            gap = work.history.longest_gap(frozen, work.history.event("continues"))
            work.wait(100)
        assert gap < BACK
        figures.append(f"a frozen server: no answer for at most {gap:.2f} s")
        work.verify("frozen")


@pytest.mark.rotates(every=8)
def test_a_starved_server_breaks_nothing(database, figures):
    with fleet(database) as servers:
        with load(servers.address) as work:
            work.wait(100)
            starved = work.history.event("starved")
            with servers.members[0].starved(0.1):
                work.wait(600)
            gap = work.history.longest_gap(starved, work.history.event("no longer starved"))
            work.wait(50)
        assert gap < BACK
        figures.append(f"a server with a tenth of its time: no answer for at most {gap:.2f} s")
        work.verify("starved")
