"""Every command of docs/backup.md, run as it is written, in its order."""

import re
import shlex
from datetime import datetime, timezone
from pathlib import Path

from support import command
from support.servers import ferroflow
from work import check, log_run

PAGE = Path(__file__).parents[2] / "docs" / "backup.md"


def commands(page: str) -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def test_every_command_of_the_page_works(home, tmp_path):
    lines = [shlex.split(line.replace("/srv/", f"{tmp_path}/srv/")) for line in commands(PAGE.read_text())]
    assert all(line[0] == "ferroflow" for line in lines)
    assert len(lines) >= 8
    command.run("db", "upgrade", "--auth", f"sqlite:///{home.folder}/basic_auth.db")
    with home.server() as server:
        run = log_run(server.url)
        place = next(iter(lines))[2]
        taken = [line for line in lines if line[1] == "backup"]
        for line in taken:
            if "--users-store-uri" not in line:
                command.run(*line[1:], cwd=home.folder)
        time = datetime.now(timezone.utc).isoformat()
        for line in (line for line in lines if line[1] == "restore" and "--force" not in line):
            command.run(*line[1:], cwd=home.folder)
    [line] = [line for line in lines if line[1] == "server"]
    flags = dict(zip(line[2::2], line[3::2], strict=True))
    with ferroflow(flags["--backend-store-uri"], flags["--artifacts-destination"]) as server:
        check(server.url, [run])
    for line in (line for line in lines if line[1] == "restore" and "--force" in line):
        # The page names a time when there were no backups yet.
        command.run(*[time if "T03:04:05Z" in word else word for word in line[1:]], cwd=home.folder)
        with home.server() as server:
            check(server.url, [run])
    for line in (line for line in taken if "--users-store-uri" in line):
        command.run(*line[1:], cwd=home.folder)
    assert "--users-store-uri" in command.refused("restore", place, "--force", cwd=home.folder)


def test_every_answer_of_the_page_is_one_that_is_given():
    page = PAGE.read_text()
    answers = re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)
    root = PAGE.parents[1] / "crates"
    said = "".join(path.read_text() for folder in ("ops", "cli", "store") for path in (root / folder).rglob("src/**/*.rs"))
    assert len(answers) >= 7
    for answer in answers:
        for part in answer.split(" … "):
            assert part in said, answer
