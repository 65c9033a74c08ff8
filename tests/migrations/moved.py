"""Rows of the tables whose content a revision reads and moves, with everything that it treats differently."""

import itertools
import json

#: (timestamp, step, value, is NaN) of one metric: the latest is the highest step, then timestamp, then value.
POINTS = [
    (1_000, 0, 1.5, False),
    (1_001, 1, 0.5, False),
    (1_001, 1, 0.75, False),
    (999, 1, 9.0, False),
    (2_000, -3, 1.7976931348623157e308, False),
    (2_001, -3, -1.7976931348623157e308, False),
]
LATE = [(1, 2**53 + 1, 5e-324, False), (2, 2**53, 7.0, False)]
NAN = [(1, 0, 1.0, False), (2, 1, 0.0, True)]

#: Rows that the back-fills of the reference read in pages of 250.
MANY = 601

TOKENS = [
    '{"input_tokens": 10, "output_tokens": 20, "total_tokens": 30}',
    '{"input_tokens": "12", "output_tokens": 1.0, "total_tokens": 1e3, "cache_read_input_tokens": 0}',
    '{"input_tokens": 1.5, "output_tokens": true, "total_tokens": 9223372036854775808}',
    '{"input_tokens": -9223372036854775808, "output_tokens": null, "total_tokens": "many"}',
    '{"input_tokens": NaN, "output_tokens": Infinity, "cache_creation_input_tokens": 9007199254740993}',
    '[1, 2]',
    '{"input_tokens": ',
    '"text"',
    '{}',
    '{"input_tokens": " 7 ", "output_tokens": "1_000", "cache_creation_input_tokens_above_1hr": 3}',
    '{"input_tokens": 1, "input_tokens": 2, "total_tokens": {"a": 1}}',
]
COSTS = [
    '{"input_cost": 0.1, "output_cost": 0.2, "total_cost": 0.30000000000000004}',
    '{"input_cost": "1.5", "output_cost": "1e-3", "total_cost": " 2 "}',
    '{"input_cost": NaN, "output_cost": -Infinity, "total_cost": "nan"}',
    '{"input_cost": true, "output_cost": null, "total_cost": [1]}',
    '{"input_cost": 1e400, "output_cost": 5e-324, "total_cost": 123456789012345678901234567890}',
    'no JSON',
]
DIMENSIONS = [
    {"mlflow.llm.model": "gpt-5 ü", "mlflow.llm.provider": "openai"},
    {"mlflow.llm.model": "m" * 700 + "ü", "mlflow.llm.provider": None},
    {"mlflow.llm.provider": "🧪" * 501},
    {},
    None,
]
ASSESSMENTS = [
    "5", "-1.5", "1e3", "1e400", "true", "false", '"yes"', '" No "', '"maybe"', '"3.5"', "null", "NaN", "Infinity",
    '{"a": 1}', "[1]", "yes", "no JSON", "", "123456789012345678901234567890", "9" * 400, '"YES\\u0020"',
    " 7 ", "1_000", "+1", ".5", '"\u00a0yes"',
]  # fmt: skip

#: Lists of which some have the same category twice, by Python's `strip().lower()`.
CATEGORIES = [
    '["Latency", " latency\\u001f", "cost"]',
    '[]',
    None,
    '["ΟΔΟΣ", "\\u00a0οδος", "İ🧪", "", "\\t", "' + "long " * 2_000 + '"]',
    '["a", "A", "a"]',
]

#: The columns that say what a permission guards. A scorer's name becomes a part of a URL.
GUARDED = {
    "experiment_id": "experiment_id",
    "scorer_name": "judge/ü 中%?#~._-*'\"",
    "secret_id": "secret",
    "endpoint_id": "endpoint",
    "model_definition_id": "definition",
}


def rows(table: str, filled: dict[str, list[dict]], many: bool) -> list[dict] | None:
    """What is special of each row of a table, or ``None`` of a table that has nothing special."""
    maker = MAKERS.get(table)
    return maker(filled, many) if maker else None


def _runs(filled, many):
    # Of each experiment one: the reference's `90e64c465722` tags one run of each experiment and forgets the others.
    users = ["ada", "", None, "u" * 250]
    return [
        {"run_uuid": f"run{number}".ljust(32, "0"), "user_id": users[number], "experiment_id": experiment["experiment_id"]}
        for number, experiment in enumerate(filled["experiments"][:4])
    ]


def _tags(filled, many):
    runs = [run["run_uuid"] for run in filled["runs"]]
    return [{}, {}, {}, {}, {"key": "mlflow.user", "value": "somebody else", "run_uuid": runs[-1]}]


def _metrics(filled, many):
    return [
        {"run_uuid": run["run_uuid"], "key": key, "timestamp": timestamp, "step": step, "value": value, "is_nan": nan}
        for run, (key, points) in itertools.product(
            filled["runs"], {"loss": POINTS, "é中 🧪": LATE, "nan": NAN, "k" * 250: NAN[:1]}.items()
        )
        for timestamp, step, value, nan in points
    ]


def _traces(filled, many):
    return [{"request_id": f"tr-{number:04}", "timestamp_ms": 1_700_000_000_000 + number} for number in range(_count(many))]


def _trace_tags(filled, many):
    names = ["chat", "n" * 5_000, "é🧪" * 2_100, "", None]
    return [
        {"request_id": trace["request_id"], "key": key, "value": value}
        for trace, name in zip(filled["trace_info"], itertools.cycle(names), strict=False)
        for key, value in (("mlflow.traceName", name), ("team", "blue"))
    ]


