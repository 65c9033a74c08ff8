"""The script of the drill's CronJob that looks for artifacts, run as the chart has it."""

import subprocess

import pytest
from conftest import BUCKET, OLD
from support import chart, required, stores

MISSING = '[{"path": "table.json", "type": "table"}]'


@pytest.fixture
def look(plain, tmp_path):
    """Runs it on the database of the cluster: what it reported, and why it failed."""
    made = chart.objects("kubernetes-in-tree-drill", f"s3.endpointUrl={plain.store.endpoint}", f"s3.bucket={BUCKET}")
    [container] = [
        one for one in made.one("CronJob", "mlflow-drill")["spec"]["jobTemplate"]["spec"]["template"]["spec"]["initContainers"]
        if one["name"] == "artifacts"
    ]
    assert container["command"] == ["bash", "/drill/artifacts.sh"]
    assert chart.env(container)["SCRATCH_PASSWORD"] == ("pg-cluster-v1-drill-app", "password")
    script = made.one("ConfigMap", "mlflow-drill")["data"]["artifacts.sh"]
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "ferroflow").symlink_to(required("FERROFLOW_BIN"))

    def look(**changes: str) -> tuple[str, str]:
        folder = tmp_path / "pod"
        folder.mkdir(exist_ok=True)
        for file in folder.iterdir():
            file.unlink()
        plain_ = {name: value for name, value in chart.env(container).items() if isinstance(value, str)}
        secrets = {"SCRATCH_PASSWORD": "p", "AWS_ACCESS_KEY_ID": stores.KEY, "AWS_SECRET_ACCESS_KEY": stores.SECRET}
        where = {"PATH": f"{programs}:/usr/bin:/bin", "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{plain.databases(OLD)}/mlflow.db"}
        done = subprocess.run(
            ["bash", "-c", script.replace("/tmp/", f"{folder}/")],
            env=plain_ | secrets | where | changes,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, "the Job has to get to its end, which cleans up"
        read = [(folder / name).read_text() if (folder / name).exists() else "" for name in ("report", "failed")]
        return tuple(read)

    return look


def test_artifacts_are_read(look):
    report, failed = look()
    assert '"read":1,' in report and '"missing":[]' in report and not failed


def test_one_that_is_missing_is_told(plain, look):
    plain.log_run(OLD, "second")
    plain.execute(OLD, f"INSERT INTO tags VALUES ('mlflow.loggedArtifacts', '{MISSING}', 'second')")
    report, failed = look()
    assert "some are missing" in report and "run second: table.json" in report and not failed


def test_where_none_is_there_the_drill_fails(plain, look):
    plain.execute(OLD, f"INSERT INTO tags VALUES ('mlflow.loggedArtifacts', '{MISSING}', 'first')")
    assert "no artifact that the restored database names can be read" in look()[1]
    assert "SignatureDoesNotMatch" in look(AWS_SECRET_ACCESS_KEY="another")[1]
    assert "cannot be looked for" in look(MLFLOW_BACKEND_STORE_URI="sqlite:////nowhere/mlflow.db")[1]
