"""The life of a run: started, nested, ended, deleted, restored, renamed."""

import re
import time

import mlflow
import pytest
from helpers import UNICODE, refused
from mlflow.entities import RunStatus


def test_a_run_ends_as_finished(client):
    with mlflow.start_run() as run:
        assert client.get_run(run.info.run_id).info.status == "RUNNING"
        assert client.get_run(run.info.run_id).info.end_time is None
    info = client.get_run(run.info.run_id).info
    assert info.status == "FINISHED"
    assert info.start_time <= info.end_time <= time.time() * 1000 + 1000


def test_a_run_that_raises_ends_as_failed(client):
    with pytest.raises(ZeroDivisionError), mlflow.start_run() as run:
        raise ZeroDivisionError
    assert client.get_run(run.info.run_id).info.status == "FAILED"


def test_a_run_without_a_name_gets_one(client, experiment):
    names = {client.create_run(experiment).info.run_name for _ in range(5)}
    assert len(names) > 1
    assert all(re.fullmatch(r"[a-z]+-[a-z]+-(\d{1,3}|1000)", name) for name in names)


def test_a_run_keeps_the_name_it_was_given(client):
    with mlflow.start_run(run_name=UNICODE) as run:
        pass
    stored = client.get_run(run.info.run_id)
    assert stored.info.run_name == stored.data.tags["mlflow.runName"] == UNICODE


def test_the_name_of_a_run_may_come_as_a_tag(client, experiment):
    run = client.create_run(experiment, tags={"mlflow.runName": "by tag"})
    assert run.info.run_name == "by tag"


def test_a_name_and_a_name_tag_must_agree(client, experiment):
    with refused("INVALID_PARAMETER_VALUE", "mlflow.runName"):
        client.create_run(experiment, run_name="one", tags={"mlflow.runName": "two"})


def test_a_run_can_be_renamed(client, run):
    client.update_run(run, name="second thoughts")
    stored = client.get_run(run)
    assert stored.info.run_name == stored.data.tags["mlflow.runName"] == "second thoughts"


def test_renaming_by_the_tag_renames_the_run(client, run):
    client.set_tag(run, "mlflow.runName", "tagged")
    assert client.get_run(run).info.run_name == "tagged"


def test_a_run_says_who_made_it_and_with_what(client):
    with mlflow.start_run() as run:
        pass
    tags = client.get_run(run.info.run_id).data.tags
    assert tags["mlflow.source.type"] == "LOCAL"
    assert tags["mlflow.source.name"]
    assert tags["mlflow.user"]


def test_a_run_can_have_a_description(client):
    with mlflow.start_run(description="# What for\n" + UNICODE) as run:
        pass
    assert client.get_run(run.info.run_id).data.tags["mlflow.note.content"] == "# What for\n" + UNICODE


def test_a_run_starts_when_the_user_says(client, experiment):
    run = client.create_run(experiment, start_time=1234567890123)
    assert client.get_run(run.info.run_id).info.start_time == 1234567890123


def test_a_run_can_be_resumed(client):
    with mlflow.start_run() as first:
        mlflow.log_param("before", 1)
    with mlflow.start_run(run_id=first.info.run_id) as second:
        assert client.get_run(second.info.run_id).info.status == "RUNNING"
        mlflow.log_param("after", 2)
    run = client.get_run(first.info.run_id)
    assert run.data.params == {"before": "1", "after": "2"}
    assert run.info.status == "FINISHED"


def test_children_know_their_parent():
    with mlflow.start_run(run_name="parent") as parent:
        for number in range(3):
            with mlflow.start_run(run_name=f"child {number}", nested=True) as child:
                mlflow.log_metric("score", number)
                with mlflow.start_run(nested=True) as grandchild:
                    pass
    children = mlflow.search_runs(
        filter_string=f"tags.mlflow.parentRunId = '{parent.info.run_id}'", order_by=["metrics.score"]
    )
    assert list(children["tags.mlflow.runName"]) == ["child 0", "child 1", "child 2"]
    assert mlflow.get_parent_run(grandchild.info.run_id).info.run_id == child.info.run_id
    assert mlflow.get_parent_run(parent.info.run_id) is None


