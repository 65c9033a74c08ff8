"""A client with the retries of the official SDK, which records each attempt.

The SDK repeats a call up to seven times when the connection breaks and after 408, 429, 500, 502, 503 and 504
(``mlflow/utils/request_utils.py``). It waits as long as ``Retry-After`` says, else twice as long each time. It repeats every
method. This client repeats a call that is not idempotent only if nothing was done: the balancer or the server
refused it.
"""

import http.client
import json
import random
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from history import FAIL, OK, UNKNOWN, History

RETRIES = 7
RETRY_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
BACKOFF_FACTOR, BACKOFF_JITTER, BACKOFF_MAX = 2, 1.0, 120
#: Seconds until an answer; ``MLFLOW_HTTP_REQUEST_TIMEOUT``.
TIMEOUT = 120

#: Errors that answer the question.
ANSWERS = frozenset({"RESOURCE_ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST"})


@dataclass
class Answer:
    """What became of an attempt."""

    kind: str
    body: Any = None
    error: str = ""
    retry_after: float | None = None
    note: str = ""


def backoff(attempt: int) -> float:
    """Seconds before a repetition: none before the first, then 4, 8, 16, … and up to a second."""
    if attempt <= 1:
        return 0.0
    return min(BACKOFF_MAX, BACKOFF_FACTOR * 2 ** (attempt - 1) + random.random() * BACKOFF_JITTER)


class Client:
    """One connection to the balancer, and a history."""

    def __init__(self, number: int, address: tuple[str, int], history: History):
        self.number, self.address, self.history = number, address, history
        self._connection: http.client.HTTPConnection | None = None

    def close(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None

    def call(
        self,
        key: tuple[str, ...],
        name: str,
        args: Any,
        request: tuple[str, str, dict],
        result: Callable[[Answer], Any],
        *,
        is_idempotent: bool = True,
    ) -> Answer:
        """Sends a request until it is answered. ``result`` takes from an answer what the history keeps."""
        for attempt in range(RETRIES + 1):
            op = self.history.begin(self.number, key, name, args)
            answer = self.send(*request)
            self.history.end(op, answer.kind, result(answer) if answer.kind == OK else None, answer.note)
            if answer.kind == OK or (answer.kind == UNKNOWN and not is_idempotent):
                return answer
            wait = backoff(attempt + 1) if answer.retry_after is None else answer.retry_after
            if attempt < RETRIES:
                time.sleep(wait)
        self.history.failures.append(f"{name} {key} failed after {RETRIES} repetitions: {answer.note}")
        return answer

    def send(self, method: str, path: str, body: dict) -> Answer:
        """One attempt."""
        path, payload = f"/api/2.0/mlflow/{path}", None
        if method == "GET":
            path = f"{path}?{urlencode(body)}"
        else:
            payload = json.dumps(body).encode()
        if self._connection is None:
            connection = http.client.HTTPConnection(*self.address, timeout=TIMEOUT)
            try:
                connection.connect()
            except OSError as error:
                return Answer(FAIL, note=f"no connection: {error}")
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connection = connection
        try:
            self._connection.request(method, path, payload, {"Content-Type": "application/json"})
            response = self._connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            return Answer(UNKNOWN, note=f"{type(error).__name__}: {error}")
        if response.will_close:
            self.close()
        return _answer(response, content)


def _answer(response: http.client.HTTPResponse, content: bytes) -> Answer:
    status, note = response.status, f"{response.status} {content[:200].decode(errors='replace')}"
    is_json = (response.getheader("Content-Type") or "").startswith("application/json")
    body = json.loads(content or b"{}") if is_json else None
    error = body.get("error_code", "") if isinstance(body, dict) else ""
    later = response.getheader("Retry-After")
    retry_after = float(later) if later else None
    if status == 200 and body is not None:
        return Answer(OK, body)
    if error in ANSWERS:
        return Answer(OK, body, error)
    if status == 429:
        return Answer(FAIL, body, error, retry_after, note)
    if status == 503 and not is_json:
        # The balancer's own: no server took the connection.
        return Answer(FAIL, body, error, retry_after, note)
    if status in RETRY_STATUSES:
        return Answer(UNKNOWN, body, error, retry_after, note)
    raise AssertionError(f"a request that is right was answered with {note}")
