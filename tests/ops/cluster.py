"""Stands in for a Kubernetes cluster with CloudNativePG: an API server that keeps objects, and what acts on them.

It is strict where a real one is: closed schemas (those of the chart's tests), resource versions, fields that cannot be
changed, UID preconditions. Beside it are a controller for Deployments, a kubelet that really runs the scripts of Jobs,
and an operator that makes, backs up and recovers clusters, whose databases are directories with SQLite files: a shim
named ``ferroflow`` gives the program those instead of PostgreSQL. So ``ferroflow db …`` is the real one, on real tables.
"""

import base64
import copy
import json
import re
import shutil
import subprocess
import threading
import time
import uuid
from datetime import datetime, timezone
from http.server import ThreadingHTTPServer
from pathlib import Path

import fields
import validate
from kube_api import ADMIN, NAMESPACE, RESOURCES, Handler, Outages, Refused, Rights
from support import required

__all__ = ["NAMESPACE", "RESOURCES", "Cluster", "at", "now", "wait"]

#: Where a change is refused, as the real ones do.
IMMUTABLE = {
    "ScheduledBackup": ("spec.cluster",),
    "Pooler": ("spec.cluster",),
    "Deployment": ("spec.selector",),
    "Job": ("spec.template", "spec.selector"),
    "Backup": ("spec",),
}


def now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")


def at(object_: dict, path: str):
    for part in path.split("."):
        object_ = (object_ or {}).get(part)
    return object_


