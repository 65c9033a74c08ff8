"""Scorers: their versions, what is refused in them, and their configurations for online scoring."""

import json

from step import Step

API = "/api/3.0/mlflow/scorers"
BROKEN = "the reference answers 500, because it does not check what it is given; ferroflow says what is wrong"
LONG = "the reference stores a name of any length where the database lets it; ferroflow refuses one that is too long for the column"
SEARCH = "the reference stores a filter that each of its searches refuses; ferroflow refuses it"
TYPE = "the reference says of which type a filter must be in words of its own"
INVALID = (400, "INVALID_PARAMETER_VALUE")

PLAIN = {"name": "good", "serialization_version": 1, "description": "größe", "threshold": 1.50, "big": 12345678901234567890}


def post(path, body=None, **rest):
    return Step("POST", f"{API}/{path}", body if body is not None else {}, **rest)


def get(path, query=None, **rest):
    return Step("GET", f"{API}/{path}", query=query, **rest)


def delete(**body):
    return Step("DELETE", f"{API}/delete", body)


def register(scorer, name="good", experiment="{exp}", **rest):
    text = scorer if isinstance(scorer, str) else json.dumps(scorer)
    return post("register", {"experiment_id": experiment, "name": name, "serialized_scorer": text}, **rest)


def judge(model="openai:/gpt-4", instructions="Is {{ outputs }} good?"):
    return {"name": "judge", "instructions_judge_pydantic_data": {"instructions": instructions, "model": model}}


def third(kwargs, **more):
    return {"third_party_scorer_data": {"module": "mlflow.genai.scorers.ragas", "class": "X", "kwargs": kwargs, **more}}


def online(**body):
    return Step("PUT", f"{API}/online-config", {"experiment_id": "{exp}", "name": "good", "sample_rate": 0, **body})


def life():
    for name, key in (("scored", "exp"), ("scored too", "more"), ("scored before", "gone")):
        yield Step("POST", "/api/2.0/mlflow/experiments/create", {"name": name}, save={key: "experiment_id"})
    yield get("list", {"experiment_id": "{exp}"})
    yield register(PLAIN, save={"scorer": "scorer_id"})
    yield get("get", {"experiment_id": "{exp}", "name": "good"})
    # Written as it was sent, and by a list as Python writes it.
    yield register('{"name":"good",  "a":1.0e2, "b":[ ],"é":"\\u00e9"}')
    yield get("get", {"experiment_id": "{exp}", "name": "good", "version": 2})
    yield get("get", {"experiment_id": "{exp}", "name": "good", "version": 1})
    yield get("versions", {"experiment_id": "{exp}", "name": "good"})
    yield register(judge(), "judge", save={"judge": "scorer_id"})
    yield register(judge(), "Größe/ä b%", save={"named": "scorer_id"})
    yield register(third({"threshold": 0.5}), "ragas", "{more}", save={"ragas": "scorer_id"})
    yield register({}, "old", "{gone}", save={"old": "scorer_id"})
    yield get("list", {"experiment_id": "{exp}"})
    yield get("list", {"experiment_ids": ["{exp}", "{more}"]})
    yield get("list", {"experiment_ids": ["{more}", "{more}", "99999"]})
    yield get("get", {"experiment_id": "{exp}", "name": "Größe/ä b%"})
    yield get("versions", {"experiment_id": "{exp}", "name": "Größe/ä b%"})
    yield register(judge(None), "without model", save={"without": "scorer_id"})
    yield register({"ensemble_scorer_data": {"scorers": [judge(), PLAIN]}}, "ensemble", save={"ensemble": "scorer_id"})
    yield register({"memory_augmented_judge_data": {"base_judge": judge()}}, "memory", save={"memory": "scorer_id"})
    yield register({"builtin_scorer_class": "Safety", "builtin_scorer_pydantic_data": {"name": "safety"}}, "builtin", save={"builtin": "scorer_id"})
    yield register({"call_source": None, "text": "call_source"}, "no code", save={"no_code": "scorer_id"})
    yield register('{"n": NaN, "i": -Infinity, "s": "\\ud800"}', "odd", save={"odd": "scorer_id"})
    yield get("list", {"experiment_id": "{exp}"})
    yield Step("POST", "/api/2.0/mlflow/experiments/delete", {"experiment_id": "{gone}"})
    yield get("list", {"experiment_ids": ["{gone}"]})
    yield get("list", {"experiment_id": "{gone}"})
    yield get("get", {"experiment_id": "{gone}", "name": "old"})
    yield register(PLAIN, "late", "{gone}")


