"""Workspaces themselves: created, read, changed and deleted while they are empty, and everything that is refused.

The list is of the whole server: this scenario is the first with such servers, and it leaves nothing behind.
"""

from step import WORKSPACE, Step

SERVERS = "workspaces"
API = "/api/3.0/mlflow/workspaces"

LINE = "the reference's pattern lets a line break at the end of a name pass"
INVALID = (400, "INVALID_PARAMETER_VALUE")
CAMEL = "a field may be written in camel case, as in every other call; the reference does not see it here"
SLASH = "a slash that is encoded is a part of the name"
#: What the reference, or a library that it has not got, makes of a location.
STORES = {
    "gs://bucket/x": ("the reference needs a library for it", (200, None)),
    "dbfs:/x": ("the reference needs a login for it", (501, "NOT_IMPLEMENTED")),
} | dict.fromkeys(
    ("models:/x/1", "s3://bucket/../x", "C:team", "C:\\team", "s3:bucket", "s3:/bucket/x", "s3://b/" + "x" * 2041),
    ("a location that names no place of a store is refused when it is set, and not when traces are archived", INVALID),
)


def create(name, **more):
    rest = {key: more.pop(key) for key in ("differs", "expect", "headers") if key in more}
    return Step("POST", API, {"name": name, **more}, **rest)


def read(name=None, **rest):
    return Step("GET", f"{API}/{name}" if name is not None else API, **rest)


def change(name, body, **rest):
    return Step("PATCH", f"{API}/{name}", body, **rest)


def remove(name, mode=None, **rest):
    return Step("DELETE", f"{API}/{name}", query=None if mode is None else {"mode": mode}, **rest)


def steps():
    yield read()
    yield read("default")
    yield from created()
    yield from names()
    yield from roots()
    yield from archival()
    yield from bodies()
    yield from changed()
    yield from deleted()


def created():
    yield create("first")
    yield read("first")
    yield read()
    yield create("first")
    yield create("first", description="another")
    archival = {"location": "s3://traces/team", "retention": "30d"}
    yield create("second", description="größe 雪 **b**", default_artifact_root="s3://bucket/team", trace_archival_config=archival)
    yield read("second")
    yield Step("GET", "/ajax-api/3.0/mlflow/workspaces/second")
    yield Step("GET", "/ajax-api/3.0/mlflow/workspaces")
    yield Step("POST", "/ajax-api/3.0/mlflow/workspaces", {"name": "third"})
    yield remove("third")
    yield read("third")
    for path in ("/api/2.0/mlflow/workspaces", "/api/3.0/mlflow/workspaces/", "/api/3.0/mlflow/workspaces/first/", "/api/3.0/mlflow/workspaces/first/x"):
        yield Step("GET", path)
    for method in ("PUT", "POST"):
        yield Step(method, f"{API}/first", {"name": "x"})


def names():
    good = ("ab", "a1", "1a", "11", "a" * 63, "a--b", "0-0", "default-2", "workspace", "static", "null", "xn--a")
    for name in good:
        yield create(name)
        yield read(name)
        yield remove(name)
    bad = ("", " ", "a", "-", "a" * 64, "a" * 3000, "-ab", "ab-", "Ab", "AB", "a_b", "a.b", "a b", " ab", "ab ", "a/b", "../ab", "größe", "雪雪", "a\u0000b", "workspaces", "api", "ajax-api", "static-files", "default", "DEFAULT")
    for name in bad:
        yield create(name)
    yield create("line\n", differs=LINE, expect=INVALID)
    yield remove("line%0A", differs=LINE, expect=INVALID)
    for name in (None, 1, 1.5, True, [], ["ab"], {}, {"name": "ab"}):
        yield create(name)
    yield Step("POST", API, {})
    yield Step("POST", API, {"Name": "ab"})
    for name in ("none", "A", "a", "a" * 64, "workspaces", "a%2Fb", "a%00b", "%20", "..", "größe"):
        rest = {"differs": SLASH, "expect": INVALID} if name == "a%2Fb" else {}
        yield read(name, **rest)
        yield change(name, {"description": "x"}, **rest)
        yield remove(name, **rest)


#: Roots of artifacts, and locations of archived traces.
LOCATIONS = (
    "s3://bucket/x", "s3://bucket", "s3://bucket/x/", " s3://bucket/y ", "gs://bucket/x", "S3://Bucket/x", "file:///srv/x", "/srv/x", "mlflow-artifacts:/x", "mlflow-artifacts://host/x", "dbfs:/x", "hdfs://host/x", "http://host/x", "https://host/x",
    "ftp://host/x", "wasbs://c@account.blob.core.windows.net/x", "abfss://c@host/x", "weird:/x", "runs:/x", "models:/x/1", "s3://bucket/x#f", "s3://bucket/x;p", "s3://bucket/x?a=b", "s3://bucket/x?a=..", "s3://bucket/../x",
    "s3://bucket/%2e%2e/x", "relative", "./relative", "../x", "C:team", "C:\\team", "~/x", "x" * 2048, "s3://b/" + "x" * 2041, "s3://b/" + "x" * 2042, "", "  ", "//srv/x", "s3:bucket", "s3:/bucket/x", "file:relative",
)  # fmt: skip


