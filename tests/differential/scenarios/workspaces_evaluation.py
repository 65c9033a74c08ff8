"""Datasets of evaluations, label schemas, review queues, issues and scorers in two workspaces, and the ids of each in the other."""

from step import Step, get, post, within

from .traces import info, start

SERVERS = "workspaces"
API = "/api/3.0/mlflow"
SPACES = ("eval-a", "eval-b")
TEXT = {"text": {}}
FOREIGN = "a run of another workspace is as good as none; the reference stores its id"
NO_SUCH = "the reference makes datasets of experiments that it does not find; ferroflow refuses them"


def to(path, body=None, **rest):
    return Step("POST", f"{API}/{path}", body if body is not None else {}, **rest)


def of(path, query=None, **rest):
    return Step("GET", f"{API}/{path}", query=query, **rest)


def steps():
    for space in SPACES:
        yield to("workspaces", {"name": space})
        yield from within(space, made(space))
    for space in SPACES:
        yield from within(space, found())
    yield from found()
    yield from within("eval-b", across("eval-a"))
    yield from across("eval-a")
    yield from mixed()


def made(space):
    exp, queue = f"{{exp-{space}}}", f"{{queue-{space}}}"
    yield post("experiments/create", {"name": "evaluated"}, save={f"exp-{space}": "experiment_id"})
    yield post("runs/create", {"experiment_id": exp}, save={f"run-{space}": "run.info.run_id"})
    yield start(info(f"tr-{space}", exp))
    yield to("datasets/create", {"name": "shared", "experiment_ids": [exp], "tags": f'{{"of": "{space}"}}'}, save={f"set-{space}": "dataset.dataset_id"})
    yield to("datasets/create", {"name": f"only {space}"})
    yield to(f"datasets/{{set-{space}}}/records", {"records": f'[{{"inputs": {{"question": "{space}"}}}}]'})
    yield to("label-schemas/create", {"experiment_id": exp, "name": "good?", "type": "FEEDBACK", "input": TEXT}, save={f"schema-{space}": "label_schema.schema_id"})
    yield to("review-queues/create", {"experiment_id": exp, "name": "night", "queue_type": "CUSTOM", "users": ["ann"], "schema_ids": [f"{{schema-{space}}}"]}, save={f"queue-{space}": "review_queue.queue_id"})
    yield to("review-queues/items/add", {"queue_id": queue, "item_ids": [f"tr-{space}"]})
    yield to("issues", {"experiment_id": exp, "name": "slow", "description": space}, save={f"issue-{space}": "issue.issue_id"})
    yield to("scorers/register", {"experiment_id": exp, "name": "judge", "serialized_scorer": f'{{"of": "{space}"}}'}, save={f"scorer-{space}": "scorer_id"})
    yield Step("PUT", f"{API}/scorers/online-config", {"experiment_id": exp, "name": "judge", "sample_rate": 0})


def found():
    both = ["{exp-eval-a}", "{exp-eval-b}"]
    yield to("datasets/search", {"filter_string": "name = 'shared'"})
    yield to("datasets/search", {"experiment_ids": both, "order_by": ["name"]})
    yield to("datasets/search", {"filter_string": "name LIKE 'only eval%'"})
    yield of("scorers/list", {"experiment_ids": both})
    yield of("scorers/online-configs", {"scorer_ids": ["{scorer-eval-a}", "{scorer-eval-b}"]})
    for space in SPACES:
        exp = f"{{exp-{space}}}"
        yield of("label-schemas/list", {"experiment_id": exp})
        yield of("review-queues/list", {"experiment_id": exp})
        yield of("review-queues/list", {"experiment_id": exp, "item_id": f"tr-{space}"})
        yield to("issues/search", {"experiment_id": exp})
        yield of("scorers/list", {"experiment_id": exp})


