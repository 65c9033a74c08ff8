"""Label schemas: their life, and each rule of what reviewers may be asked."""

from step import Step

API = "/api/3.0/mlflow/label-schemas"

PASS_FAIL = {"pass_fail": {"positive_label": "Good", "negative_label": "Bad"}}
CATEGORIES = {"categorical": {"options": ["a", "größe"], "multi_select": True}}


def post(path, body=None, **rest):
    return Step("POST", f"{API}/{path}", body if body is not None else {}, **rest)


def get(path, query=None, **rest):
    return Step("GET", f"{API}/{path}", query=query, **rest)


def create(name, input_, type_="FEEDBACK", **more):
    save = more.pop("save", {})
    body = {"experiment_id": "{exp}", "name": name, "type": type_, "input": input_, **more}
    return post("create", body, save={save: "label_schema.schema_id"} if save else {})


def update(**body):
    return Step("PATCH", f"{API}/update", {"schema_id": "{schema}", **body})


def life():
    yield Step("POST", "/api/2.0/mlflow/experiments/create", {"name": "labelled"}, save={"exp": "experiment_id"})
    yield create("Is it good?", PASS_FAIL, save="schema", instruction="Say ja or nein.", enable_comment=True)
    yield get("get", {"schema_id": "{schema}"})
    yield get("get-by-name", {"experiment_id": "{exp}", "name": "Is it good?"})
    yield get("list", {"experiment_id": "{exp}"})
    yield create("Which?", CATEGORIES, "EXPECTATION", save="which")
    yield create("How much?", {"numeric": {"min_value": 0, "max_value": 1.5}}, save="number")
    yield create("Any number", {"numeric": {}})
    yield create("In words", {"text": {"max_length": 10}}, instruction="")
    yield create("In any words", {"text": {}})
    yield get("list", {"experiment_id": "{exp}"})
    yield get("list", {"experiment_id": "{exp}", "max_results": 2}, save={"next": "next_page_token"})
    yield get("list", {"experiment_id": "{exp}", "max_results": 3, "page_token": "{next}"})
    yield update(name="Is it very good?", enable_comment=False)
    yield update(instruction="", input={"pass_fail": {"positive_label": "Yes", "negative_label": "No"}})
    yield update()
    yield Step("PATCH", f"{API}/update", {"schema_id": "{which}", "input": {"categorical": {"options": ["b"], "multi_select": True}}})
    yield get("get", {"schema_id": "{which}"})
    yield Step("DELETE", f"{API}/delete", {"schema_id": "{number}"})
    yield Step("DELETE", f"{API}/delete", {"schema_id": "{number}"})
    yield get("get", {"schema_id": "{number}"})
    yield get("get-by-name", {"experiment_id": "{exp}", "name": "Feedback"}, save={"default": "label_schema.schema_id"})
    yield Step("DELETE", f"{API}/delete", {"schema_id": "{default}"})
    yield Step("PATCH", f"{API}/update", {"schema_id": "{default}", "enable_comment": True})


def wrong():
    for input_ in (
        {}, {"pass_fail": {}}, {"pass_fail": {"positive_label": "x"}}, {"pass_fail": {"positive_label": "x", "negative_label": "x"}},
        {"pass_fail": {"positive_label": "x" * 65, "negative_label": "y"}}, {"categorical": {}}, {"categorical": {"options": []}},
        {"categorical": {"options": [""]}}, {"categorical": {"options": ["a", "a"]}}, {"categorical": {"options": ["x" * 65]}},
        {"categorical": {"options": [str(number) for number in range(11)]}}, {"numeric": {"min_value": 1, "max_value": 1}},
        {"numeric": {"min_value": 2.5, "max_value": -1e20}}, {"numeric": {"min_value": "x"}}, {"text": {"max_length": 0}},
        {"text": {"max_length": -5}}, {"text": "x"}, "text",
    ):  # fmt: skip
        yield create("wrong", input_)
    two = {"experiment_id": "{exp}", "name": "wrong", "type": "FEEDBACK", "input": {"text": {}, "pass_fail": {}}}
    yield post("create", two, differs="the reference takes the last of two forms; ferroflow refuses them")
    yield create("", PASS_FAIL)
    yield create("x" * 251, PASS_FAIL)
    yield create(" feedBACK ", PASS_FAIL)
    yield create("Is it very good?", PASS_FAIL)
    yield create("typed", PASS_FAIL, "LABEL_SCHEMA_TYPE_UNSPECIFIED")
    yield create("typed", PASS_FAIL, "OTHER")
    yield create("instructed", PASS_FAIL, instruction="x" * 1001)
    yield create("commented", PASS_FAIL, enable_comment="x")
    yield post("create", {})
    yield post("create", {"experiment_id": "{exp}", "name": "n"})
    yield post("create", {"experiment_id": "{exp}", "name": "n", "type": "FEEDBACK"})
    yield post("create", {"experiment_id": "99999", "name": "n", "type": "FEEDBACK", "input": PASS_FAIL})
    yield post("create", {"experiment_id": "x", "name": "n", "type": "FEEDBACK", "input": PASS_FAIL})
    yield update(name="")
    yield update(name="Which?")
    yield update(name="feedback")
    yield update(name="x" * 251)
    yield update(instruction="x" * 1001)
    yield update(input={})
    yield update(input={"text": {}})
    yield update(input={"pass_fail": {"positive_label": "x", "negative_label": "x"}})
    yield Step("PATCH", f"{API}/update", {"schema_id": "{which}", "input": {"categorical": {"options": ["b"]}}})
    yield Step("PATCH", f"{API}/update", {"schema_id": "ls-nothing", "name": "x"})
    yield Step("PATCH", f"{API}/update", {})
    yield get("get")
    yield get("get", {"schema_id": "ls-nothing"})
    yield get("get-by-name", {"experiment_id": "{exp}"})
    yield get("get-by-name", {"experiment_id": "{exp}", "name": "nothing"})
    yield get("get-by-name", {"experiment_id": "99999", "name": "nothing"})
    yield get("list")
    yield get("list", {"experiment_id": "99999"})
    yield get("list", {"experiment_id": "x"})
    for size in (0, -1, 50001, "x"):
        yield get("list", {"experiment_id": "{exp}", "max_results": size})
    yield get("list", {"experiment_id": "{exp}", "page_token": "nonsense"})
    yield Step("DELETE", f"{API}/delete", {"schema_id": "ls-nothing"})
    yield Step("DELETE", f"{API}/delete", {})


def gone():
    yield Step("POST", "/api/2.0/mlflow/experiments/delete", {"experiment_id": "{exp}"})
    yield get("list", {"experiment_id": "{exp}"})
    yield get("get", {"schema_id": "{schema}"})
    yield create("late", PASS_FAIL)


def steps():
    yield from life()
    yield from wrong()
    yield from gone()