def refused():
    for code in (
        {"call_source": "return 1"}, {"call_source": ""}, {"call_source": 0}, {"a": [{"b": {"call_source": "x"}}]},
        {"ensemble_scorer_data": {"scorers": [judge(), {"call_source": "import os"}]}},
        {"memory_augmented_judge_data": {"base_judge": {"call_source": "x"}}}, [{"call_source": "x"}],
    ):  # fmt: skip
        yield register(code, "code")
    for kwargs in (
        {"api_base": "http://169.254.169.254/"}, {"base_url": "http://x"}, {"model_list": [{"api_base": "x"}]}, {"fallbacks": []},
        {"custom_llm_provider": "x", "api_base": None}, {"completion_kwargs": {"api_base": "x"}},
        {"model_kwargs": [["base_url", "x"], ["temperature", 1]]}, {"a": [[["fallbacks", 1]]]}, [], [["api_base", "x"]], "api_base", 1, True, 1.5,
    ):  # fmt: skip
        yield register(third(kwargs), "elsewhere")
    yield register({"memory_augmented_judge_data": {"base_judge": third({"api_base": "x"})}}, "elsewhere")
    yield register({"ensemble_scorer_data": {"scorers": [third({"base_url": "x"})]}}, "elsewhere")
    yield register(third({"a": ["api_base"], "b": [["api_base"]], "c": [["api_base", 1, 2]]}), "kept", save={"kept": "scorer_id"})
    for data in ("x", ["x"], 1):
        yield register({"third_party_scorer_data": data}, "kept", differs=BROKEN, expect=INVALID)
        yield register({"memory_augmented_judge_data": {"base_judge": data}}, "kept", differs=BROKEN, expect=INVALID)
        yield register({"instructions_judge_pydantic_data": data}, "kept", differs=BROKEN, expect=INVALID)
    for text in ("", "{", "nonsense", "{'a': 1}", '{"a": 1} x'):
        yield register(text, "no JSON")
    for text in ("[]", "1", "null", '"x"', "true"):
        yield register(text, "no object", differs=BROKEN, expect=INVALID)
    for name in ("", " ", "\t\n", None, 5, ["x"]):
        yield register(PLAIN, name)
    yield register(PLAIN, "x" * 257, "{more}", differs=LONG, expect=INVALID)
    for model in ("", " ", 5, ["x"], {}, True):
        yield register(judge(model), "model")
    for model in ("gateway:/nothing", "gateway:/not/there"):
        yield register(judge(model), "endpoint")
        yield register({"memory_augmented_judge_data": {"base_judge": judge(model)}}, "endpoint")
        yield register(third({}, model=model), "endpoint")
    for model in ("gateway:/", "gateway", "Gateway:/x"):
        yield register(judge(model), f"like {model}", save={f"like {model}": "scorer_id"})
    yield register(PLAIN, "x", "99999")
    yield register(PLAIN, "x", "x")
    yield post("register")
    yield post("register", {"experiment_id": "{exp}"})
    yield post("register", {"experiment_id": "{exp}", "name": "x"})
    yield post("register", {"experiment_id": "{exp}", "name": "x", "serialized_scorer": {"a": 1}})
    for query in (
        {}, {"experiment_id": "{exp}"}, {"experiment_id": "{exp}", "name": "nothing"}, {"experiment_id": "99999", "name": "good"},
        {"experiment_id": "x", "name": "good"},
    ):  # fmt: skip
        yield get("get", query)
        yield get("versions", query)
    for version in (0, -1, 99, "x", 2147483648):
        yield get("get", {"experiment_id": "{exp}", "name": "good", "version": version})
    yield get("list", {"experiment_id": "99999"})
    yield get("list", {"experiment_id": "x"})
    yield get("list", {"experiment_ids": ["x y/"]})
    yield get("list", {"experiment_ids": ["abc"]})
    yield get("list", {"experiment_id": "{exp}", "experiment_ids": ["{exp}"]})


