"""Makes reference.json: what the reference server answers to many searches.

Run it with a Python that has mlflow==3.17.2, in any empty folder:

    python reference.py [SEED [COUNT]] > reference.json

SEED chooses the random texts, and COUNT how many filters and orders of each entity are kept; without it, 450.

Every case is a search on an empty SQLite store. Its result is what the store makes of the text ("ok"), the error a
client gets ("error"), or the failure of a store that neither accepts nor refuses it ("crash"), which may be an exception
or the message of the database.
"""

import itertools
import json
import logging
import os
import random
import sys
import tempfile

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as RegistryStore
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as TrackingStore
from mlflow.store.tracking.utils import trace_analytics
from mlflow.utils import search_logged_model_utils
from mlflow.utils.search_utils import (
    SearchExperimentsUtils,
    SearchModelUtils,
    SearchModelVersionUtils,
    SearchTraceMetricsUtils,
    SearchTraceUtils,
    SearchUtils,
)

logging.disable(logging.CRITICAL)


class Sorted(set):
    """A set that prints in a fixed order."""

    def __repr__(self):
        return "{" + ", ".join(repr(item) for item in sorted(self)) + "}"

    __str__ = __repr__


for cls in (SearchUtils, SearchExperimentsUtils, SearchModelUtils, SearchModelVersionUtils, SearchTraceUtils):
    for name, value in list(vars(cls).items()):
        if type(value) is set:
            setattr(cls, name, Sorted(value))

folder = tempfile.mkdtemp()
tracking = TrackingStore(f"sqlite:///{folder}/tracking.db", f"{folder}/artifacts")
registry = RegistryStore(f"sqlite:///{folder}/tracking.db")


def number(value):
    return repr(value) if value != value or value in (float("inf"), float("-inf")) else value


def clauses(parsed, of=lambda clause: clause):
    rows = []
    for clause in parsed:
        clause = of(clause)
        value = clause["value"]
        if isinstance(value, float):
            value = number(value)
        elif isinstance(value, tuple):
            value = list(value)
        rows.append([clause["type"], clause["key"], clause["comparator"].upper(), value])
    return rows


def runs_filter(text):
    tracking._search_runs(["0"], text, ViewType.ACTIVE_ONLY, 5, [], None)

    def of(clause):
        if clause["type"] == "metric":
            clause["value"] = float(clause["value"])
        if clause["type"] == "attribute":
            clause["key"] = SearchUtils.translate_key_alias(clause["key"])
        return clause

    return clauses(SearchUtils.parse_search_filter(text), of)


def experiments_filter(text):
    tracking._search_experiments(ViewType.ACTIVE_ONLY, 5, text, [], None)

    def of(clause):
        if clause["key"] == "experiment_id" and clause["type"] == "attribute":
            value = clause["value"]
            clause["value"] = [int(v) for v in value] if isinstance(value, tuple) else int(value)
        return clause

    return clauses(SearchExperimentsUtils.parse_search_filter(text), of)


def logged_models_filter(text):
    tracking.search_logged_models(["0"], filter_string=text)

    def of(found):
        # SQLite compares a number in a list with a column of text in its decimal form.
        value = tuple(map(str, found.value)) if isinstance(found.value, tuple) else found.value
        return {"type": found.entity.type.value, "key": found.entity.key, "comparator": found.op, "value": value}

    return clauses(search_logged_model_utils.parse_filter_string(text), of)


def registered_models_filter(text):
    registry.search_registered_models(text)
    return clauses(SearchModelUtils.parse_search_filter(text))


def model_versions_filter(text):
    registry.search_model_versions(text)

    def of(clause):
        if clause["key"] == "version_number" and clause["type"] == "attribute":
            clause["value"] = int(clause["value"])
        return clause

    return clauses(SearchModelVersionUtils.parse_search_filter(text), of)


