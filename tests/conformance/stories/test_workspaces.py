"""Workspaces with the SDK: made, entered and left, with everything that teams log in them, and nothing of it seen outside."""

import os
import subprocess
import sys
import threading

import mlflow
import pandas
import pytest
from helpers import UNICODE, log_model, refused, unique
from mlflow import MlflowClient

pytestmark = [pytest.mark.since(3, 17), pytest.mark.workspaces]


@pytest.fixture(autouse=True)
def outer():
    """The workspace of the stories is the active one again after each of them."""
    name = os.environ["MLFLOW_WORKSPACE"]
    yield name
    mlflow.set_workspace(name)


@pytest.fixture
def space(client, outer):
    """A workspace of the story, which it is in."""
    name = unique("space")
    client.create_workspace(name)
    mlflow.set_workspace(name)
    yield name
    mlflow.set_workspace(outer)
    client.delete_workspace(name, mode="CASCADE")


class Outside:
    """Runs a block in another workspace."""

    def __init__(self, name, back):
        self.name, self.back = name, back

    def __enter__(self):
        mlflow.set_workspace(self.name)

    def __exit__(self, *_):
        mlflow.set_workspace(self.back)


@pytest.fixture
def outside(space, outer):
    """A function that leaves the workspace of the story for another one, and comes back."""
    return lambda name: Outside(name, space)


#: The workspace that every server has, and the one of all the other stories.
OTHERS = ("default", "team")


def test_a_workspace_is_made_changed_and_deleted(client):
    from mlflow.entities import TraceArchivalConfig

    name = unique("made")
    archival = TraceArchivalConfig(location="s3://traces/x", retention="30d")
    made = mlflow.create_workspace(name, description=UNICODE, default_artifact_root="s3://bucket/x", trace_archival_config=archival)
    assert (made.name, made.description, made.default_artifact_root) == (name, UNICODE, "s3://bucket/x")
    assert (made.trace_archival_location, made.trace_archival_retention) == ("s3://traces/x", "30d")
    assert mlflow.get_workspace(name) == made
    assert name in [found.name for found in mlflow.list_workspaces()]
    changed = mlflow.update_workspace(name, description="new", default_artifact_root="", trace_archival_config=TraceArchivalConfig(location=""))
    assert (changed.description, changed.default_artifact_root, changed.trace_archival_location) == ("new", None, None)
    assert changed.trace_archival_retention == "30d"
    mlflow.delete_workspace(name)
    with refused("RESOURCE_DOES_NOT_EXIST", f"Workspace '{name}' not found"):
        mlflow.get_workspace(name)
    assert name not in [found.name for found in client.list_workspaces()]


def test_every_server_has_the_default_workspace(client):
    assert "default" in [found.name for found in client.list_workspaces()]
    with refused("INVALID_PARAMETER_VALUE", "reserved and cannot be deleted"):
        mlflow.delete_workspace("default")
    with refused("INVALID_PARAMETER_VALUE", "reserved and cannot be created"):
        client.create_workspace("default")


def test_what_is_wrong_with_a_workspace_is_said(client, space):
    with refused("RESOURCE_ALREADY_EXISTS", f"Workspace '{space}' already exists"):
        client.create_workspace(space)
    with refused("INVALID_PARAMETER_VALUE", "relative"):
        client.update_workspace(space, default_artifact_root="relative")
    with refused("INVALID_PARAMETER_VALUE", "trace_archival_config.retention"):
        from mlflow.entities import TraceArchivalConfig

        client.update_workspace(space, trace_archival_config=TraceArchivalConfig(retention="soon"))
    with refused("RESOURCE_DOES_NOT_EXIST"):
        client.delete_workspace(unique("nothing"))
    mlflow.set_workspace(unique("nothing"))
    with refused("RESOURCE_DOES_NOT_EXIST", "not found"):
        client.search_experiments()
    mlflow.set_workspace(space)


def test_a_workspace_with_something_in_it_is_kept(client, space):
    name = unique("moved")
    client.create_experiment(name)
    # The reference answers with a 500, which the SDK takes for a broken server.
    with pytest.raises(mlflow.MlflowException, match="still contains 1 resource|too many 500"):
        client.delete_workspace(space)
    assert client.get_workspace(space).name == space
    other = unique("brief")
    client.create_workspace(other)
    with Outside(other, space):
        moved = client.create_experiment(name)
    client.delete_workspace(other, mode="SET_DEFAULT")
    with Outside("default", space):
        assert client.get_experiment(moved).name == name


