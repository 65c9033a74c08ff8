"""Review queues: their users, questions and items, and what reviewers may do with them."""

from step import Step

from .traces import info, start

API = "/api/3.0/mlflow/review-queues"


def post(path, body=None, **rest):
    return Step("POST", f"{API}/{path}", body if body is not None else {}, **rest)


def get(path, query=None, **rest):
    return Step("GET", f"{API}/{path}", query=query, **rest)


def create(name, queue_type="CUSTOM", save=None, **more):
    body = {"experiment_id": "{exp}", "name": name, "queue_type": queue_type, **more}
    return post("create", body, save={save: "review_queue.queue_id"} if save else {})


def update(queue="{queue}", **body):
    return post("update", {"queue_id": queue, **body})


def add(*items, queue="{queue}", **more):
    return post("items/add", {"queue_id": queue, "item_ids": list(items), **more})


def remove(*items, queue="{queue}"):
    return post("items/remove", {"queue_id": queue, "item_ids": list(items)})


def set_status(item, status, user=None, queue="{queue}"):
    body = {"queue_id": queue, "item_id": item, "status": status}
    return post("items/set-status", body if user is None else {**body, "completed_by": user})


def items(**query):
    return get("items/list", {"queue_id": "{queue}", **query})


def steps():
    yield from made()
    yield from not_made()
    yield from found()
    yield from changed()
    yield from reviewed()
    yield from not_reviewed()
    yield from ended()


def made():
    yield Step("POST", "/api/2.0/mlflow/experiments/create", {"name": "reviewed"}, save={"exp": "experiment_id"})
    yield Step("POST", "/api/2.0/mlflow/experiments/create", {"name": "not reviewed"}, save={"other": "experiment_id"})
    for name, key in (("good?", "good"), ("why?", "why")):
        schema = {"experiment_id": "{exp}", "name": name, "type": "FEEDBACK", "input": {"text": {}}}
        yield Step("POST", "/api/3.0/mlflow/label-schemas/create", schema, save={key: "label_schema.schema_id"})
    yield create(" Night ", save="queue", users=["Bob ", "ann", "BOB"], schema_ids=["{good}", " {good} "])
    yield get("get", {"queue_id": "{queue}"})
    yield get("get-by-name", {"experiment_id": "{exp}", "name": "nIGHT"})
    yield create("empty", save="empty", created_by="mallory")
    yield create("Größe", save="size", users=["Ä"])
    yield create("Zoe", "USER", save="zoe")
    yield create("eve", "USER", save="eve", users=[" EVE "])
    yield create("Default", "USER", save="default")
    user = {"experiment_id": "{exp}", "user": " Ann "}
    yield post("get-or-create-user", user, save={"ann": "review_queue.queue_id"})
    yield post("get-or-create-user", {"experiment_id": "{exp}", "user": "ANN", "created_by": "mallory"})
    yield post("get-or-create-user", {"experiment_id": "{exp}", "user": "zoe"})
    yield create("many", save="many", users=[f"user {number}" for number in range(10)])