def traces_filter(text):
    tracking.search_traces(["0"], text)

    def of(clause):
        kind, key, value = clause["type"], clause["key"], clause["value"]
        if kind == "attribute" and key in SearchTraceUtils.NUMERIC_ATTRIBUTES and isinstance(value, str):
            # The database reads it as a number.
            try:
                clause["value"] = int(value)
            except ValueError:
                clause["value"] = float(value)
        if kind == "span" and key.startswith("attributes."):
            clause["key"] = "attributes." + SearchTraceUtils._trim_backticks(key[len("attributes.") :])
        if kind == "request_metadata" and key in trace_analytics.TRACE_ANALYTICS_COLUMNS_BY_METADATA_KEY and value is not None:
            try:
                parsed = json.loads(value)
            except ValueError:
                parsed = None
            columns = trace_analytics.TRACE_ANALYTICS_COLUMNS_BY_METADATA_KEY[key]
            convert = trace_analytics.token_count_or_none if "token" in key else trace_analytics.finite_float_or_none
            found = {column: convert(parsed[column]) for column in columns if column in parsed} if isinstance(parsed, dict) else None
            clause["value"] = found if found and json.dumps(found) == value else None
        if kind in ("feedback", "expectation") and isinstance(value, int):
            clause["value"] = float(value)
        return clause

    return clauses(SearchTraceUtils.parse_search_filter_for_search_traces(text), of)


def traces_order(order_by):
    tracking.search_traces(["0"], order_by=order_by)
    return [list(SearchTraceUtils.parse_order_by_for_search_traces(clause)) for clause in order_by]


def trace_metrics_filter(text):
    found = SearchTraceMetricsUtils.parse_search_filter(text)
    return [found.view_type, found.entity, found.key, found.value]


def runs_order(order_by):
    tracking._search_runs(["0"], "", ViewType.ACTIVE_ONLY, 5, order_by, None)
    rows = [list(SearchUtils.parse_order_by_for_search_runs(clause)) for clause in order_by]
    return [[t, SearchUtils.translate_key_alias(k) if t == "attribute" else k, a] for t, k, a in rows]


def experiments_order(order_by):
    tracking._search_experiments(ViewType.ACTIVE_ONLY, 5, "", order_by, None)
    return [list(SearchExperimentsUtils.parse_order_by_for_search_experiments(clause)) for clause in order_by]


def registered_models_order(order_by):
    registry.search_registered_models(order_by=order_by)
    rows = [SearchUtils.parse_order_by_for_search_registered_models(clause) for clause in order_by]
    return [["attribute", "name" if key == "name" else "last_updated_timestamp", asc] for key, asc in rows]


def model_versions_order(order_by):
    registry.search_model_versions(order_by=order_by)
    rows = [SearchModelVersionUtils.parse_order_by_for_search_model_versions(clause) for clause in order_by]
    return [["attribute", key, asc] for _, key, asc in rows]


def logged_models_order(order_by):
    tracking.search_logged_models(["0"], order_by=[dict(clause) for clause in order_by])
    return [
        [clause["field_name"], clause["ascending"], clause["dataset_name"], clause["dataset_digest"]]
        for clause in order_by
    ]


def offset(token):
    found = SearchUtils.parse_start_offset_from_page_token(token)
    if not 0 <= found < 2**63:
        raise ValueError("The database refuses it")
    return found


def outcome(answer, given):
    try:
        return {"ok": answer(given)}
    except MlflowException as error:
        is_known = error.error_code == "INVALID_PARAMETER_VALUE" or "duplicate fields" in error.message
        return {"error": error.message} if is_known else {"crash": error.error_code}
    except Exception as error:
        return {"crash": type(error).__name__}


# --- The cases --------------------------------------------------------------------------------------------------------

signs = [
    "=", "!=", "<", "<=", ">", ">=", "LIKE", "like", "ILIKE", "iLike", "NOT LIKE", "RLIKE", "IN", "in", "NOT IN",
    "not in", "NOT  IN", "==", "<>", "=!", "~", "IS", "IS NOT", "REGEXP", "BETWEEN", "",
]
values = [
    "'a'", '"a"', "`a`", "a", "''", '""', "'it''s'", r"'it\'s'", "'a", "a'", '"a', "'é 日本'", "'%'", "'a b'",
    "1", "-1", "0", "007", "1.5", "-.5", "5.", "1e5", "1E-3", "1e+5", "1.5e3", "0x1F", "1_000", "- 1", "1a", "12.5a",
    "99999999999999999999", "1e999", "nan", "inf", "NULL", "null", "NOT NULL", "true", "()", "('a')", "('a',)",
    "('a', 'b')", '("a", "b")', "(a, b)", "(1, 2)", "('a', 1)", "('a' 'b')", "('a''b')", "('a',,'b')", "('a'", "(('a'), 'b')",
    "[1]", "['a']", "?", ":x", "$x", "*", "1 + 2", "'a' 'b'", "date '2020-01-01'", "f('a')", "'a'::text", "--", "",
    "('1')", "('1', '2')", "'1'", "' 1 '", "'1_0'", "'x1'", "'+2'", "٣", "'٣'",
]
values_short = ["'a'", '"a"', "a", "1", "-1.5", "NULL", "('a')", "('a', 'b')", "('1', 2)", "()", "'a", ""]

