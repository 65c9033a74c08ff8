"""Assessments of traces: feedback, expectations and issues, and what overrides what."""

from step import Step, delete, get, patch, post

from .traces import FIT, INVALID, ONEOF, V3, info, start

ME = {"source_type": "HUMAN", "source_id": "me@example.com"}
TRACE = f"{V3}/tr-judged/assessments"


def feedback(value=1, **more):
    return {"assessment_name": "good", "source": ME, "feedback": {"value": value}, **more}


def expectation(value=1, **more):
    return {"assessment_name": "answer", "source": ME, "expectation": {"value": value}, **more}


def issue(**more):
    return {"assessment_name": "iss-1", "source": ME, "issue": {"issue_name": "slow"}, **more}


def create(assessment, path=TRACE, **rest):
    return post(path, {"assessment": assessment}, **rest)


def change(id_, assessment, mask, path=TRACE, **rest):
    return patch(f"{path}/{id_}", {"assessment": assessment, "update_mask": mask}, **rest)


def steps():
    yield post("experiments/create", {"name": "judged"}, save={"exp": "experiment_id"})
    yield start(info("tr-judged"))
    yield start(info("tr-else"))
    yield from created()
    yield from not_created()
    yield from overridden()
    yield from changed()
    yield from not_changed()
    yield from with_traces()


def created():
    values = (1, 1.5, -0.0, 1e17, True, False, None, "yes", " NO ", "", "ü", [1, "a", None, True], [], {"score": {"c": [2]}}, {})
    for value in values:
        yield create(feedback(value))
    for value in values:
        yield create(expectation(value))
    for text in ("1", "[1, 2.0]", '{"b": 1}', '"text"', "null", "", "{", "NaN?"):
        yield create({"assessment_name": "s", "source": ME, "expectation": {"serialized_value": {"serialization_format": "JSON_FORMAT", "value": text}}})
    for format_ in ("JSON", "", None):
        yield create({"assessment_name": "s", "source": ME, "expectation": {"serialized_value": {"serialization_format": format_, "value": "1"}}})
    full = {"rationale": "because", "span_id": "s1", "metadata": {"a": "1", "mlflow.assessment.sourceRunId": "r1"}, "create_time": "2023-11-14T22:13:20.123Z", "last_update_time": "2023-11-14T22:13:21Z", "valid": False}
    error = {"error_code": "E", "error_message": "m", "stack_trace": "t" * 10_001}
    yield create(feedback(None, **full) | {"feedback": {"value": None, "error": error}}, save={"full": "assessment.assessment_id"})
    yield create(feedback(1) | {"feedback": {"error": {"error_code": "E"}}})
    yield create(feedback(1, error={"error_code": "top"}))
    yield create(expectation(1, **full), save={"expected": "assessment.assessment_id"})
    yield create(issue(**full), save={"issue": "assessment.assessment_id"})
    yield create({"feedback": {}})
    yield create({"issue": {}})
    for source in ({"source_type": "CODE"}, {"source_type": "LLM_JUDGE", "source_id": ""}, {"source_id": "x"}, {}, {"source_type": 1}):
        yield create(feedback(1) | {"source": source})
    yield create(feedback(1, assessment_id="mine", trace_id="tr-else"))
    yield create(feedback(1, assessment_id="mine", trace_id="tr-else"), differs="a repetition of a request with an id returns what the first one created", expect=(200, None))
    yield create(feedback(2, assessment_id="mine"), differs="an id that is taken is a mistake of the client", expect=(400, "RESOURCE_ALREADY_EXISTS"))
    yield create(feedback(1, assessment_id="mine"), f"{V3}/tr-else/assessments", differs="an id that is taken is a mistake of the client", expect=(400, "RESOURCE_ALREADY_EXISTS"))
    for id_ in ("{full}", "{expected}", "{issue}", "mine"):
        yield get(f"{TRACE}/{id_}")


def not_created():
    for body in ({}, {"assessment": None}, {"assessment": {}}, {"assessment": "x"}, {"assessment": []}):
        yield post(TRACE, body)
    for wrong in ({"feedback": None}, {"feedback": 1}, {"expectation": {}}, {"issue": "x"}, {"metadata": []}, {"metadata": {"a": 1}}, {"source": "me"},
                  {"source": {"source_type": "NOPE"}}, {"source": {"source_type": 9}}, {"create_time": 5}, {"create_time": "now"}, {"rationale": 1}, {"valid": "maybe"}, {"assessment_name": 1}, {"overrides": 1}):  # fmt: skip
        yield create({"assessment_name": "w", "source": ME} | wrong)
    yield create({"assessment_name": "w"} | feedback(1) | expectation(1), differs=ONEOF, expect=INVALID)
    yield create(feedback(1), f"{V3}/tr-nope/assessments")
    yield create(feedback(1), f"{V3}/..%2fetc/assessments")
    for wrong in ({"assessment_id": "x" * 51}, {"assessment_name": "n" * 251}, {"span_id": "s" * 51}, {"source": {"source_type": "HUMAN", "source_id": "i" * 251}}, {"metadata": {"mlflow.assessment.sourceRunId": "r" * 33}}):
        yield create(feedback(1) | wrong, differs=FIT, expect=INVALID)
    yield post(TRACE, raw=b'{"assessment": {"assessment_name": "\\ud800", "feedback": {"value": 1}}}', differs="half of a surrogate pair is no text", expect=INVALID)
    yield post(TRACE, raw=b'{"assessment": {"assessment_name": "deep", "feedback": {"value": ' + b"[" * 200 + b"]" * 200 + b"}}}", differs="a body is not nested that deeply; the reference leaves out what is within", expect=INVALID)
    yield post(TRACE, raw=b'{"assessment": {"assessment_name": "inf", "feedback": {"value": 1e400}}}')
    yield create(feedback("x\u0000y"))
    yield create(feedback(1) | {"rationale": "x\u0000y"})
    for path in (f"{TRACE}/nope", f"{V3}/tr-nope/assessments/nope", f"{V3}/tr-else/assessments/mine", f"{TRACE}/..%2f..", f"{TRACE}/%00"):
        yield get(path)