def not_made():
    for name in ("", " ", "x" * 251, "default", " DEFAULT ", "night", "ZOE", 5):
        yield create(name)
    for queue_type in ("REVIEW_QUEUE_TYPE_UNSPECIFIED", "OTHER", None, 1.5):
        yield create("typed", queue_type)
    for users in ([""], [" "], ["x" * 251], [f"user {number}" for number in range(11)]):
        yield create("with users", users=users)
    for schemas in (["ls-nothing"], [""], ["x" * 37], ["{good}", "ls-a", "ls-b"]):
        yield create("with schemas", schema_ids=schemas)
    # Without a name, because the reference goes on with the half that it could read.
    for body in ({"users": "ann"}, {"users": [5]}, {"schema_ids": "x"}, {"schema_ids": [None]}):
        yield create("", **body)
    yield create("fred", "USER", users=["ann"])
    yield create("fred", "USER", users=["fred", "ann"])
    yield create("fred", "USER", schema_ids=["{good}"])
    yield create("", "USER")
    yield create("x" * 251, "USER")
    yield create("night", "USER")
    yield post("create")
    yield post("create", {"experiment_id": "{exp}"})
    yield post("create", {"experiment_id": "{exp}", "name": "x"})
    for experiment in ("99999", "x", ""):
        yield post("create", {"experiment_id": experiment, "name": "x", "queue_type": "CUSTOM"})
    yield post("create", {"experiment_id": "{other}", "name": "x", "queue_type": "CUSTOM", "schema_ids": ["{good}"]})
    for user in ("", " ", "x" * 251, "Night", "empty", 5):
        yield post("get-or-create-user", {"experiment_id": "{exp}", "user": user})
    yield post("get-or-create-user", {"experiment_id": "99999", "user": "ann"})
    yield post("get-or-create-user")


def found():
    yield get("list", {"experiment_id": "{exp}"})
    yield get("list", {"experiment_id": "{other}"})
    for user in ("ann", " ANN ", "bob", "nobody", ""):
        yield get("list", {"experiment_id": "{exp}", "user": user})
    yield get("list", {"experiment_id": "{exp}", "max_results": 3}, save={"next": "next_page_token"})
    yield get("list", {"experiment_id": "{exp}", "max_results": 50, "page_token": "{next}"})
    for size in (0, -1, 50001, "x"):
        yield get("list", {"experiment_id": "{exp}", "max_results": size})
    yield get("list", {"experiment_id": "{exp}", "page_token": "nonsense"})
    yield get("list")
    yield get("list", {"experiment_id": "99999"})
    yield get("list", {"experiment_id": "x"})
    yield get("get")
    yield get("get", {"queue_id": "rq-nothing"})
    yield get("get-by-name", {"experiment_id": "{exp}"})
    yield get("get-by-name", {"experiment_id": "{exp}", "name": "nothing"})
    yield get("get-by-name", {"experiment_id": "{exp}", "name": " night "})
    yield get("get-by-name", {"experiment_id": "99999", "name": "night"})


def changed():
    yield update("{size}", name="  Grösse ")
    yield update("{size}", name="GRÖSSE", users=["ignored"], schema_ids=["ignored"])
    yield update("{size}", update_users=True, users=["Carol", "dave "])
    yield update("{size}", update_users=True)
    yield update("{size}", update_schema_ids=True, schema_ids=["{why}", " {why}"])
    yield update("{size}", update_schema_ids=True)
    yield update("{size}", new_owner=" Carol ")
    yield update("{size}")
    yield update("{size}", update_users=False, users=["eve"])
    for body in (
        {"name": ""}, {"name": " "}, {"name": "x" * 251}, {"name": "Default"}, {"name": "night"}, {"name": "ANN"}, {"name": 5}, {"new_owner": ""},
        {"new_owner": " "}, {"new_owner": "x" * 251}, {"update_users": True, "users": [""]}, {"update_users": True, "users": list("abcdefghijk")},
        {"update_schema_ids": True, "schema_ids": ["ls-nothing"]}, {"update_schema_ids": True, "schema_ids": [""]}, {"update_users": "x"},
    ):  # fmt: skip
        yield update("{size}", **body)
    yield update("{ann}", name="x")
    yield update("{ann}", update_users=True, users=["ann"])
    yield update("{ann}")
    yield update("rq-nothing", name="x")
    yield post("update")


