"""Evaluation datasets: their life, their records, searches, and what is wrong with requests."""

import json

from step import Step

API = "/api/3.0/mlflow/datasets"
BROKEN = "the reference answers 500, because it does not check what it is given; ferroflow says what is wrong"
UNKNOWN = "the reference without workspaces does not check that the dataset exists; ferroflow answers as the reference with workspaces"
NO_SUCH_EXPERIMENT = "the reference makes datasets of experiments that do not exist; ferroflow refuses them, as the reference does when it adds them later"
INVALID = (400, "INVALID_PARAMETER_VALUE")
MISSING = (404, "RESOURCE_DOES_NOT_EXIST")


def post(path, body=None, **rest):
    return Step("POST", f"{API}/{path}", body if body is not None else {}, **rest)


def get(path, query=None, **rest):
    return Step("GET", f"{API}/{path}", query=query, **rest)


def patch(path, body, **rest):
    return Step("PATCH", f"{API}/{path}", body, **rest)


def delete(path, body=None, **rest):
    return Step("DELETE", f"{API}/{path}", body, **rest)


def upsert(records, dataset="{set}", **rest):
    text = records if isinstance(records, str) else json.dumps(records)
    return post(f"{dataset}/records", {"records": text}, **rest)


def life():
    yield Step("POST", "/api/2.0/mlflow/experiments/create", {"name": "of datasets"}, save={"exp": "experiment_id"})
    yield Step("POST", "/api/2.0/mlflow/experiments/create", {"name": "more datasets"}, save={"more": "experiment_id"})
    new = {"name": "questions", "experiment_ids": ["{exp}"], "tags": '{"mlflow.user": "ann", "team": "größe"}'}
    yield post("create", new, save={"set": "dataset.dataset_id", "digest": "dataset.digest"})
    yield get("{set}")
    yield get("{set}/experiment-ids")
    yield get("{set}/records")
    yield post("create", {"name": "plain"}, save={"plain": "dataset.dataset_id"})
    yield get("{plain}")
    yield get("{plain}/experiment-ids")
    yield post("create", {"name": "plain", "experiment_ids": ["{exp}", "{more}"]}, save={"both": "dataset.dataset_id"})
    yield get("{both}/experiment-ids")
    yield patch("{set}/tags", {"tags": '{"team": "b", "x": 1.5, "y": true, "z": null}'})
    yield patch("{set}/tags", {"tags": "{}"})
    yield patch("{plain}/tags", {"tags": '{"list": [1, "a", null], "object": {"k": 2.0}}'})
    yield get("{plain}")
    yield delete("{set}/tags/x")
    yield delete("{set}/tags/x")
    yield delete("{set}/tags/y")
    yield get("{set}")
    yield post("{set}/add-experiments", {"experiment_ids": ["{more}"]})
    yield post("{set}/add-experiments", {"experiment_ids": ["{more}", "{exp}"]})
    yield post("{set}/add-experiments", {})
    yield get("{set}/experiment-ids")
    yield post("{set}/remove-experiments", {"experiment_ids": ["{more}", "99999"]})
    yield post("{set}/remove-experiments", {"experiment_ids": ["{more}"]})
    yield get("{set}/experiment-ids")