def across(space):
    """Every call with an id of another workspace."""
    exp, set_, schema, queue, issue = (f"{{{name}-{space}}}" for name in ("exp", "set", "schema", "queue", "issue"))
    yield of(f"datasets/{set_}")
    yield of(f"datasets/{set_}/records")
    yield of(f"datasets/{set_}/experiment-ids")
    yield to(f"datasets/{set_}/records", {"records": '[{"inputs": {"a": 1}}]'})
    yield Step("PATCH", f"{API}/datasets/{set_}/tags", {"tags": '{"stolen": "x"}'})
    yield Step("DELETE", f"{API}/datasets/{set_}/tags/of")
    yield Step("DELETE", f"{API}/datasets/{set_}/records", {"dataset_record_ids": ["x"]})
    yield to(f"datasets/{set_}/add-experiments", {"experiment_ids": ["0"]})
    yield to(f"datasets/{set_}/remove-experiments", {"experiment_ids": [exp]})
    yield Step("DELETE", f"{API}/datasets/{set_}")
    yield to("datasets/create", {"name": "stolen", "experiment_ids": [exp]}, differs=NO_SUCH)
    yield to("label-schemas/create", {"experiment_id": exp, "name": "stolen", "type": "FEEDBACK", "input": TEXT})
    yield of("label-schemas/get", {"schema_id": schema})
    yield of("label-schemas/get-by-name", {"experiment_id": exp, "name": "good?"})
    yield of("label-schemas/list", {"experiment_id": exp})
    yield Step("PATCH", f"{API}/label-schemas/update", {"schema_id": schema, "name": "stolen"})
    yield Step("DELETE", f"{API}/label-schemas/delete", {"schema_id": schema})
    yield to("review-queues/create", {"experiment_id": exp, "name": "stolen", "queue_type": "CUSTOM"})
    yield to("review-queues/get-or-create-user", {"experiment_id": exp, "user": "eve"})
    yield of("review-queues/get", {"queue_id": queue})
    yield of("review-queues/get-by-name", {"experiment_id": exp, "name": "night"})
    yield to("review-queues/update", {"queue_id": queue, "name": "stolen"})
    yield to("review-queues/items/add", {"queue_id": queue, "item_ids": [f"tr-{space}"]})
    yield of("review-queues/items/list", {"queue_id": queue})
    yield to("review-queues/items/set-status", {"queue_id": queue, "item_id": f"tr-{space}", "status": "COMPLETE", "completed_by": "eve"})
    yield to("review-queues/items/remove", {"queue_id": queue, "item_ids": [f"tr-{space}"]})
    yield to("review-queues/delete", {"queue_id": queue})
    yield to("issues", {"experiment_id": exp, "name": "stolen", "description": "x"})
    yield of(f"issues/{issue}")
    yield Step("PATCH", f"{API}/issues/{issue}", {"issue_id": issue, "name": "stolen"})
    yield to("issues/search", {"experiment_id": exp})
    yield to("scorers/register", {"experiment_id": exp, "name": "stolen", "serialized_scorer": "{}"})
    yield of("scorers/get", {"experiment_id": exp, "name": "judge"})
    yield of("scorers/versions", {"experiment_id": exp, "name": "judge"})
    yield of("scorers/list", {"experiment_id": exp})
    yield Step("PUT", f"{API}/scorers/online-config", {"experiment_id": exp, "name": "judge", "sample_rate": 0})
    yield Step("DELETE", f"{API}/scorers/delete", {"experiment_id": exp, "name": "judge"})


def mixed():
    """Something of this workspace with something of another one."""
    b, a = "{exp-eval-b}", "{exp-eval-a}"
    yield from within("eval-b", [
        to("datasets/{set-eval-b}/add-experiments", {"experiment_ids": [a]}),
        to("datasets/{set-eval-b}/remove-experiments", {"experiment_ids": [a]}),
        to("datasets/create", {"name": "two", "experiment_ids": [b, a]}, differs=NO_SUCH),
        to("datasets/search", {"experiment_ids": [a]}),
        to("review-queues/items/add", {"queue_id": "{queue-eval-b}", "item_ids": ["tr-eval-a"]}),
        to("review-queues/update", {"queue_id": "{queue-eval-b}", "update_schema_ids": True, "schema_ids": ["{schema-eval-a}"]}),
        to("review-queues/create", {"experiment_id": b, "name": "foreign", "queue_type": "CUSTOM", "schema_ids": ["{schema-eval-a}"]}),
        to("issues", {"experiment_id": b, "name": "foreign", "description": "x", "source_run_id": "{run-eval-a}"}, differs=FOREIGN, expect=(400, "BAD_REQUEST")),
        to("issues/search", {"experiment_id": b, "filter_string": "source_run_id = '{run-eval-a}'"}, differs=FOREIGN, expect=(200, None)),
        to("issues", {"experiment_id": b, "name": "unknown", "description": "x", "source_run_id": "0" * 32}),
        of("scorers/list", {"experiment_ids": [a, b, "0"]}),
        get("runs/get", {"run_id": "{run-eval-b}"}),
    ])  # fmt: skip
