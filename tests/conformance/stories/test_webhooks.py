"""Webhooks: managed with the SDK, and told of what happens in the registry."""

import os
import re
from pathlib import Path

import pytest
from helpers import UNICODE, refused
from support.receiver import receiver

pytestmark = pytest.mark.since(3)

DOCS = Path(__file__).parents[3] / "docs" / "webhooks.md"


def documented():
    """What the user guide shows for checking a signature."""
    code = {}
    exec(re.search(r"```python\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)[1], code)
    return code["is_genuine"]


@pytest.fixture
def hook():
    with receiver() as hook:
        yield hook


@pytest.fixture
def subscribe(client, hook):
    """Makes webhooks that are gone when the story ends."""
    made = []

    def create(*events, **fields):
        webhook = client.create_webhook(f"w-{os.urandom(4).hex()}", hook.url, list(events), **fields)
        made.append(webhook.webhook_id)
        return webhook

    yield create
    for webhook_id in made:
        client.delete_webhook(webhook_id)


def unique(name):
    return f"{name} {os.urandom(6).hex()}"


def test_a_webhook_is_created_found_changed_and_deleted(client, hook):
    created = client.create_webhook("first", hook.url, ["prompt.created", "model_version_tag.set"], description=UNICODE)
    assert (created.name, created.url, created.description, created.status) == ("first", hook.url, UNICODE, "ACTIVE")
    assert {str(event) for event in created.events} == {"prompt.created", "model_version_tag.set"}
    assert created.creation_timestamp == created.last_updated_timestamp > 1_600_000_000_000
    found = client.get_webhook(created.webhook_id)
    assert (found.name, found.url, found.secret) == ("first", hook.url, None)
    assert created.webhook_id in [webhook.webhook_id for webhook in client.list_webhooks()]

    changed = client.update_webhook(created.webhook_id, name="second", events=["model_version.created"], status="DISABLED")
    assert (changed.name, changed.description, changed.status) == ("second", UNICODE, "DISABLED")
    assert [str(event) for event in changed.events] == ["model_version.created"]
    client.delete_webhook(created.webhook_id)
    with refused("RESOURCE_DOES_NOT_EXIST", f"Webhook with ID {created.webhook_id} not found"):
        client.get_webhook(created.webhook_id)


def test_webhooks_come_in_pages_the_newest_first(client, subscribe):
    made = [subscribe("prompt.created").webhook_id for _ in range(5)]
    seen, token = [], None
    while not set(made) <= set(seen):
        page = client.list_webhooks(max_results=2, page_token=token)
        seen += [webhook.webhook_id for webhook in page]
        token = page.token
        assert token or set(made) <= set(seen)
    assert len(seen) == len(set(seen))


def test_a_webhook_that_can_not_be_one_is_refused(client, hook):
    for name in ("-", "a b", "x" * 64):
        with refused("INVALID_PARAMETER_VALUE", "is invalid"):
            client.create_webhook(name, hook.url, ["prompt.created"])
    with refused("INVALID_PARAMETER_VALUE", "Invalid webhook URL scheme"):
        client.create_webhook("w", "ftp://example.org", ["prompt.created"])
    with refused("INVALID_PARAMETER_VALUE", "events"):
        client.create_webhook("w", hook.url, [])


def test_changes_of_a_model_are_told_and_signed(client, hook, subscribe):
    events = ["registered_model.created", "model_version.created", "model_version_tag.set"]
    events += ["model_version_tag.deleted", "model_version_alias.created", "model_version_alias.deleted"]
    subscribe(*events, secret="s3cret " + UNICODE)
    name = unique("told")
    client.create_registered_model(name, tags={"team": UNICODE}, description="d")
    client.create_model_version(name, "s3://bucket/model", description=UNICODE)
    client.set_model_version_tag(name, "1", "k", "v")
    client.delete_model_version_tag(name, "1", "k")
    client.set_registered_model_alias(name, "best", "1")
    client.delete_registered_model_alias(name, "best")

    is_genuine = documented()
    told = []
    for _ in events:
        message = hook.next()
        assert is_genuine("s3cret " + UNICODE, message.headers, message.body)
        assert not is_genuine("another", message.headers, message.body)
        assert not is_genuine("s3cret " + UNICODE, message.headers, message.body + b" ")
        assert message.data["name"] == name
        told.append((message.event, message.data))
    # The reference sends as it comes; here the order is that of the changes.
    assert [event for event, _ in told] == events
    assert told[0][1] == {"name": name, "tags": {"team": UNICODE}, "description": "d"}
    assert told[1][1] == {
        "name": name, "version": "1", "source": "s3://bucket/model", "run_id": None, "tags": {}, "description": UNICODE,
    }  # fmt: skip
    assert told[4][1] == {"name": name, "alias": "best", "version": "1"}


def test_changes_of_a_prompt_are_told(client, hook, subscribe):
    events = ["prompt.created", "prompt_version.created", "prompt_tag.set", "prompt_version_tag.set", "prompt_alias.created"]
    subscribe(*events, "registered_model.created", "model_version.created")
    name = f"prompt-{os.urandom(6).hex()}"
    client.register_prompt(name, "Say {{word}}", commit_message="first", tags={"a": "1"})
    client.set_prompt_tag(name, "team", "x")
    client.set_prompt_version_tag(name, 1, "k", "v")
    client.set_prompt_alias(name, "best", 1)
    wanted = set(events)
    while wanted:
        message = hook.next()
        assert message.event in events, "a prompt is no model"
        assert message.data["name"] == name
        if message.event == "prompt_version.created":
            assert (message.data["template"], message.data["description"]) == ("Say {{word}}", "first")
            assert not any(key.startswith("mlflow.prompt.") for key in message.data["tags"] if key.endswith(("is_prompt", ".text")))
        wanted.discard(message.event)


def test_a_webhook_is_told_only_what_it_asked_for_and_only_while_it_is_active(client, hook, subscribe):
    webhook = subscribe("registered_model.created")
    one, two, three = unique("one"), unique("two"), unique("three")
    client.create_registered_model(one)
    client.create_model_version(one, "s3://bucket/model")
    assert hook.next().data["name"] == one
    client.update_webhook(webhook.webhook_id, status="DISABLED")
    client.create_registered_model(two)
    client.update_webhook(webhook.webhook_id, status="ACTIVE")
    client.create_registered_model(three)
    assert hook.next().data["name"] == three
    assert hook.is_idle


def test_a_message_that_fails_is_sent_again(client, hook, subscribe):
    hook.statuses.put(503)
    subscribe("registered_model.created")
    client.create_registered_model(unique("again"))
    first, second = hook.next(), hook.next()
    assert (first.delivery_id, first.body) == (second.delivery_id, second.body)


def test_a_webhook_is_tested(client, hook, subscribe):
    webhook = subscribe("model_version.created", "prompt.created", secret="s")
    result = client.test_webhook(webhook.webhook_id, "prompt.created")
    assert (result.success, result.response_status, result.response_body) == (True, 200, "heard\n")
    message = hook.next()
    assert (message.event, message.data["name"]) == ("prompt.created", "example_prompt")
    assert documented()("s", message.headers, message.body)
    hook.statuses.put(404)
    result = client.test_webhook(webhook.webhook_id)
    assert (result.success, result.response_status, result.response_body) == (False, 404, "heard\n")