def scored():
    yield get("online-configs", {"scorer_ids": ["{scorer}"]})
    yield get("online-configs", {"scorer_ids": "nothing"})
    yield online()
    yield get("online-configs", {"scorer_ids": ["{scorer}", "nothing"]})
    yield online(filter_string="status = 'OK' AND tags.a = 'b'", sample_rate=0.0)
    yield online(filter_string="", name="judge")
    yield get("online-configs", {"scorer_ids": ["{scorer}"]})
    yield get("online-configs", {"scorer_ids": "{judge}"})
    for rate in (0.5, 1, 1.0, "0.25"):
        yield online(sample_rate=rate)
    for rate in (-0.1, 1.1, 5, "NaN", "Infinity"):
        yield online(sample_rate=rate)
    for rate in ("half", [0.5], {}):
        body = {"experiment_id": "{exp}", "name": "good", "sample_rate": rate}
        yield Step("PUT", f"{API}/online-config", body, differs=BROKEN, expect=INVALID)
    for filter_ in ("nonsense", "status = OK", "nothing.a = 'b'"):
        yield online(filter_string=filter_)
    body = {"experiment_id": "{exp}", "name": "good", "sample_rate": 0, "filter_string": "status ~ 'OK'"}
    yield Step("PUT", f"{API}/online-config", body, differs=SEARCH, expect=INVALID)
    for filter_ in (5, ["x"]):
        body = {"experiment_id": "{exp}", "name": "good", "sample_rate": 0, "filter_string": filter_}
        yield Step("PUT", f"{API}/online-config", body, differs=TYPE, expect=INVALID)
    yield online(name="nothing")
    yield online(name="")
    yield online(experiment_id="99999")
    yield online(experiment_id="x")
    yield online(experiment_id="{gone}")
    for missing in ("experiment_id", "name", "sample_rate"):
        body = {"experiment_id": "{exp}", "name": "good", "sample_rate": 0}
        del body[missing]
        yield Step("PUT", f"{API}/online-config", body)
    yield get("online-configs")


def deleted():
    yield delete(experiment_id="{exp}", name="good", version=1)
    yield delete(experiment_id="{exp}", name="good", version=1)
    yield get("versions", {"experiment_id": "{exp}", "name": "good"})
    yield register({"third": 3})
    yield delete(experiment_id="{exp}", name="good", version=3)
    yield delete(experiment_id="{exp}", name="good", version=2)
    yield get("get", {"experiment_id": "{exp}", "name": "good"})
    yield get("get", {"experiment_id": "{exp}", "name": "good", "version": 2})
    yield get("list", {"experiment_id": "{exp}"})
    yield delete(experiment_id="{exp}", name="good")
    yield register({"first": "again"})
    yield delete(experiment_id="{exp}", name="good")
    yield delete(experiment_id="{exp}", name="good")
    yield get("online-configs", {"scorer_ids": ["{scorer}"]})
    for body in ({}, {"experiment_id": "{exp}"}, {"experiment_id": "99999", "name": "x"}, {"experiment_id": "{exp}", "name": "judge", "version": "x"}):
        yield delete(**body)


def steps():
    yield from life()
    yield from refused()
    yield from scored()
    yield from deleted()
