"""Sends steps to a server and keeps what later steps need."""

import json
from dataclasses import dataclass
from typing import Any

import requests
from step import Step
from volatile import mask

#: In place of a status: the server closed the connection without an answer.
CLOSED = 0

#: Headers that tell a browser what it may do with an answer.
HEADERS = ("Access-Control-Allow-Origin", "Content-Disposition", "Content-Range", "WWW-Authenticate")


@dataclass
class Answer:
    """``status`` is `CLOSED` when there was none."""

    status: int
    media_type: str
    body: Any
    text: str
    headers: dict[str, str]

    @property
    def error_code(self) -> str | None:
        return self.body.get("error_code") if isinstance(self.body, dict) else None

    @property
    def message(self) -> str:
        return str(self.body.get("message", "")) if isinstance(self.body, dict) else ""


class Player:
    """One server, and what its answers were saved under."""

    def __init__(self, url: str):
        self.url = url
        self.saved: dict[str, str] = {}
        self.session = requests.Session()
        # To look for proxies in the environment takes longer than to send a request.
        self.session.trust_env = False

    def play(self, step: Step) -> Answer:
        headers = dict(step.headers)
        data = None
        if step.raw is not None:
            data = self.fill(step.raw.decode("latin-1")).encode("latin-1")
        elif step.body is not None:
            data = json.dumps(self.fill(step.body)).encode()
        if data is not None and step.method != "GET":
            headers.setdefault("Content-Type", "application/json")
        headers = {key: self.fill(value) for key, value in headers.items() if value is not None}
        request = requests.Request(
            step.method, self.url + "/", params=self.fill(step.query), data=data, headers=headers
        )
        prepared = self.session.prepare_request(request)
        # Paths go out as they are written: requests would resolve `..`.
        query = prepared.url.partition("?")[2]
        path = self.fill(step.path)
        prepared.url = self.url + path + (f"{'&' if '?' in path else '?'}{query}" if query else "")
        response = self.send(prepared)
        if response is None:
            return Answer(CLOSED, "", None, "", {})
        media_type = response.headers.get("Content-Type", "").partition(";")[0]
        body = None
        if media_type == "application/json" and response.content:
            try:
                body = json.loads(response.content)
            except ValueError:
                media_type = "broken application/json"
        for name, path in step.save.items():
            value = dig(body, path)
            if value is not None:
                self.saved[name] = str(value)
        kept = {name: response.headers[name] for name in HEADERS if name in response.headers}
        return Answer(response.status_code, media_type, body, response.text, kept)

    def send(self, request: requests.PreparedRequest) -> requests.Response | None:
        # Again on a new connection: the server may have closed the old one while nothing was asked.
        for _ in range(2):
            try:
                return self.session.send(request, timeout=60, allow_redirects=False)
            except requests.ConnectionError:
                self.session.close()
        return None

    def fill(self, value: Any) -> Any:
        if isinstance(value, str):
            for name, saved in self.saved.items():
                value = value.replace("{" + name + "}", saved)
            return value
        if isinstance(value, list):
            return [self.fill(item) for item in value]
        if isinstance(value, dict):
            return {self.fill(key): self.fill(item) for key, item in value.items()}
        return value

    def masked(self, step: Step, answer: Answer) -> dict:
        """What of an answer must be the same on every server."""
        # Without a body there is no type of one.
        if step.method == "HEAD" or answer.status == 204:
            return {"status": answer.status}
        # A number may mean anything, unless the request was about it.
        request = str((step.path, step.query, step.body, step.raw, step.headers))
        saved = {name: value for name, value in self.saved.items() if not value.isdigit() or "{" + name + "}" in request}
        headers = {"headers": mask(answer.headers, saved)} if answer.headers else {}
        if answer.media_type == "application/json":
            keep_order = "get-history" in step.path or "BulkInterval" in str(step.body)
            return {"status": answer.status, "json": mask(answer.body, saved, keep_order)} | headers
        if answer.status >= 400 or step.method == "OPTIONS":
            # Pages of errors are each web framework's own; the status is not.
            return {"status": answer.status} | headers
        return {"status": answer.status, "type": answer.media_type, "text": mask(answer.text, saved)} | headers


def dig(value: Any, path: str) -> Any:
    """The value at a path of keys and indexes, or None."""
    for part in path.split("."):
        if isinstance(value, list):
            value = value[int(part)] if len(value) > int(part) else None
        elif isinstance(value, dict):
            value = value.get(part)
        else:
            return None
    return value
