"""What the newer release does with a database, by its own store: makes issues and skills, and reads everything back.

Run by the reference's Python with the newer release's package first on its path:

    python newer_release.py fill|read <database URI> <folder of artifacts>

The last line that it prints is JSON: the experiments, runs, issues and skills that it finds.
"""

import json
import sys

from mlflow.entities import ViewType
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore


def main(what, uri, artifacts):
    store = SqlAlchemyStore(uri, artifacts)
    if what == "fill":
        fill(store)
    print(json.dumps(read(store)))


def fill(store):
    kept, gone = (store.create_experiment(name) for name in ("with issues ü", "to be purged"))
    for experiment in (kept, gone):
        run = store.create_run(experiment, "ada", 1, [], "a run").info.run_id
        store.create_issue(
            experiment, "slow", "too slow", categories=["Latency", " latency ", "ΟΔΟΣ"], source_run_id=run,
            last_seen_timestamp=99, metadata={"k": "é"},
        )  # fmt: skip
    store.create_issue(kept, "odd", "", created_by="bob")
    for organization in ("", "acme"):
        for ref in ("main", "next"):
            source = {"source_type": "git", "source": "https://example.com/skills.git", "ref": ref}
            store.create_skill_version("review", organization, **source, created_by="ada")
        store.update_skill("review", organization, description="reviews é")
        store.set_skill_tag("review", "team", "blue", organization)
        store.set_skill_version_tag("review", 1, "stage", "old", organization)
        store.set_skill_alias("review", "best", 2, organization)


def read(store):
    experiments = store.search_experiments(view_type=ViewType.ALL, max_results=100)
    ids = [experiment.experiment_id for experiment in experiments]
    runs = store.search_runs(ids, "", ViewType.ALL, 1000)
    skills = store.search_skills()
    versions = [version for skill in skills for version in store.search_skill_versions(skill.name, skill.organization)]
    issues = [issue for id in ids for issue in store.search_issues(id)]
    return {
        "experiments": {experiment.name: text(experiment) for experiment in experiments},
        "runs": {run.info.run_id: [text(run.info), text(run.data)] for run in runs},
        "issues": {issue.issue_id: text(issue) for issue in issues},
        "latency": sorted(issue.issue_id for id in ids for issue in store.search_issues(id, categories=["LATENCY"])),
        "skills": sorted(map(text, [*skills, *versions])),
    }


def text(entity):
    """The values of an entity in order, without objects and tags, which have none."""
    values = {name.lstrip("_"): str(value) for name, value in vars(entity).items() if "tags" not in name}
    return str(sorted((name, value) for name, value in values.items() if "object at" not in value))


if __name__ == "__main__":
    main(*sys.argv[1:])
