"""What is of another workspace costs what costs what does not exist: the same statements, so that no clock tells one from the
other. Statements are compared, because times of a machine that does other things tell nothing."""

import json
import time
from collections import Counter
from types import SimpleNamespace

import pytest
from across import EVERYWHERE, OF_ADMINS, OURS, THEIRS, Theirs, fill, ghost, placeholders
from calls import CALLS
from people import ADMIN, People, settings, within
from support import postgres, servers
from test_across import KINDS

#: Each statement is a line, and so is the end of a request.
LOG = "warn,ferroflow_store::statements=trace,ferroflow_server::middleware::observe=debug"

#: How often a pair of requests is repeated until it is the same: what a server remembers for a second, and what it does at
#: times beside requests, is not a part of them.
ATTEMPTS = 6


class Ledger:
    """The statements of a server, by its log."""

    def __init__(self, server):
        self.lines = server._log.open()

    def statements(self, request_id: str) -> Counter:
        """The statements before the end of a request, and since the last one."""
        found, part, deadline = Counter(), "", time.monotonic() + 30
        while True:
            part += self.lines.readline()
            if not part.endswith("\n"):
                assert time.monotonic() < deadline, f"the end of {request_id} is not in the log"
                time.sleep(0.001)
                continue
            line, part = json.loads(part), ""
            if line.get("message") == "statement":
                found[line["sql"]] += 1
            elif line.get("message") == "answered" and line["span"]["id"] == request_id:
                return found


@pytest.fixture(scope="module", params=postgres.DIALECTS)
def two(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    with postgres.database(request.param, folder, "cost") as backend:
        users = f"sqlite:///{folder}/users.db" if request.param == "sqlite" else backend
        env = settings(folder, users) | {"RUST_LOG": LOG}
        args = ["--app-name", "basic-auth", "--enable-workspaces", "--log-format", "json"]
        with servers.ferroflow(backend, folder / "artifacts", args=args, env=env) as server:
            people = People(server.url)
            for name in (OURS, THEIRS):
                people.make_workspace(name)
            people.join("maker")
            people.give_role("maker", OURS, ("workspace", "*", "USE"), *((kind, "*", "MANAGE") for kind in KINDS))
            yield SimpleNamespace(people=people, ledger=Ledger(server))


def cost(two, who: str, call, values: dict[str, str]) -> tuple[Counter, Counter]:
    """The statements of a request and of the same one again."""
    found = []
    for _ in range(2):
        answer = two.people.send(
            who, call.method, fill(call.path, values), query=fill(call.query, values), body=fill(call.body, values), raw=call.raw,
            headers=fill(call.headers or {}, values) | within(OURS),
        )
        found.append(two.ledger.statements(answer.headers["X-Request-Id"]))
    return tuple(found)


@pytest.mark.parametrize("who", ["maker", ADMIN])
def test_what_is_of_another_workspace_costs_what_is_missing_costs(two, who):
    theirs = Theirs(two.people, "maker")
    problems = []
    for call in CALLS:
        names = placeholders(call) - EVERYWHERE - {"unique"}
        if not names or (who == ADMIN and OF_ADMINS.search(call.path)):
            continue
        values = theirs.values(call)
        ghosts = {name: ghost(name, value) for name, value in values.items()}
        for attempt in range(ATTEMPTS):
            unique = {"unique": f"{attempt}{time.monotonic_ns()}"}
            there, missing = cost(two, who, call, values | unique), cost(two, who, call, ghosts | unique)
            if there == missing:
                break
        else:
            differing = [(kind, sql) for one, other, kind in ((there, missing, "is there"), (missing, there, "is not"))
                         for first, second in zip(one, other, strict=True) for sql in first - second]
            problems.append(f"{who}: {call}\n" + "\n".join(f"    {kind}: {sql}" for kind, sql in differing))
    assert not problems, f"{len(problems)} problems:\n" + "\n".join(problems[:50])