keys = {
    "runs": [
        "metrics.a", "metric.a", "params.a", "param.a", "parameters.a", "parameter.a", "tags.a", "tag.a",
        "attributes.run_id", "attribute.start_time", "attr.end_time", "run.status", "run_name", "`run name`",
        "attributes.`Run Name`", "attributes.\"Run name\"", "Created", "attribute.created", "start_time", "end_time",
        "run_id", "status", "user_id", "artifact_uri", "lifecycle_stage", "experiment_id", "name",
        "datasets.name", "dataset.digest", "dataset.context", "datasets.source", "metrics.`a b`", 'metrics."a b"',
        "metrics.'a'", "metrics.a.b", "metrics.a-b", "metrics.a/b", "metrics.a b", "`metrics`.a", '"metrics".a',
        "metrics .a", "metrics. a", "metrics", "metrics.", ".a", "foo.a", "Metrics.a", "METRICS.a", "tags.mlflow.user",
        "tags.`mlflow.user`", "tags.version", "tags.order", "params.select", "tags.日本", "tags.é", "tags._x", "tags.1",
        "tags.a1", "tags.a$", "tags.a#", "tags.[a]", "tags.``", "tags.`a``b`", "tags.'", "1", "'a'", "1.5", "version",
        "tags.in", "tags.and", "run", "timestamp", "tags.timestamp", "f(x)", "tags.f(x)", "a[0]", "tags.a[0]", "tags.*",
        "-- c\nmetrics.a", "/* c */ metrics.a", "metrics.a /* c */", "(metrics.a)", "tags.a::text", "\ttags.a ", "tags.a\n",
    ],
    "experiments": [
        "name", "attribute.name", "attributes.name", "`name`", "attribute.`name`", '"name"', "experiment_id",
        "attribute.experiment_id", "creation_time", "attribute.last_update_time", "last_update_time", "tags.a", "tag.a",
        "tags.`a b`", "metrics.a", "artifact_location", "lifecycle_stage", "tags.mlflow.note", "Tags.a", "tags.", "foo.a",
    ],
    "logged_models": [
        "name", "attributes.name", "attribute.name", "`name`", '"name"', "model_id", "model_type", "status",
        "source_run_id", "experiment_id", "artifact_location", "creation_time", "creation_timestamp",
        "creation_timestamp_ms", "last_updated_timestamp", "last_updated_timestamp_ms", "attributes.creation_timestamp_ms",
        "lifecycle_stage", "status_message", "metrics.a", "metrics.`a b`", 'metrics."a b"', "params.a", "params.`a.b`",
        "tags.a", "tags.`a`", "metric.a", "param.a", "tag.a", "Metrics.a", "unknown", "metrics.", ".a", "1", "'a'", "f(x)",
        "attributes.unknown", "metrics.a.b", "tags.\"a\"", "(name)",
    ],
    "registered_models": [
        "name", "attribute.name", "attributes.name", "`name`", "attribute.`name`", "tags.a", "tag.a", "tags.`a b`", 'tags."a"',
        "creation_timestamp", "last_updated_timestamp", "version", "run_id", "metrics.a", "tags.", "Name",
    ],
    "model_versions": [
        "name", "attribute.name", "`name`", "version_number", "attribute.version_number", "run_id", "source_path",
        "tags.a", "tag.`a b`", "creation_timestamp", "last_updated_timestamp", "version", "stage", "metrics.a", "aliases", "tags.",
    ],
}
filters = {
    "runs": runs_filter,
    "experiments": experiments_filter,
    "logged_models": logged_models_filter,
    "registered_models": registered_models_filter,
    "model_versions": model_versions_filter,
}
good = {
    "runs": ["metrics.a > 1", "params.b = 'x'", "run_id IN ('a', 'b')", "tags.c IS NULL", "start_time <= 5"],
    "experiments": ["name = 'a'", "creation_time > 5", "experiment_id IN ('1')", "tags.c IS NOT NULL", "tags.b LIKE 'x%'"],
    "logged_models": ["name = 'a'", "metrics.a > 1", "params.b IN ('x')", "tags.c ILIKE '%x'", "creation_time < 9"],
    "registered_models": ["name = 'a'", "name IN ('a', 'b')", "tags.c = 'x'", "name ILIKE '%x'", "tags.d != 'y'"],
    "model_versions": ["name = 'a'", "run_id IN ('a')", "version_number > 1", "tags.c = 'x'", "source_path LIKE 'x%'"],
}
shapes = [
    "", " ", "\n", ";", "{0};", "{0} ;", "{0}; ", "{0};\n", "{0}; {1}", "{0} AND {1}", "{0} and {1}", "{0} And\n{1}",
    "{0} AND {1} AND {2} AND {3} AND {4}", "{0} OR {1}", "{0} AND", "AND {0}", "{0} AND AND {1}", "{0} {1}", "{0}, {1}",
    "({0})", "({0} AND {1})", "NOT {0}", "{0} AND NOT {1}", "{0} -- c", "{0} -- c\n", "{0} -- c\nAND {1}", "{0} /* c */ AND {1}",
    "{0} /* c */", "/* c */ {0}", "-- c\n{0}", "# c\n{0}", "{0} AND /* c */ {1}", "{0} AND {1} /* c", "{0} && {1}", "{0} & {1}",
    "{0} AND foo", "{0} AND foo bar", "{0} AND foo bar baz qux", "foo", "foo bar", "foo bar baz", "foo AND {0}", "{0} x", "x {0}",
    "WHERE {0}", "SELECT * FROM runs WHERE {0}", "{0} ORDER BY a", "{0} LIMIT 5", "{0} GROUP BY a", "{0} UNION ALL {1}",
    "CASE {0} END", "BEGIN {0}; {1}; END", "BEGIN; {0}", "IF {0} END IF", "({0}; {1})", "{0} AND (;) {1}", "(;); {0}", ");{0}",
    "CREATE DECLARE x; {0}", "BEGIN IF x; END IF; END; {0}", "BEGIN FOR x LOOP y; END LOOP; END; {0}", "DECLARE; {0}", "BEGIN TRANSACTION; {0}", "{0} GO {1}", "{0} go {1}", "{0} AS x", "{0} DESC", "x := {0}",
    "{0}\0", "{0} €", "€ {0}", "{0} \\x", "\\", "'", "\"", "`", "´", "$$", "$a$ {0} $a$", "[", "]", "(", ")", "((", "))", "[{0}]", ")({0}",
    "{0})", "({0}", "{0} AND ({1}", "{0}AND {1}", "{0} AND{1}", "{0}  AND\t{1}", "{0}\u00a0AND\u00a0{1}", "{0}\u3000AND {1}",
    "{0} \x1c AND {1}", "{0} AND {1} OR {2}", "{0} XOR {1}", "{0} AND {1}, {2}", "EXISTS ({0})", "VALUES ({0})", "{0} IS NULL",
    "{0} = 1", "1 = 1", "'a' = 'a'", "1 = 1 AND {0}", "{0} AND 1 = 1", "NULL = NULL", "a = b = c", "a = 'b' = 'c'", "{0} + 1", "- {0}",
]
null_tests = ["IS NULL", "is null", "IS  NULL", "IS NOT NULL", "is not null", "IS NOT  NULL", "IS NULL NULL", "IS", "IS NOT", "NULL", "= NULL"]


