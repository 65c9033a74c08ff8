"""A recovery into a new cluster, to its end, and after every interruption."""

import base64
import json
import sqlite3
import time
from datetime import datetime, timedelta, timezone

import pytest
import yaml
from cluster import at, now
from conftest import BUCKET, INI, NEW, OLD
from support import chart, command

pytestmark = pytest.mark.rotates(every=4)

CHANGES = 10


def secret(cluster, name, key):
    return base64.b64decode(cluster.get("Secret", name)["data"][key]).decode()


def values(said):
    """What is to be put into values.yaml."""
    return yaml.safe_load(said.split("then `helm upgrade`:\n\n")[1].split("\n\n")[0])


def check(cluster, runs):
    """The server is on the new cluster, and the old one is as it was."""
    assert cluster.runs(NEW) == runs
    assert cluster.environment["PGHOST"] == f"{NEW}-rw"
    assert cluster.environment["PGPASSWORD"] == (f"{NEW}-app", "password")
    assert cluster.server["status"]["readyReplicas"] == 1
    assert not [key for key in cluster.server["metadata"].get("annotations", {}) if key.startswith("ferroflow-ops/")]
    assert cluster.is_ready(OLD) and cluster.databases(OLD).exists()
    assert cluster.get("ScheduledBackup", f"{NEW}-daily")["spec"]["cluster"] == {"name": NEW}
    assert cluster.get("ScheduledBackup", f"{OLD}-daily")["spec"]["suspend"] is True
    # Also for the login, whose password is another one now.
    ini = secret(cluster, "mlflow-auth-config", "basic-auth.ini")
    password = secret(cluster, f"{NEW}-app", "password")
    assert ini == INI.replace(f"mlflow:pw@{OLD}-rw", f"mlflow:{password}@{NEW}-rw")
    assert not cluster.names("Job"), "what looked into the databases is gone"


@pytest.mark.rotates
def test_the_latest_state_is_recovered(installed):
    installed.log_run(OLD, "second")
    installed.take_backup()
    said = installed.ops("recover")
    check(installed, ["first", "second"])
    assert "tracking.runs: 2 rows live, 2 restored" in said
    assert "auth.users: 1 rows live, 1 restored" in said
    assert values(said) == {"postgresql": {"clusterName": NEW}, "recovery": {"serverName": OLD}}


def test_what_was_acknowledged_after_the_last_backup_is_recovered(installed):
    """The old cluster archives all of it first, when the server writes nothing more."""
    installed.log_run(OLD, "second")
    said = installed.ops("recover")
    check(installed, ["first", "second"])
    [backup] = installed.names("Backup")
    # A standby cannot have the primary end its piece of the log.
    assert installed.get("Backup", backup)["spec"]["target"] == "primary"
    assert said.index("0 replicas") < said.index(f"create Backup {backup}") < said.index(f"create Cluster {NEW}")


def test_less_than_was_acknowledged_is_not_served(plain):
    plain.execute(OLD, "UPDATE runs SET end_time = start_time + 5000000")
    # The end of the log does not get into the bucket.
    plain._keep = lambda cluster: now()
    said = plain.refused("recover")
    assert "5000 s behind" in said and "still stopped" in said
    assert plain.server["spec"]["replicas"] == 0 and plain.environment["PGHOST"] == f"{OLD}-rw"


def test_without_its_last_backup_nothing_is_recovered(plain):
    plain.broken.add(OLD)
    said = plain.refused("recover")
    assert "AccessDenied" in said and "recover --abandon" in said
    assert plain.names("Cluster") == {OLD}


def test_artifacts_that_the_restored_database_names_are_read(installed):
    named = '[{"path": "table.json", "type": "table"}, {"path": "gone.json", "type": "table"}]'
    installed.execute(OLD, f"INSERT INTO tags VALUES ('mlflow.loggedArtifacts', '{named}', 'first')")
    installed.log_artifact("first", "table.json", "{}")
    installed.log_run(OLD, "second")
    columns = "model_id, experiment_id, name, artifact_location, creation_timestamp_ms, last_updated_timestamp_ms, status, lifecycle_stage"
    for model in ("m-1", "m-2"):
        place = f"mlflow-artifacts:/1/models/{model}/artifacts"
        installed.execute(OLD, f"INSERT INTO logged_models ({columns}) VALUES ('{model}', 1, 'x', '{place}', 1, 1, 2, 'active')")
    installed.store.put("artifacts/1/models/m-1/artifacts/MLmodel", b"flavors: {}")
    installed.take_backup()
    said = installed.ops("recover")
    check(installed, ["first", "second"])
    sizes = len("{}") + len("what second has found") + len("flavors: {}")
    assert f"artifacts: 3 files of the newest 4 runs and logged models were read, {sizes} bytes in all" in said
    assert "MISSING run first: gone.json" in said
    assert "MISSING logged model m-2: all of mlflow-artifacts:/1/models/m-2/artifacts" in said
    assert "2 of the sampled artifacts are MISSING" in said.split("then `helm upgrade`")[1]


