"""Who is there, and how they talk to a server."""

import json
from pathlib import Path

import requests

ADMIN = "admin"

#: Users by what is granted to them on what a call is about. Nothing is granted to the first, and there is no default.
LEVELS = {"nobody": None, "reader": "READ", "editor": "EDIT", "manager": "MANAGE"}


def password(username: str) -> str:
    return f"the password of {username}"


def settings(folder: Path, users: str, default: str = "NO_PERMISSIONS", **more: str) -> dict[str, str]:
    """Writes the ini file and gives the variables of a server that uses it."""
    lines = {
        "default_permission": default,
        "database_uri": users.replace("postgresql://", "postgresql+psycopg2://", 1).replace("%", "%%"),
        "admin_username": ADMIN,
        # Without it the reference hashes the password of every request for a tenth of a second.
        "auth_cache_ttl_seconds": "600",
    } | more
    path = folder / "auth.ini"
    path.write_text("[mlflow]\n" + "".join(f"{key} = {value}\n" for key, value in lines.items()))
    return {
        "MLFLOW_AUTH_CONFIG_PATH": str(path),
        "MLFLOW_AUTH_ADMIN_PASSWORD": password(ADMIN),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "the same for all servers",
    }


def session() -> requests.Session:
    """One that does not look for proxies in the environment, which takes longer than to send a request."""
    made = requests.Session()
    made.trust_env = False
    return made


def within(workspace: str | None) -> dict[str, str]:
    """The header of a request in a workspace."""
    return {"X-MLFLOW-WORKSPACE": workspace} if workspace else {}


class People:
    """The users of one server."""

    def __init__(self, url: str):
        self.url = url
        self.sessions: dict[str | None, requests.Session] = {None: session()}

    def send(self, who: str | None, method: str, path: str, *, query=None, body=None, raw=None, headers=None):
        asking = self.sessions.get(who)
        if asking is None:
            asking = self.sessions[who] = session()
            asking.auth = (who, password(who))
        headers = dict(headers or {})
        data = raw
        if body is not None:
            data = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        def attempt():
            return asking.request(
                method, self.url + path, params=query, data=data, headers=headers, timeout=60, allow_redirects=False
            )

        try:
            return attempt()
        except requests.ConnectionError:
            # The server may have closed the connection while nothing was asked.
            asking.close()
            return attempt()

    def must(self, who: str | None, method: str, path: str, **rest):
        """The JSON of an answer that has to be good."""
        answer = self.send(who, method, path, **rest)
        assert answer.status_code == 200, f"{who}: {method} {path} {rest}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def make_workspace(self, name: str) -> None:
        made = self.send(ADMIN, "POST", "/api/3.0/mlflow/workspaces", body={"name": name})
        assert made.status_code == 201, made.text

    def give_role(self, username: str, workspace: str, *permissions: tuple[str, str, str]) -> None:
        """A new role of a workspace for one user, with permissions as kind, pattern and level."""
        body = {"name": f"of {username}", "workspace": workspace}
        role = self.must(ADMIN, "POST", "/api/3.0/mlflow/roles/create", body=body)["role"]["id"]
        for kind, pattern, permission in permissions:
            body = {"role_id": role, "resource_type": kind, "resource_pattern": pattern, "permission": permission}
            self.must(ADMIN, "POST", "/api/3.0/mlflow/roles/permissions/add", body=body)
        self.must(ADMIN, "POST", "/api/3.0/mlflow/roles/assign", body={"username": username, "role_id": role})

    def join(self, username: str) -> None:
        body = {"username": username, "password": password(username)}
        self.must(ADMIN, "POST", "/api/2.0/mlflow/users/create", body=body)

    def grant(self, username: str, kind: str, id_: str, permission: str, workspace: str | None = None) -> None:
        body = {"username": username, "resource_type": kind, "resource_id": id_, "permission": permission}
        self.must(ADMIN, "POST", "/api/3.0/mlflow/users/permissions/grant", body=body, headers=within(workspace))