RANDOM = 400


def filter_cases(entity, rng):
    texts = list(good[entity])
    texts += [f"{key} {test}" for key in keys[entity] for test in null_tests]
    texts += [f"{key} {test} AND {good[entity][0]}" for key in keys[entity][:8] for test in null_tests]
    texts += [f"{key} = 'a'" for key in keys[entity]] + [f"{key}>1" for key in keys[entity]]
    main = keys[entity][:1] + [g.split()[0] for g in good[entity]]
    texts += [f"{key} {sign} {value}" for key in dict.fromkeys(main) for sign in signs for value in values_short]
    texts += [f"{key} = {value}" for key in dict.fromkeys(main) for value in values]
    texts += [f"{key} > {value}" for key in dict.fromkeys(main) for value in values]
    texts += [f"{key} IN {value}" for key in dict.fromkeys(main) for value in values]
    texts += [f"{key}{sign}{value}" for key in main[:2] for sign in signs[:8] for value in values_short]
    words = signs + values + keys[entity] + good[entity] + ["AND", "and", "OR", ",", ";", "(", ")", "--", "/*", "*/", "NOT", "DESC", "AS", "."]
    for _ in range(RANDOM):
        parts = [rng.choice(words) for _ in range(rng.randint(1, 7))]
        texts.append(rng.choice([" ", " ", "", "  "]).join(parts))
    for _ in range(RANDOM):
        text = list(" AND ".join(rng.sample(good[entity], rng.randint(1, 3))))
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(text))
            edit = rng.randrange(3)
            letter = rng.choice("'\"`.,;()[]=<>!-#/*%$:\\ \n\taZ0é_&|")
            if edit == 0:
                text[at] = letter
            elif edit == 1:
                text.insert(at, letter)
            elif len(text) > 1:
                del text[at]
        texts.append("".join(text))
    return texts


