"""Page tokens belong to the workspace in which they were made: in another one they are those of another search. Offsets of the
reference are understood in each."""

import base64

from step import Step, get, post, within

SERVERS = "workspaces"
API = "/api/3.0/mlflow/workspaces"
SPACES = ("page-a", "page-b")
BOUND = "a page token belongs to its workspace; the reference's is an offset"
REFUSED = (400, "INVALID_PARAMETER_VALUE")
OFFSET = base64.b64encode(b'{"offset": 1}').decode()


def steps():
    for space in SPACES:
        yield Step("POST", API, {"name": space})
        yield from within(space, made())
    lists = [
        lambda **more: post("experiments/search", {"max_results": 1, **more.pop("body", {})}, **more),
        lambda **more: get("registered-models/search", {"max_results": 1, **more.pop("body", {})}, **more),
        lambda **more: get("model-versions/search", {"max_results": 1, **more.pop("body", {})}, **more),
        lambda **more: get("webhooks", {"max_results": 1, **more.pop("body", {})}, **more),
    ]
    for number, page in enumerate(lists):
        save, token = {f"page-{number}": "next_page_token"}, {"page_token": f"{{page-{number}}}"}
        yield from within("page-a", [page(save=save), page(body=token), page(body={"page_token": OFFSET})])
        yield from within("page-b", [page(body=token, differs=BOUND, expect=REFUSED), page(body={"page_token": OFFSET})])
        yield page(body=token, differs=BOUND, expect=REFUSED)


def made():
    for name in ("one", "two"):
        yield post("experiments/create", {"name": name})
        yield post("registered-models/create", {"name": name})
        yield post("model-versions/create", {"name": name, "source": "s3://bucket/model"})
        hook = {"name": name, "url": "https://example.com/hook", "events": [{"entity": "REGISTERED_MODEL", "action": "CREATED"}]}
        yield post("webhooks", hook)
