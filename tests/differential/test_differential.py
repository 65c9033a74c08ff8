"""The same requests give the same status, error code, message and JSON."""

import importlib
import json
import pkgutil

import pytest
import scenarios
import table
from player import Player
from recording import FOLDER, Recording, short
from verdict import Verdict, difference, judge

SCENARIOS = sorted(module.name for module in pkgutil.iter_modules(scenarios.__path__))


@pytest.mark.rotates(by="pairs")
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_same_answers(pairs, mode, scenario):
    module = importlib.import_module(f"scenarios.{scenario}")
    pair = pairs[getattr(module, "SERVERS", "plain")]
    recording, entries, problems = Recording(scenario), [], []
    reference, ferroflow = pair.reference and Player(pair.reference), Player(pair.ferroflow)
    for index, step in enumerate(module.steps()):
        recorded = recording.entry(index, str(step), pairs.dialect)
        theirs = reference.masked(step, reference.play(step)) if reference else recorded and recorded["reference"]
        answer = ferroflow.play(step)
        ours = ferroflow.masked(step, answer)
        if not reference:
            ours = short(ours)
        if theirs is None:
            verdict = Verdict("is not recorded")
        elif mode == "twice":
            verdict = Verdict(None if theirs == ours else difference(theirs, ours))
        else:
            verdict = judge(step, theirs, ours, answer)
        entry = {"reference": short(theirs)}
        if verdict.why:
            entry |= {"ferroflow": short(ours), "why": verdict.why}
        if mode in ("compare", "recorded") and not verdict.problem and entry != recorded:
            verdict = Verdict(outdated(recorded, entry))
        entries.append((str(step), entry))
        if verdict.problem:
            problems.append(f"{index}: {step}\n    {verdict.problem}")
    if mode == "record":
        recording.record(entries, pairs.dialect)
    assert not problems, f"{len(problems)} of {len(entries)} answers differ:\n" + "\n".join(problems)


def outdated(recorded: dict | None, entry: dict) -> str:
    """Why an answer that is right does not agree with the recording."""
    if recorded is None:
        return "is not recorded: run `cargo xtask diff --record`"
    if recorded["reference"] != entry["reference"]:
        return "the reference was recorded (first) otherwise than it answers: " + difference(
            recorded["reference"], entry["reference"]
        )
    return "ferroflow was recorded (first) to differ otherwise on purpose: " + difference(recorded, entry)


def test_the_table_of_differences_is_current(mode):
    # While it records, the table is written last.
    assert mode == "record" or table.PATH.read_text("utf-8") == table.text()


def test_the_corpus_is_as_large_and_as_wrong_as_promised():
    steps = [step for path in FOLDER.glob("*.json") for step in json.loads(path.read_text("utf-8"))]
    wrong = [step for step in steps if (step.get("both") or step["sqlite"])["reference"]["status"] >= 400]
    assert len(steps) >= 400
    assert len(wrong) >= 400
