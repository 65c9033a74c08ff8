"""A database that restarts, is away, fails over or has too few connections, under load; PgBouncer is in front of it."""

import os
import re
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import daemons
import pytest
import requests
from client import RETRIES
from configured import postgres
from fleet import Member, fleet
from history import OK
from load import load
from support.postgres_server import primary, standby_of

#: Seconds within which some client must have been served again, beside other tests.
BACK = 5.0


@pytest.mark.parametrize("way", ["direct", pytest.param("pooled", marks=pytest.mark.rotates(every=4))])
def test_a_database_that_is_away_is_waited_for(way, is_short, figures):
    seconds = 10 if is_short else 30
    with primary() as server, daemons.pooler("mlflow", server.port) as bouncer:
        with fleet(server.url("mlflow") if way == "direct" else bouncer.url) as servers:
            with load(servers.address) as work:
                work.wait(150)
                server.kill()
                away = work.history.event("the database is killed")
                time.sleep(seconds)
                restarted = work.history.event("the database starts")
                server.start()
                back = work.history.event("the database is back")
                work.wait(150)
            assert work.history.longest_gap(away, restarted) > seconds - 1, "something was answered without a database"
            figure = work.history.seconds_until_ok(back)
            repetitions = sum(op.kind != OK for op in work.history.ops)
            assert figure < BACK
            figures.append(f"database away for {seconds} s, {way}: answers {figure:.2f} s after it is back, {repetitions} attempts of {len(work.history.ops)} repeated")
            work.verify(f"away-{way}")


@pytest.mark.rotates(every=8)
@pytest.mark.parametrize("way", ["direct", "pooled"])
def test_a_fail_over_loses_nothing(way, figures):
    """Directly, the URI names both servers, and the one that can be written to is used."""
    settings = postgres()
    # Once it is the primary, its commits wait for no other standby.
    alone = {key: value for key, value in settings.items() if key != "synchronous_standby_names"}
    with primary(settings) as server, standby_of(server, alone) as standby, daemons.pooler("mlflow", server.port) as bouncer:
        both = f"postgresql://postgres@127.0.0.1:{server.port},127.0.0.1:{standby.port}/mlflow?target_session_attrs=read-write"
        with fleet(bouncer.url if way == "pooled" else both) as servers:
            with load(servers.address) as work:
                work.wait(200)
                lost = work.history.event("the primary is killed")
                server.kill()
                standby.promote()
                bouncer.point_to(standby.port)
                promoted = work.history.event("the standby is promoted")
                work.wait(200)
            figure, total = work.history.seconds_until_ok(promoted), work.history.longest_gap(lost)
            assert figure < BACK
            figures.append(f"fail-over, {way}: answers {figure:.2f} s after the promotion, none for {total:.2f} s")
            work.verify(f"fail-over-{way}")


@pytest.mark.rotates(every=8)
def test_a_commit_that_no_standby_has_is_not_acknowledged():
    """PostgreSQL ends the wait for a standby when a statement is cancelled, and reports the commit all the same: neither a
    statement timeout nor a client that leaves may do that."""
    with primary(postgres()) as server, standby_of(server) as standby:
        member = Member(server.url("mlflow"), args=["--statement-timeout", "1"])
        try:
            member.start()
            url = f"{member.server.url}/api/2.0/mlflow"
            created = requests.post(f"{url}/runs/create", json={"experiment_id": "0"}, timeout=30).json()
            run = created["run"]["info"]["run_id"]
            standby.stop()
            acknowledged = []

            def write(path: str, body: dict) -> None:
                try:
                    answer = requests.post(f"{url}/{path}", json=body, timeout=4)
                except requests.RequestException:
                    return
                if answer.status_code == 200:
                    acknowledged.append(path)

            bodies = {
                "runs/log-metric": {"run_id": run, "key": "m", "value": 1, "timestamp": 1},
                "runs/log-parameter": {"run_id": run, "key": "p", "value": "1"},
                "registered-models/create": {"name": "m"},
                "experiments/create": {"name": "e"},
            }
            threads = [threading.Thread(target=write, args=item) for item in bodies.items()]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert acknowledged == []
            # With the standby, what waits is acknowledged.
            standby.start()
            answer = requests.post(f"{url}/runs/set-tag", json={"run_id": run, "key": "t", "value": "1"}, timeout=60)
            assert answer.status_code == 200, answer.text
        finally:
            member.end()


@pytest.mark.rotates(every=8)
def test_a_pooler_with_few_connections_fails_no_call(database, figures):
    """Three servers want 48 connections, PgBouncer takes 20 and has 2 to the database."""
    target = urlsplit(database)
    with daemons.pooler(target.path[1:], target.port, default_pool_size=2, max_client_conn=20) as bouncer:
        with fleet(bouncer.url) as servers:
            with load(servers.address, clients=24) as work:
                work.wait(800)
            repetitions = sum(op.kind != OK for op in work.history.ops)
            figures.append(f"a pooler with 2 connections: {repetitions} of {len(work.history.ops)} attempts repeated, none more than {RETRIES} times")
            work.verify("pooler")


@pytest.mark.rotates(every=8)
def test_a_database_that_vanishes_is_noticed_in_half_a_minute(database):
    """Its connections are probed: a host that is lost with its node closes none."""
    member = Member(database)
    try:
        member.start()
        deadline = time.monotonic() + 30
        # While data is under way, a connection has another timer.
        while not (timers := keepalives(member.server.pid, urlsplit(database).port)) or max(timers) > 15:
            assert time.monotonic() < deadline, timers
            time.sleep(0.05)
    finally:
        member.end()


def keepalives(pid: int, port: int) -> list[float]:
    """Seconds until the keepalive probes of a process's connections to a port (``/proc/net/tcp``, proc(5))."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        if found := re.match(r"socket:\[(\d+)\]", os.readlink(descriptor)):
            inodes.add(found[1])
    timers = []
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        kind, _, ticks = fields[5].partition(":")
        if fields[9] in inodes and int(fields[2].split(":")[1], 16) == port:
            # 02 is the timer of keepalives; a connection without one has no probes.
            timers.append(int(ticks, 16) / 100 if kind == "02" else float("inf"))
    return timers
