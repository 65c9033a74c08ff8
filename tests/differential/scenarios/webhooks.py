"""Webhooks: what can be one, and what is never told of anything."""

from step import Step, delete, get, patch, post

#: A public address, so that nobody is asked for one.
URL = "https://93.184.216.34/hook"
CREATED = {"entity": "REGISTERED_MODEL", "action": "CREATED"}
TAG_SET = {"entity": "MODEL_VERSION_TAG", "action": "SET"}
NO_HOST = "one reader decides what the host of a URL is, the one that connects to it"
WRITTEN = "the address is written as the one that connects writes it"
INNER = "no address is public that routers do not carry"
INVALID = (400, "INVALID_PARAMETER_VALUE")


def new(**fields):
    return {"name": "hook", "url": URL, "events": [CREATED]} | fields


def steps():
    yield get("webhooks")
    yield post("webhooks", new(), save={"id": "webhook.webhook_id"})
    yield get("webhooks/{id}")
    yield get("webhooks")
    full = new(name="Full.name-1_x", description="what ü it is for", secret="s3cret", status="DISABLED",
               events=[TAG_SET, {"entity": "PROMPT_ALIAS", "action": "DELETED"}, {"entity": "BUDGET_POLICY", "action": "EXCEEDED"}])  # fmt: skip
    yield post("webhooks", full, save={"full": "webhook.webhook_id"})
    yield get("webhooks/{full}")
    yield get("webhooks", {"max_results": 1}, save={"token": "next_page_token"})
    yield get("webhooks", {"max_results": 1, "page_token": "{token}"})
    yield get("webhooks", {"max_results": 2})
    for size in ("0", "1000", "1001", "-1", "x", "1.5", ""):
        yield get("webhooks", {"max_results": size})
    for token in ("nonsense", "e30=", "eyJvZmZzZXQiOiAxfQ==", "eyJvZmZzZXQiOiA5OX0=", ""):
        yield get("webhooks", {"page_token": token})
    yield Step("GET", "/ajax-api/2.0/mlflow/webhooks/{id}")

    for name in ("", " ", "-x", "x-", ".x", "a b", "a/b", "ü", "x\n", "x" * 63, "x" * 64, "7", "A", None, 1, ["x"]):
        yield post("webhooks", new(name=name))
    for missing in ("name", "url", "events"):
        yield post("webhooks", {key: value for key, value in new().items() if key != missing})
    yield post("webhooks", {})
    yield post("webhooks", raw=b"[]")
    for events in ([], "x", {}, None, [1], [{}], [{"entity": "MODEL_VERSION"}], [{"action": "CREATED"}],
                   [{"entity": "MODEL_VERSION", "action": "DELETED"}], [{"entity": "REGISTERED_MODEL", "action": "UPDATED"}],
                   [{"entity": "MODEL_VERSION_TAG", "action": "CREATED"}], [{"entity": "PROMPT_ALIAS", "action": "SET"}],
                   [{"entity": "BUDGET_POLICY", "action": "CREATED"}], [{"entity": "ENTITY_UNSPECIFIED", "action": "CREATED"}],
                   [{"entity": "PROMPT", "action": "ACTION_UNSPECIFIED"}], [{"entity": "registered_model", "action": "created"}],
                   [{"entity": "NOPE", "action": "CREATED"}], [{"entity": 1, "action": 1}], [CREATED, {"entity": "PROMPT", "action": "SET"}]):  # fmt: skip
        yield post("webhooks", new(events=events))
    yield post("webhooks", new(events=[CREATED, CREATED]), differs="an event that is given twice counts once", expect=(200, None))
    for status in ("ACTIVE", "DISABLED", "PAUSED", "active", "", 1, None):
        yield post("webhooks", new(status=status))
    for field in ("description", "secret"):
        for value in ("", 1, None, ["x"]):
            yield post("webhooks", new(**{field: value}))
    yield post("webhooks", new(events=[CREATED, {"entity": "PROMPT", "action": "SET"}], name="-", url="ftp://x"))
    yield post("webhooks", new(name="-", url="ftp://x"))
    yield post("webhooks", new(url="http://x", events=[]))

    for url in ("", " ", "x", "/path", "example.org", "http://93.184.216.34/", "ftp://93.184.216.34/", "HTTPS://93.184.216.34/A?b=c", "https:", "https://", "https:///x",
                "https://user:secret@93.184.216.34:8443/x#y", "javascript:alert(1)", "file:///etc/passwd", "https://localhost/", "https://localhost:5000/x", "https://127.0.0.1/",
                "https://10.0.0.1/", "https://172.16.3.4/", "https://192.168.1.1/", "https://169.254.169.254/latest/meta-data/", "https://100.64.0.1/", "https://0.0.0.0/",
                "https://[::1]/", "https://[fd00:ec2::254]/", "https://[fe80::1]/", "https://[64:ff9b::a00:1]/",
                "https://[2002:7f00:1::]/", "https://198.18.0.1/", "https://203.0.113.9/", "https://255.255.255.255/", "https://240.0.0.1/", "https://93.184.216.34@127.0.0.1/",
                "https://[2606:4700:4700::1111]/", "https://no.such.host.invalid/", "https://93.184.216.34/" + "p" * 470, 1, None, ["https://x"]):  # fmt: skip
        yield post("webhooks", new(url=url))

    yield patch("webhooks/{id}", {"name": "renamed", "description": "new", "url": URL + "/2", "events": [TAG_SET], "status": "DISABLED"})
    yield get("webhooks/{id}")
    for body in ({}, {"name": ""}, {"url": ""}, {"events": []}, {"description": ""}, {"secret": "another"}, {"secret": ""}, {"status": "ACTIVE"}, {"webhook_id": "other"}):
        yield patch("webhooks/{id}", body)
    for body in ({"name": "-"}, {"name": 1}, {"url": "http://93.184.216.34/"}, {"url": "https://localhost/"}, {"url": 5}, {"events": "x"}, {"events": [{"entity": "PROMPT", "action": "SET"}]},
                 {"events": [{}]}, {"status": "x"}, {"status": 2}, {"secret": 1}, {"description": 1}):  # fmt: skip
        yield patch("webhooks/{id}", body)
    for body in ({}, {"name": "x"}, {"name": "-"}, {"url": "ftp://x"}, {"events": [{"entity": "PROMPT", "action": "SET"}]}):
        yield patch("webhooks/nothing", body)
    yield patch("webhooks/{id}", raw=b"{")
    yield get("webhooks/{id}")

    for path in ("webhooks/nothing", "webhooks/%00", "webhooks/a%2Fb", "webhooks/ü"):
        yield get(path)
    yield post("webhooks/nothing/test", {})
    yield post("webhooks/nothing/test", {"event": {"entity": "PROMPT", "action": "SET"}})
    yield post("webhooks/{id}/test", {"event": {"entity": "PROMPT", "action": "SET"}})
    yield post("webhooks/{id}/test", {"event": {}})
    yield post("webhooks/{id}/test", {"event": "x"})
    yield post("webhooks/{id}/test", {"event": {"entity": "NOPE", "action": "SET"}})
    yield get("webhooks/{id}/test")
    yield Step("PUT", "/api/2.0/mlflow/webhooks/{id}", {"name": "x"})

    yield delete("webhooks/nothing")
    yield delete("webhooks/{id}")
    yield delete("webhooks/{id}")
    yield get("webhooks/{id}")
    yield patch("webhooks/{id}", {"name": "x"})
    yield post("webhooks/{id}/test", {})

    for url in ("https://[::ffff:127.0.0.1]/", "https://[::ffff:10.0.0.1]/"):
        yield post("webhooks", new(url=url), differs=WRITTEN, expect=INVALID)
    for url in ("https://224.0.0.1/", "https://[ff02::1]/"):
        yield post("webhooks", new(url=url), differs=INNER, expect=INVALID)
    for url in ("https://127.1/", "https://0x7f000001/", "https://2130706433/", "https://0177.0.0.1/", "https://[::1/", "https://93.184.216.34:port/", "https://93.184.216.34:99999/"):
        yield post("webhooks", new(url=url), differs=NO_HOST, expect=INVALID)
    yield post("webhooks", new(url=URL + "x" * 500), differs="PostgreSQL holds shorter texts than SQLite, and each says so in its own words")