def test_experiments_and_runs_are_of_their_workspace(client, space, outside):
    name = unique("experiment")
    mlflow.set_experiment(name)
    with mlflow.start_run(run_name="here") as run:
        mlflow.log_param("p", space)
        mlflow.log_metrics({"m": 1.5}, step=1)
        mlflow.set_tag("t", UNICODE)
        mlflow.log_text("here", "notes.txt")
    experiment = client.get_experiment_by_name(name)
    assert experiment.artifact_location == f"mlflow-artifacts:/workspaces/{space}/{experiment.experiment_id}"
    assert [found.name for found in client.search_experiments()] == [name]
    found = client.get_run(run.info.run_id)
    assert (found.data.params, found.data.metrics) == ({"p": space}, {"m": 1.5})
    assert mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/notes.txt") == "here"
    assert [entry.path for entry in client.list_artifacts(run.info.run_id)] == ["notes.txt"]
    for other in OTHERS:
        with outside(other):
            assert client.get_experiment_by_name(name) is None
            assert name not in [found.name for found in client.search_experiments()]
            assert client.search_runs([experiment.experiment_id]) == []
            with refused("RESOURCE_DOES_NOT_EXIST"):
                client.get_experiment(experiment.experiment_id)
            with refused("RESOURCE_DOES_NOT_EXIST"):
                client.get_run(run.info.run_id)
            with refused("RESOURCE_DOES_NOT_EXIST"):
                client.log_metric(run.info.run_id, "m", 2)
            with refused("RESOURCE_DOES_NOT_EXIST"):
                client.list_artifacts(run.info.run_id)
            with pytest.raises(mlflow.MlflowException):
                mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/notes.txt")
            # The name is free there.
            client.delete_experiment(client.create_experiment(name))
    assert client.get_run(run.info.run_id).data.metrics == {"m": 1.5}


def test_an_experiment_of_a_workspace_cannot_be_elsewhere(client, space, tmp_path):
    with refused("INVALID_PARAMETER_VALUE", "artifact_location cannot be specified when workspaces are enabled"):
        client.create_experiment(unique("elsewhere"), artifact_location=tmp_path.as_uri())


def test_a_workspace_can_have_a_place_of_its_own(client, space, tmp_path):
    client.update_workspace(space, default_artifact_root=tmp_path.as_uri())
    experiment = client.create_experiment("placed")
    assert client.get_experiment(experiment).artifact_location == f"{tmp_path.as_uri()}/{experiment}"
    run = client.create_run(experiment).info.run_id
    client.log_text(run, "here", "notes.txt")
    assert (tmp_path / experiment / run / "artifacts" / "notes.txt").read_text() == "here"


def test_models_are_of_their_workspace(client, space, outside, model):
    name = unique("model")
    mlflow.set_experiment("models")
    with mlflow.start_run() as run:
        logged = log_model(model, registered_model_name=name)
    client.set_registered_model_alias(name, "champion", "1")
    client.set_model_version_tag(name, "1", "of", space)
    (version,) = client.search_model_versions(f"name = '{name}'")
    assert (version.run_id, version.tags) == (run.info.run_id, {"of": space})
    for uri in (f"models:/{name}/1", f"models:/{name}@champion", f"models:/{logged.model_id}"):
        assert mlflow.sklearn.load_model(uri).predict([[3.0]])[0] == pytest.approx(6)
    for other in OTHERS:
        with outside(other):
            assert client.search_registered_models(f"name = '{name}'") == []
            assert client.search_model_versions(f"run_id = '{run.info.run_id}'") == []
            for ask in (
                lambda: client.get_registered_model(name),
                lambda: client.get_model_version_by_alias(name, "champion"),
                lambda: client.get_logged_model(logged.model_id),
                lambda: client.set_registered_model_tag(name, "k", "v"),
            ):
                with refused("RESOURCE_DOES_NOT_EXIST"):
                    ask()
            with pytest.raises(mlflow.MlflowException):
                mlflow.sklearn.load_model(f"models:/{name}/1")
            # Neither is the name taken, nor does a source lead there.
            client.create_registered_model(name)
            with pytest.raises(mlflow.MlflowException):
                client.create_model_version(name, f"models:/{logged.model_id}", model_id=logged.model_id)
            client.delete_registered_model(name)
    assert client.get_registered_model(name).latest_versions[0].version in (1, "1")


def test_prompts_are_of_their_workspace(space, outside):
    name = unique("prompt")
    mlflow.genai.register_prompt(name, f"Hello {{{{name}}}} from {space}", tags={"of": space})
    mlflow.genai.set_prompt_alias(name, "live", 1)
    assert mlflow.genai.load_prompt(f"prompts:/{name}@live").template.endswith(space)
    for other in OTHERS:
        with outside(other):
            assert mlflow.genai.load_prompt(f"prompts:/{name}/1", allow_missing=True) is None
            assert [found.name for found in mlflow.genai.search_prompts(f"name = '{name}'")] == []
            mine = mlflow.genai.register_prompt(name, f"of {other}")
            assert (mine.version, mine.template) == (1, f"of {other}")
            client = MlflowClient()
            client.delete_prompt_version(name, "1")
            client.delete_prompt(name)
    assert mlflow.genai.load_prompt(f"prompts:/{name}/1").template.endswith(space)