def records():
    source = {"source_type": "trace", "source_data": {"trace_id": "tr-1", "session_id": "s"}}
    yield upsert([{"inputs": {"b": 1, "a": "é😀"}, "expectations": {"x": 1, "y": [1]}, "tags": {"mlflow.user": "ann"}, "source": source}])
    yield get("{set}/records")
    yield get("{set}")
    yield upsert([{"inputs": {"a": "é😀", "b": 1}, "expectations": {"y": 2}, "outputs": {"o": 1.0}, "tags": {"more": None}}])
    yield get("{set}/records")
    yield get("{set}")
    yield upsert([{"inputs": {"a": "é😀", "b": 1}, "outputs": None}])
    yield upsert([{"inputs": {"a": "é😀", "b": 1}, "outputs": "text", "expectations": {}, "tags": {}}])
    yield get("{set}/records")
    yield upsert([{"inputs": {"twice": True}}, {"inputs": {"twice": True}, "expectations": {"late": 1e100}}], "{plain}")
    yield get("{plain}/records")
    yield get("{plain}")
    yield upsert("[]", "{plain}")
    yield upsert([{}], "{both}")
    yield get("{both}/records")
    huge = '[{"inputs": {"n": 123456789012345678901234567890, "f": [1E5, -0, -0.0, 1e-7]}, "outputs": [1]}]'
    yield upsert(huge, "{both}")
    yield upsert('[{"inputs": {"n": 123456789012345678901234567890, "f": [100000.0, 0, -0.0, 0.0000001]}}]', "{both}")
    yield upsert('[{"inputs": {"s": "\\ud800", "d": 1, "d": 2}, "source": {"source_type": "HUMAN"}}]', "{both}")
    yield upsert('[{"inputs": {"s": "\\ud800", "d": 2}, "source": {"source_type": "CODE"}}]', "{both}")
    yield get("{both}")
    yield post("create", {"name": "sources"}, save={"sources": "dataset.dataset_id"})
    for kind in ("HUMAN", "document", "Code", "UNSPECIFIED"):
        source = {"source_type": kind, "source_data": {"source_id": "17", "trace_id": "no"}}
        yield upsert([{"inputs": {"kind": kind}, "source": source}], "{sources}")
    yield upsert([{"inputs": {"kind": "none"}, "source": {}}], "{sources}")
    yield upsert([{"inputs": {"kind": "null"}, "source": {"source_type": "HUMAN", "source_data": None}}], "{sources}")
    for size in (1, 3, 6, 7):
        yield get("{sources}/records", {"max_results": size})
    yield get("{sources}/records", {"max_results": 2}, save={"token": "next_page_token"})
    yield get("{sources}/records", {"max_results": 3, "page_token": "{token}"})
    yield get("{sources}/records", {"max_results": 1, "page_token": "5"})
    yield get("{sources}/records", {"max_results": 0, "page_token": "4"})


def searches():
    for name in ("alpha", "beta", "Gamma"):
        tags = {"kind": name, "mlflow.user": f"user {name}"}
        yield post("create", {"name": f"s {name}", "experiment_ids": ["{more}"], "tags": json.dumps(tags)})
    search = {"experiment_ids": ["{more}"], "order_by": ["name"]}
    yield post("search", search)
    yield get("search", search)
    yield post("search", {**search, "experiment_ids": ["{more}", "{exp}"]})
    yield post("search", {**search, "experiment_ids": ["99999"]})
    yield post("search", {**search, "max_results": 2}, save={"next": "next_page_token"})
    for filter_ in (
        "name = 's beta'", "name != 's beta'", "name LIKE 's %a'", "name ILIKE 's G%'", "name IN ('s alpha', 's beta')",
        "created_by = 'user beta'", "last_updated_by LIKE '%alpha'", "tags.kind = 'beta'", "tags.kind != 'beta'",
        "tags.kind LIKE '%a' AND name != 's beta'", "created_time > 0 AND last_update_time < 5", "created_time >= 1000",
        "tags.`kind` = 'x'", "name = \"s beta\" AND created_by LIKE 'user%'",
    ):  # fmt: skip
        yield post("search", {**search, "filter_string": filter_})
    for order in (["name DESC"], ["last_update_time", "name"], ["created_time ASC"], []):
        yield post("search", {"experiment_ids": ["{exp}"], "order_by": order, "filter_string": "name = 'questions'"})
    for filter_ in (
        "digest = 'a'", "name", "name = 5", "name NOT IN ('a')", "created_by IN ('a')", "created_time = 'x'",
        "created_time = 1.5", "created_time LIKE 5", "tags.kind IN ('a')", "tags.kind > 'a'", "tags.kind IS NULL",
        "name IS NOT NULL", "tag.kind = 'a'", "metrics.a = 1", "name = 'a' OR name = 'b'", "name NOT LIKE 'a'", "(",
    ):  # fmt: skip
        yield post("search", {**search, "filter_string": filter_})
    yield post("search", {**search, "filter_string": "name > 'a'"}, differs="the reference compares names by order, and says of other comparators that they are not valid", expect=INVALID)
    for order in (["digest"], ["tags.kind"], ["created_by"], ["name sideways"], ["name DESC, created_time"], [""]):
        yield post("search", {**search, "order_by": order})
    yield post("search", {**search, "max_results": 0}, differs="the reference says None for 0")
    for size in (-1, 50001, "x"):
        yield post("search", {**search, "max_results": size})
    yield post("search", {**search, "page_token": "nonsense"})
    yield post("search", {"experiment_ids": "{more}"})
    yield post("search", {"filter_string": 5})


