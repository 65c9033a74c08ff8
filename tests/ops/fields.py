"""How an API server changes objects: patches, and the owners of fields (server-side apply)."""

import copy
import json

#: The merge keys of lists. Other lists are atomic.
KEYS = {
    "containers": ("name",),
    "initContainers": ("name",),
    "volumes": ("name",),
    "env": ("name",),
    "imagePullSecrets": ("name",),
    "volumeMounts": ("mountPath",),
    "topologySpreadConstraints": ("topologyKey",),
    "ports": ("containerPort", "port"),
}

#: Fields of the metadata that have no owner.
UNOWNED = {"name", "namespace", "uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "ownedBy"}


class Conflict(Exception):
    """Another manager has these fields."""


def merge(target, patch):
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    target = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        else:
            target[key] = merge(target.get(key), value)
    return target


def strategic(target, patch, field: str = ""):
    """A strategic merge patch, as Helm 3 sends it for built-in kinds."""
    if isinstance(patch, list) and field in KEYS and all(isinstance(one, dict) for one in patch):
        items = list(target or [])
        for change in patch:
            place = next((i for i, one in enumerate(items) if _key(field, one) == _key(field, change)), None)
            if change.get("$patch") == "delete":
                if place is not None:
                    del items[place]
            elif place is None:
                items.append(strategic({}, change))
            else:
                items[place] = strategic(items[place], change)
        return items
    if not isinstance(patch, dict):
        return patch
    target = dict(target) if isinstance(target, dict) else {}
    if (kept := patch.get("$retainKeys")) is not None:
        target = {key: value for key, value in target.items() if key in kept}
    for key, value in patch.items():
        if key.startswith("$"):
            continue
        if value is None:
            target.pop(key, None)
        else:
            target[key] = strategic(target.get(key), value, key)
    return target


def _key(field: str, item: dict):
    return next((json.dumps({name: item[name]}) for name in KEYS[field] if name in item), None)


def leaves(part, path=(), field: str = "") -> dict[tuple, object]:
    """All fields that can have an owner, with their values, under the names that ``fieldsV1`` gives them."""
    if isinstance(part, dict) and part:
        found = {}
        for name, value in part.items():
            if path == () and name in ("apiVersion", "kind", "status") or path == ("f:metadata",) and name in UNOWNED:
                continue
            found |= leaves(value, (*path, f"f:{name}"), name)
        return found
    if isinstance(part, list) and field in KEYS and part and all(isinstance(one, dict) and _key(field, one) for one in part):
        found = {}
        for item in part:
            place = (*path, f"k:{_key(field, item)}")
            found[(*place, ".")] = None
            found |= leaves(item, place)
        return found
    return {path: part}


def encoded(paths) -> dict:
    """``fieldsV1``."""
    fields: dict = {}
    for path in sorted(paths):
        part = fields
        for name in path:
            part = part.setdefault(name, {})
    return fields


def decoded(fields: dict, path=()) -> set[tuple]:
    if not fields:
        return {path}
    return set().union(*(decoded(below, (*path, name)) for name, below in fields.items()))


class Owners:
    """The ``managedFields`` of an object."""

    def __init__(self, object_: dict):
        self.of: dict[tuple[str, str], set] = {}
        self.version = object_["apiVersion"]
        for entry in object_["metadata"].get("managedFields") or []:
            if entry:
                self.of[entry["manager"], entry["operation"]] = decoded(entry["fieldsV1"])

    def written(self) -> list[dict]:
        return [
            {"manager": manager, "operation": operation, "apiVersion": self.version, "fieldsType": "FieldsV1", "fieldsV1": encoded(paths)}
            for (manager, operation), paths in self.of.items()
            if paths
        ]


def updated(before: dict | None, after: dict, manager: str) -> dict:
    """An object after an update: its sender owns what it changed."""
    after = copy.deepcopy(after)
    owners = Owners(after)
    old, new = leaves(before or {}), leaves(after)
    changed = {path for path, value in new.items() if path not in old or old[path] != value}
    for paths in owners.of.values():
        paths -= changed | (old.keys() - new.keys())
    if changed:
        owners.of.setdefault((manager, "Update"), set()).update(changed)
    after["metadata"]["managedFields"] = owners.written()
    return after


def applied(live: dict | None, config: dict, manager: str, force: bool) -> dict:
    """An object after a server-side apply."""
    live = copy.deepcopy(live) if live else {key: config[key] for key in ("apiVersion", "kind")} | {"metadata": {"name": config["metadata"]["name"]}}
    owners, there, wanted = Owners(live), leaves(live), leaves(config)
    if len(there) > 1 and not owners.of:
        # As the real one does at the first apply of an object that belongs to nobody.
        owners.of["before-first-apply", "Update"] = set(there)
    own = owners.of.pop((manager, "Apply"), set())
    taken = {}
    for (other, operation), paths in owners.of.items():
        clash = {path for path, value in wanted.items() if path in paths and path in there and there[path] != value}
        if clash:
            taken[other, operation] = clash
    if taken and not force:
        said = "; ".join(f'conflict with "{other}": {".".join(sorted(clash)[0])}' for (other, _), clash in taken.items())
        raise Conflict(f"Apply failed with {sum(map(len, taken.values()))} conflicts: {said}")
    for other, clash in taken.items():
        owners.of[other] -= clash
    others = set().union(*owners.of.values())
    # An item of a list goes as a whole, before its fields.
    for path in sorted(own - wanted.keys() - others, key=lambda path: (path[-1] != ".", -len(path))):
        _remove(live, path)
    for path, value in wanted.items():
        _put(live, path, value)
    owners.of[manager, "Apply"] = set(wanted)
    live["metadata"]["managedFields"] = owners.written()
    return live


def _put(part, path: tuple, value) -> None:
    name, rest = path[0], path[1:]
    if name == ".":
        return
    if name.startswith("k:"):
        key = json.loads(name[2:])
        found = next((one for one in part if key.items() <= one.items()), None)
        if found is None:
            part.append(found := dict(key))
        _put(found, rest, value)
    elif not rest:
        part[name[2:]] = copy.deepcopy(value)
    else:
        is_list = rest[0].startswith("k:")
        if not isinstance(part.get(name[2:]), list if is_list else dict):
            part[name[2:]] = [] if is_list else {}
        _put(part[name[2:]], rest, value)


def _remove(part, path: tuple) -> None:
    name, rest = path[0], path[1:]
    if name.startswith("k:"):
        key = json.loads(name[2:])
        found = next((one for one in part if key.items() <= one.items()), None)
        if found is not None:
            part.remove(found) if rest == (".",) else _remove(found, rest)
    elif not rest:
        part.pop(name[2:], None)
    elif name[2:] in part:
        _remove(part[name[2:]], rest)
        if part[name[2:]] in ({}, []):
            del part[name[2:]]
