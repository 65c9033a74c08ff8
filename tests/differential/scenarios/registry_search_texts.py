"""Filters of the registry as people write them, rightly and wrongly."""

from step import get

#: Of both searches.
FORMS = ["name='t'", " name = 't' ", "name\t=\n't'", "NAME = 't'", "Name = 't'", "`name` = 't'", '"name" = \'t\'', "name = `t`", "name = \"t\"", "name = t", "name = 't", "name = 't\"", "name == 't'", "name <> 't'", "name ! = 't'", "name > 't'", "name >= 't'",
         "name NOT LIKE 't'", "name like 't'", "name iLiKe 'T'", "name IN 't'", "name IN ()", "name IN (1)", "name IN ('a' 'b')", "name IN ('a',)", "name IN ('a', 1)", "name IN (t)", "name in ('t')", "name not in ('t') AND name = 't'", "name IN('t')", "name IN ('it''s')", "name = ('t')", "name != ('t') AND name = 't'", "name LIKE ('t')",
         "name IS NULL", "name IS NOT NULL", "tags.x IS NULL", "tags.x IS NOT NULL", "name = 1", "name = 1.5", "name = null", "name = true", "name", "name =", "= 't'", "'t' = name", "name = 't' OR name = 'u'", "NOT name = 't'", "name = 't' AND", "AND name = 't'", "name = 't' AND AND name = 'u'",
         "name = 't' and name = 't'", "name = 't', name = 'u'", "name = 't'; name = 'u'", "name = 't';", "name = 't' --", "name = 't' -- c", "name = 't' /* c */", "(name = 't')", "((name = 't'))", "name = 't' 'u'", "name = 't' AND 1", "1", "'x'", "()", ";", "--", "", " ",
         "nope = 't'", "description = 't'", "creation_timestamp > 1", "last_updated_timestamp > 1", "timestamp > 1", "tags.x = 't'", "tags.x > 't'", "tags.x = 1", "tags.x = t", "tags.x IN ('t')", "tags.x NOT IN ('t')", "tags.x.y = 't'", "tags. = 't'", "tags.`` = 't'", "tags = 't'", "tag.x = 't'",
         "Tags.x = 't'", "tags.'x' = 't'", "tags . x = 't'", "params.x = 't'", "metrics.x = 't'", "attributes.name = 't'", "attribute.`name` = 't'", "attribute.nope = 't'", "a.b.c = 't'", ".name = 't'", "name. = 't'", "tags.`a b` = 't'", "tags.a b = 't'", "tags.`a.b` = 't'", "tags.`a`b` = 't'",
         "name = '\x00'", "\x00", "name\u00a0=\u00a0't'", "name = ‘t’", "name = '%s'" % ("x" * 3000), "name LIKE '%' AND name = 't'", "name LIKE ''", "name = 't' UNION SELECT 1", "name = (SELECT 1)", "name BETWEEN 'a' AND 'b'", "name = $1", "name = ?", "name = :x",
         " AND ".join(["name = 't'"] * 20), "tags.`mlflow.prompt.is_prompt` > 'x'", "tags.`mlflow.prompt.is_prompt` IN ('true')", "tags.`mlflow.prompt.is_prompt` IS NULL", "tags.`mlflow.prompt.is_prompt` = true"]  # fmt: skip
#: Of versions alone.
OF_VERSIONS = ["run_id = 1", "run_id IN ()", "run_id IN (1)", "run_id > 'x'", "RUN_ID = 'x'", "runid = 'x'", "source = 'x'", "source_path IN ('x')", "source_path = 1", "version = 1", "version = '1'", "version_number = 1.5", "version_number = 1.0", "version_number = 'x'", "version_number = ''", "version_number = ' 1 ' AND name = 't'",
               "version_number = '1.0'", "version_number LIKE '1'", "version_number IN (1)", "version_number IN ('1')", "version_number = 1e3", "version_number > 99999999999999999999", "version_number > '99999999999999999999'", "version_number = - 1", "version_number = +1", "version_number = 0x1", "version_number == 1", "version_number = 1_0",
               "version_number BETWEEN 1 AND 2", "current_stage = 'None'", "status = 'READY'", "user_id = 'x'", "creation_timestamp = 'x'", "attribute.source_path = 'x'", "version_number = NaN", "version_number != null", "run_id IS NULL"]  # fmt: skip


def steps():
    for path, forms in (("registered-models/search", FORMS), ("model-versions/search", FORMS + OF_VERSIONS)):
        for form in forms:
            # Other scenarios have left models: a filter that finds some of them would be answered by what they are.
            if "99999999999999999999" in form:
                yield get(path, {"filter": form}, differs="a whole number beyond 64 bits is no number of a version", expect=(400, "INVALID_PARAMETER_VALUE"))
                continue
            why = {"differs": "a list behind = or LIKE is an error of the filter, not of the database"} if " ('t')" in form and "IN (" not in form.upper() else {}
            yield get(path, {"filter": form, "max_results": 1} if form.strip(" -;") else {"filter": f"name = 't' AND {form}"}, **why)
        yield get(path, {"filter": ["name = 't'", "name = 'u'"]})
        yield get(path, {"filter": "name = 't'", "nope": "x"})
        yield get(path, {"filter": "name = 't'", "maxResults": 1, "orderBy": "name", "pageToken": ""})