def wrong():
    yield post("create", {})
    yield post("create", {"name": ""})
    yield post("create", {"name": 5})
    yield post("create", {"name": "x", "experiment_ids": "1"})
    yield post("create", {"name": "x", "tags": {"a": "b"}})
    for tags in ("{", "[1]", "5", '"text"'):
        yield post("create", {"name": "x", "tags": tags}, differs=BROKEN, expect=INVALID)
    yield post("create", {"name": "x", "experiment_ids": ["99999"]}, differs=NO_SUCH_EXPERIMENT, expect=MISSING)
    yield get("d-nothing")
    yield delete("d-nothing")
    yield get("d-nothing/experiment-ids")
    yield get("d-nothing/records", differs=UNKNOWN, expect=MISSING)
    yield patch("d-nothing/tags", {"tags": "{}"})
    yield delete("d-nothing/tags/x")
    yield delete("d-nothing/records", {"dataset_record_ids": ["x"]}, differs=UNKNOWN, expect=MISSING)
    yield upsert([{"inputs": {"a": 1}}], "d-nothing", differs=UNKNOWN, expect=MISSING)
    yield post("d-nothing/add-experiments", {"experiment_ids": ["{exp}"]})
    yield post("d-nothing/remove-experiments", {"experiment_ids": ["{exp}"]})
    yield post("{set}/add-experiments", {"experiment_ids": ["99999"]})
    yield post("{set}/add-experiments", {"experiment_ids": "{exp}"})
    yield post("{set}/remove-experiments", {"experiment_ids": 5})
    yield patch("{set}/tags", {})
    yield patch("{set}/tags", {"tags": ""})
    yield patch("{set}/tags", {"tags": {"a": 1}})
    for tags in ("[", "[1]", "5"):
        yield patch("{set}/tags", {"tags": tags}, differs=BROKEN, expect=INVALID)
    yield post("{set}/records", {})
    yield post("{set}/records", {"records": [{"inputs": {}}]})
    for records_ in (
        "{}}", "[1]", '{"inputs": {"a": 1}}', '[{"inputs": [1]}]', '[{"inputs": null}]', '[{"inputs": {"a": 1}, "tags": [1]}]',
        '[{"inputs": {"a": 2}, "expectations": "x"}]', '[{"inputs": {"a": 3}, "source": "x"}]',
        '[{"inputs": {"a": 4}, "source": {"source_data": {}}}]', '[{"inputs": {"a": 5}, "source": {"source_type": "HUMAN", "x": 1}}]',
        '[{"inputs": {"a": 6}, "source": {"source_type": 5}}]', '[{"inputs": {"a": 7}, "source": {"source_type": "HUMAN", "source_data": [1]}}]',
    ):  # fmt: skip
        yield upsert(records_, differs=BROKEN, expect=INVALID)
    yield upsert([{"inputs": {"a": 8}, "source": {"source_type": "nonsense"}}])
    yield get("{set}/records")
    yield get("{set}/records", {"max_results": "x"})
    yield get("{set}/records", {"max_results": -1}, differs="the reference passes it on to the database", expect=INVALID)
    for token in ("nonsense", "!", "YTpi"):
        yield get("{set}/records", {"page_token": token}, differs=BROKEN, expect=INVALID)
    yield delete("{set}/records", {"dataset_record_ids": ["dr-nothing"]})
    yield delete("{set}/records", {"dataset_record_ids": "dr-nothing"})
    yield delete("{set}/records", {})
    yield delete("{set}")
    yield get("{set}")
    yield get("{set}/experiment-ids")
    yield delete("{set}")


def steps():
    yield from life()
    yield from records()
    yield from searches()
    yield from wrong()
