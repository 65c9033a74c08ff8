"""What was recorded of a server without workspaces, ferroflow answers in a workspace as well.

Every family is so tested with all its right and wrong requests, in a workspace that has nothing else, and in the default
one, in which clients are that know nothing of workspaces.
"""

import importlib
import json
import pkgutil
import re

import pytest
import scenarios
from player import Player
from recording import Recording, short
from step import WORKSPACE, Step, within
from support import postgres, receiver, servers
from verdict import difference

#: Scenarios that a workspace answers otherwise, and why.
OTHERWISE = {
    "workspaces_off": "is about a server without workspaces",
}
#: The same in any workspace but the default one.
OTHERWISE_IN_ANOTHER = OTHERWISE | {}


def plain(workspace: str | None) -> list[str]:
    """The names of the scenarios that a workspace answers in the same way."""
    names = sorted(module.name for module in pkgutil.iter_modules(scenarios.__path__))
    names = [name for name in names if getattr(importlib.import_module(f"scenarios.{name}"), "SERVERS", "plain") == "plain"]
    return [name for name in names if name not in (OTHERWISE_IN_ANOTHER if workspace else OTHERWISE)]


@pytest.fixture(scope="module", params=postgres.DIALECTS)
def spaced(request, tmp_path_factory):
    """A server with workspaces, and its kind of database."""
    folder = tmp_path_factory.mktemp(f"spaced-{request.param}")
    env = {"MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": receiver.KEY}
    with (
        postgres.database(request.param, folder, "spaced") as uri,
        servers.ferroflow(uri, folder / "artifacts", args=["--enable-workspaces"], env=env) as server,
    ):
        yield server.url, request.param


@pytest.mark.rotates(by="spaced")
@pytest.mark.parametrize("scenario", plain("another"))
def test_a_workspace_answers_as_a_server_without_any(spaced, scenario):
    url, dialect = spaced
    space = f"all-{scenario.replace('_', '-')}"
    made = Player(url).play(Step("POST", "/api/3.0/mlflow/workspaces", {"name": space}))
    assert made.status == 201, made.text
    compare(url, dialect, scenario, space)


@pytest.mark.rotates(by="spaced")
@pytest.mark.parametrize("scenario", plain(None))
def test_the_default_workspace_answers_as_a_server_without_any(spaced, scenario):
    compare(*spaced, scenario, None)


def compare(url: str, dialect: str, scenario: str, space: str | None) -> None:
    recording, player, problems = Recording(scenario), Player(url), []
    steps = importlib.import_module(f"scenarios.{scenario}").steps()
    for index, step in enumerate(steps):
        recorded = recording.entry(index, str(step), dialect)
        if recorded is None:
            # The suite that records says so.
            continue
        sent = next(within(space, [step])) if space and WORKSPACE not in step.headers else step
        answer = player.play(sent)
        ours = same(short(player.masked(step, answer)), space)
        theirs = same(recorded.get("ferroflow") or recorded["reference"], space)
        if ours != theirs and not (answer.status == theirs["status"] >= 400 and "json" not in theirs):
            problems.append(f"{index}: {step}\n    {difference(theirs, ours)}")
    assert not problems, f"{len(problems)} answers differ from a server without workspaces:\n" + "\n".join(problems)


def same(value, space: str | None):
    """A masked answer without the prefix of a workspace, and without the numbers of experiments, which are the server's."""
    text = json.dumps(value, ensure_ascii=False)
    text = text.replace(f"workspaces/{space or 'default'}/", "")
    text = re.sub(r'("experiment_ids?": )(\["[^\]]*\]|"[^"]*")', r'\1"<numbers>"', text)
    return json.loads(text)
