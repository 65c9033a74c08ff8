"""Label schemas: what reviewers are asked about traces."""

import mlflow
import pytest
from helpers import UNICODE, refused

pytestmark = pytest.mark.since(3, 17)


@pytest.fixture
def schemas():
    return pytest.importorskip("mlflow.genai.label_schemas")


def test_every_form_of_an_answer_is_stored(schemas, experiment):
    forms = {
        "one of two": schemas.InputPassFail(positive_label="gut", negative_label="schlecht"),
        "one": schemas.InputCategorical(options=["a", UNICODE]),
        "several": schemas.InputCategorical(options=["x", "y"], multi_select=True),
        "number": schemas.InputNumeric(min_value=-1.5, max_value=10),
        "text": schemas.InputText(max_length=200),
    }
    for name, form in forms.items():
        made = schemas.create_label_schema(name=name, type="feedback", input=form, instruction=UNICODE, enable_comment=name == "text")
        assert (made.name, made.input, made.instruction, made.experiment_id) == (name, form, UNICODE, experiment)
        found = schemas.get_label_schema(schema_id=made.schema_id)
        assert (found.input, found.enable_comment) == (form, name == "text")
        assert schemas.get_label_schema(name, experiment_id=experiment).schema_id == made.schema_id
    assert {schema.name: schema.input for schema in schemas.list_label_schemas() if not schema.is_default} == forms


def test_a_schema_is_changed_but_stays_of_its_form(schemas):
    made = schemas.create_label_schema(name="tone", type="feedback", input=schemas.InputCategorical(options=["curt"]))
    changed = schemas.update_label_schema(made.schema_id, name="sound", input=schemas.InputCategorical(options=["curt", "friendly"]))
    assert (changed.name, changed.input.options, changed.schema_id) == ("sound", ["curt", "friendly"], made.schema_id)
    with refused("INVALID_PARAMETER_VALUE"):
        schemas.update_label_schema(made.schema_id, input=schemas.InputText())
    assert schemas.get_label_schema(schema_id=made.schema_id).input == changed.input


def test_a_name_is_taken_once_in_an_experiment(schemas, experiment):
    schemas.create_label_schema(name="tone", type="feedback", input=schemas.InputText())
    with refused("RESOURCE_ALREADY_EXISTS"):
        schemas.create_label_schema(name="tone", type="expectation", input=schemas.InputText())
    other = mlflow.create_experiment(f"other than {experiment}")
    made = schemas.create_label_schema(name="tone", type="expectation", input=schemas.InputText(), experiment_id=other)
    assert made.type == "expectation"


def test_schemas_come_in_pages(schemas, experiment):
    names = {f"question {number}" for number in range(5)}
    for name in names:
        schemas.create_label_schema(name=name, type="feedback", input=schemas.InputText())
    seen, token = [], None
    while True:
        page = schemas.list_label_schemas(experiment, max_results=2, page_token=token)
        assert len(page) <= 2
        seen += [schema.name for schema in page]
        token = page.token
        if not token:
            break
    assert len(seen) == len(set(seen))
    assert names <= set(seen)


def test_a_deleted_schema_is_gone(schemas):
    made = schemas.create_label_schema(name="tone", type="feedback", input=schemas.InputText())
    schemas.delete_label_schema(schema_id=made.schema_id)
    with refused("RESOURCE_DOES_NOT_EXIST"):
        schemas.get_label_schema(schema_id=made.schema_id)