def test_traces_are_of_their_workspace(client, space, outside):
    mlflow.set_experiment("traced")
    experiment = client.get_experiment_by_name("traced").experiment_id
    with mlflow.start_span("question") as root:
        root.set_inputs({"text": UNICODE})
        mlflow.update_current_trace(tags={"of": space})
    trace_id = root.trace_id
    feedback = mlflow.log_feedback(trace_id=trace_id, name="good", value=True)
    trace = mlflow.get_trace(trace_id)
    assert trace.data.spans[0].inputs == {"text": UNICODE}
    assert [found.name for found in trace.info.assessments] == ["good"]
    assert [found.info.trace_id for found in client.search_traces(locations=[experiment])] == [trace_id]
    for other in OTHERS:
        with outside(other):
            assert client.search_traces(locations=[experiment]) == []
            for ask in (
                lambda: client.get_trace(trace_id),
                lambda: client.set_trace_tag(trace_id, "stolen", "x"),
                lambda: mlflow.get_assessment(trace_id, feedback.assessment_id),
                lambda: mlflow.log_feedback(trace_id=trace_id, name="bad", value=False),
            ):
                with pytest.raises(mlflow.MlflowException, match="(?i)not found|no trace|does not exist|no experiment"):
                    ask()
    assert set(mlflow.get_trace(trace_id).info.tags) & {"of", "stolen"} == {"of"}


def test_evaluations_are_of_their_workspace(client, space, outside):
    from mlflow.genai import datasets, scorers

    mlflow.set_experiment("evaluated")
    experiment = client.get_experiment_by_name("evaluated").experiment_id
    made = datasets.create_dataset(unique("questions"), experiment_id=[experiment], tags={"of": space})
    made.merge_records([{"inputs": {"question": UNICODE}, "expectations": {"answer": "yes"}}])
    assert len(datasets.get_dataset(dataset_id=made.dataset_id).to_df()) == 1
    assert [found.name for found in datasets.search_datasets()] == [made.name]
    judge = scorers.Guidelines(name="polite", guidelines="Be polite.", model="openai:/gpt-4")
    judge.register(name="polite", experiment_id=experiment)
    assert [found.name for found in scorers.list_scorers(experiment_id=experiment)] == ["polite"]
    for other in OTHERS:
        with outside(other):
            with refused("RESOURCE_DOES_NOT_EXIST"):
                datasets.get_dataset(dataset_id=made.dataset_id)
            assert made.name not in [found.name for found in datasets.search_datasets()]
            with pytest.raises(mlflow.MlflowException):
                scorers.get_scorer(name="polite", experiment_id=experiment)


def test_tables_and_pictures_are_read_back_in_a_workspace(space):
    mlflow.set_experiment("tables")
    with mlflow.start_run() as run:
        mlflow.log_table({"question": [UNICODE, "b"], "n": [1, 2]}, "table.json")
        mlflow.log_input(mlflow.data.from_pandas(pandas.DataFrame({"x": [1.0]}), name="frame"))
    table = mlflow.load_table("table.json", run_ids=[run.info.run_id])
    assert list(table["question"]) == [UNICODE, "b"]
    local = mlflow.artifacts.download_artifacts(f"{run.info.artifact_uri}/table.json")
    assert os.path.getsize(local) > 0


def test_a_program_takes_its_workspace_from_the_environment(client, space):
    """A child is in the workspace of its parent, and another one in the one that it is given."""
    program = "import mlflow; mlflow.set_experiment('of a child'); print(mlflow.get_experiment_by_name('of a child').artifact_location)"
    for name in (space, "default"):
        done = subprocess.run([sys.executable, "-c", program], env=os.environ | {"MLFLOW_WORKSPACE": name}, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        assert f"/workspaces/{name}/" in done.stdout
    assert client.get_experiment_by_name("of a child") is not None
    mlflow.set_workspace("default")
    client.delete_experiment(client.get_experiment_by_name("of a child").experiment_id)


def test_threads_log_in_the_workspace_of_the_program(client, space):
    experiment = client.create_experiment("threads")
    made = []

    def log():
        made.append(MlflowClient().create_run(experiment).info.run_id)

    threads = [threading.Thread(target=log) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(run.info.run_id for run in client.search_runs([experiment])) == sorted(made)


def test_without_a_workspace_it_is_the_default_one(client, outer):
    mlflow.set_workspace(None)
    assert client.get_experiment("0").name == "Default"
    mlflow.set_workspace("default")
    assert client.get_experiment("0").name == "Default"
    mlflow.set_workspace(outer)
    with refused("RESOURCE_DOES_NOT_EXIST"):
        client.get_experiment("0")
