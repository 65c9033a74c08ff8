"""Review queues: traces that people work through, with the questions of the experiment."""

import mlflow
import pytest
from helpers import UNICODE, refused

pytestmark = pytest.mark.since(3, 17)


@pytest.fixture
def reviews(experiment):
    """For an empty experiment, which is the active one."""
    return pytest.importorskip("mlflow.genai.review_queues")


@pytest.fixture
def schema(experiment) -> str:
    from mlflow.genai.label_schemas import InputText, create_label_schema

    return create_label_schema(name="remark", type="feedback", input=InputText()).schema_id


@pytest.fixture
def traces(experiment) -> list[str]:
    ids = []
    for number in range(4):
        with mlflow.start_span(f"answer {number}") as span:
            ids.append(span.trace_id)
    return ids


def test_a_queue_has_people_and_questions(reviews, experiment, schema):
    queue = reviews.create_review_queue(UNICODE, queue_type="custom", users=["ann", "bob"], schema_ids=[schema])
    assert (queue.name, set(queue.users), queue.schema_ids, queue.experiment_id) == (UNICODE, {"ann", "bob"}, [schema], experiment)
    assert reviews.get_review_queue(name=UNICODE).queue_id == queue.queue_id
    assert [one.queue_id for one in reviews.list_review_queues(user="ann")] == [queue.queue_id]
    assert reviews.list_review_queues(user="nobody") == []
    changed = reviews.update_review_queue(queue.queue_id, name="renamed", users=["ann"])
    assert (changed.name, changed.users) == ("renamed", ["ann"])
    with refused("RESOURCE_ALREADY_EXISTS"):
        reviews.create_review_queue("renamed", queue_type="custom")
    reviews.delete_review_queue(queue.queue_id)
    with refused("RESOURCE_DOES_NOT_EXIST"):
        reviews.get_review_queue(queue_id=queue.queue_id)


def test_a_person_has_one_queue(reviews):
    queue = reviews.get_or_create_user_queue("ann")
    assert (queue.name, queue.users, queue.schema_ids) == ("ann", ["ann"], [])
    assert reviews.get_or_create_user_queue("ann").queue_id == queue.queue_id
    with refused("INVALID_PARAMETER_VALUE"):
        reviews.update_review_queue(queue.queue_id, name="bob")


def test_items_are_worked_through(reviews, schema, traces):
    queue = reviews.create_review_queue("answers", queue_type="custom", schema_ids=[schema])
    items = reviews.add_items_to_review_queue(queue.queue_id, item_ids=traces)
    assert [item.item_id for item in items] == traces
    done = reviews.set_review_queue_item_status(queue.queue_id, item_id=traces[0], status="complete", completed_by="ann")
    assert (done.status.value.lower(), done.completed_by) == ("complete", "ann")
    reviews.set_review_queue_item_status(queue.queue_id, item_id=traces[1], status="declined", completed_by="bob")
    # What is attached again keeps its status.
    again = reviews.add_items_to_review_queue(queue.queue_id, item_ids=[traces[0], traces[3]])
    assert [item.status.value.lower() for item in again] == ["complete", "pending"]
    pending = {item.item_id for item in reviews.list_review_queue_items(queue.queue_id, status="pending")}
    assert pending == set(traces[2:])
    opened = reviews.set_review_queue_item_status(queue.queue_id, item_id=traces[0], status="pending")
    assert (opened.status.value.lower(), opened.completed_by) == ("pending", None)
    reviews.remove_items_from_review_queue(queue.queue_id, item_ids=traces[2:])
    assert {item.item_id for item in reviews.list_review_queue_items(queue.queue_id)} == set(traces[:2])
    page = reviews.list_review_queue_items(queue.queue_id, max_results=1)
    rest = reviews.list_review_queue_items(queue.queue_id, max_results=1, page_token=page.token)
    assert {page[0].item_id, rest[0].item_id} == set(traces[:2])


def test_the_questions_of_a_queue_with_items_are_fixed(reviews, schema, traces):
    queue = reviews.create_review_queue("answers", queue_type="custom", schema_ids=[schema])
    reviews.add_items_to_review_queue(queue.queue_id, item_ids=traces[:1])
    with refused("INVALID_PARAMETER_VALUE", "questions"):
        reviews.update_review_queue(queue.queue_id, schema_ids=[])


def test_a_deleted_trace_leaves_its_queue(reviews, client, experiment, traces):
    queue = reviews.create_review_queue("answers", queue_type="custom")
    reviews.add_items_to_review_queue(queue.queue_id, item_ids=traces)
    client.delete_traces(experiment, trace_ids=traces[:1])
    assert {item.item_id for item in reviews.list_review_queue_items(queue.queue_id)} == set(traces[1:])
