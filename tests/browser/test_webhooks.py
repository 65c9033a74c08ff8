"""The page of the settings where webhooks are managed."""

import uuid

import pytest
from mlflow import MlflowClient
from playwright.sync_api import expect
from support.receiver import receiver


@pytest.fixture
def client(url):
    return MlflowClient(url)


@pytest.fixture
def hook():
    with receiver() as hook:
        yield hook


@pytest.fixture
def name():
    return f"hook-{uuid.uuid4().hex[:8]}"


def test_a_webhook_is_created_and_tested(ui, client, hook, name):
    ui.open("/settings/webhooks")
    ui.button("Create webhook").click()
    dialog = ui.page.get_by_role("dialog", name="Create webhook")
    dialog.locator("#mlflow\\.settings\\.webhooks\\.name-input").fill(name)
    dialog.locator("#mlflow\\.settings\\.webhooks\\.url-input").fill(hook.url)
    dialog.locator("#mlflow\\.settings\\.webhooks\\.secret-input").fill("s3cret")
    dialog.get_by_role("checkbox").first.check()
    dialog.get_by_role("button", name="Create").click()
    expect(dialog).to_have_count(0)
    expect(ui.page.get_by_text(name, exact=True)).to_be_visible()
    created = next(webhook for webhook in client.list_webhooks() if webhook.name == name)
    assert (created.url, len(created.events), created.status) == (hook.url, 1, "ACTIVE")

    row(ui, name).get_by_role("button", name="Test").click()
    assert hook.next().headers["X-MLflow-Signature"].startswith("v1,")
    expect(ui.page.get_by_text("200")).to_be_visible()
    client.delete_webhook(created.webhook_id)


def test_a_webhook_is_changed_and_deleted(ui, client, hook, name):
    webhook = client.create_webhook(name, hook.url, ["model_version.created"], secret="s")
    ui.open("/settings/webhooks")
    row(ui, name).get_by_role("button", name="Edit").click()
    dialog = ui.page.get_by_role("dialog", name="Edit webhook")
    dialog.locator("#mlflow\\.settings\\.webhooks\\.name-input").fill(f"{name}-2")
    dialog.get_by_role("button", name="Save").click()
    expect(ui.page.get_by_text(f"{name}-2", exact=True)).to_be_visible()
    assert client.get_webhook(webhook.webhook_id).name == f"{name}-2"

    row(ui, f"{name}-2").get_by_role("button", name="Delete").click()
    ui.page.get_by_role("dialog", name="Delete webhook").get_by_role("button", name="Delete").click()
    expect(ui.page.get_by_text(f"{name}-2", exact=True)).to_have_count(0)
    assert webhook.webhook_id not in [found.webhook_id for found in client.list_webhooks()]


def test_what_is_wrong_with_a_webhook_is_shown(ui, name):
    ui.open("/settings/webhooks")
    ui.will_refuse("POST", "/ajax-api/2.0/mlflow/webhooks", 400)
    ui.button("Create webhook").click()
    dialog = ui.page.get_by_role("dialog", name="Create webhook")
    dialog.locator("#mlflow\\.settings\\.webhooks\\.name-input").fill(name)
    dialog.locator("#mlflow\\.settings\\.webhooks\\.url-input").fill("ftp://example.org")
    dialog.get_by_role("checkbox").first.check()
    dialog.get_by_role("button", name="Create").click()
    expect(dialog.get_by_text("Invalid webhook URL scheme: 'ftp'")).to_be_visible()


def row(ui, name):
    """What belongs to one webhook: the smallest part of the page with its name and its buttons."""
    parts = ui.page.get_by_role("main").locator("div").filter(has=ui.page.get_by_text(name, exact=True))
    return parts.filter(has=ui.page.get_by_role("button", name="Test")).last
