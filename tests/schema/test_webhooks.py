"""Webhooks in a database that both servers use: secrets, messages, and ferroflow's own table."""

import base64
import hashlib
import hmac
import json
import subprocess

import pytest
import requests
import sqlalchemy
from mlflow.entities.webhook import VALID_ENTITY_ACTIONS
from support import introspect, required
from support import receiver as receivers
from support.postgres import DIALECTS, connect, database
from support.servers import ferroflow, reference

#: Every event there is.
EVENTS = [
    {"entity": entity.name, "action": action.name}
    for entity, actions in VALID_ENTITY_ACTIONS.items()
    for action in sorted(actions)
]


def call(server, method, path, body=None):
    answer = requests.request(method, f"{server.url}/api/2.0/mlflow/{path}", json=body or {}, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


def webhook(server, hook, name, **fields):
    body = {"name": name, "url": f"{hook.url}/{name}", "events": EVENTS} | fields
    return call(server, "POST", "webhooks", body)["webhook"]["webhook_id"]


def is_signed(message, secret):
    signed = b".".join((message.delivery_id.encode(), message.headers["X-MLflow-Timestamp"].encode(), message.body))
    signature = base64.b64encode(hmac.digest(secret.encode(), signed, hashlib.sha256)).decode()
    return message.headers["X-MLflow-Signature"] == f"v1,{signature}"


@pytest.fixture(scope="module", params=DIALECTS)
def both(request, tmp_path_factory):
    """The reference and ferroflow on one database, and a receiver that both reach."""
    folder = tmp_path_factory.mktemp("webhooks")
    with (
        database(request.param, folder) as uri,
        receivers.receiver() as hook,
        reference(uri, folder / "artifacts", env=receivers.SETTINGS) as theirs,
        ferroflow(uri, folder / "artifacts", env=receivers.SETTINGS) as ours,
    ):
        yield theirs, ours, hook


@pytest.mark.rotates(together=True, every=4)
def test_each_signs_with_a_secret_that_the_other_has_stored(both):
    theirs, ours, hook = both
    for number, (writer, sender) in enumerate(((theirs, ours), (ours, theirs))):
        secret = f"sécret {number}"
        webhook_id = webhook(writer, hook, f"secret-{number}", secret=secret)
        assert [item["name"] for item in call(sender, "GET", "webhooks")["webhooks"]].count(f"secret-{number}") == 1
        assert call(sender, "POST", f"webhooks/{webhook_id}/test")["result"]["success"]
        assert is_signed(hook.next(), secret)
        call(writer, "PATCH", f"webhooks/{webhook_id}", {"secret": "changed"})
        call(sender, "POST", f"webhooks/{webhook_id}/test")
        assert is_signed(hook.next(), "changed")
        call(sender, "PATCH", f"webhooks/{webhook_id}", {"secret": ""})
        call(writer, "POST", f"webhooks/{webhook_id}/test")
        assert "X-MLflow-Signature" not in hook.next().headers
        call(sender, "DELETE", f"webhooks/{webhook_id}")
        assert requests.get(f"{writer.url}/api/2.0/mlflow/webhooks/{webhook_id}", timeout=60).status_code == 404


@pytest.mark.rotates(together=True, every=4)
def test_messages_are_those_of_the_reference_to_the_byte(both):
    theirs, ours, hook = both
    webhook_id = webhook(ours, hook, "examples")
    for event in EVENTS:
        messages = []
        for server in (theirs, ours):
            result = call(server, "POST", f"webhooks/{webhook_id}/test", {"event": event})["result"]
            assert result == {"success": True, "response_status": 200, "response_body": "heard\n"}
            message = hook.next()
            assert message.headers["Content-Type"] == "application/json"
            moment = json.loads(message.body)["timestamp"]
            messages.append(message.body.replace(moment.encode(), b"<moment>"))
        assert messages[0] == messages[1]
    call(ours, "DELETE", f"webhooks/{webhook_id}")


@pytest.mark.rotates(together=True, every=4)
def test_changes_are_told_as_the_reference_tells_them(both):
    theirs, ours, hook = both
    webhook_id = webhook(ours, hook, "changes")
    told = {}
    for name, server in (("theirs", theirs), ("ours", ours)):
        messages = []
        for method, path, body in changes(name):
            call(server, method, path, body)
            if path != "registered-models/set-tag" or "prompt" in body["name"]:
                message = hook.next()
                messages.append((message.event, json.dumps(message.data).replace(name, "…")))
        told[name] = messages
    assert told["ours"] == told["theirs"]
    assert len({event for event, _ in told["ours"]}) == len(EVENTS) - 1, "all but those of budgets"
    assert hook.is_idle
    call(ours, "DELETE", f"webhooks/{webhook_id}")


def changes(mark):
    """Every call that something is told of, and one that nothing is told of."""
    tags = [{"key": "b", "value": "2"}, {"key": "a", "value": "1"}, {"key": "b", "value": "drei"}]
    prompt_tags = [{"key": "mlflow.prompt.is_prompt", "value": "TRUE"}, {"key": "_mlflow_prompt_type", "value": "text"}]
    text = {"key": "mlflow.prompt.text", "value": 'Say "{{word}}" 雪'}
    for kind, extra, source in (("model", [], "s3://b/x"), ("prompt", prompt_tags, "dummy-source")):
        name = f"{kind} {mark}"
        yield "POST", "registered-models/create", {"name": name, "tags": tags + extra, "description": "ü"}
        yield "POST", "registered-models/create", {"name": f"{name} bare", "tags": extra}
        yield "POST", "registered-models/set-tag", {"name": name, "key": "k", "value": "v"}
        if kind == "prompt":
            yield "DELETE", "registered-models/delete-tag", {"name": name, "key": "k"}
        version = {"name": name, "source": source}
        with_text = tags + extra + ([text] if extra else [])
        yield "POST", "model-versions/create", version | {"tags": with_text, "description": "d"}
        yield "POST", "model-versions/create", version | {"tags": extra}
        yield "POST", "model-versions/set-tag", {"name": name, "version": "1", "key": "k", "value": "v"}
        yield "DELETE", "model-versions/delete-tag", {"name": name, "version": "1", "key": "k"}
        yield "POST", "registered-models/alias", {"name": name, "alias": "best", "version": "2"}
        yield "POST", "registered-models/alias", {"name": name, "alias": "best", "version": "1"}
        yield "DELETE", "registered-models/alias", {"name": name, "alias": "best"}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_is_ours_goes_with_one_command(dialect, tmp_path):
    with database(dialect, tmp_path) as uri:
        with ferroflow(uri, tmp_path / "artifacts"):
            pass
        before = introspect.schema(uri)
        assert own(uri)
        command = [required("FERROFLOW_BIN"), "db", "drop-own", uri]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert not own(uri)
        assert introspect.schema(uri) == before


def own(uri):
    """The tables and indexes of a database that are no part of the reference's schema."""
    engine = sqlalchemy.create_engine(uri.replace("postgresql://", "postgresql+psycopg2://", 1))
    inspector = sqlalchemy.inspect(engine)
    tables = inspector.get_table_names()
    names = {*tables, *(index["name"] for table in tables for index in inspector.get_indexes(table))}
    engine.dispose()
    return {name for name in names if name.startswith("ff_")}


def test_a_user_who_may_make_no_tables_is_served_all_but_webhooks(tmp_path):
    with database("postgresql", tmp_path) as uri:
        with ferroflow(uri, tmp_path / "artifacts"):
            pass
        subprocess.run([required("FERROFLOW_BIN"), "db", "drop-own", uri], check=True, timeout=60)
        name = "limited_" + uri.rpartition("_")[2]
        with connect(uri) as administrator, administrator.cursor() as cursor:
            cursor.execute(f"CREATE ROLE {name} LOGIN")
            cursor.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
            cursor.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {name}")
            cursor.execute(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {name}")
        scheme, _, rest = uri.partition("://")
        limited = f"{scheme}://{name}@{rest.partition('@')[2]}"
        try:
            with ferroflow(limited, tmp_path / "artifacts") as server:
                call(server, "POST", "registered-models/create", {"name": "m"})
                body = {"name": "w", "url": "https://93.184.216.34/", "events": EVENTS}
                answer = requests.post(f"{server.url}/api/2.0/mlflow/webhooks", json=body, timeout=60)
                assert answer.status_code == 503, answer.text
                assert "may not create the table" in answer.json()["message"]
                server.wait_logged("ff_webhook_deliveries")
        finally:
            with connect(uri) as administrator, administrator.cursor() as cursor:
                cursor.execute(f"DROP OWNED BY {name}")
                cursor.execute(f"DROP ROLE {name}")
