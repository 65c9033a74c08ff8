"""Spans from OpenTelemetry's clients: encodings, compressions, headers, wrong spans, and what is stored of good ones."""

import functools
import gzip as compression
import json
import zlib

from step import Step, get

#: Without a time, so that a request is always the same.
gzip = functools.partial(compression.compress, mtime=0)

START = 1_760_000_000_000_000_000
FORM = "errors have the form of OTLP, `google.rpc.Status`; the reference answers as its other calls do"
PARTIAL = "a wrong span is refused by itself, and the answer says so; the reference refuses the request"
#: What the reference fails on.
FAILS = (b"[]", b"null", b"1", b'"x"', b'{"resourceSpans": "x"}', b'{"resourceSpans": [1]}', b'{"resourceSpans": [{"scopeSpans": 1}]}',
         b'{"resourceSpans": [{"scopeSpans": [{"spans": "x"}]}]}')  # fmt: skip
EMPTY = "the answer has the encoding of the request"


def trace(number: int) -> str:
    return f"{number:032x}"


def attributes(pairs: dict) -> list:
    return [{"key": key, "value": any_value(value)} for key, value in pairs.items()]


def any_value(value) -> dict:
    match value:
        case bool():
            return {"boolValue": value}
        case str():
            return {"stringValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case list():
            return {"arrayValue": {"values": [any_value(item) for item in value]}}
        case dict():
            return {"kvlistValue": {"values": attributes(value)}}
    return {}


def span(number: int, span_id: int = 1, /, **fields) -> dict:
    return {
        "traceId": trace(number),
        "spanId": f"{span_id:016x}",
        "name": f"span {span_id}",
        "startTimeUnixNano": str(START + span_id * 1_000_000),
        "endTimeUnixNano": str(START + 100_000_000),
    } | fields


def request(*spans: dict, resource: dict | None = None) -> dict:
    return {"resourceSpans": [{"resource": {"attributes": attributes(resource or {})}, "scopeSpans": [{"spans": list(spans)}]}]}


def export(body, *, experiment="0", **rest) -> Step:
    """A request in JSON, or of bytes as they are."""
    headers = {"x-mlflow-experiment-id": experiment} | rest.pop("headers", {})
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Step("POST", "/v1/traces", raw=raw, headers=headers, **rest)


# Protobuf, as far as it is needed.
def varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out += bytes([0x80 | number & 0x7F])
        number >>= 7
    return out + bytes([number])


def field(number: int, value: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(value)) + value


def fixed(number: int, value: int) -> bytes:
    return varint(number << 3 | 1) + value.to_bytes(8, "little")


def attribute(key: str, value: str) -> bytes:
    return field(1, key.encode()) + field(2, field(1, value.encode()))


def protobuf(number: int, span_id: int = 1, pairs: dict | None = None, name: bytes = b"span") -> bytes:
    body = field(1, number.to_bytes(16, "big")) + field(2, span_id.to_bytes(8, "big")) + field(5, name)
    body += fixed(7, START) + fixed(8, START + 5_000_000)
    for key, value in (pairs or {}).items():
        body += field(9, attribute(key, value))
    return field(1, field(2, field(2, body)))


PROTOBUF = {"Content-Type": "application/x-protobuf"}


def stored(number: int) -> Step:
    """The spans of a trace as they are stored."""
    return get("/ajax-api/2.0/mlflow/get-trace-artifact", {"request_id": f"tr-{trace(number)}"})


def steps():
    # Protobuf, plain and compressed.
    yield export(protobuf(1, pairs={"a": "b", "session.id": "s"}), headers=PROTOBUF)
    yield stored(1)
    for number, (name, pack) in enumerate({"gzip": gzip, "deflate": zlib.compress, "GZIP": gzip}.items(), 2):
        yield export(pack(protobuf(number)), headers=PROTOBUF | {"Content-Encoding": name})
        yield stored(number)
    raw = zlib.compress(protobuf(5))[2:-4]
    yield export(raw, headers=PROTOBUF | {"Content-Encoding": "deflate"})
    yield export(protobuf(6), headers={"Content-Type": "application/x-protobuf; charset=utf-8"})
    yield export(protobuf(7), headers=PROTOBUF | {"Content-Encoding": "identity"}, differs="`identity` is the name of no compression (RFC 9110)", expect=(200, None))
    yield export(gzip(protobuf(8)), headers=PROTOBUF | {"Content-Encoding": "br"})
    yield export(protobuf(8), headers=PROTOBUF | {"Content-Encoding": "gzip"})
    yield export(protobuf(8), headers=PROTOBUF | {"Content-Encoding": "deflate"})
    yield export(gzip(protobuf(8))[:-9], headers=PROTOBUF | {"Content-Encoding": "gzip"})
    # What is no request.
    yield export(b"", headers=PROTOBUF)
    yield export(b"\xff\xff\xff", headers=PROTOBUF)
    yield export(protobuf(8)[:-3], headers=PROTOBUF)
    yield export(b"{}", headers=PROTOBUF)
    yield export(protobuf(8))
    for content in (b"", b"{}", b"[]", b"null", b"1", b'"x"', b"{", b'{"resourceSpans": []}', b'{"resourceSpans": {}}', b'{"resourceSpans": "x"}',
                    b'{"resourceSpans": [1]}', b'{"resourceSpans": [{"scopeSpans": 1}]}', b'{"resourceSpans": [{"scopeSpans": [{"spans": "x"}]}]}'):  # fmt: skip
        fails = content in FAILS
        yield export(content, **({"differs": "the reference fails on JSON of another form", "expect": (400, None)} if fails else {}))
    yield export(b'{"resourceSpans": [{}]}', differs=EMPTY)
    yield export(request(), differs=EMPTY)
    # Headers.
    yield Step("POST", "/v1/traces", raw=protobuf(8), headers=PROTOBUF)
    yield export(protobuf(8), experiment="", headers=PROTOBUF, differs="an empty header is a missing one", expect=(422, None))
    yield export(protobuf(8), experiment="987654", headers=PROTOBUF, differs=FORM, expect=(404, None))
    yield export(protobuf(8), experiment="x", headers=PROTOBUF, differs=FORM, expect=(400, None))
    yield export(protobuf(8), experiment="../1", headers=PROTOBUF, differs=FORM, expect=(400, None))
    yield export(protobuf(8), headers={"Content-Type": "text/plain"})
    yield export(protobuf(8), headers={"Content-Type": "application/octet-stream"})
    yield export(request(span(8)), experiment="987654", differs=FORM, expect=(404, None))
    yield export(request(span(8)), experiment="987654", headers={"User-Agent": "mlflow-python-client/3.17.2"})
    yield export(request(span(8)), experiment="99999999999999999999", differs=FORM, expect=(400, None))
    for method in ("GET", "PUT", "DELETE"):
        yield Step(method, "/v1/traces", differs="the path exists, for another method", expect=(405, None))
    yield get("/ajax-api/2.0/mlflow/get-trace-artifact", {"request_id": f"tr-{trace(8)}"}, differs="the message is that of the other calls")
    # JSON.
    values = {"text": "ü 😀", "number": 5, "float": 1.5, "yes": True, "list": [1, "two", [3]], "map": {"a": {"b": 1}}, "json": '{"a": 1}'}
    yield export(request(span(20, attributes=attributes(values), kind=2), resource={"service.name": "shop"}), differs=EMPTY)
    yield stored(20)
    events = [{"name": "exception", "timeUnixNano": str(START), "attributes": attributes({"exception.message": "broken"})}]
    yield export(request(span(21, events=events, status={"code": 2, "message": "broken"}), span(21, 2, parentSpanId=f"{1:016x}")), differs=EMPTY)
    yield stored(21)
    yield export(request(span(22, parentSpanId=f"{9:016x}")), headers={"Content-Type": "application/json; charset=utf-8"}, differs=EMPTY)
    yield export(request(span(22, 9, status={"code": "STATUS_CODE_ERROR"})), differs=EMPTY)
    yield stored(22)
    usage = json.dumps({"input_tokens": 3, "output_tokens": 4, "total_tokens": 7})
    yield export(request(span(23, attributes=attributes({"mlflow.chat.tokenUsage": usage, "mlflow.llm.model": "gpt-4o-mini"}))), differs=EMPTY)
    yield stored(23)
    yield export(gzip(json.dumps(request(span(24))).encode()), headers={"Content-Encoding": "gzip"}, differs=EMPTY)
    # One span after the other, and once more.
    for span_id in (3, 2, 1, 3):
        parent = {} if span_id == 1 else {"parentSpanId": f"{span_id - 1:016x}"}
        yield export(request(span(25, span_id, **parent)), differs=EMPTY)
    yield stored(25)
    # Wrong spans.
    wrong = {
        "no trace": {"traceId": ""},
        "a short trace": {"traceId": "12"},
        "no hexadecimal": {"traceId": "x" * 32},
        "no span": {"spanId": ""},
        "zero": {"traceId": "0" * 32},
        "before its start": {"endTimeUnixNano": "5"},
        "a number as name": {"name": 5},
        "a list as name": {"name": []},
        "a far start": {"startTimeUnixNano": str(2**64 - 1)},
        "a start in words": {"startTimeUnixNano": "now"},
        "a long session": {"attributes": attributes({"session.id": "s" * 300})},
        "a long name of the trace": {"attributes": attributes({"mlflow.traceTag.mlflow.traceName": "n" * 5000})},
    }
    for number, fields in enumerate(wrong.values(), 40):
        yield export(request(span(number, **fields)), differs="a wrong span is refused, with the same status for each reason", expect=(422, None))
        yield export(request(span(number + 50), span(number, **fields)), differs=PARTIAL, expect=(200, None))
        yield get("/ajax-api/2.0/mlflow/get-trace-artifact", {"request_id": f"tr-{trace(number + 50)}"}, differs=PARTIAL)