def reviewed():
    for number in range(5):
        yield start(info(f"tr-review-{number}"))
    yield start(info("tr-elsewhere", experiment="{other}"))
    yield add("tr-review-1", " tr-review-0 ", "tr-review-1")
    yield add("tr-review-0", "tr-review-2", item_type="TRACE")
    yield add("tr-review-3", item_type="REVIEW_ITEM_TYPE_UNSPECIFIED")
    yield add("tr-review-0", queue="{ann}")
    yield items()
    yield get("list", {"experiment_id": "{exp}", "item_id": "tr-review-0"})
    yield get("list", {"experiment_id": "{exp}", "item_id": "tr-review-4"})
    yield get("list", {"experiment_id": "{exp}", "item_id": "tr-review-0", "user": "bob"})
    yield set_status("tr-review-0", "COMPLETE", " Ann ")
    yield set_status("tr-review-0", "COMPLETE", "bob")
    yield set_status("tr-review-0", "DECLINED", "bob")
    yield set_status("tr-review-1", "COMPLETE", "carol")
    yield set_status("tr-review-1", "PENDING")
    yield set_status(" tr-review-2 ", "DECLINED", "ann")
    yield add("tr-review-2")
    for status in ("PENDING", "COMPLETE", "DECLINED", "REVIEW_STATUS_UNSPECIFIED"):
        yield items(status=status)
    yield get("items/list", {"queue_id": "{queue}", "max_results": 2}, save={"more": "next_page_token"})
    yield items(max_results=2, page_token="{more}")
    yield update(update_users=True, users=["ann"])
    yield update(update_schema_ids=True, schema_ids=["{why}"])
    yield get("items/list", {"queue_id": "{ann}"})


def not_reviewed():
    yield add()
    for item in ("", " ", "x" * 51, "tr-nothing", "tr-elsewhere", "it's"):
        yield add("tr-review-4", item)
    # The reference goes on with the half that it could read, and adds what is there already.
    yield add("tr-review-3", 5)
    yield add("tr-review-3", item_type="SPAN")
    yield add("tr-review-4", queue="rq-nothing")
    yield post("items/add")
    yield remove()
    yield remove("")
    yield remove("tr-review-0", queue="rq-nothing")
    for status in ("REVIEW_STATUS_UNSPECIFIED", "DONE", None, 1.5):
        yield set_status("tr-review-0", status, "ann")
    for user in (None, "", " ", "x" * 251):
        yield set_status("tr-review-0", "COMPLETE", user)
    for user in ("", "ann"):
        yield set_status("tr-review-0", "PENDING", user)
    yield set_status("tr-review-4", "COMPLETE", "ann")
    yield set_status("", "COMPLETE", "ann")
    yield set_status("tr-review-0", "COMPLETE", "ann", queue="rq-nothing")
    yield post("items/set-status")
    for size in (0, 50001, "x"):
        yield items(max_results=size)
    yield items(status="DONE")
    yield items(page_token="nonsense")
    yield get("items/list", {"queue_id": "rq-nothing"})
    yield get("items/list")


def ended():
    yield remove("tr-review-3", "tr-review-4")
    yield items()
    yield Step("POST", "/api/3.0/mlflow/traces/delete-traces", {"experiment_id": "{exp}", "request_ids": ["tr-review-2"]})
    yield items()
    yield remove("tr-review-0", "tr-review-1")
    yield update(update_schema_ids=True, schema_ids=["{why}"])
    yield Step("DELETE", "/api/3.0/mlflow/label-schemas/delete", {"schema_id": "{why}"})
    yield get("get", {"queue_id": "{queue}"})
    yield post("delete", {"queue_id": "{queue}"})
    yield post("delete", {"queue_id": "{queue}"})
    yield get("get", {"queue_id": "{queue}"})
    yield post("delete", {"queue_id": "{ann}"})
    yield post("delete", {"queue_id": "rq-nothing"})
    yield post("delete")
    yield Step("POST", "/api/2.0/mlflow/experiments/delete", {"experiment_id": "{exp}"})
    yield get("list", {"experiment_id": "{exp}"})
    yield get("get-by-name", {"experiment_id": "{exp}", "name": "empty"})
    yield get("get", {"queue_id": "{empty}"})
    yield create("late")
    yield post("get-or-create-user", {"experiment_id": "{exp}", "user": "late"})
