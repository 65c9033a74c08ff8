"""Filters as people write them: quotes, spaces, patterns, letters of every script, ties and pages."""

from step import get, post

VALUES = ["plain", "it's", 'say "x"', "back`tick", "100%", "a_b", "axb", "back\\slash", "ünïcode", "ÜNÏCODE", "雪", "😀", "", " ", "a AND b", "x = 'y'",
          "null", "1", "1.0", "line\nbreak", "tab\there", "UPPER", "upper", "-- comment", ";", "(paren)", "%", "\\%"]  # fmt: skip
PATTERNS = ["plain", "PLAIN", "%", "_", "pl%", "%ain", "%LAI%", "a_b", "a\\_b", "100\\%", "100%", "%\\%", "%ü%", "%Ü%", "雪", "_", "__", "", " ", "upper", "%''%",
            "back\\slash", "back\\\\slash", "(p%", "[a]%", "a%b%c", "%%", "^plain$", "*", "pl?in"]  # fmt: skip
KEYS = ["a.b", "a b", "a/b", "a-b", "ü", "mlflow.note", "1", "select", "AND", "it's", "a`b", "a:b"]
#: Written badly, or well in a way that few expect.
FORMS = ["params.v='plain'", " params.v = 'plain' ", "params.v\t=\n'plain'", "params.v = 'plain' and tags.t='1'", "params.v = 'plain' AND\ntags.t = '1'",
         "PARAMS.v = 'plain'", "Params.v = 'plain'", "params . v = 'plain'", "params. v = 'plain'", "params.v = `plain`", "params.v = ''plain''", "params.v = 'plain\"",
         "params.'v' = 'plain'", "params.\"v\" = 'plain'", "params.`v` = 'plain'", "`params`.v = 'plain'", "\"params\".v = 'plain'", "params.v.w = 'plain'", "params..v = 'plain'",
         "params. = 'x'", "params.`` = 'x'", ".v = 'x'", "params.v <> 'plain'", "params.v ! = 'plain'", "params.v NOT LIKE 'p%'", "params.v like 'p%'", "params.v iLiKe 'P%'",
         "params.v IN ('plain', 'UPPER')", "params.v NOT IN ('plain')", "params.v is null", "params.v IS  NOT  NULL", "params.v IS NOT", "params.v NULL", "params.nope is not null",
         "params.v = null", "params.v = true", "params.v = 'a' 'b'", "params.v = 'plain';", "params.v = 'plain' --", "params.v = 'plain' -- comment", "params.v = 'plain' /* c */",
         "/* c */ params.v = 'plain'", "params.v = 'plain' AND AND tags.t = '1'", "AND params.v = 'plain'", "params.v = 'plain' & tags.t = '1'", "params.v = 'plain', tags.t = '1'",
         "params.v BETWEEN 'a' AND 'b'", "params.v = (SELECT 1)", "EXISTS (SELECT 1)", "params.v = 'x' UNION SELECT 1", "CASE WHEN 1 THEN 1 END", "1", "'x'", "'x' = 'x'", "()",
         "((params.v = 'plain'))", "params.v = ('plain')", "params.v = ?", "params.v = :x", "params.v = $1", "params.v = @x", "params.v = 0x41", "params.v = N'plain'",
         "metrics.m > 1.", "metrics.m > .5", "metrics.m > +1", "metrics.m > - 1", "metrics.m > 1e1000", "metrics.m > -1e-400", "metrics.m > 1_0", "metrics.m > 0x1", "metrics.m > NaN",
         "metrics.m > 'NaN'", "metrics.m > inf", "metrics.m > 9999999999999999999999999", "metrics.m = 1 = 1", "metrics.m >= >= 1", "metrics.m => 1", "metrics.m =< 1", "1 < metrics.m",
         "attributes.start_time > -1", "attributes.start_time > 1.5", "attributes.start_time > '5'", "attributes.start_time IN (1)",
         "attributes.status IN ('RUNNING')", "attributes.status = 'running'", "attributes.status LIKE 'RUN%'", "attributes.lifecycle_stage = 'active'", "attributes.experiment_id = '0'",
         "attributes.run_uuid = 'x'", "run_uuid = 'x'", "attributes.user_id LIKE 'm%'", "attributes.`user_id` = 'me'", "user = 'me'", "attributes.User = 'me'", "source_name = 'x'",
         "attributes.source_version = 'x'", "attributes.`Run name` = 'run 1'", "`Run name` = 'run 1'", "attributes.run_name = 'run 1'", "run_name IS NULL", "attributes.end_time IS NULL",
         "attributes.artifact_uri = 'x'", "attributes.Duration > 0", "duration > 0", "dataset.name = 'x'", "datasets.profile = 'x'", "dataset.context ILIKE 'X'", "datasets.name NOT IN ('x')",
         "inputs.name = 'x'", "run_id IN ('a','b',)", "run_id IN ('a' 'b')", "run_id IN (\"a\")", "run_id IN (a)", "run_id IN ('it''s')", "run_id in ('a')", "run_id not in ('a')",
         "run_id NOT  IN ('a')", "run_id IN('a')", "run_id IN ( 'a' , 'b' )", "run_id IN (('a'))", "run_id IN (NULL)", "\x00", "params.v = '\x00'", "\ufeffparams.v = 'plain'",
         "params.v\u00a0=\u00a0'plain'", "params.v ＝ 'plain'", "params.v = ‘plain’", "ʼ", "params.v = '" + "x" * 10_000 + "'", "params." + "k" * 300 + " = 'x'",
         " AND ".join(["params.v = 'plain'"] * 20)]  # fmt: skip
