"""Artifacts, and every known way out of their directory."""

from step import Step, api, get, post

OUT = ["..", "../x", "a/../../x", "/etc/passwd", "//etc/passwd", "%2e%2e/x", "..%2fx", "%252e%252e%252fx", "a#b", "file:///etc/passwd", "file:../x", "C:\\x", "C:/x"]
PROXY = "/api/2.0/mlflow-artifacts/artifacts"


def steps():
    yield post("runs/create", {"experiment_id": "0", "run_name": "files"}, save={"run": "run.info.run_id"})
    base = f"{PROXY}/0/{{run}}/artifacts"
    for name, content in (("a.txt", b"hello"), ("d/b.json", b"{}"), ("d/e/c.bin", b"\x00\x01"), ("empty", b""), ("page.html", b"<b>x</b>"), ("sp%20ace.txt", b"s"), ("%C3%BC.txt", b"u")):
        yield Step("PUT", f"{base}/{name}", raw=content, headers={"Content-Type": "application/octet-stream"})
    for path in (None, "d", "d/e", "nope", "a.txt", ""):
        yield get("artifacts/list", {"run_id": "{run}", **({} if path is None else {"path": path})})
    yield get("artifacts/list", {"run_uuid": "{run}"})
    yield get("artifacts/list", {"run_id": "nope"})
    yield get("artifacts/list")
    for path in OUT:
        yield get("artifacts/list", {"run_id": "{run}", "path": path})
        yield get("/get-artifact", {"run_id": "{run}", "path": path})
    for path in ("a.txt", "d/b.json", "empty", "sp ace.txt", "ü.txt", "page.html"):
        yield get("/get-artifact", {"run_uuid": "{run}", "path": path})
        yield Step("GET", f"{base}/{path}".replace(" ", "%20").replace("ü", "%C3%BC"))
    for query in ({"run_id": "{run}", "path": "nope"}, {"run_id": "{run}", "path": "d"}, {"run_id": "nope", "path": "a.txt"}, {"run_id": "{run}"}, {"path": "a.txt"}):
        yield get("/get-artifact", query)
    yield get("/get-artifact", {"run_id": "{run}", "path": "a.txt"}, headers={"Range": "bytes=1-2"})
    for path, reason in (("%2e%2e/%2e%2e/x", None), ("..%2f..%2fx", None), ("%252e%252e/x", None), ("a%23b", None),
                         ("C:%5Cx", "a backslash separates directories for some readers of the store: it is refused")):
        rest = {} if reason is None else {"differs": reason, "expect": (400, "INVALID_PARAMETER_VALUE")}
        yield Step("GET", f"{base}/{path}", **rest)
        yield Step("PUT", f"{base}/{path}", raw=b"x", headers={"Content-Type": "text/plain"}, **rest)
        yield Step("DELETE", f"{base}/{path}", **rest)
    yield Step("GET", f"{base}/nope")
    yield Step("PUT", f"{base}/trailing/", raw=b"x", headers={"Content-Type": "text/plain"})
    yield Step("GET", PROXY, query={"path": "0/{run}/artifacts"})
    yield Step("GET", PROXY, query={"path": "0/{run}/artifacts/d"})
    yield Step("GET", PROXY, query={"path": "../x"})
    yield Step("GET", PROXY, query={"path": "nope"})
    yield Step("DELETE", f"{base}/d/b.json")
    yield Step("DELETE", f"{base}/d")
    yield Step("DELETE", f"{base}/d")
    yield get("artifacts/list", {"run_id": "{run}"})
    upload = "/ajax-api/2.0/mlflow/upload-artifact"
    yield Step("POST", upload, query={"run_uuid": "{run}", "path": "up/x.txt"}, raw=b"data", headers={"Content-Type": "text/plain"})
    for query in ({"path": "x"}, {"run_uuid": "{run}"}, {"run_uuid": "{run}", "path": "../x"}, {"run_uuid": "nope", "path": "x"}):
        yield Step("POST", upload, query=query, raw=b"data", headers={"Content-Type": "text/plain"})
    yield Step("POST", upload, query={"run_uuid": "{run}", "path": "x"}, raw=b"", headers={"Content-Type": "text/plain"})
    yield get("artifacts/list", {"run_id": "{run}", "path": "up"})
    yield post("logged-models", {"experiment_id": "0", "name": "m"}, save={"model": "model.info.model_id"})
    yield Step("PUT", f"{PROXY}/0/models/{{model}}/artifacts/MLmodel", raw=b"flavors: {}", headers={"Content-Type": "text/plain"})
    yield Step("GET", api("logged-models/{model}/artifacts/directories"))
    yield Step("GET", api("logged-models/{model}/artifacts/directories"), query={"artifact_directory_path": "../.."})
    files = "/ajax-api/2.0/mlflow/logged-models/{model}/artifacts/files"
    yield Step("GET", files, query={"artifact_file_path": "MLmodel"})
    yield Step("GET", files, query={"artifact_file_path": "../../x"})
    yield Step("GET", files)
    yield from more()