def overridden():
    yield create(feedback(1, assessment_id="first"))
    yield create(feedback(2, assessment_id="second", overrides="first"))
    yield get(f"{TRACE}/first")
    yield get(f"{TRACE}/second")
    yield create(expectation(2, assessment_id="third", overrides="first"))
    yield create(feedback(3, assessment_id="fourth", overrides="second"))
    yield create(feedback(3, overrides="nope"))
    yield create(feedback(3, overrides="first"), f"{V3}/tr-else/assessments")
    yield create(feedback(3, assessment_id="self", overrides="self"))
    yield delete(f"{TRACE}/fourth")
    yield get(f"{TRACE}/second")
    yield get(f"{TRACE}/first")
    yield delete(f"{TRACE}/second")
    yield get(f"{TRACE}/first")
    yield delete(f"{TRACE}/second")
    yield delete(f"{TRACE}/nope")
    yield delete(f"{V3}/tr-nope/assessments/first")
    yield delete(f"{V3}/tr-else/assessments/first")
    yield get(f"{TRACE}/first")


def changed():
    yield create(feedback(1, assessment_id="f", rationale="r", metadata={"a": "1", "b": "1"}))
    yield create(expectation(1, assessment_id="e", metadata={"a": "1"}))
    yield change("f", feedback("no"), "feedback")
    yield change("f", {"assessment_name": "renamed", "rationale": "new"}, "assessmentName,rationale")
    yield change("f", {"metadata": {"b": "2", "c": "3"}}, "metadata")
    yield change("f", {"metadata": {}}, "metadata")
    yield change("f", {}, "rationale")
    yield change("f", {}, "assessmentName")
    yield change("f", {"feedback": {"value": 1, "error": {"error_code": "E"}}}, "feedback")
    yield change("f", {}, "feedback")
    yield change("f", {"source": {"source_type": "CODE"}, "span_id": "x", "rationale": "ignored"}, "source,spanId")
    yield change("f", {"rationale": "r"}, "")
    yield get(f"{TRACE}/f")
    yield change("e", expectation([1, 2]), "expectation")
    yield change("e", expectation({"a": 1}, rationale="x"), "expectation,rationale")
    yield change("e", {"assessment_name": "e2", "metadata": {"z": "1"}}, "assessmentName,metadata")
    yield get(f"{TRACE}/e")
    yield create(feedback(1, assessment_id="v"))
    yield change("v", {"valid": False}, "valid", differs="the reference fails", expect=(200, None))
    yield get(f"{TRACE}/v", differs="the reference could not change it", expect=(200, None))
    yield change("{issue}", {"rationale": "why"}, "rationale", differs="the reference fails for a reference to an issue", expect=(200, None))


def not_changed():
    yield change("f", expectation(1), "expectation")
    yield change("e", feedback(1), "feedback")
    yield change("f", feedback(1), "feedback,expectation")
    yield change("e", expectation(1), "feedback,expectation")
    yield change("e", {}, "expectation")
    yield change("nope", feedback(1), "feedback")
    yield change("f", feedback(1), "feedback", f"{V3}/tr-nope/assessments")
    yield change("f", feedback(1), "feedback", f"{V3}/tr-else/assessments")
    for body in ({}, {"assessment": feedback(1)}, {"update_mask": "feedback"}, {"assessment": {}, "update_mask": "feedback"}, {"assessment": feedback(1), "update_mask": 1}, {"assessment": feedback(1), "update_mask": "a b"},
                 {"assessment": feedback(1), "update_mask": ["feedback"]}, {"assessment": "x", "update_mask": "feedback"}, {"assessment": feedback(1), "update_mask": "assessment_name"}):  # fmt: skip
        yield patch(f"{TRACE}/f", body)
    yield change("f", {"assessment_name": "n" * 251}, "assessmentName", differs=FIT, expect=INVALID)


def with_traces():
    judged = [feedback("good", assessment_id="with-1"), expectation(2, assessment_id="with-2", metadata={"a": "b"}), issue(assessment_id="with-3", trace_id="tr-other")]
    yield start(info("tr-with", assessments=judged))
    yield start(info("tr-with", assessments=[feedback("bad", assessment_id="with-1"), feedback("new", assessment_id="with-4")]))
    yield get(f"{V3}/tr-with")
    yield start(info("tr-with", assessments=[{"assessment_name": "none"}]))
    yield start(info("tr-stolen", assessments=[feedback("mine", assessment_id="with-1")]), differs="an assessment of another trace is not taken over", expect=(400, "RESOURCE_ALREADY_EXISTS"))
    yield get(f"{V3}/tr-stolen")
    yield start(info("tr-else", assessments=[feedback("mine", assessment_id="with-1")]), differs="an assessment of another trace is not taken over", expect=(400, "RESOURCE_ALREADY_EXISTS"))
    yield get(f"{V3}/tr-with/assessments/with-1", differs="an assessment of another trace is not taken over", expect=(200, None))
    yield post(f"{V3}/delete-traces", {"experiment_id": "{exp}", "request_ids": ["tr-with"]})
    yield get(f"{V3}/tr-with/assessments/with-1")
    yield Step("DELETE", f"{V3}/tr-with/assessments/with-1")