def roots():
    for location in LOCATIONS:
        yield create("rooted", default_artifact_root=location)
        yield change("first", {"default_artifact_root": location})
        yield remove("rooted")
    for location in (None, 1, True, [], ["s3://b/x"], {}):
        yield create("rooted", default_artifact_root=location)
        yield change("first", {"default_artifact_root": location})
        yield remove("rooted")
    yield change("first", {"default_artifact_root": ""})
    yield read("first")


def archival():
    for location in LOCATIONS:
        why, expect = STORES.get(location, (None, None))
        yield change("first", {"trace_archival_config": {"location": location}}, differs=why, expect=expect)
    yield change("first", {"trace_archival_config": {"location": ""}})
    for retention in ("30d", "1h", "5m", " 7d ", "0d", "00d", "9999999d", "1s", "d", "", " ", "30", "30D", "-1d", "+1d", "1.5d", "1 d", "1d ", "1d1h", "٣d", "9" * 31 + "d", "9" * 32 + "d", "never", "1d\n"):
        yield change("first", {"trace_archival_config": {"retention": retention}})
    for config in (None, {}, [], "x", 1, {"other": "x"}, {"location": 1}, {"location": None}, {"retention": 5}, {"retention": None}, {"location": []}, {"retention": {}}):
        yield change("first", {"trace_archival_config": config})
        yield create("kept", trace_archival_config=config)
        yield remove("kept")
    for config in ({"location": "s3://traces/x"}, {"retention": "2d"}, {"location": "", "retention": ""}, {"location": "mlflow-artifacts:/x"}, {"retention": "x"}):
        yield create("kept", trace_archival_config=config)
        yield remove("kept")
    yield change("first", {"traceArchivalConfig": {"location": "s3://camel/x"}}, differs=CAMEL, expect=(200, None))
    yield change("first", {"trace_archival_config": {"location": "", "retention": ""}})
    yield read("first")


def bodies():
    for raw in (b"", b"{", b"null", b"[]", b"3", b'"x"', b'"{\\"name\\": \\"double\\"}"', b"\xff\xfe", b'{"name": "twice-a", "name": "twice-b"}'):
        yield Step("POST", API, raw=raw)
        yield Step("PATCH", f"{API}/first", raw=raw)
    yield remove("twice-b")
    yield remove("double")
    for description in ("", " ", "ü" * 5000, None, 1, True, [], {}):
        yield create("told", description=description)
        yield change("first", {"description": description})
        yield remove("told")
    yield create("camel", defaultArtifactRoot="s3://b/camel")
    yield read("camel")
    yield create("both", defaultArtifactRoot="s3://b/one", default_artifact_root="s3://b/two")
    yield remove("camel")
    yield remove("both")
    yield create("unknown", nothing="x")
    yield remove("unknown")
    yield Step("POST", API, {"name": "typeless"}, headers={"Content-Type": None})
    yield remove("typeless")
    yield Step("POST", API, {"name": "texty"}, headers={"Content-Type": "text/plain"})
    yield remove("texty")


def changed():
    yield change("first", {"description": "one"})
    yield change("first", {"default_artifact_root": "s3://b/root"})
    yield change("first", {"trace_archival_config": {"location": "s3://traces/changed"}})
    yield change("first", {"trace_archival_config": {"retention": "9d"}})
    yield read("first")
    yield change("first", {})
    yield change("first", {"name": "other"})
    yield change("first", {"name": "other", "description": "by another name"})
    yield change("first", {"workspace_name": "second", "description": "by a field"})
    yield read("second")
    yield change("first", {"description": "", "default_artifact_root": "", "trace_archival_config": {"location": "", "retention": ""}})
    yield read("first")
    yield change("default", {"description": "everybody's"})
    yield read("default")
    yield change("default", {"description": "Default workspace for legacy resources"})
    yield change("default", {"default_artifact_root": "relative"})
    yield change("none", {"description": "x"})
    # Whatever workspace the request itself is in.
    yield change("first", {"description": "from the second"}, headers={WORKSPACE: "second"})
    yield read(headers={WORKSPACE: "second"})
    yield read("first", headers={WORKSPACE: "second"})
    yield create("made", headers={WORKSPACE: "second"})
    for headers in ({WORKSPACE: "none"}, {WORKSPACE: "Not-A-Name"}):
        yield read(headers=headers)
        yield read("first", headers=headers)
        yield create("other", headers=headers)
        yield change("first", {"description": "x"}, headers=headers)
        yield remove("first", headers=headers)


def deleted():
    for mode in ("restrict", "", "cascade", "RESTRICT ", "SETDEFAULT", "NONE", "1", "RESTRICT,CASCADE"):
        yield remove("made", mode)
    yield Step("DELETE", f"{API}/made", query={"mode": ["RESTRICT", "CASCADE"]})
    for mode in ("RESTRICT", "CASCADE", "SET_DEFAULT"):
        yield create("brief")
        yield remove("brief", mode)
        yield remove("brief", mode)
        yield remove("default", mode)
        yield remove("none", mode)
    yield create("brief")
    yield Step("DELETE", f"{API}/brief", {"mode": "nonsense"})
    yield remove("made", headers={WORKSPACE: "made"})
    yield remove("first", headers={WORKSPACE: "second"})
    yield remove("second")
    yield remove("second")
    for name in ("made", "rooted", "kept", "told", "other"):
        yield remove(name)
    yield read()