class Cluster:
    """The cluster. ``changes`` are all that were accepted, ``refuse`` decides what is refused once."""

    #: The version of the operator.
    operator = "1.29.1"

    def __init__(self, folder: Path):
        self.folder = folder
        #: The clock of the API server, in seconds ahead of ours.
        self.ahead = 0.0
        self.objects: dict[tuple[str, str], dict] = {}
        self.changes: list[tuple[str, str, str]] = []
        self.lock = threading.RLock()
        self.closed = threading.Event()
        self.version = 0
        self.conflicts = 0
        self.missing_apis: set[str] = set()
        self.on_change = lambda number: None
        self.rights = Rights()
        self.outages = Outages()
        #: What pods of an image wait for instead of starting: the reason, and the message.
        self.no_image: dict[str, tuple[str, str]] = {}
        self.broken: set[str] = set()
        self.logs: dict[str, str] = {}
        (folder / "databases").mkdir()
        (folder / "bucket").mkdir()
        (folder / "bin").mkdir()
        shim = folder / "bin" / "ferroflow"
        shim.write_text(SHIM.format(binary=required("FERROFLOW_BIN"), folder=folder))
        shim.chmod(0o755)
        handler = type("Handler", (Handler,), {"cluster": self})
        self.api = type("Server", (ThreadingHTTPServer,), {"request_queue_size": 64, "handle_error": lambda *_: None})(("127.0.0.1", 0), handler)
        threading.Thread(target=self.api.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.closed.set()
        self.api.shutdown()
        self.api.server_close()

    def kubeconfig(self) -> Path:
        path = self.folder / "kubeconfig"
        if path.exists():
            # Another process may be reading it.
            return path
        server = f"http://127.0.0.1:{self.api.server_address[1]}"
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "c", "cluster": {"server": server}}],
                    "users": [{"name": "u", "user": {"token": "t"}}],
                    "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": NAMESPACE}}],
                    "current-context": "x",
                }
            )
        )
        return path

    # What people and controllers do.

    def databases(self, cluster: str) -> Path:
        return self.folder / "databases" / cluster

    def get(self, kind: str, name: str) -> dict | None:
        with self.lock:
            return copy.deepcopy(self.objects.get((kind, name)))

    def all(self, kind: str) -> list[dict]:
        with self.lock:
            return [copy.deepcopy(found) for (its, _), found in self.objects.items() if its == kind]

    def names(self, kind: str) -> set[str]:
        return {found["metadata"]["name"] for found in self.all(kind)}

    def create(self, object_: dict, manager: str = ADMIN) -> dict:
        kind, name = object_["kind"], object_["metadata"]["name"]
        with self.lock:
            self._check(object_)
            if (kind, name) in self.objects:
                raise Refused(409, "AlreadyExists", f'{kind} "{name}" already exists')
            object_ = copy.deepcopy(object_)
            object_["metadata"] |= {"namespace": NAMESPACE, "uid": str(uuid.uuid4()), "creationTimestamp": now()[:19] + "Z"}
            object_["metadata"]["generation"] = 1
            self._store(fields.updated(None, object_, manager))
        if kind == "Deployment":
            self._settle(name)
        elif kind == "Cluster":
            threading.Thread(target=self._make_cluster, args=[name], daemon=True).start()
        elif kind == "Backup":
            threading.Thread(target=self._back_up, args=[name], daemon=True).start()
        elif kind == "Job":
            threading.Thread(target=self._run_job, args=[name], daemon=True).start()
        return self.get(kind, name)

    def apply(self, kind: str, name: str, config: dict, manager: str = ADMIN, force: bool = False) -> dict:
        """Server-side apply."""
        with self.lock:
            before = self.objects.get((kind, name))
            try:
                after = fields.applied(before, config, manager, force)
            except fields.Conflict as conflict:
                raise Refused(409, "Conflict", str(conflict)) from None
            if before is None:
                made = self.create(after, "unknown")
                self.objects[kind, name]["metadata"]["managedFields"] = after["metadata"]["managedFields"]
                return made
            return self._keep_change(before, after)

    def replace(self, kind: str, name: str, after: dict, manager: str = ADMIN) -> dict:
        with self.lock:
            before = self._found(kind, name)
            after["metadata"] = {key: before["metadata"][key] for key in ("uid", "namespace", "creationTimestamp", "generation")} | after["metadata"]
            return self._keep_change(before, fields.updated(before, after, manager))

    def _found(self, kind: str, name: str) -> dict:
        if (kind, name) not in self.objects:
            raise Refused(404, "NotFound", f'{kind} "{name}" not found')
        return self.objects[kind, name]

    def patch(self, kind: str, name: str, patch: dict, manager: str = ADMIN, is_strategic: bool = False) -> dict:
        with self.lock:
            before = self._found(kind, name)
            if self.conflicts and kind != "Lease":
                # Somebody else was faster.
                self.conflicts -= 1
                self._store(before)
            wanted = at(patch, "metadata.resourceVersion")
            if wanted and wanted != before["metadata"]["resourceVersion"]:
                raise Refused(409, "Conflict", "the object has been modified; please apply your changes to the latest version")
            after = (fields.strategic if is_strategic else fields.merge)(copy.deepcopy(before), patch)
            return self._keep_change(before, fields.updated(before, after, manager))

    def _keep_change(self, before: dict, after: dict) -> dict:
        kind, name = before["kind"], before["metadata"]["name"]
        for path in IMMUTABLE.get(kind, ()):
            if at(before, path) != at(after, path):
                raise Refused(422, "Invalid", f"{path}: field is immutable")
        self._check(after)
        if before.get("spec") != after.get("spec"):
            after["metadata"]["generation"] = before["metadata"]["generation"] + 1
        self._store(after)
        if kind == "Deployment":
            threading.Timer(0.05, self._settle, [name]).start()
        return self.get(kind, name)

    def delete(self, kind: str, name: str, uid: str | None = None, version: str | None = None) -> None:
        with self.lock:
            found = self._found(kind, name)
            if version and version != found["metadata"]["resourceVersion"]:
                raise Refused(409, "Conflict", "the resource version in the precondition does not match")
            if uid and uid != found["metadata"]["uid"]:
                raise Refused(409, "Conflict", "the UID in the precondition does not match")
            del self.objects[kind, name]
            owned = [key for key, it in self.objects.items() if it["metadata"].get("ownedBy") == found["metadata"]["uid"]]
            for key in owned:
                del self.objects[key]
        if kind == "Cluster":
            shutil.rmtree(self.databases(name), ignore_errors=True)

    def _check(self, object_: dict) -> None:
        document = {key: value for key, value in object_.items() if key != "status"}
        document["metadata"] = {key: value for key, value in object_["metadata"].items() if key not in ("ownedBy", "managedFields")}
        if wrong := validate.errors(document):
            raise Refused(422, "Invalid", "; ".join(wrong))

    def _store(self, object_: dict) -> None:
        self.version += 1
        object_ = copy.deepcopy(object_)
        object_["metadata"]["resourceVersion"] = str(self.version)
        self.objects[object_["kind"], object_["metadata"]["name"]] = object_

    def status(self, kind: str, name: str, **status) -> None:
        with self.lock:
            if found := self.objects.get((kind, name)):
                found["status"] = found.get("status", {}) | status
                self._store(found)

    # Controllers.

    def _settle(self, name: str) -> None:
        with self.lock:
            deployment = self.objects.get(("Deployment", name))
            if deployment is None:
                return
            count = deployment["spec"].get("replicas", 1)
            deployment["spec"]["replicas"] = count
            numbers = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas"), count) if count else {}
            template = deployment["spec"]["template"]
            image = template["spec"]["containers"][0]["image"]
            old = {key: pod for key, pod in self.objects.items() if key[0] == "Pod" and pod["metadata"].get("ownedBy") == deployment["metadata"]["uid"]}
            waits = self.no_image.get(image)
            if waits and count:
                # Old pods stay until new ones are ready.
                ready = [pod for pod in old.values() if not pod.get("status")][:count]
                numbers |= {"replicas": len(ready) + 1, "updatedReplicas": 1, "readyReplicas": len(ready)}
                old = {key: pod for key, pod in old.items() if pod.get("status")}
                count = 1
            for key in old:
                del self.objects[key]
            for number in range(count):
                self.version += 1
                pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"{name}-{self.version}-{number}", "uid": str(uuid.uuid4())}}
                pod["metadata"] |= {"labels": template["metadata"]["labels"], "ownedBy": deployment["metadata"]["uid"]}
                pod["spec"] = {"containers": [{"name": "mlflow", "image": image}]}
                if waits:
                    pod["status"] = waiting("mlflow", *waits)
                self._store(pod)
            deployment["status"] = numbers | {"observedGeneration": deployment["metadata"]["generation"]}
            self._store(deployment)

    def secret(self, name: str, values: dict[str, str], owner: str | None = None) -> None:
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        self.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data, "type": "Opaque"})
        if owner:
            self.objects["Secret", name]["metadata"]["ownedBy"] = owner

    def _make_cluster(self, name: str) -> None:
        cluster = self.get("Cluster", name)
        self.status("Cluster", name, phase="Setting up primary")
        recovery = at(cluster, "spec.bootstrap.recovery")
        if name in self.broken:
            self.status("Cluster", name, phase="Cluster is unrecoverable and needs manual intervention", phaseReason="no WAL")
            return
        own = server_name(cluster)
        archives = "plugins" in cluster["spec"] or "backup" in cluster["spec"]
        archive = self.folder / "bucket" / own
        if archives and archive.exists():
            # Barman's check of an archive that is to be empty: it waits there for ever.
            self.status("Cluster", name, phaseReason=f"WAL archive check failed for server {own}: Expected empty archive")
            return
        target = self.databases(name)
        if recovery:
            snapshot = self._snapshot(recovery["source"], at(recovery, "recoveryTarget.targetTime"))
            shutil.copytree(snapshot, target)
        else:
            target.mkdir(exist_ok=True)
        if archives:
            archive.mkdir()
            self._first(name)
        owner = cluster["metadata"]["uid"]
        self.secret(f"{name}-app", {"username": "mlflow", "password": uuid.uuid4().hex, "host": f"{name}-rw"}, owner)
        self.secret(f"{name}-ca", {"ca.crt": "certificate"}, owner)
        self.create(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": f"{name}-1",
                    "labels": {"cnpg.io/cluster": name},
                    "annotations": {"cnpg.io/operatorVersion": self.operator},
                },
                "spec": {"containers": [{"name": "postgres", "image": "registry.example/postgresql:18"}]},
            }
        )
        with self.lock:
            self.objects["Pod", f"{name}-1"]["metadata"]["ownedBy"] = owner
        plugins = [{"name": plugin["name"], "version": "0.12.0"} for plugin in cluster["spec"].get("plugins", [])]
        ready = [{"type": "Ready", "status": "True"}, {"type": "ContinuousArchiving", "status": "True", "message": ""}]
        self.status("Cluster", name, phase="Cluster in healthy state", phaseReason="", conditions=ready, pluginStatus=plugins)

    def _first(self, name: str) -> None:
        """The chart's schedule takes a backup at once."""
        self._keep(name)

    def _keep(self, name: str) -> str:
        """Keeps the databases as they are now, under this time."""
        cluster = self.get("Cluster", name)
        time_ = now()
        shutil.copytree(self.databases(name), self.folder / "bucket" / server_name(cluster) / time_.replace(":", "_"))
        first = at(cluster, "status.firstRecoverabilityPoint") or time_
        self.status("Cluster", name, firstRecoverabilityPoint=first, lastSuccessfulBackup=time_)
        return time_

    def _snapshot(self, server: str, target: str | None) -> Path:
        kept = sorted((self.folder / "bucket" / server).iterdir())
        before = [one for one in kept if target is None or one.name.replace("_", ":") <= target]
        assert before, f"nothing of {server} is kept from before {target}"
        return before[-1]

    def _back_up(self, name: str) -> None:
        backup = self.get("Backup", name)
        cluster = backup["spec"]["cluster"]["name"]
        self.status("Backup", name, phase="running", startedAt=now())
        if cluster in self.broken:
            self.status("Backup", name, phase="failed", error="the bucket answers AccessDenied")
            return
        kept = self._keep(cluster)
        self.status("Backup", name, phase="completed", stoppedAt=now(), backupId=re.sub("[^0-9T]", "", kept)[:15])

    def _run_job(self, name: str) -> None:
        job = self.get("Job", name)
        spec = job["spec"]["template"]["spec"]
        [container] = spec["containers"]
        folder = self.folder / "jobs" / name
        folder.mkdir(parents=True)
        variables, missing = {}, []
        for source in container.get("envFrom", []):
            secret = self.get("Secret", source["secretRef"]["name"])
            if secret is None:
                missing.append(source["secretRef"]["name"])
                continue
            variables |= {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}
        for variable in container.get("env", []):
            reference = at(variable, "valueFrom.secretKeyRef")
            if reference:
                secret = self.get("Secret", reference["name"])
                value = at(secret, "data") and secret["data"].get(reference["key"])
                if value is None:
                    missing.append(f"{reference['name']}/{reference['key']}")
                    continue
                variables[variable["name"]] = base64.b64decode(value).decode()
            else:
                variables[variable["name"]] = variable.get("value", "")
        script = container["args"][0].replace("/tmp/", f"{folder}/")
        for volume in spec.get("volumes", []):
            if secret_name := at(volume, "secret.secretName"):
                secret = self.get("Secret", secret_name)
                if secret is None:
                    missing.append(secret_name)
                    continue
                [mount] = [m["mountPath"] for m in container["volumeMounts"] if m["name"] == volume["name"]]
                (folder / volume["name"]).mkdir()
                for item in volume["secret"]["items"]:
                    if item["key"] not in secret["data"]:
                        missing.append(f"{secret_name}/{item['key']}")
                        continue
                    (folder / volume["name"] / item["path"]).write_bytes(base64.b64decode(secret["data"][item["key"]]))
                script = script.replace(mount + "/", f"{folder / volume['name']}/")
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"{name}-x", "labels": {"batch.kubernetes.io/job-name": name}},
            "spec": {"containers": [{"name": "ops", "image": container["image"]}]},
        }
        self.create(pod)
        with self.lock:
            self.objects["Pod", f"{name}-x"]["metadata"]["ownedBy"] = job["metadata"]["uid"]
        if missing:
            self.status("Pod", f"{name}-x", **waiting("ops", "CreateContainerConfigError", f"not found: {missing}"))
            return
        if waits := self.no_image.get(container["image"]):
            self.status("Pod", f"{name}-x", **waiting("ops", *waits))
            # The registry may answer later.
            while container["image"] in self.no_image:
                if self.closed.wait(0.05) or self.get("Job", name) is None:
                    return
            self.status("Pod", f"{name}-x", containerStatuses=[])
        environment = {"PATH": f"{self.folder / 'bin'}:/usr/bin:/bin", "IMAGE": container["image"]} | variables
        done = subprocess.run(
            [*container["command"], script], env=environment, cwd=folder, capture_output=True, text=True, timeout=300
        )
        self.logs[name] = done.stdout + done.stderr
        self.status("Job", name, **({"failed": 1} if done.returncode else {"succeeded": 1}))


def waiting(container: str, reason: str, message: str) -> dict:
    """The status of a pod whose container does not start."""
    return {"containerStatuses": [{"name": container, "ready": False, "restartCount": 3, "state": {"waiting": {"reason": reason, "message": message}}}]}


def server_name(cluster: dict) -> str:
    for plugin in cluster["spec"].get("plugins", []):
        return plugin["parameters"].get("serverName", cluster["metadata"]["name"])
    return at(cluster, "spec.backup.barmanObjectStore.serverName") or cluster["metadata"]["name"]


#: Gives the program a SQLite file in the place of a database of the cluster at PGHOST.
SHIM = """#!/bin/bash
arguments=()
for argument in "$@"; do
  case $argument in
    postgresql*://*) argument="sqlite:///{folder}/databases/${{PGHOST%-rw}}/${{argument##*/}}.db" ;;
  esac
  arguments+=("$argument")
done
exec {binary} "${{arguments[@]}}"
"""


def wait(until, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.01)
