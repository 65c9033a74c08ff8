"""A request of the corpus."""

import dataclasses
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

#: The header that names the workspace of a request.
WORKSPACE = "X-MLFLOW-WORKSPACE"


@dataclass
class Step:
    """A request. ``{name}`` in any text is what an earlier step saved under that name."""

    method: str
    path: str
    body: Any = None
    query: Any = None
    raw: bytes | None = None
    headers: dict = field(default_factory=dict)
    #: Name → path into the JSON of the answer, such as ``run.info.run_id``.
    save: dict = field(default_factory=dict)
    #: Why ferroflow answers otherwise on purpose. `expect` is the status and error code that it answers then;
    #: without it, what was recorded holds.
    differs: str | None = None
    expect: tuple[int, str | None] | None = None

    def __post_init__(self):
        if self.expect is not None and self.differs is None:
            raise ValueError(f"what is expected instead of the reference's answer needs a reason: {self}")

    def __str__(self) -> str:
        parts = [self.method, self.path]
        for given in (self.query, self.body):
            if given is not None:
                parts.append(json.dumps(given, ensure_ascii=False))
        if self.raw is not None:
            parts.append(repr(self.raw[:200])[1:])
        if self.headers:
            parts.append("; ".join(f"{name}: {value}" for name, value in self.headers.items()))
        text = " ".join(parts)
        return text if len(text) <= 300 else f"{text[:240]}… ({len(text)} characters)"


def post(path: str, body: Any = None, **rest) -> Step:
    return Step("POST", api(path), body if body is not None or "raw" in rest else {}, **rest)


def get(path: str, query: Any = None, **rest) -> Step:
    return Step("GET", api(path), query=query, **rest)


def patch(path: str, body: Any = None, **rest) -> Step:
    return Step("PATCH", api(path), body, **rest)


def delete(path: str, query: Any = None, **rest) -> Step:
    return Step("DELETE", api(path), query=query, **rest)


def api(path: str) -> str:
    return path if path.startswith("/") else f"/api/2.0/mlflow/{path}"


def within(workspace: str, steps: Iterable[Step]) -> Iterator[Step]:
    """The same requests in a workspace, but those that have a header of their own."""
    for step in steps:
        yield dataclasses.replace(step, headers={WORKSPACE: workspace} | step.headers)