order_keys = [
    "name", "experiment_id", "creation_time", "last_update_time", "timestamp", "last_updated_timestamp", "creation_timestamp",
    "version_number", "version", "run_id", "run_name", "run name", "`run name`", "start_time", "end_time", "Created", "created", "status",
    "user_id", "artifact_uri", "metrics.a", "metric.a", "metrics.`a b`", 'metrics."a b"', "metrics.'a b'", "params.a", "tags.a",
    "tags.name", "tag.`a b`", "attribute.name", "attributes.start_time", "attribute.start_time", "datasets.name", "foo.a", "foo", "Timestamp",
    "TIMESTAMP", "metrics.a.b", "metrics", "metrics.", "`start_time`", "`name`", '"name"', "'name'", "1", "f(x)", "metrics.val-1", "tags.日本",
    "metrics.`a'b`", "metrics.`a\\b`", "tags.`a\"b`", "metrics.[a]", "tags.mlflow.user",
]
order_tails = [
    "", " ASC", " DESC", " asc", " desc", " Desc", " foo", " ASC DESC", " DESC NULLS LAST", "  DESC", "\tDESC", " DESC ", " ", ",", ", name", ";",
    " -- c", " AND", " = 1", "DESC",
]
orders = {
    "runs": runs_order,
    "experiments": experiments_order,
    "registered_models": registered_models_order,
    "model_versions": model_versions_order,
}
order_lists = [
    [], [""], [" "], ["name", "name"], ["name", "name DESC"], ["start_time", "Created DESC"], ["metrics.a", "metrics.a"], ["metrics.a", "params.a"],
    ["metrics.a", "metric.`a` DESC"], ["timestamp", "last_updated_timestamp"], ["name ASC", "timestamp DESC"], ["version_number", "name"],
    ["creation_time", "experiment_id"], ["run_id", "start_time"], [" name"], ["\nname"], [";"], ["name;"], ["name; name"], ["'"], ["`"], ["'a"],
    ["tags.name", "name"], ["it's", 'a "b"'],
]
model_fields = [
    "name", "model_id", "creation_timestamp", "creation_time", "creation_timestamp_ms", "last_updated_timestamp", "status", "model_type",
    "metrics.a", "metrics.a.b", "metrics.", "params.a", "tags.a", "attributes.name", "foo", "", "metrics", ".a", "experiment_id", "source_run_id",
]
tokens = [
    None, "", "eyJvZmZzZXQiOiA1fQ==", "eyJvZmZzZXQiOiA1fQ", "eyJvZmZzZXQiOiA1fQ=", "eyJvZmZz!!ZXQiOiA1fQ==", "eyJvZmZzZXQiOiA1fQ==zzz", "x", "xx", "xxx",
    "xxxx", "!!!!", "====", "a===", "é", "eyJvZmZzZXQiOiAwfQ==",
]
tokens += [
    __import__("base64").b64encode(text.encode()).decode()
    for text in [
        "{}", "[]", "[1]", "5", "null", '"x"', '{"offset": "7"}', '{"offset": "x"}', '{"offset": 1.5}', '{"offset": true}', '{"offset": null}',
        '{"offset": [1]}', '{"offset": -1}', '{"a": [1, 2.5, null, true, "x"]}', "{", "it's", "\x00\x7f", '{"offset": " 8 "}', '{"offset": 1e30}',
        '{"offset": 99999999999999999999}', '{"offset": {}}',
    ]
]


