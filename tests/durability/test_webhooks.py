"""Events of acknowledged changes reach their webhooks after kill -9, in order, from whichever server is there."""

import threading

import pytest
import requests
from support.receiver import SETTINGS, receiver
from support.servers import ferroflow

#: An attempt that dies with its server is made again when its claim has ended: soon.
ENV = SETTINGS | {"MLFLOW_WEBHOOK_REQUEST_TIMEOUT": "2", "MLFLOW_WEBHOOK_REQUEST_MAX_RETRIES": "50"}
EVENTS = [{"entity": "MODEL_VERSION", "action": "CREATED"}]


def call(url, path, /, **body):
    answer = requests.post(f"{url}/api/2.0/mlflow/{path}", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


def subscribe(url, hook):
    call(url, "webhooks", name="hook", url=hook.url, events=EVENTS, secret="s3cret")


class Writer(threading.Thread):
    """Makes version after version of its own model until the server is gone."""

    def __init__(self, url, name, enough):
        super().__init__()
        self.url, self.name_of_model, self.enough = url, name, enough
        self.acknowledged = []

    def run(self):
        body = {"name": self.name_of_model, "source": "s3://b/m"}
        with requests.Session() as session:
            while True:
                try:
                    answer = session.post(f"{self.url}/api/2.0/mlflow/model-versions/create", json=body, timeout=60)
                except requests.RequestException:
                    return
                assert answer.status_code == 200, answer.text
                self.acknowledged.append(int(answer.json()["model_version"]["version"]))
                self.enough.release()


def hear(hook, expected):
    """Takes messages until every expected version was heard; gives the versions of each model in their order."""
    heard, seen = {name: [] for name in expected}, {}
    while any(set(versions) - set(heard[name]) for name, versions in expected.items()):
        message = hook.next()
        version = int(message.data["version"])
        # One that was sent and not noted as sent comes again, as itself.
        if seen.setdefault(message.delivery_id, message.body) == message.body and version not in heard[message.data["name"]]:
            heard[message.data["name"]].append(version)
        assert seen[message.delivery_id] == message.body
    return heard


@pytest.mark.parametrize("answering", [True, False], ids=["heard", "waiting"])
def test_killed_under_load_it_tells_of_everything_acknowledged(backend, answering):
    """With a receiver that answers, and with one that keeps everything waiting until the kill."""
    acknowledged = {f"model {number}": [] for number in range(4)}
    with receiver() as hook:
        with ferroflow(backend, env=ENV) as server:
            subscribe(server.url, hook)
            for name in acknowledged:
                call(server.url, "registered-models/create", name=name)
            if not answering:
                hook.answering.clear()
            enough = threading.Semaphore(0)
            writers = [Writer(server.url, name, enough) for name in acknowledged]
            for writer in writers:
                writer.start()
            for _ in range(60):
                assert enough.acquire(timeout=60), "the server answers no more"
            server.kill()
            for writer in writers:
                writer.join()
                acknowledged[writer.name_of_model] = writer.acknowledged
        hook.answering.set()
        with ferroflow(backend, env=ENV) as server:
            heard = hear(hook, acknowledged)
            for name, versions in heard.items():
                assert versions == sorted(versions), f"{name} was told out of order"
                assert len(versions) <= len(acknowledged[name]) + 1, "a version was told of that nobody made"


def test_one_server_goes_on_where_another_was_killed(backend):
    with receiver() as hook, ferroflow(backend, env=ENV) as survivor:
        with ferroflow(backend, env=ENV) as victim:
            subscribe(victim.url, hook)
            call(victim.url, "registered-models/create", name="m")
            hook.answering.clear()
            for _ in range(5):
                call(victim.url, "model-versions/create", name="m", source="s3://b/m")
            # The first one is on its way when its server dies.
            assert hook.next().data["version"] == "1"
            victim.kill()
        hook.answering.set()
        # The answer to the first may have reached the survivor, had it been faster to send it.
        assert hear(hook, {"m": [2, 3, 4, 5]})["m"][-4:] == [2, 3, 4, 5]
        assert survivor.process.poll() is None


def test_two_servers_tell_of_each_event_once(backend):
    with receiver() as hook, ferroflow(backend, env=ENV) as one, ferroflow(backend, env=ENV) as other:
        subscribe(one.url, hook)
        call(one.url, "registered-models/create", name="m")
        for number in range(40):
            call((one, other)[number % 2].url, "model-versions/create", name="m", source="s3://b/m")
        heard = [hook.next() for _ in range(40)]
        assert [int(message.data["version"]) for message in heard] == list(range(1, 41))
        for server in (one, other):
            assert server.stop() == 0
        assert hook.is_idle, "nothing is told twice"
