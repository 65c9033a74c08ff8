"""What two servers may answer differently without any meaning: the whole list, each with its reason."""

import re
import time
from typing import Any

#: Fields whose value is each server's own. That it is there, and not empty, is compared.
FIELDS = {
    "creation_time": "the server's clock",
    "last_update_time": "the server's clock",
    "create_time": "the server's clock",
    "created_time": "the server's clock",
    "created_at": "the server's clock",
    "created_timestamp": "the server's clock",
    "last_updated_at": "the server's clock",
    "creation_timestamp": "the server's clock",
    "last_updated_timestamp": "the server's clock",
    "creationTimestamp": "the same in GraphQL",
    "lastUpdatedTimestamp": "the same in GraphQL",
    "creation_timestamp_ms": "the server's clock",
    "last_updated_timestamp_ms": "the server's clock",
    "creation_time_ms": "the server's clock",
    "last_update_time_ms": "the server's clock",
    "completed_time_ms": "the server's clock",
    "webhook_id": "made up",
    "experiment_id": "a sequence: PostgreSQL gives a number also to a row that is then refused",
    "experimentId": "the same in GraphQL",
    "next_page_token": "opaque: the reference holds an offset, ferroflow a key",
    "nextPageToken": "the same in GraphQL",
}

#: Fields that a client may set: a value of the last minutes is the server's clock.
CLOCKS = {"end_time"}
RECENT = 10 * 60_000

#: Lists that the reference gives in no particular order, some of them on PostgreSQL alone.
UNORDERED = {"tags", "params", "metrics", "dataset_inputs", "model_inputs", "model_outputs", "dataset_summaries",
             "aliases", "latest_versions", "events", "request_metadata"}  # fmt: skip

#: Reason, words of a text that are each server's own, what stands for them.
TEXTS = [
    (
        "the reference shows the text of its database driver",
        re.compile(r"((?:(?:Experiment|Registered Model )\(name=.*?\)|Workspace '.*?') already exists\.).*", re.DOTALL),
        r"\1",
    ),
    (
        "the reference shows where a local source leads on its own machine, ferroflow the source as it was sent",
        re.compile(r"(Invalid model version source: )'.*?'(\. To use a local path)", re.DOTALL),
        r"\1<source>\2",
    ),
    (
        "sets of Python are written in no particular order",
        re.compile(r"\{('[^{}]*')\}"),
        lambda found: "{" + ", ".join(sorted(found[1].split(", "))) + "}",
    ),
    (
        "a sequence: PostgreSQL gives a number also to a row that is then refused",
        re.compile(r"(already exists for experiment )'\d+'"),
        r"\1'<id>'",
    ),
    (
        "where a decoder of tokens stopped",
        re.compile(r"(Invalid page token).*", re.DOTALL),
        r"\1",
    ),
    (
        "what the database says of a row that it refuses",
        re.compile(
            r"^(\(raised as a result of|\((sqlite3|psycopg2)|The request contradicts what is stored|"
            r"The request has a value that the database).*",
            re.DOTALL,
        ),
        "<refused by the database>",
    ),
    ("the number of an experiment, without a word before it", re.compile(r"(Expected: \[')\d+'"), r"\1<number>'"),
    (
        "the number of an experiment in its location",
        re.compile(r"(?i)((?:mlflow-artifacts:/+|No such artifact: ')(?:workspaces/[^/']+/)?)\d+(?=/|\b)"),
        r"\1<number>",
    ),
    (
        "the number of an experiment below the root of a workspace",
        re.compile(r"((?:s3://bucket/[a-z-]+|/srv/own|mlflow-artifacts:/(?:team/)?own)/)\d+(?=[/?]|$)"),
        r"\1<number>",
    ),
    (
        "what the system says of a host that it does not know",
        re.compile(r"(Cannot resolve Webhook URL hostname '.*?':).*", re.DOTALL),
        r"\1",
    ),
    ("where the server listens", re.compile(r"http://127\.0\.0\.1:\d{4,5}(?=/api)"), "<server>"),
    ("the address of a Python object", re.compile(r" object at 0x[0-9a-f]+"), " object"),
    ("the server's clock in a model", re.compile(r"(utc_time_created\W{1,6})\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+"), r"\1<time>"),
    ("the number of an experiment in the address of its page", re.compile(r"^/experiments/\d+$"), "/experiments/<number>"),
    (
        "the number of an experiment that has none of what a review names",
        re.compile(r"((?:not found for|do not exist in) experiment )'\d+'"),
        r"\1'<number>'",
    ),
    ("the server's clock in a text", re.compile(r'("(?:created|last_update)_time": )\d{13}\b'), r"\1<time>"),
    ("the digest of a dataset's state, which has the time in it", re.compile(r"^[0-9a-f]{8}$"), "<digest>"),
    ("an id that no step has saved", re.compile(r"\b(m-)?[0-9a-f]{32}\b"), "<id>"),
    ("the same with hyphens", re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "<id>"),
    ("a name that was made up", re.compile(r"^[a-z]+-[a-z]+-\d{1,4}$"), "<name>"),
]


def mask(value: Any, saved: dict[str, str], keep_order: bool = False, key: str = "") -> Any:
    """An answer with a name in place of whatever is volatile or was saved."""
    if key in FIELDS and value not in (None, ""):
        return f"<{key}>"
    if key in CLOCKS and isinstance(value, int) and abs(time.time() * 1000 - value) < RECENT:
        return "<now>"
    if isinstance(value, dict):
        return {name: mask(item, saved, keep_order, name) for name, item in value.items()}
    if isinstance(value, list):
        items = [mask(item, saved, keep_order) for item in value]
        return sorted(items, key=repr) if key in UNORDERED and not keep_order else items
    if isinstance(value, str):
        return mask_text(value, saved, is_message=key == "message")
    # A float without a fraction is written with or without `.0`.
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def mask_text(text: str, saved: dict[str, str], is_message: bool = False) -> str:
    # Longest first: one saved value may be a part of another.
    for name, value in sorted(saved.items(), key=lambda item: -len(item[1])):
        if not value.isdigit():
            text = text.replace(value, f"<{name}>") if len(value) > 3 else text
        elif is_message:
            # The number of an experiment, which depends on the scenarios that ran before.
            text = re.sub(rf"(?i)(\b(?:id|experiment)\b\W{{0,4}}){value}\b", rf"\1<{name}>", text)
    for _, pattern, replacement in TEXTS:
        text = pattern.sub(replacement, text)
    return text
