"""Backups, and rehearsals of a recovery."""

import pytest
from cluster import at
from conftest import OLD

pytestmark = pytest.mark.rotates(every=4)


@pytest.mark.rotates
def test_a_backup_is_taken_and_waited_for(installed):
    said = installed.ops("backup", "--name", "before-release")
    backup = installed.get("Backup", "before-release")
    assert backup["status"]["phase"] == "completed"
    assert backup["status"]["backupId"] in said
    # One of that name is there: it is not taken again.
    changes = len(installed.changes)
    installed.ops("backup", "--name", "before-release")
    assert len(installed.changes) == changes
    assert installed.ops("backup", "--dry-run") and len(installed.changes) == changes


def test_a_failed_backup_is_told(plain):
    plain.broken.add(OLD)
    assert "AccessDenied" in plain.refused("backup")


def scratch(cluster):
    return cluster.names("Cluster") - {OLD}


def test_a_drill_restores_compares_and_leaves_nothing(installed):
    before = installed.state()
    said = installed.ops("drill")
    assert "recovery time: " in said and "data loss: the newest change is 0 s behind" in said
    assert "tracking.runs: 1 rows live, 1 restored" in said and "auth.users: 1 rows live, 1 restored" in said
    assert installed.state() == before
    [made] = [name for verb, kind, name in installed.changes if (verb, kind) == ("create", "Cluster")]
    assert made.startswith(f"{OLD}-drill-") and len(made) <= 50
    # Nothing is written under any name in the bucket.
    assert [path.name for path in (installed.folder / "bucket").iterdir()] == [OLD]


def test_a_drill_needs_no_pgbouncer(cluster):
    """Its scratch cluster has none."""
    cluster.install("kubernetes", "postgresql.pooler.enabled=true")
    assert "the backup can be restored" in cluster.ops("drill")


@pytest.mark.rotates
def test_a_drill_reads_artifacts_that_the_backup_names(installed):
    said = installed.ops("drill")
    assert "artifacts: 1 files of the newest 1 runs and logged models were read, 20 bytes in all" in said
    installed.store.clear("artifacts/1/first/")
    named = '[{"path": "table.json", "type": "table"}]'
    installed.execute(OLD, f"INSERT INTO tags VALUES ('mlflow.loggedArtifacts', '{named}', 'first')")
    installed.take_backup()
    assert "no artifact can be read" in installed.refused("drill")
    assert scratch(installed) == set()
    installed.ops("drill", "--no-artifacts")


def test_a_drill_that_finds_less_fails_and_cleans_up(plain):
    # Far ahead of the last backup.
    time_ = at(plain.get("Cluster", OLD), "status.lastSuccessfulBackup")
    plain.execute(OLD, "UPDATE runs SET end_time = start_time + 5000000")
    said = plain.refused("drill", "--max-lag", "60")
    assert "5000 s behind" in said and time_
    assert scratch(plain) == set()


def test_a_backup_that_cannot_be_restored_fails_and_cleans_up(plain):
    make = plain._make_cluster

    def broken(name):
        plain.broken.add(name)
        make(name)

    plain._make_cluster = broken
    assert "no WAL" in plain.refused("drill")
    assert scratch(plain) == set()


def test_what_a_killed_drill_left_is_removed_when_its_time_is_over(plain):
    assert plain.killed("drill", "--deadline", "60", after=1)
    [left] = scratch(plain)
    # Somebody may still be at it.
    assert left in plain.refused("drill")
    key = "ferroflow-ops/until"
    plain.patch("Cluster", left, {"metadata": {"annotations": {key: "2020-01-01T00:00:00Z"}}})
    plain.ops("drill")
    assert scratch(plain) == set()


def test_a_drill_deletes_only_what_it_has_made(plain):
    """Another cluster has taken the name of the scratch cluster: it has another UID."""
    delete = plain.delete
    seen = []

    def replaced(kind, name, uid, version=None):
        if kind == "Cluster" and not seen:
            seen.append(name)
            mine = plain.get(kind, name)
            delete(kind, name, None)
            plain.create({key: mine[key] for key in ("apiVersion", "kind", "spec")} | {"metadata": {"name": name}})
        delete(kind, name, uid, version)

    plain.delete = replaced
    plain.ops("drill")
    assert scratch(plain) == set(seen)
