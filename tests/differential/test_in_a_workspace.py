"""What was recorded of a server without workspaces, ferroflow answers in a workspace as well.

Every family is so tested with all its right and wrong requests, in a workspace that has nothing else, and in the default
one, in which clients are that know nothing of workspaces.
"""

import contextlib
import dataclasses
import importlib
import json
import pkgutil
import re

import pytest
import scenarios
from player import Player
from recording import Recording, short
from step import WORKSPACE, Step, post, within
from support import postgres, receiver, servers
from verdict import difference

#: Scenarios that a workspace answers otherwise, and why.
OTHERWISE = {
    "assessments": "assessments of the same millisecond have no order on PostgreSQL",
    "artifacts": "writes below the locations that experiments have without workspaces",
    "experiments": "chooses locations, which a server with workspaces refuses",
    "model_sources": "names locations, too",
    "model_versions": "names locations, too",
    "surroundings": "is about a server without workspaces",
    "workspaces_off": "is about a server without workspaces",
}
#: The same in another workspace than the default one.
OTHERWISE_IN_ANOTHER = OTHERWISE | dict.fromkeys(("bodies", "lifecycle", "paths", "queries"), "is about experiment 0, which only the default one has")
#: How many answers differ, and why.
DIFFERING = {
    ("default", "bodies"): (1, "a list has the experiment of a scenario that is not played here"),
    ("default", "paths"): (1, "the information about the server"),
    ("another", "graphql"): (2, "a query without an id is about experiment 0"),
    ("another", "runs"): (1, "a run without an experiment is one of experiment 0"),
    ("another", "traces"): (2, "a message repeats the id"),
}

#: The default workspace, in which clients are that name none, and one that is made for all scenarios.
SPACES = {"default": None, "another": "another"}


def told() -> list:
    """Each scenario of a server without workspaces, in each workspace that answers it in the same way."""
    names = sorted(module.name for module in pkgutil.iter_modules(scenarios.__path__))
    names = [name for name in names if getattr(importlib.import_module(f"scenarios.{name}"), "SERVERS", "plain") == "plain"]
    return [(space, name) for space in SPACES for name in names if name not in (OTHERWISE_IN_ANOTHER if SPACES[space] else OTHERWISE)]


@pytest.fixture(scope="module", params=postgres.DIALECTS)
def urls(request, tmp_path_factory):
    """The kind of database, and a server with workspaces for the scenarios of each workspace: they choose the ids of their traces."""
    folder = tmp_path_factory.mktemp(f"spaced-{request.param}")
    env = {"MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": receiver.KEY}
    with contextlib.ExitStack() as running:
        found = {}
        for name, space in SPACES.items():
            database = running.enter_context(postgres.database(request.param, folder, name))
            found[name] = running.enter_context(servers.ferroflow(database, folder / name, args=["--enable-workspaces"], env=env)).url
            if space:
                player = Player(found[name])
                made = player.play(Step("POST", "/api/3.0/mlflow/workspaces", {"name": space}))
                assert made.status == 201, made.text
                # Scenarios log in the experiment that a server has from the beginning.
                step = post("experiments/create", {"name": "Default"}, headers={WORKSPACE: space}, save={"default": "experiment_id"})
                player.play(step)
                found["default experiment"] = player.saved["default"]
        yield request.param, found


@pytest.mark.rotates(every=4)
@pytest.mark.parametrize("space, scenario", told())
def test_a_workspace_answers_as_a_server_without_any(urls, space, scenario):
    dialect, found = urls
    recording, player, problems = Recording(scenario), Player(found[space]), []
    header = SPACES[space]
    for index, step in enumerate(importlib.import_module(f"scenarios.{scenario}").steps()):
        recorded = recording.entry(index, str(step), dialect)
        if recorded is None:
            # The suite that records says so.
            continue
        sent = in_experiment(next(within(header, [step])), found["default experiment"]) if header else step
        answer = player.play(sent)
        ours = same(short(player.masked(step, answer)), space)
        theirs = same(recorded.get("ferroflow") or recorded["reference"], space)
        is_page = answer.status == theirs["status"] >= 400 and "error_code" not in (theirs.get("json") or {})
        if ours != theirs and not is_page:
            problems.append(f"{index}: {step}\n    {difference(theirs, ours)}")
    expected, _ = DIFFERING.get((space, scenario), (0, ""))
    assert len(problems) == expected, f"{len(problems)} answers differ from a server without workspaces:\n" + "\n".join(problems)


def in_experiment(step: Step, experiment: str) -> Step:
    """The same request to another experiment than the first one."""

    def moved(value, key=""):
        if isinstance(value, dict):
            return {name: moved(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [moved(item, key) for item in value]
        return experiment if value == "0" and key in ("experiment_id", "experiment_ids", "x-mlflow-experiment-id", "experimentId", "experimentIds") else value

    return dataclasses.replace(step, body=moved(step.body), query=moved(step.query), headers=moved(step.headers))


def same(value, space: str):
    """A masked answer without the prefix of a workspace, and without the numbers of experiments, which are the server's."""
    text = json.dumps(value, ensure_ascii=False)
    text = text.replace(f"workspaces/{space}/", "").replace(f'"workspace": "{space}"', '"workspace": "default"')
    text = re.sub(r'(Invalid value \\")\d+(\\" for parameter \'experiment_ids)', r"\1<number>\2", text)
    text = re.sub(r'("experiment_ids?": )(\["[^\]]*\]|"[^"]*")', r'\1"<numbers>"', text)
    # Of a long list of what has a location the digest is another one.
    return json.loads(re.sub(r"(… \d+ items), sha256 [0-9a-f]+", r"\1", text))