#: Why a path is taken otherwise than by the reference, which fails on some of these, stores others and never finds them.
SLASHES = "slashes in a row are one, and a dot is its directory: the reference fails on the upload"
BACKSLASH = "a backslash separates directories for some readers of the store: it is refused"
NOT_UTF8 = "a name that is not UTF-8 is refused; the reference stores it under another one"
LITERAL = "a name is taken as it is, once the query is decoded; the reference decodes or strips it again"
NEWLINE = "a line break may stand in a name"
#: As they stand in a URL.
IN_URLS = {
    "%2fetc/passwd": SLASHES, "%2Fetc%2Fpasswd": SLASHES, "file:%2f%2f%2fetc/passwd": SLASHES, "http:%2f%2fh/x": SLASHES, "a//b": None, "./a": None, "a/.": None,
    "%2e%2e%2f%2e%2e%2fx": None, "..;/x": None, "...": None, "....//x": None, "a/%2e%2e/b": None, "a/%252e%252e/b": None, "%c0%ae%c0%ae/x": NOT_UTF8, "%ff": NOT_UTF8,
    "a%00b": None, "a%0ab": NEWLINE, "~/x": None, "$HOME/x": None, "%20": None, "CON": None, "a:b": None, "n" * 300: None, "d/" * 60 + "x": None, "%E9%9B%AA": None,
    "a%3fb": None, "a%25b": None, "C:/x": None,
}  # fmt: skip
#: As they are meant; the query string encodes them once.
IN_QUERIES = {
    "%2e%2e/x": None, "..\\x": BACKSLASH, "a\\..\\..\\x": BACKSLASH, "\\\\host\\share": BACKSLASH, "a\x00b": None, "%00": LITERAL, " ": LITERAL, "....//x": SLASHES, "~": None,
    "a//b": SLASHES, "./a": SLASHES, "d/../a": None, "d/./b": SLASHES, "http://h/x": SLASHES, "s3://b/x": SLASHES, "n" * 300: None, "é": None, "file:a": None,
}  # fmt: skip
RANGES = {"bytes=0-1": None, "bytes=-2": None, "bytes=4-": None, "bytes=9-": None, "bytes=2-1": None} | dict.fromkeys(
    ("bytes=x", "bytes=0-0,2-3", "lines=1-2"), "a Range that is not understood is passed over, as RFC 9110 says"
)
TYPES = {"t.parquet": "the registered type"} | dict.fromkeys(
    ("t.csv", "t.json", "t.yaml", "t.md", "t.py", "t.log", "MLmodel", "t.png", "t.svg", "t.pdf", "t.js", "t.gz", "t.tar.gz", "noextension", ".hidden", "t.HTML", "t.geojson")
)


def more():
    """Paths in every disguise, at every call that takes one; ranges and types."""
    base = f"{PROXY}/0/{{run}}/artifacts"
    text = {"headers": {"Content-Type": "text/plain"}}
    for path, why in IN_URLS.items():
        yield Step("PUT", f"{base}/{path}", raw=b"x", differs=why, **text)
        yield Step("GET", f"{base}/{path}", differs=why)
    yield get("artifacts/list", {"run_id": "{run}"}, differs="what was refused or renamed above")
    upload = "/ajax-api/2.0/mlflow/upload-artifact"
    file = "/ajax-api/2.0/mlflow/logged-models/{model}/artifacts/files"
    for path, why in IN_QUERIES.items():
        yield get("artifacts/list", {"run_id": "{run}", "path": path}, differs=why)
        yield get("/get-artifact", {"run_id": "{run}", "path": path}, differs=why)
        yield Step("POST", upload, query={"run_uuid": "{run}", "path": path}, raw=b"x", differs=why, **text)
        yield Step("GET", PROXY, query={"path": path}, differs=why)
        yield Step("GET", file, query={"artifact_file_path": path}, differs=why)
        yield get("logged-models/{model}/artifacts/directories", {"artifact_directory_path": path}, differs=why)
    yield Step("PUT", f"{base}/types/range.txt", raw=b"hello", **text)
    for part, why in RANGES.items():
        yield get("/get-artifact", {"run_id": "{run}", "path": "types/range.txt"}, headers={"Range": part}, differs=why)
    for name, why in TYPES.items():
        yield Step("PUT", f"{base}/types/{name}", raw=b"x", headers={"Content-Type": "application/octet-stream"})
        yield get("/get-artifact", {"run_id": "{run}", "path": f"types/{name}"}, differs=why)
        yield Step("GET", f"{base}/types/{name}", differs=why)
    yield get("artifacts/list", {"run_id": "{run}", "path": "types"})
    yield Step("DELETE", base)
    yield Step("DELETE", f"{PROXY}/0/..")
    yield Step("DELETE", f"{PROXY}/")
    yield Step("GET", f"{PROXY}/", differs="there is no file without a name", expect=(404, "ENDPOINT_NOT_FOUND"))
    yield get("artifacts/list", {"run_id": "{run}"})
    for call in ("create", "complete", "abort"):
        yield Step("POST", f"/api/2.0/mlflow-artifacts/mpu/{call}/0/{{run}}/artifacts", {"path": "x", "num_parts": 2, "upload_id": "u", "parts": []})
    # A directory of the server has no address that a client could be sent to.
    for body in ({"run_id": "{run}", "path": "x"}, {"run_id": "{run}", "path": "../x"}, {"run_id": "nope", "path": "x"}, {"path": "x"},
                 {"run_id": "{run}"}, {"run_id": "{run}", "path": "x", "expiration": 604801}):
        yield post("artifacts/presigned-download-url", body)
        if "expiration" not in body:
            yield post("artifacts/presigned-upload-url", body)
    yield post("artifacts/presigned-upload-url", {"run_id": "{run}", "model_id": "{model}", "path": "x"})
    yield post("artifacts/presigned-upload-url", {"model_id": "{model}", "path": "x"})
    yield Step("GET", "/api/2.0/mlflow-artifacts/presigned/0/{run}/artifacts/x")
    yield Step("GET", "/api/2.0/mlflow-artifacts/presigned/%2e%2e/x")