trace_keys = [
    "request_id", "timestamp", "timestamp_ms", "Timestamp", "TIMESTAMP_MS", "execution_time", "execution_time_ms", "end_time", "end_time_ms", "status", "client_request_id",
    "name", "run_id", "prompt", "text", "trace.request_id", "trace.status", "attributes.timestamp", "attribute.timestamp_ms", "attributes.execution_time", "trace.end_time",
    "trace.text", "trace.name", "attributes.run_id", "trace_id", "session", "experiment_id", "Name", "attributes.Name", "tags.a", "tag.a", "tags.`a b`", 'tags."a b"', "tags.name",
    "tags.Name", "tags.text", "tags.run_id", "tags.prompt", "tags.timestamp", "tags.mlflow.traceName", "tags.`mlflow.linkedPrompts`", "tags.", "metadata.a", "request_metadata.a",
    "metadata.mlflow.trace.session", 'request_metadata."mlflow.modelId"', "metadata.`mlflow.sourceRun`", "metadata.mlflow.trace.tokenUsage", "metadata.mlflow.trace.cost",
    "request_metadata.name", "metadata.timestamp", "span.name", "span.type", "span.status", "span.content", "span.attributes.a", "span.attributes.`gen_ai.model`", "span.attributes.",
    "span.attributes", "span.text", "span.id", "span.", "spans.name", "feedback.a", "feedback.`a b`", "feedback.name", "feedback.text", "feedback.timestamp", "feedback.", "expectation.a",
    "expectation.run_id", "assessment.a", "issue.id", "issue.name", "issue.status", "issue.", "params.a", "metrics.a", "Feedback.a", "`feedback`.a", "`trace`.status", "1", "'a'", "f(x)",
]
trace_good = [
    "status = 'OK'", "timestamp > 5", "tags.a = 'x'", "span.name LIKE 'a%'", "feedback.a > 0.5", "metadata.b IS NULL", "run_id = 'r'", "trace.text ILIKE '%x%'", "issue.id = 'i'",
    "prompt = 'p/1'", "span.attributes.a = 'x'", "expectation.a != 'x'", "name RLIKE '^a'", "request_id IN ('a', 'b')", "end_time <= 9", "metadata.mlflow.trace.session = 's'",
]
trace_main = [
    "status", "timestamp", "attributes.execution_time_ms", "name", "run_id", "prompt", "text", "tags.a", "metadata.a", "metadata.mlflow.trace.session", "metadata.mlflow.trace.cost",
    "span.name", "span.content", "span.attributes.a", "feedback.a", "feedback.name", "expectation.a", "issue.id",
]
usage = [
    '{"input_tokens": 1}', '{"input_tokens":1}', '{"output_tokens": 2, "input_tokens": 1}', '{"input_tokens": 1, "output_tokens": 2}', "{}", "[]", "x", '{"input_tokens": 1, "x": 2}',
    '{"input_tokens": 1.0}', '{"input_cost": 1.0}', '{"input_cost": 1}', '{"input_cost": 0.25, "total_cost": 1e-05}',
]
metric_good = [
    "trace.status = 'OK'", "trace.tag.a = 'x'", "trace.metadata.`mlflow.modelId` = \"m\"", "span.name = 'x'", "span.type = 'LLM'", "span.status = 'OK'", "assessment.name = 'x'",
    "assessment.type = 'feedback'",
]
metric_keys = [
    "trace.status", "trace.tag.a", "trace.tag", "trace.tag.", "trace.metadata.a.b", "trace.metadata.'a'", "trace.status.a", "trace.name", "trace", "status", "span.name", "span.name.a", "span.id",
    "assessment.name", "assessment.value", "run.id", "`trace`.status", "Trace.status", "timestamp", "trace.timestamp", "1", "'a'", ".", "trace.", ".status",
]
metric_shapes = ["", " ", ";", "{0} AND {1}", "{0} {1}", "({0})", "{0};", "{0}; {1}", "{0} OR {1}", "NOT {0}", "{0} -- c", "/* c */ {0}", "foo", "'", "trace.status IS NULL"]


