"""What a call is about: made anew for every call and user, so that no call sees what another has done."""

import re
import uuid

from people import ADMIN, People, within

API = "/api/2.0/mlflow"


class Scene:
    """Makes what is named when it is asked for, in a workspace if there are any, and grants on it what the user of the
    call is granted."""

    def __init__(self, people: People, username: str, permission: str | None, workspace: str | None = None):
        self.people, self.username, self.permission, self.workspace = people, username, permission, workspace
        self.headers = within(workspace)
        self.made: dict[str, str] = {"unique": uuid.uuid4().hex[:12]}

    def fill(self, value):
        if isinstance(value, str):
            return re.sub(r"\{([a-z_]+)\}", lambda found: self.get(found[1]), value)
        if isinstance(value, list):
            return [self.fill(item) for item in value]
        if isinstance(value, dict):
            return {key: self.fill(item) for key, item in value.items()}
        return value

    def get(self, name: str) -> str:
        if name not in self.made:
            self.made[name] = getattr(self, name)()
        return self.made[name]

    def must(self, method, path, body=None, query=None):
        return self.people.must(ADMIN, method, path, body=body, query=query, headers=self.headers)

    def upload(self, path: str) -> None:
        path = f"/api/2.0/mlflow-artifacts/artifacts/{path}"
        assert self.people.send(ADMIN, "PUT", path, raw=b"text", headers=self.headers).status_code == 200

    def another(self) -> "Scene":
        """A scene in the same workspace, in which nothing is granted."""
        return Scene(self.people, self.username, None, self.workspace)

    def allow(self, kind: str, id_: str) -> None:
        if self.permission:
            self.people.grant(self.username, kind, id_, self.permission, self.workspace)

    def exp_name(self) -> str:
        return f"experiment {self.get('unique')}"

    def exp(self) -> str:
        id_ = self.must("POST", f"{API}/experiments/create", {"name": self.get("exp_name")})["experiment_id"]
        tag = {"experiment_id": id_, "key": "tag", "value": "x"}
        self.must("POST", f"{API}/experiments/set-experiment-tag", tag)
        self.allow("experiment", id_)
        return id_

    def gone_exp(self) -> str:
        self.must("POST", f"{API}/experiments/delete", {"experiment_id": self.get("exp")})
        return self.get("exp")

    def run(self) -> str:
        body = {"experiment_id": self.get("exp"), "start_time": 1, "tags": [{"key": "tag", "value": "x"}]}
        id_ = self.must("POST", f"{API}/runs/create", body)["run"]["info"]["run_id"]
        metric = {"run_id": id_, "key": "m", "value": 1, "timestamp": 1, "step": 0}
        self.must("POST", f"{API}/runs/log-metric", metric)
        self.upload(f"{self.get('exp')}/{id_}/artifacts/file.txt")
        return id_

    def gone_run(self) -> str:
        self.must("POST", f"{API}/runs/delete", {"run_id": self.get("run")})
        return self.get("run")

    def logged(self) -> str:
        body = {"experiment_id": self.get("exp"), "name": "model", "tags": [{"key": "tag", "value": "x"}]}
        id_ = self.must("POST", f"{API}/logged-models", body)["model"]["info"]["model_id"]
        self.upload(f"{self.get('exp')}/models/{id_}/artifacts/file.txt")
        return id_

    def trace(self) -> str:
        id_ = f"tr-{uuid.uuid4().hex}"
        location = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": self.get("exp")}}
        info = {"trace_id": id_, "trace_location": location, "tags": {"tag": "x"}}
        self.must("POST", "/api/3.0/mlflow/traces", {"trace": {"trace_info": info}})
        return id_

    def foreign_trace(self) -> str:
        """A trace of an experiment on which nothing is granted."""
        return self.another().get("trace")

    def assessment(self) -> str:
        path = f"/api/3.0/mlflow/traces/{self.get('trace')}/assessments"
        body = {"assessment": {"assessment_name": "a", "feedback": {"value": 1}}}
        return self.must("POST", path, body)["assessment"]["assessment_id"]

    def dataset(self) -> str:
        """An evaluation dataset in the experiment, with a record."""
        path, body = "/api/3.0/mlflow/datasets", {"name": "set", "experiment_ids": [self.get("exp")]}
        id_ = self.must("POST", f"{path}/create", body | {"tags": '{"tag": "x"}'})["dataset"]["dataset_id"]
        self.must("POST", f"{path}/{id_}/records", {"records": '[{"inputs": {"a": 1}}]'})
        return id_

    def elsewhere(self) -> str:
        """Another experiment, on which nothing is granted."""
        return self.another().get("exp")

    def shared_dataset(self) -> str:
        """The dataset, when it is also in the other experiment."""
        path = f"/api/3.0/mlflow/datasets/{self.get('dataset')}/add-experiments"
        self.must("POST", path, {"experiment_ids": [self.get("elsewhere")]})
        return self.get("dataset")

    def schema(self) -> str:
        """A label schema of the experiment."""
        body = {"experiment_id": self.get("exp"), "name": "good?", "type": "FEEDBACK", "input": {"text": {}}}
        return self.must("POST", "/api/3.0/mlflow/label-schemas/create", body)["label_schema"]["schema_id"]

    def issue(self) -> str:
        """An issue of the experiment."""
        body = {"experiment_id": self.get("exp"), "name": "slow", "description": "It is slow."}
        return self.must("POST", "/api/3.0/mlflow/issues", body)["issue"]["issue_id"]

    def scorer(self) -> str:
        """A scorer of the experiment, with two versions, on which is granted what is granted on the experiment."""
        body = {"experiment_id": self.get("exp"), "name": "judge", "serialized_scorer": "{}"}
        self.must("POST", "/api/3.0/mlflow/scorers/register", body)
        self.must("POST", "/api/3.0/mlflow/scorers/register", body)
        self.allow("scorer", f"{self.get('exp')}/judge")
        return "judge"

    def scored(self) -> str:
        """The id of a scorer of the experiment that has a configuration for online scoring."""
        name = {"experiment_id": self.get("exp"), "name": "scored"}
        made = self.must("POST", "/api/3.0/mlflow/scorers/register", name | {"serialized_scorer": "{}"})
        self.must("PUT", "/api/3.0/mlflow/scorers/online-config", name | {"sample_rate": 0})
        return made["scorer_id"]

    def foreign_scored(self) -> str:
        """The same in an experiment on which nothing is granted."""
        return self.another().get("scored")

    def _queue(self, name: str, users: list) -> str:
        body = {"experiment_id": self.get("exp"), "name": name, "queue_type": "CUSTOM", "users": users}
        id_ = self.must("POST", "/api/3.0/mlflow/review-queues/create", body)["review_queue"]["queue_id"]
        body = {"queue_id": id_, "item_ids": [self.get("trace")]}
        self.must("POST", "/api/3.0/mlflow/review-queues/items/add", body)
        return id_

    def queue(self) -> str:
        """A review queue of the experiment, with the trace, that is assigned to no user of the matrix."""
        return self._queue("foreign queue", [])

    def my_queue(self) -> str:
        """One that is assigned to the user of the call."""
        return self._queue("my queue", [self.username])

    def owned_queue(self) -> str:
        """One that the user of the call owns."""
        id_ = self._queue("owned queue", [])
        self.must("POST", "/api/3.0/mlflow/review-queues/update", {"queue_id": id_, "new_owner": self.username})
        return id_

    def user_queue(self) -> str:
        """The queue of the user of the call."""
        body = {"experiment_id": self.get("exp"), "user": self.username}
        made = self.must("POST", "/api/3.0/mlflow/review-queues/get-or-create-user", body)
        return made["review_queue"]["queue_id"]

    def registered(self) -> str:
        return self._register("registered_model", [{"key": "tag", "value": "x"}])

    def prompt(self) -> str:
        return self._register("prompt", [{"key": "mlflow.prompt.is_prompt", "value": "true"}])

    def _register(self, kind: str, tags: list) -> str:
        name = f"{kind} {self.get('unique')}"
        self.must("POST", f"{API}/registered-models/create", {"name": name, "tags": tags})
        self.allow(kind, name)
        return name

    def version(self) -> str:
        """A version of the registered model; its files are those of another experiment's run."""
        name = self.get("registered")
        source = self.another()
        run = source.get("run")
        folder = f"workspaces/{self.workspace}/" if self.workspace else ""
        uri = f"mlflow-artifacts:/{folder}{source.get('exp')}/{run}/artifacts"
        body = {"name": name, "source": uri, "run_id": run, "tags": [{"key": "tag", "value": "x"}]}
        number = self.must("POST", f"{API}/model-versions/create", body)["model_version"]["version"]
        self.must("POST", f"{API}/registered-models/alias", {"name": name, "alias": "best", "version": number})
        return number

    def prompt_version(self) -> str:
        body = {
            "name": self.get("prompt"),
            "source": "dummy-source",
            "tags": [{"key": "mlflow.prompt.is_prompt", "value": "true"}, {"key": "mlflow.prompt.text", "value": "hi"}],
        }
        return self.must("POST", f"{API}/model-versions/create", body)["model_version"]["version"]

    def hook(self) -> str:
        body = {
            "name": "hook",
            "url": "https://93.184.216.34/hook",
            "events": [{"entity": "REGISTERED_MODEL", "action": "CREATED"}],
        }
        return self.must("POST", f"{API}/webhooks", body)["webhook"]["webhook_id"]

    def other(self) -> str:
        """A user who is nobody else of the matrix."""
        name = f"other-{uuid.uuid4().hex[:12]}"
        self.people.join(name)
        return name

    def role(self) -> str:
        body = {"name": f"role {self.get('unique')}", "workspace": self.workspace or "default"}
        return str(self.must("POST", "/api/3.0/mlflow/roles/create", body)["role"]["id"])

    def role_permission(self) -> str:
        body = {
            "role_id": int(self.get("role")),
            "resource_type": "experiment",
            "resource_pattern": self.get("exp"),
            "permission": "READ",
        }
        return str(self.must("POST", "/api/3.0/mlflow/roles/permissions/add", body)["role_permission"]["id"])

    def assigned(self) -> str:
        body = {"username": self.get("other"), "role_id": int(self.get("role"))}
        self.must("POST", "/api/3.0/mlflow/roles/assign", body)
        return self.get("role")
