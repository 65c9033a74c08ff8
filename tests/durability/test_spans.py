"""Spans that several clients send for the same traces: after kill -9 every acknowledged one is there, no request is half
there, and once all are sent the traces are those of one client that sent everything in order."""

import json
import random
import threading

import pytest
import requests
from support.servers import ferroflow

TRACES, REQUESTS, CLIENTS = 4, 40, 8
START = 1_760_000_000_000_000_000
HEADERS = {"x-mlflow-experiment-id": "0"}


def trace_id(trace: int) -> str:
    return f"{trace + 1:032x}"


def span(trace: int, number: int, parent: int | None, tokens: int | None) -> dict:
    """The span with a number; times follow from it."""
    attributes = {"mlflow.spanInputs": {"question": f"größe {trace}"}} if parent is None else {}
    if tokens is not None:
        attributes["mlflow.chat.tokenUsage"] = {"input_tokens": tokens, "output_tokens": 1, "total_tokens": tokens + 1}
        attributes["mlflow.trace.session"] = f"session of {number}"
    return {
        "traceId": trace_id(trace),
        "spanId": f"{number + 1:016x}",
        "name": f"span {number}",
        "startTimeUnixNano": str(START + number * 1_000_000),
        # The root outlives all others.
        "endTimeUnixNano": str(START + (number + (1_000 if parent is None else 5)) * 1_000_000),
        "attributes": [{"key": key, "value": {"stringValue": json.dumps(value)}} for key, value in attributes.items()],
    } | ({} if parent is None else {"parentSpanId": f"{parent + 1:016x}"})


def spans_of(trace: int, request: int) -> list[dict]:
    """Two spans, one of them inside the other: only the outer one's tokens count. The first request has the root too."""
    outer = 1 + 2 * request
    spans = [span(trace, outer, 0, request + 1), span(trace, outer + 1, outer, 1_000)]
    return spans if request else [*spans, span(trace, 0, None, None)]


def send(session, url: str, trace: int, request: int) -> None:
    body = {"resourceSpans": [{"scopeSpans": [{"spans": spans_of(trace, request)}]}]}
    answer = session.post(f"{url}/v1/traces", json=body, headers=HEADERS, timeout=60)
    assert (answer.status_code, answer.json().get("partialSuccess", {})) == (200, {}), answer.text


class Client(threading.Thread):
    """Sends what is left until nothing is, or the server is gone."""

    def __init__(self, url, left, acknowledged, enough):
        super().__init__()
        self.url, self.left, self.acknowledged, self.enough = url, left, acknowledged, enough
        self.failure = None

    def run(self):
        with requests.Session() as session:
            while True:
                try:
                    request = self.left.pop()
                except IndexError:
                    return
                try:
                    send(session, self.url, *request)
                except requests.RequestException:
                    # It may be written or not: it is sent again.
                    self.left.insert(0, request)
                    return
                except AssertionError as failure:
                    self.failure = failure
                    return
                self.acknowledged.append(request)
                self.enough.release()


def stored(url: str, trace: int) -> dict | None:
    answer = requests.get(f"{url}/api/3.0/mlflow/traces/get", params={"trace_id": f"tr-{trace_id(trace)}"}, timeout=60)
    return answer.json()["trace"] if answer.status_code == 200 else None


def check(url: str, acknowledged) -> None:
    for trace in range(TRACES):
        found = stored(url, trace) or {"spans": [], "trace_info": {}}
        names = {found_span["name"] for found_span in found["spans"]}
        assert len(names) == len(found["spans"]), "a span is there twice"
        present = {request for request in range(REQUESTS) if f"span {1 + 2 * request}" in names}
        assert {request for of, request in acknowledged if of == trace} <= present, "acknowledged spans are lost"
        for request in range(REQUESTS):
            all_of = {sent["name"] for sent in spans_of(trace, request)}
            assert all_of <= names or not all_of & names, "a request is half there"
        if present:
            usage = json.loads(found["trace_info"]["trace_metadata"]["mlflow.trace.tokenUsage"])
            assert usage["input_tokens"] == sum(request + 1 for request in present), "tokens and spans differ"


@pytest.mark.rotates(every=2)
@pytest.mark.parametrize("kills", [[3, 40], [20, 90]], ids=str)
def test_spans_of_many_clients_survive_kills(backend, tmp_path, kills):
    order = random.Random(str(kills))
    left = [(trace, request) for trace in range(TRACES) for request in range(REQUESTS)]
    order.shuffle(left)
    acknowledged = []
    for kill in [*kills, None]:
        with ferroflow(backend) as server:
            check(server.url, acknowledged)
            enough = threading.Semaphore(0)
            clients = [Client(server.url, left, acknowledged, enough) for _ in range(CLIENTS)]
            for client in clients:
                client.start()
            for _ in range(kill or 0):
                assert enough.acquire(timeout=60), "the server answers no more"
            if kill:
                server.kill()
            for client in clients:
                client.join()
                assert client.failure is None, client.failure
            if not kill:
                assert not left
                check(server.url, acknowledged)
                unordered = [stored(server.url, trace) for trace in range(TRACES)]
    with ferroflow(f"sqlite:///{tmp_path}/ordered.db") as server, requests.Session() as session:
        for trace in range(TRACES):
            for request in range(REQUESTS):
                send(session, server.url, trace, request)
        ordered = [stored(server.url, trace) for trace in range(TRACES)]
    for one, other in zip(unordered, ordered, strict=True):
        assert one["trace_info"] == other["trace_info"]
        by_id = [sorted(trace["spans"], key=lambda found: found["span_id"]) for trace in (one, other)]
        assert by_id[0] == by_id[1]