def test_a_child_can_be_started_without_its_parent_being_active(client):
    with mlflow.start_run() as parent:
        pass
    with mlflow.start_run(parent_run_id=parent.info.run_id) as child:
        pass
    assert mlflow.get_parent_run(child.info.run_id).info.run_id == parent.info.run_id


def test_a_run_can_end_with_any_status(client, experiment):
    for status in ("FAILED", "KILLED", "FINISHED", "SCHEDULED"):
        run = client.create_run(experiment)
        client.set_terminated(run.info.run_id, status, end_time=run.info.start_time + 5)
        info = client.get_run(run.info.run_id).info
        assert (info.status, info.end_time) == (status, run.info.start_time + 5)


def test_the_status_of_a_run_can_change_without_ending_it(client, run):
    client.update_run(run, status=RunStatus.to_string(RunStatus.SCHEDULED))
    info = client.get_run(run).info
    assert (info.status, info.end_time) == ("SCHEDULED", None)


def test_a_deleted_run_can_be_restored(client, run):
    client.log_param(run, "kept", "yes")
    client.delete_run(run)
    assert client.get_run(run).info.lifecycle_stage == "deleted"
    client.restore_run(run)
    restored = client.get_run(run)
    assert restored.info.lifecycle_stage == "active"
    assert restored.data.params == {"kept": "yes"}


def test_nothing_can_be_written_to_a_deleted_run(client, run):
    client.delete_run(run)
    writes = [
        lambda: client.log_metric(run, "m", 1),
        lambda: client.log_param(run, "p", 1),
        lambda: client.set_tag(run, "t", 1),
        lambda: client.update_run(run, status="FINISHED"),
        lambda: client.log_batch(run, tags=[mlflow.entities.RunTag("t", "1")]),
    ]
    for write in writes:
        with refused("INVALID_PARAMETER_VALUE", "must be in the 'active' state"):
            write()
    data = client.get_run(run).data
    assert (data.metrics, data.params, "t" in data.tags) == ({}, {}, False)


def test_deleting_and_restoring_twice_is_harmless(client, run):
    client.restore_run(run)
    assert client.get_run(run).info.lifecycle_stage == "active"
    client.delete_run(run)
    client.delete_run(run)
    assert client.get_run(run).info.lifecycle_stage == "deleted"


def test_an_unknown_run_is_not_found(client):
    nobody = "0" * 32
    asks = [
        lambda: client.get_run(nobody),
        lambda: client.log_metric(nobody, "m", 1),
        lambda: client.set_tag(nobody, "t", "1"),
        lambda: client.delete_run(nobody),
        lambda: client.set_terminated(nobody),
    ]
    for ask in asks:
        with refused("RESOURCE_DOES_NOT_EXIST", f"Run with id={nobody} not found"):
            ask()


def test_a_finished_run_can_still_be_written(client):
    with mlflow.start_run() as run:
        pass
    client.log_metric(run.info.run_id, "late", 1)
    client.log_param(run.info.run_id, "late", 1)
    client.set_tag(run.info.run_id, "late", 1)
    data = client.get_run(run.info.run_id).data
    assert (data.metrics["late"], data.params["late"], data.tags["late"]) == (1, "1", "1")


def test_the_last_active_run_can_be_read_back():
    with mlflow.start_run() as run:
        mlflow.log_param("p", "v")
    last = mlflow.last_active_run()
    assert last.info.run_id == run.info.run_id
    assert last.data.params == {"p": "v"}


def test_deleting_runs_of_the_fluent_kind():
    with mlflow.start_run() as run:
        pass
    mlflow.delete_run(run.info.run_id)
    assert mlflow.get_run(run.info.run_id).info.lifecycle_stage == "deleted"
