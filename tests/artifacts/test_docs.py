"""The commands of docs/artifacts.md that end by themselves, run as they are written."""

import json
import re
import shlex
from pathlib import Path

import requests
from mlflow import MlflowClient
from support import command
from support.servers import ferroflow

PAGE = Path(__file__).parents[2] / "docs" / "artifacts.md"


def commands() -> list[list[str]]:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    lines = [shlex.split(line) for block in blocks for line in block.splitlines() if line.startswith("ferroflow ")]
    return [line[1:] for line in lines if line[1] != "server"]


def test_every_command_of_the_page_works(moto, tmp_path):
    there = {"postgresql://…": f"sqlite:///{tmp_path}/mlflow.db", "s3://my-bucket/mlflow": f"s3://{moto.bucket}/mlflow"}
    with ferroflow(there["postgresql://…"], there["s3://my-bucket/mlflow"], env=moto.env) as server:
        client = MlflowClient(server.url)
        run = client.create_run("0").info.run_id
        client.log_text(run, "text", "file.txt")
        before = moto.keys()
        said = {}
        for line in commands():
            said[line[0], line[1]] = command.run(*[there.get(word, word) for word in line], env=moto.env)
        assert json.loads(said["storage", "check"])["trial"]["failed"] is None
        assert json.loads(said["storage", "sample"])["sample"]["read"] == 1
        assert any(key[0] == "gc" for key in said)
        # Looking, and deleting what is marked as deleted, leave what is there.
        assert moto.keys() == before
        assert requests.get(f"{server.url}/readyz").status_code == 200