def test_where_no_artifact_can_be_read_nothing_is_served(plain):
    plain.store.clear("artifacts/")
    named = '[{"path": "table.json", "type": "table"}]'
    plain.execute(OLD, f"INSERT INTO tags VALUES ('mlflow.loggedArtifacts', '{named}', 'first')")
    plain.take_backup()
    said = plain.refused("recover")
    assert "no artifact can be read" in said and "run first: table.json" in said and "still stopped" in said
    assert plain.server["spec"]["replicas"] == 0 and plain.is_ready(OLD)
    plain.store.clear()
    plain.store.client.delete_bucket(Bucket=BUCKET)
    assert "NoSuchBucket" in plain.refused("recover")
    # Whoever knows why goes on.
    plain.ops("recover", "--no-artifacts")
    check(plain, ["first"])


@pytest.mark.rotates
def test_it_is_told_what_becomes_of_the_old_archives(installed):
    said = installed.ops("recover")
    month = (datetime.now(timezone.utc) + timedelta(days=30)).strftime("%Y-%m-%d")
    old = "s3://team-mlflow/backups/pg-cluster-v1/"
    assert f"{old} has the backups from before {NEW}" in said
    assert f"Keep it until {month}: then everything in it is older than the 30d of backup.retention" in said
    assert f"aws s3 rm --recursive {old}" in said
    # And of those before.
    installed._keep(NEW)
    again = installed.ops("recover", "--again")
    assert f"{old} has the" in again and "s3://team-mlflow/backups/pg-cluster-v2/ has the backups from before pg-cluster-v3" in again
    assert "may go" not in installed.ops("doctor")
    with installed.lock:
        installed.objects["Cluster", NEW]["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    later = installed.ops("doctor")
    assert f"{old} has the" in later and "Everything in it is older than the 30d" in later
    assert "pg-cluster-v2/ has the" not in later


def test_helm_makes_the_same_of_the_values_that_are_told(installed):
    said = values(installed.ops("recover"))
    sets = [f"{top}.{key}={value}" for top, inner in said.items() for key, value in inner.items()]
    rendered = chart.objects(installed.case, *installed.sets, *sets)
    assert installed.get("Cluster", NEW)["spec"] == rendered.one("Cluster")["spec"]
    assert installed.get("ScheduledBackup", f"{NEW}-daily")["spec"] == rendered.one("ScheduledBackup")["spec"]
    wanted = rendered.one("Deployment")["spec"]["template"]
    assert installed.server["spec"]["template"] == wanted
    # Helm takes what has its annotations for its own.
    assert installed.get("Cluster", NEW)["metadata"]["annotations"]["meta.helm.sh/release-name"] == "mlflow"
    assert installed.get("Cluster", NEW)["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_a_moment_is_recovered(installed):
    moment = datetime.now(timezone.utc)
    time.sleep(0.01)
    installed.log_run(OLD, "later")
    installed.take_backup()
    said = installed.ops("recover", "--to", moment.isoformat())
    check(installed, ["first"])
    assert at(installed.get("Cluster", NEW), "spec.bootstrap.recovery.recoveryTarget.targetTime") == values(said)["recovery"]["targetTime"]


def test_who_was_shut_out_since_is_told_and_has_no_session(installed):
    epoch = lambda cluster: installed.execute(cluster, "SELECT epoch FROM ff_login_epoch", "mlflow_auth")  # noqa: E731
    command.run("user", "end-sessions", "--database", f"sqlite:///{installed.databases(OLD)}/mlflow_auth.db")
    installed.take_backup()
    moment = datetime.now(timezone.utc)
    time.sleep(0.01)
    for change in ("DELETE FROM users", "INSERT INTO users (username, password_hash, is_admin) VALUES ('bob', 'h', 0)"):
        installed.execute(OLD, change, "mlflow_auth")
    installed.take_backup()
    said = installed.ops("recover", "--to", moment.isoformat())
    check(installed, ["first"])
    assert "'ann' is a user again: deleted since" in said and "'bob' is no longer a user: created since" in said
    assert said.index("'ann' is a user again") < said.index("8. start the server")
    assert len(epoch(NEW)) == 1 and epoch(NEW) != epoch(OLD)
    # The newest users come back as they are.
    assert "is a user again" not in installed.ops("recover", "--again")


def test_it_can_be_recovered_again(plain):
    plain.ops("recover")
    plain.log_run(NEW, "after")
    plain._keep(NEW)
    said = plain.ops("recover", "--again")
    assert plain.runs("pg-cluster-v3") == ["first", "after"]
    assert plain.environment["PGHOST"] == "pg-cluster-v3-rw"
    assert values(said) == {"postgresql": {"clusterName": "pg-cluster-v3"}, "recovery": {"serverName": NEW}}


def test_run_again_after_its_end_it_does_nothing(plain):
    moment = now()
    time.sleep(0.01)
    plain.ops("recover", "--to", moment)
    before, changes = plain.state(), len(plain.changes)
    said = plain.ops("recover", "--to", moment)
    assert f"recovered from {OLD} to" in said and "there is nothing to do" in said and "recover --again" in said
    assert "nothing to do" in plain.ops("recover", "--to", moment, "--name", NEW)
    # Another target is another recovery.
    for other in (["--to", now()], [], ["--to", moment, "--name", "pg-cluster-v9"]):
        assert "ferroflow ops recover --again" in plain.refused("recover", *other)
    assert plain.state() == before and len(plain.changes) == changes


@pytest.mark.rotates(every=4)
@pytest.mark.parametrize("after", range(1, CHANGES + 6))
def test_killed_after_any_change_it_goes_on(plain, after):
    plain.log_run(OLD, "second")
    plain.take_backup()
    was_killed = plain.killed("recover", after=after)
    assert was_killed or after > CHANGES, "there are fewer changes than before"
    plain.ops("recover") if was_killed else None
    # Jobs of the killed one that look, end and go by themselves.
    for job in plain.names("Job"):
        assert plain.get("Job", job)["spec"]["ttlSecondsAfterFinished"] > 0
        plain.delete("Job", job, None)
    check(plain, ["first", "second"])
    assert plain.names("Cluster") == {OLD, NEW}


def test_what_people_delete_after_it_is_no_loss(plain):
    """They may do so as soon as the server is there, and the runbook may still have its end before it."""
    plain.log_run(OLD, "second")
    assert plain.killed("recover", after=13)
    assert plain.environment["PGHOST"] == f"{NEW}-rw"
    plain.execute(NEW, "DELETE FROM runs WHERE run_uuid = 'second'")
    plain.ops("recover")
    check(plain, ["first"])


def test_a_dry_run_tells_everything_and_changes_nothing(installed):
    before = installed.state()
    said = installed.ops("recover", "--dry-run")
    assert installed.state() == before and not installed.changes
    for step in range(1, 9):
        assert f"\n{step}. " in f"\n{said}"
    assert f"create Cluster {NEW}" in said and '"source": "pg-cluster-v1"' in said
    assert f"create ScheduledBackup {NEW}-daily" in said
    assert f'"value": "{NEW}-rw"' in said
    assert "pw@" not in said and base64.b64encode(INI.encode()).decode() not in said


def test_somebody_else_changes_the_same_objects(plain):
    plain.conflicts = 3
    plain.ops("recover")
    check(plain, ["first"])


def test_what_cannot_be_done_is_refused_before_anything_is_touched(plain):
    first = at(plain.get("Cluster", OLD), "status.firstRecoverabilityPoint")
    assert first[:19] in plain.refused("recover", "--to", "2020-01-01T00:00:00Z")
    assert "in the future" in plain.refused("recover", "--to", "2100-01-01T00:00:00Z")
    assert "another name" in plain.refused("recover", "--name", OLD)
    assert "cannot be the name" in plain.refused("recover", "--name", "PG.v2")
    # The Role does not say whether there is another Deployment.
    said = plain.refused("recover", "--release", "other")
    assert "Deployment other cannot be read: you lack the right" in said and "say --release and --namespace" in said
    plain.rights.rules = None
    assert "no Deployment other in the namespace research" in plain.refused("recover", "--release", "other")
    plain.status("Cluster", OLD, firstRecoverabilityPoint=None)
    assert "ferroflow ops backup" in plain.refused("recover")
    assert not plain.changes


def test_a_recovery_that_fails_leaves_the_old_cluster_and_says_why(plain):
    plain.broken.add(NEW)
    assert "no WAL" in plain.refused("recover")
    assert plain.is_ready(OLD) and plain.environment["PGHOST"] == f"{OLD}-rw"
    assert f"{OLD} to {NEW} was begun" in plain.refused("recover", "--name", "pg-cluster-v9")
    # With the cause gone, and that cluster.
    plain.broken.clear()
    plain.delete("Cluster", NEW, None)
    plain.ops("recover")
    check(plain, ["first"])


def test_another_target_does_not_go_on_with_what_was_begun(plain):
    moment = now()
    time.sleep(0.01)
    assert plain.killed("recover", "--to", moment, after=4)
    assert moment[:19] in plain.refused("recover")
    plain.ops("recover", "--to", moment)
    assert plain.runs(NEW) == ["first"]


def test_an_empty_database_is_not_served(plain):
    keep = plain._keep

    def emptied(cluster):
        time_ = keep(cluster)
        database = plain.folder / "bucket" / cluster / time_.replace(":", "_") / "mlflow.db"
        with sqlite3.connect(database) as connection:
            connection.execute("DELETE FROM runs")
        connection.close()
        return time_

    plain._keep = emptied
    said = plain.refused("recover")
    assert "tracking.runs came back empty" in said and "still stopped" in said
    assert plain.server["spec"]["replicas"] == 0


def test_a_recovery_that_leads_nowhere_is_abandoned(plain):
    plain.patch("Deployment", "mlflow", {"spec": {"replicas": 3}})
    moment = now()
    time.sleep(0.01)
    # It waits for what was never archived.
    assert plain.killed("recover", "--to", moment, after=5)
    assert NEW in plain.names("Cluster")
    for said in (plain.refused("recover"), plain.refused("recover", "--to", moment, "--name", "other")):
        assert "ferroflow ops recover --abandon" in said
    before = plain.state()
    plain.ops("recover", "--abandon", "--dry-run")
    assert plain.state() == before
    said = plain.ops("recover", "--abandon")
    assert plain.environment["PGHOST"] == f"{OLD}-rw" and plain.server["spec"]["replicas"] == 3
    assert not [key for key in plain.server["metadata"].get("annotations", {}) if key.startswith("ferroflow-ops/")]
    assert f"kubectl delete clusters.postgresql.cnpg.io/{NEW}" in said and "--name pg-cluster-v3" in said
    # The next one is free to go elsewhere.
    plain.ops("recover", "--name", "pg-cluster-v3")
    assert plain.runs("pg-cluster-v3") == ["first"]
    assert "no recovery" in plain.refused("recover", "--abandon")


def test_an_abandoned_recovery_gives_back_what_it_took(plain):
    plain.install_gc()
    plain.store.clear("artifacts/")
    named = '[{"path": "table.json", "type": "table"}]'
    plain.execute(OLD, f"INSERT INTO tags VALUES ('mlflow.loggedArtifacts', '{named}', 'first')")
    before = plain.state()
    assert "no artifact can be read" in plain.refused("recover")
    assert plain.get("ScheduledBackup", f"{OLD}-daily")["spec"]["suspend"] is True
    plain.ops("recover", "--abandon")
    after = plain.state()
    mine = {key for key in after if NEW in key[1]}
    assert before.items() == {key: value for key, value in after.items() if key not in mine}.items()


def test_a_recovery_that_was_served_is_not_abandoned(plain):
    plain.patch("Deployment", "mlflow", {"metadata": {"annotations": {"ferroflow-ops/recovering": f"{OLD} to {NEW}"}}})
    plain.patch("Deployment", "mlflow", {"spec": {"template": {"spec": retargeted(plain)}}})
    assert "uses pg-cluster-v2 already" in plain.refused("recover", "--abandon")


def retargeted(cluster):
    return json.loads(json.dumps(cluster.server["spec"]["template"]["spec"]).replace(OLD, NEW))


def test_gc_does_not_go_by_the_old_database(plain):
    """It deletes artifacts of runs that the old database takes for deleted and the new one does not."""
    plain.install_gc()
    seen = []
    make = plain._make_cluster

    def noted(name):
        seen.append(plain.get("CronJob", "mlflow-gc")["spec"].get("suspend"))
        make(name)

    plain._make_cluster = noted
    said = values(plain.ops("recover"))
    assert seen == [True], "it can start while the new database is made"
    sets = [f"{top}.{key}={value}" for top, inner in said.items() for key, value in inner.items()]
    rendered = chart.objects(plain.case, *plain.sets, "gc.enabled=true", *sets)
    assert plain.get("CronJob", "mlflow-gc")["spec"] == rendered.one("CronJob", "mlflow-gc")["spec"]


def test_the_network_policy_lets_the_new_database_through(cluster):
    cluster.install("kubernetes", "networkPolicy.enabled=true")
    said = values(cluster.ops("recover"))
    sets = [f"{top}.{key}={value}" for top, inner in said.items() for key, value in inner.items()]
    rendered = chart.objects(cluster.case, *cluster.sets, *sets)
    assert cluster.get("NetworkPolicy", "mlflow")["spec"] == rendered.one("NetworkPolicy")["spec"]


def test_openshifts_migration_goes_to_the_new_database(cluster):
    cluster.install("openshift")
    said = values(cluster.ops("recover"))
    sets = [f"{top}.{key}={value}" for top, inner in said.items() for key, value in inner.items()]
    rendered = chart.objects(cluster.case, *cluster.sets, *sets)
    assert cluster.get("Template", "mlflow-migrate")["objects"] == rendered.one("Template", "mlflow-migrate")["objects"]
