"""Upgrades, rolling and stopped, and the way back."""

import json
import re

import pytest
from conftest import NEW, OLD

pytestmark = pytest.mark.rotates(every=4)

IMAGE = "registry.example/ferroflow:0.2.0"
#: A revision of MLflow 3.5, and so a database that has to be migrated.
OLDER = "1bd49d398cd23"


def image(cluster):
    return cluster.server["spec"]["template"]["spec"]["containers"][0]["image"]


def jobs(cluster):
    """The images of everything that runs beside the server."""
    text = json.dumps([(one.get("spec"), one.get("objects")) for kind in ("CronJob", "Template") for one in cluster.all(kind)])
    return set(re.findall(r'"image": "([^"]*ferroflow[^"]*)"', text))


def revision(cluster, name=OLD):
    return cluster.execute(name, "SELECT version_num FROM alembic_version")[0][0]


@pytest.fixture
def watched(cluster):
    """Notes how many servers there are to be."""
    cluster.asked = []
    patch = cluster.patch

    def noted(kind, name, change, *more):
        answer = patch(kind, name, change, *more)
        if kind == "Deployment" and "replicas" in change.get("spec", {}):
            cluster.asked.append(change["spec"]["replicas"])
        return answer

    cluster.patch = noted
    return cluster


def test_without_a_migration_no_server_is_missed(watched):
    watched.install("kubernetes")
    before = image(watched)
    said = watched.ops("upgrade", "--image", IMAGE)
    assert image(watched) == IMAGE
    assert {one["image"] for one in watched.server["spec"]["template"]["spec"]["initContainers"]} == {IMAGE}
    [job] = watched.all("CronJob")
    assert job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["image"] == IMAGE
    assert watched.asked == [], "it was scaled"
    assert len(watched.names("Backup")) == 1
    assert "tag: 0.2.0" in said and before in said
    # And back.
    watched.ops("rollback")
    assert image(watched) == before and watched.asked == []
    assert "not upgraded" in watched.refused("rollback")


def test_a_migration_stops_the_server_and_is_verified(watched):
    watched.install("kubernetes", revision=OLDER)
    know(watched, image(watched), OLDER)
    assert revision(watched) == OLDER
    said = watched.ops("upgrade", "--image", IMAGE)
    assert revision(watched) == "dc11669786a5"
    assert watched.asked == [0, 1]
    assert image(watched) == IMAGE and watched.server["status"]["readyReplicas"] == 1
    assert "tracking.runs: 1 rows before, 1 after" in said
    assert watched.runs(OLD) == ["first"]
    # There is no downgrade, and it is said what there is.
    back = watched.refused("rollback")
    assert "ferroflow ops recover --to 20" in back
    [backup] = watched.names("Backup")
    assert backup in back


@pytest.mark.parametrize("case", ["kubernetes", "openshift-no-build"])
def test_everything_that_has_the_image_gets_the_new_one(cluster, case):
    cluster.install(case, "gc.enabled=true", "drill.enabled=true", "drill.image.repository=registry.example/kubectl", "drill.image.tag=1.34")
    before = image(cluster)
    kinds = {"CronJob": 3 if case == "kubernetes" else 2, "Template": 0 if case == "kubernetes" else 1}
    assert {kind: len(cluster.all(kind)) for kind in kinds} == kinds and jobs(cluster) == {before}
    cluster.ops("upgrade", "--image", IMAGE)
    assert jobs(cluster) == {IMAGE} and image(cluster) == IMAGE
    cluster.ops("rollback")
    assert jobs(cluster) == {before} and image(cluster) == before


@pytest.mark.rotates(every=4)
@pytest.mark.parametrize("after", range(1, 13))
def test_killed_after_any_change_it_goes_on(watched, after):
    watched.install("kubernetes", "gc.enabled=true", revision=OLDER)
    if watched.killed("upgrade", "--image", IMAGE, after=after):
        if after > 3:
            # What was looked at and saved before does not bind yet.
            assert "finish it first" in watched.refused("upgrade", "--image", "registry.example/ferroflow:0.3.0")
        watched.ops("upgrade", "--image", IMAGE)
    assert image(watched) == IMAGE and revision(watched) == "dc11669786a5" and jobs(watched) == {IMAGE}
    assert watched.server["status"]["readyReplicas"] == 1
    annotations = watched.server["metadata"]["annotations"]
    assert annotations["ferroflow-ops/previous-image"] == "registry.example/ferroflow:0.1.0"
    assert annotations["ferroflow-ops/migrated"] == "yes"
    assert "ferroflow-ops/upgrading" not in annotations