def of_traces(seed, count):
    rng = random.Random(seed)
    for shape in shapes:
        yield "traces.filter", shape.format(*trace_good), traces_filter
    texts = list(trace_good)
    texts += [f"{key} {test}" for key in trace_keys for test in null_tests]
    texts += [f"{key} = 'a'" for key in trace_keys] + [f"{key} > 1" for key in trace_keys]
    texts += [f"{key} {sign} {value}" for key in trace_main for sign in signs for value in [*values_short, "'a/1'"]]
    texts += [f"{key} {sign} {value}" for key in trace_main for sign in ["=", ">", "IN"] for value in values]
    texts += [" AND ".join(rng.sample(trace_good, 3)) for _ in range(50)]
    words = signs + values + trace_keys + trace_good + ["AND", "OR", ",", ";", "(", ")", "NOT"]
    texts += [" ".join(rng.choice(words) for _ in range(rng.randint(1, 7))) for _ in range(RANDOM)]
    texts = list(dict.fromkeys(texts))
    for text in rng.sample(texts, min(3 * count, len(texts))):
        yield "traces.filter", text, traces_filter
    for key, sign, value in itertools.product(["tokenUsage", "cost"], ["=", "!="], usage):
        yield "traces.filter", f"metadata.mlflow.trace.{key} {sign} '{value}'", traces_filter
    for given in [*order_lists, ["timestamp", "timestamp_ms"], ["name", "tags.name"], ["run_id", "metadata.mlflow.sourceRun DESC"], ["status", "request_id DESC", "timestamp ASC"]]:
        yield "traces.order_by", given, traces_order
    texts = [[key + tail] for key, tail in itertools.product(trace_keys, order_tails)]
    for given in rng.sample(texts, min(count // 2, len(texts))):
        yield "traces.order_by", given, traces_order
    texts = [f"{key} {sign} {value}" for key, sign, value in itertools.product(metric_keys, signs, values_short)]
    for text in [shape.format(*metric_good) for shape in metric_shapes] + metric_good + rng.sample(texts, min(count // 2, len(texts))):
        yield "trace_metrics.filter", text, trace_metrics_filter


def main():
    seed, count = (list(map(int, sys.argv[1:])) + [7, 450][len(sys.argv) - 1 :])[:2]
    rng = random.Random(seed)
    cases = []
    for entity, answer in filters.items():
        fixed = [shape.format(*good[entity]) for shape in shapes]
        fixed += ["((" * 60 + "))" * 60, "(" * 300, "1+" * 150 + "1 = 1", good[entity][0] + " AND " + "(" * 101 + ")" * 101]
        texts = list(dict.fromkeys(filter_cases(entity, rng)))
        for text in dict.fromkeys(fixed + rng.sample(texts, min(count, len(texts)))):
            cases.append([f"{entity}.filter", text, outcome(answer, text)])
    for entity, answer in orders.items():
        # Columns of experiments may repeat; only the first counts.
        fixed = [given for given in order_lists if entity != "experiments" or given[:1] != ["name"]]
        texts = [[key + tail] for key, tail in itertools.product(order_keys, order_tails)]
        for given in fixed + rng.sample(texts, min(count // 2, len(texts))):
            cases.append([f"{entity}.order_by", given, outcome(answer, given)])
    for first, second in itertools.product(model_fields, [None, "name", "metrics.a"]):
        given = [
            {"field_name": field, "ascending": field == first, "dataset_name": None, "dataset_digest": None}
            for field in (first, second)
            if field is not None
        ]
        cases.append(["logged_models.order_by", given, outcome(logged_models_order, given)])
    for token in tokens:
        cases.append(["page_token", token or "", outcome(offset, token)])
    for kind, given, answer in of_traces(seed, count):
        cases.append([kind, given, outcome(answer, given)])
    sys.stdout.write("[\n" + ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases) + "\n]\n")


main()