TOKENS = ["eyJvZmZzZXQiOiA5OTl9", "eyJvZmZzZXQiOiAxLjV9", "eyJvZmZzZXQiOiBudWxsfQ==", "bnVsbA==", "W10=", "MQ==", "=", "====", "eyJ", "é", " ",
          "eyJvZmZzZXQiOiAxfQ", "\x00", "a" * 5000]  # fmt: skip


def quoted(text):
    return '"' + text + '"' if "'" in text else "'" + text + "'"


def steps():
    yield post("experiments/create", {"name": "texts"}, save={"exp": "experiment_id"})
    for index, value in enumerate(VALUES):
        run = f"t{index:02}"
        tags = [{"key": "t", "value": value}, {"key": KEYS[index % len(KEYS)], "value": "keyed"}]
        yield post("runs/create", {"experiment_id": "{exp}", "start_time": index + 1, "run_name": f"run {index}", "user_id": "me", "tags": tags}, save={run: "run.info.run_id"})
        metrics = [{"key": "m", "value": index % 4, "timestamp": 1}, {"key": "rare", "value": ["NaN", "Infinity", "-Infinity", 0.0, -0.0][index % 5], "timestamp": 1}]
        params = [{"key": "v", "value": value}] + ([{"key": "some", "value": str(index % 3)}] if index % 2 else [])
        yield post("runs/log-batch", {"run_id": "{" + run + "}", "metrics": metrics[: 1 + index % 2], "params": params})
    base = {"experiment_ids": ["{exp}"], "max_results": 100}
    for value in VALUES:
        for comparator in ("=", "!="):
            yield post("runs/search", {**base, "filter": f"params.v {comparator} {quoted(value)}"})
        yield post("runs/search", {**base, "filter": f"tags.t = {quoted(value)}"})
    for pattern in PATTERNS:
        for comparator in ("LIKE", "ILIKE"):
            yield post("runs/search", {**base, "filter": f"params.v {comparator} '{pattern}'"})
    for key in KEYS:
        for form in (f"tags.`{key}` = 'keyed'", f'tags."{key}" = \'keyed\'', f"tags.{key} = 'keyed'"):
            yield post("runs/search", {**base, "filter": form})
    for form in FORMS:
        yield post("runs/search", {**base, "filter": form})
    for comparator in (">", ">=", "<", "<=", "=", "!="):
        for value in ("0", "-0.0", "1", "1e308", "-1e308"):
            yield post("runs/search", {**base, "filter": f"metrics.rare {comparator} {value}"})

    orders = [["metrics.m DESC"], ["metrics.m", "params.v"], ["metrics.rare"], ["metrics.rare DESC"], ["params.some DESC", "start_time"], ["tags.`a.b`", "start_time DESC"],
              ["params.v"], ["params.v DESC"], ["attributes.run_name"], ["user_id", "start_time ASC"], ["end_time", "start_time"]]  # fmt: skip
    for order in orders:
        page = {**base, "order_by": order, "max_results": 9}
        yield post("runs/search", page, save={"second": "next_page_token"})
        yield post("runs/search", {**page, "page_token": "{second}"}, save={"third": "next_page_token"})
        yield post("runs/search", {**page, "page_token": "{third}"})
    for order in ("metrics.m DESC NULLS LAST", "metrics.m desc", " metrics.m  DESC ", "metrics.`m` dEsC", "metrics.'m'", '"metrics".m', "`metrics.m` DESC", "metrics.m, params.v", "DESC", "metrics.m; DROP TABLE runs",
                  "params.", "datasets.name", "inputs.x", "attributes.`start_time` DESC", "Start Time", "start time", "`Start Time`", "attributes.lifecycle_stage", "experiment_id",
                  "metrics.nope", "metrics.m DESC --", "\x00", "metrics." + "k" * 300, "attributes.Created DESC", "Created DESC", "created", "User", "Status", "attr.status DESC",
                  "tag.t", "param.v", "metric.m", "parameters.v DESC", "params.`it's`"):  # fmt: skip
        yield post("runs/search", {**base, "order_by": [order], "max_results": 9})
    for order in ("run_id DESC", "artifact_uri"):  # Both are random.
        yield post("runs/search", {**base, "order_by": [order], "filter": "params.v = 'plain'"})
    yield post("runs/search", {**base, "filter": "attributes.start_time > 9223372036854775808"},
               differs="a time has 64 bits", expect=(400, "INVALID_PARAMETER_VALUE"))
    for path, body in (("runs/search", base), ("experiments/search", {"max_results": 3, "filter": "name LIKE 'texts%'"})):
        yield post(path, {**body, "page_token": "eyJvZmZzZXQiOiAtMX0="},
                   differs="a page before the first is no page", expect=(400, "INVALID_PARAMETER_VALUE"))
    for token in TOKENS:
        yield post("runs/search", {**base, "page_token": token})
        yield get("experiments/search", {"max_results": 3, "filter": "name LIKE 'texts%'", "page_token": token})
        yield post("logged-models/search", {"experiment_ids": ["{exp}"], "page_token": token})
        yield get("metrics/get-history", {"run_id": "{t01}", "metric_key": "m", "max_results": 3, "page_token": token})

    for value in ("texts it's", "texts 100%", "texts a_b", "texts ünï", "texts ÜNÏ", 'texts "q"'):
        yield post("experiments/create", {"name": value, "tags": [{"key": "k.1 x", "value": value}]})
    for form in ("name = \"texts it's\"", "name LIKE 'texts 100\\%'", "name LIKE 'texts a_b'", "name ILIKE 'TEXTS ü%'", "name ILIKE 'texts Ü%'", "tags.`k.1 x` LIKE '%ü%'", "tags.\"k.1 x\" != 'x'",
                 "name LIKE 'texts%\"%'", "tags.`k.1 x` IS NOT NULL", "tag.`k.1 x` ILIKE 'texts%'", "name ='texts a_b' and creation_time > 1", "Name = 'texts'", "attributes.creation_time >= 0",
                 "lifecycle_stage = 'active'", "artifact_location LIKE '%'", "last_update_time != 5 AND name LIKE 'texts%'", "creation_time = '5'", "creation_time IN (1)", "experiment_id IN ()", "experiment_id = 0",
                 "experiment_id LIKE '1'", "experiment_id IN ('x')", "name IS NOT NULL", "tags.x IN ('a')", "NOT name = 'x'", "name = 'texts' OR 1=1", "name = 'x\x00'"):  # fmt: skip
        yield post("experiments/search", {"max_results": 50, "order_by": ["name"], "filter": form})