def _trace_metadata(filled, many):
    sessions = ["session", "s" * 251 + "é", "🧪" * 250, "", None]
    pairs = zip(
        filled["trace_info"], itertools.cycle(sessions), itertools.cycle(TOKENS), itertools.cycle(COSTS), strict=False
    )
    for number, (trace, session, tokens, cost) in enumerate(pairs):
        values = {"mlflow.trace.session": session, "mlflow.user": "ada"}
        if number % 13:
            values["mlflow.trace.tokenUsage"] = tokens
        if number % 7:
            values["mlflow.trace.cost"] = cost
        if number % 3 == 0:
            values["mlflow.gateway.endpointId"] = "e-1"
        yield from ({"request_id": trace["request_id"], "key": key, "value": value} for key, value in values.items())


def _trace_metrics(filled, many):
    values = itertools.cycle([1.0, 1.5, 1e30, -3.0, 9007199254740993.0, 9.3e18])
    return [
        {"request_id": trace["request_id"], "key": key, "value": next(values)}
        for trace in filled["trace_info"][::2]
        for key in ("input_tokens", "total_tokens", "latency")
    ]


def _spans(filled, many):
    dimensions = itertools.cycle(DIMENSIONS)
    return [
        {
            "trace_id": trace["request_id"],
            "experiment_id": trace["experiment_id"],
            "span_id": f"{number:016x}",
            "start_time_unix_nano": 1_700_000_000_000_000_000 + number,
            "end_time_unix_nano": 1_700_000_000_000_000_500,
            "dimension_attributes": next(dimensions),
            "content": json.dumps({"name": "é"}),
        }
        for trace in filled["trace_info"]
        for number in range(2)
    ]


def _span_metrics(filled, many):
    values = itertools.cycle([0.25, 1e-9, 3.0, 1.7976931348623157e308, -0.5])
    return [
        {"trace_id": span["trace_id"], "span_id": span["span_id"], "key": key, "value": next(values)}
        for number, span in enumerate(filled["spans"])
        if number % 3
        for key in ("input_cost", "total_cost", "tokens")
    ]


def _assessments(filled, many):
    traces = itertools.cycle(trace["request_id"] for trace in filled["trace_info"])
    return [
        {"assessment_id": f"a-{number:04}", "trace_id": next(traces), "value": value, "overrides": None}
        for number, value in enumerate(itertools.islice(itertools.cycle(ASSESSMENTS), _count(many) + len(ASSESSMENTS)))
    ]


def _issues(filled, many):
    return [{"categories": categories} for categories in CATEGORIES]


def _jobs(filled, many):
    return [{"status": status} for status in range(6)]


def _registry_tags(filled, many):
    answers = itertools.cycle(["true", "True", "false", None])
    return [
        {"name": model["name"], "workspace": model.get("workspace"), "key": key, "value": next(answers)}
        for key in ("team", "mlflow.prompt.is_prompt")
        for model in filled["registered_models"]
    ]


def _permissions(filled, many):
    """Every permission for every user, and some that are none."""
    return [
        {"user_id": user["id"], "permission": permission} | {name: value + str(number) for name, value in GUARDED.items()}
        for user in filled["users"]
        for number, permission in enumerate(["READ", "USE", "EDIT", "MANAGE", "NO_PERMISSIONS", None, "read"])
    ]


def _model_permissions(filled, many):
    names = itertools.cycle([model["name"] for model in filled.get("registered_models", [])] or ["model"])
    workspaces = itertools.cycle(["default", "team"])
    return [
        row | {"name": f"{next(names)}"[:250] + str(number), "workspace": next(workspaces)}
        for number, row in enumerate(_permissions(filled, many))
    ]


def _workspace_permissions(filled, many):
    return [row | {"workspace": f"team-{row['permission']}"} for row in _permissions(filled, many) if row["permission"]]


def _roles(filled, many):
    # The first name is that of the role which the grants of the first user move to: here it is there already.
    names = ["__user_1__", "__user_admin__", "readers", "__user_99999__"]
    return [{"name": name, "workspace": workspace} for workspace in ("default", "team") for name in names]


def _assignments(filled, many):
    return [
        {"role_id": role["id"], "user_id": filled["users"][0 if role["name"].startswith("__") else 1]["id"]}
        for role in filled["roles"]
    ]


def _role_permissions(filled, many):
    models = [model["name"] for model in filled.get("registered_models", [])]
    patterns = [("experiment", "experiment_id0"), ("registered_model", "*"), ("workspace", "*")]
    patterns += [("registered_model", model[:255]) for model in models]
    return [
        {"role_id": role["id"], "resource_type": kind, "resource_pattern": pattern, "permission": "READ"}
        for role in filled["roles"]
        for kind, pattern in patterns
    ]


def _count(many: bool) -> int:
    return MANY if many else 30


MAKERS = {
    "runs": _runs,
    "tags": _tags,
    "metrics": _metrics,
    "trace_info": _traces,
    "trace_tags": _trace_tags,
    "trace_request_metadata": _trace_metadata,
    "trace_metrics": _trace_metrics,
    "spans": _spans,
    "span_metrics": _span_metrics,
    "assessments": _assessments,
    "jobs": _jobs,
    "issues": _issues,
    "registered_model_tags": _registry_tags,
    "experiment_permissions": _permissions,
    "registered_model_permissions": _model_permissions,
    "scorer_permissions": _permissions,
    "gateway_secret_permissions": _permissions,
    "gateway_endpoint_permissions": _permissions,
    "gateway_model_definition_permissions": _permissions,
    "workspace_permissions": _workspace_permissions,
    "roles": _roles,
    "user_role_assignments": _assignments,
    "role_permissions": _role_permissions,
}