def know(cluster, image_, revision_):
    """The program of an image knows the tracking database at this revision and no later one."""
    shim = cluster.folder / "bin" / "ferroflow"
    real = shim.rename(shim.with_name("current"))
    shim.write_text(
        f"""#!/bin/bash
set -o pipefail
if [[ $IMAGE != {image_} || "$1 $2" != "db rows" ]]; then exec {real} "$@"; fi
{real} "$@" | sed -E '/"chain":"tracking"/{{ /"revision":"{revision_}"/!s/"pending":[0-9]+/"pending":null/; s/"pending":[0-9]+/"pending":0/ }}'
"""
    )
    shim.chmod(0o755)


def test_a_migration_that_changed_nothing_is_gone_back_from(watched):
    watched.install("kubernetes", revision=OLDER)
    watched.patch("Deployment", "mlflow", {"spec": {"replicas": 2}})
    before = image(watched)
    know(watched, before, OLDER)
    # Nobody gets at the tables meanwhile.
    shim = watched.folder / "bin" / "current"
    works = shim.read_text()
    shim.write_text(works.replace("arguments=()", '[[ "$1 $2" != "db upgrade" ]] || { echo "Error: locked" >&2; exit 1; }\narguments=()'))
    assert "locked" in watched.refused("upgrade", "--image", IMAGE)
    assert revision(watched) == OLDER and watched.server["spec"]["replicas"] == 0
    said = watched.refused("upgrade", "--image", "registry.example/ferroflow:0.3.0")
    assert "ferroflow ops rollback" in said
    watched.ops("rollback")
    assert image(watched) == before and watched.server["status"]["readyReplicas"] == 2
    assert not [key for key in watched.server["metadata"]["annotations"] if key.startswith("ferroflow-ops/")]
    shim.write_text(works)
    watched.ops("upgrade", "--image", IMAGE)
    assert revision(watched) == "dc11669786a5" and watched.server["status"]["readyReplicas"] == 2


def test_the_way_back_from_a_migration_leads_to_the_end(watched):
    watched.install("kubernetes", revision=OLDER)
    watched.patch("Deployment", "mlflow", {"spec": {"replicas": 2}})
    before = image(watched)
    know(watched, before, OLDER)
    watched.ops("upgrade", "--image", IMAGE)
    back = watched.refused("rollback")
    moment = re.search("recover --to ([0-9TZ:.-]+)", back)[1]
    said = watched.ops("recover", "--to", moment)
    # The new program would refuse these tables, and the runbook would wait for it in vain.
    assert watched.environment["PGHOST"] == f"{NEW}-rw" and watched.server["spec"]["replicas"] == 0
    command = f"ferroflow ops upgrade --image {before}"
    assert command in said.splitlines()[-1]
    watched.ops(*command.split()[2:])
    assert image(watched) == before and watched.server["status"]["readyReplicas"] == 2
    assert watched.runs(NEW) == ["first"] and revision(watched, NEW) == OLDER


def test_a_migration_goes_around_pgbouncer(watched):
    """It holds a lock of its session."""
    watched.install("kubernetes", "postgresql.pooler.enabled=true", revision=OLDER)
    assert watched.environment["PGHOST"] == f"{OLD}-pooler-rw"
    watched.ops("upgrade", "--image", IMAGE)
    assert revision(watched) == "dc11669786a5"
    assert watched.environment["PGHOST"] == f"{OLD}-pooler-rw"


def test_a_dry_run_changes_nothing(plain):
    before = plain.state()
    said = plain.ops("upgrade", "--image", IMAGE, "--dry-run")
    assert plain.state() == before and not plain.changes
    assert "create Backup" in said and f'"image": "{IMAGE}"' in said


def test_what_cannot_be_done_is_refused_before_anything_is_touched(plain):
    assert "no tag" in plain.refused("upgrade", "--image", "registry.example/ferroflow:latest")
    plain.execute(OLD, "UPDATE alembic_version SET version_num = 'ffffffffffff'")
    assert "ffffffffffff" in plain.refused("upgrade", "--image", IMAGE)
    assert image(plain) != IMAGE and not plain.names("Backup")
    plain.status("Cluster", OLD, conditions=[{"type": "Ready", "status": "False"}])
    assert "not ready" in plain.refused("upgrade", "--image", IMAGE)


def test_without_its_backup_nothing_is_upgraded(plain):
    plain.broken.add(OLD)
    assert "AccessDenied" in plain.refused("upgrade", "--image", IMAGE)
    assert image(plain) != IMAGE
    plain.ops("upgrade", "--image", IMAGE, "--no-backup")
    assert image(plain) == IMAGE
