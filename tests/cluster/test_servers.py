"""Servers that are killed, stopped, replaced, frozen, slowed down, or have another clock, under load."""

import collections
import os
import random
import subprocess
import sys
import time

import pytest
import requests
from fleet import fleet
from load import load
from support import required
from support.receiver import SETTINGS, receiver

#: Seconds within which some client must have been served again. The figure is printed, and is far below a second.
BACK = 5.0

#: Seconds for which a server that does not continue keeps its locks.
LOCKED = 5.0

#: The offset of each server's clock, in seconds.
CLOCKS = (0, 60, -60)


def clock(number: int) -> dict[str, str]:
    """The variables that give a server its clock. Timers, which use another one, run as always."""
    return {"LD_PRELOAD": required("FERROFLOW_FAKETIME"), "FAKETIME": f"{CLOCKS[number]:+d}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


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
                servers.balancer.wait_for(member.port, "DOWN")
                work.wait(60)
                member.start()
                # Before that, the next one would leave one server alone.
                servers.balancer.wait_for(member.port, "UP")
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
                servers.balancer.wait_for(member.port, "UP")
                # Both versions work side by side.
                before = [servers.balancer.sent_to(other.port) for other in servers.members]
                work.wait(200)
                after = [servers.balancer.sent_to(other.port) for other in servers.members]
                assert all(later > earlier for earlier, later in zip(before, after, strict=True)), (before, after)
        assert work.unsuccessful == []
        figures.append(f"rolling upgrade from {previous or 'the same version'}: 0 of {len(work.history.ops)} attempts failed")
        work.verify("upgrade")


@pytest.mark.rotates(every=8)
def test_clocks_that_differ_by_a_minute_change_nothing(database):
    with fleet(database, env_of=clock) as servers:
        for member, offset in zip(servers.members, CLOCKS, strict=True):
            assert abs(member.clock - time.time() - offset) < 10, "the clock is the real one"
        with load(servers.address) as work:
            work.wait(600)
            assert all(servers.balancer.sent_to(member.port) for member in servers.members), "a server is not used"
            victim = servers.members[1]
            victim.kill()
            work.history.event("kill -9 of the server that is ahead")
            work.wait(150)
            victim.start()
            work.wait(150)
        work.verify("clocks")


@pytest.mark.rotates(every=8)
def test_events_are_delivered_in_order_by_servers_whose_clocks_differ(database):
    with receiver() as hook, fleet(database, env_of=lambda number: clock(number) | SETTINGS) as servers:

        def call(path: str, **body) -> dict:
            # Each call on a new connection, and so on another server.
            answer = requests.post(f"http://{servers.address[0]}:{servers.address[1]}/api/2.0/mlflow/{path}", json=body, timeout=60)
            assert answer.status_code == 200, answer.text
            return answer.json()

        call("webhooks", name="hook", url=hook.url, events=[{"entity": "MODEL_VERSION", "action": "CREATED"}], secret="s3cret")
        call("registered-models/create", name="m")
        for _ in range(60):
            call("model-versions/create", name="m", source="s3://b/m")
        heard = [int(hook.next().data["version"]) for _ in range(60)]
        assert heard == list(range(1, 61))
        for member in servers.members:
            member.stop()
        assert hook.is_idle, "an event is delivered twice"


@pytest.mark.rotates(every=8)
def test_the_official_sdk_notices_nothing(database):
    """A training in a process of its own, while servers are killed one after another."""
    with fleet(database) as servers:
        url = f"http://{servers.address[0]}:{servers.address[1]}"
        environment = os.environ | {"MLFLOW_TRACKING_URI": url, "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}
        training = subprocess.Popen([sys.executable, "-c", TRAINING], env=environment, stdout=subprocess.PIPE, text=True)
        try:
            run = training.stdout.readline().strip()
            assert run, "the training does not begin"
            for member in servers.members * 2:
                line = training.stdout.readline()
                assert line.strip() == "20 steps", line
                member.kill()
                assert training.stdout.readline().strip() == "20 steps"
                member.start()
            rest, _ = training.communicate(timeout=300)
            assert training.returncode == 0, rest
            query = {"run_id": run, "metric_key": "loss"}
            points = requests.get(f"{url}/api/2.0/mlflow/metrics/get-history", params=query, timeout=60).json()["metrics"]
            assert sorted(point.get("step", 0) for point in points) == list(range(STEPS))
            data = requests.get(f"{url}/api/2.0/mlflow/runs/get", params={"run_id": run}, timeout=60).json()["run"]["data"]
            assert {tag["key"]: tag["value"] for tag in data["tags"]}["step"] == str(STEPS - 1)
            assert [metric["step"] for metric in data["metrics"]] == [STEPS - 1]
        finally:
            training.kill()
            training.wait()


STEPS = 320
TRAINING = f"""
import mlflow
with mlflow.start_run() as run:
    print(run.info.run_id, flush=True)
    for step in range({STEPS}):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
        mlflow.set_tag("step", step)
        if step % 20 == 19:
            print("20 steps", flush=True)
"""


@pytest.mark.rotates(every=8)
def test_a_frozen_server_delays_others_for_seconds_at_most(database, figures):
    """It may hold the lock of a row that all clients come to want: PostgreSQL releases it after 5 seconds."""
    with fleet(database) as servers:
        with load(servers.address, clients=16) as work:
            work.wait(100)
            frozen = work.history.event("frozen")
            with servers.members[0].frozen():
                # Until the balancer finds out, clients may run into it. It stays frozen for longer than it keeps its locks.
                servers.balancer.wait_for(servers.members[0].port, "DOWN")
                deadline = time.monotonic() + LOCKED + 3
                while time.monotonic() < deadline:
                    work.wait(10)
            gap = work.history.longest_gap(frozen, work.history.event("continues"))
            work.wait(100)
        assert gap < LOCKED + BACK
        figures.append(f"a frozen server: no answer for at most {gap:.2f} s")
        work.verify("frozen")


@pytest.mark.rotates(every=8)
def test_a_starved_server_breaks_nothing(database, figures):
    with fleet(database) as servers:
        with load(servers.address) as work:
            work.wait(100)
            starved, victim = work.history.event("starved"), servers.members[0]
            sent = servers.balancer.sent_to(victim.port)
            with victim.starved(0.1):
                work.wait(300)
                few, many = victim.answers(), servers.members[1].answers()
                work.wait(300)
            end = work.history.event("no longer starved")
            sent = servers.balancer.sent_to(victim.port) - sent
            gap = work.history.longest_gap(starved, end)
            work.wait(50)
        assert few < many / 2, "the server had its time"
        assert sent > 0, "the server had no request"
        assert gap < BACK
        figures.append(f"a server with a tenth of its time: no answer for at most {gap:.2f} s; it got {sent} requests, and answered {few} calls in a second, another one {many}")
        work.verify("starved")


@pytest.mark.rotates(every=16)
def test_many_faults_in_a_row(database, figures):
    """In an order that the commit does not change: a failure can be repeated."""
    order = random.Random(20)
    with fleet(database) as servers:
        with load(servers.address, clients=16) as work:
            for number in range(24):
                work.wait(60)
                member = order.choice(servers.members)
                fault = order.choice(["kill", "stop", "freeze", "starve"])
                work.history.event(f"{fault} {member.port}")
                match fault:
                    case "kill" | "stop":
                        getattr(member, fault)()
                        work.wait(order.randrange(5, 60))
                        member.start()
                    case "freeze":
                        with member.frozen():
                            work.wait(order.randrange(5, 60))
                    case "starve":
                        with member.starved(0.1):
                            work.wait(60)
        kinds = collections.Counter(op.kind for op in work.history.ops)
        figures.append(f"24 faults in a row: {dict(kinds)}")
        work.verify("many-faults")
