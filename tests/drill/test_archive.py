"""What becomes of an archive in time, and what it refuses."""

from datetime import UTC, datetime, timedelta

import cluster
import pytest
from conftest import client


@pytest.fixture(scope="module")
def old(bucket):
    """A cluster with three base backups, which runs no more."""
    with cluster.new("pg-cluster-old", bucket) as old:
        for _ in range(3):
            old.sql("SELECT pg_switch_wal()")
            old.backup()
        old.archive()
    return old


def test_t20_a_moment_that_never_came_fails_and_is_not_rounded_down(old):
    future = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    with pytest.raises(cluster.RecoveryFailed, match="recovery ended before configured recovery target was reached"):
        with cluster.recovered("pg-cluster-future", old.name, old.bucket, future):
            pass


def test_t19_retention_keeps_what_thirty_days_need_and_touches_nothing_else(old, s3):
    """Three base backups of 45, 35 and 0 days: the window of 30 days begins with the one of 35."""
    s3, bucket = client(s3), old.bucket
    # What nobody may touch: another cluster's backups, of any age, and artifacts.
    s3.copy_object(Bucket="artifacts", Key="mlflow/1/a.txt", CopySource={"Bucket": "backups", "Key": min(keys(s3, "backups"))})
    for key in keys(s3, "backups"):
        s3.copy_object(Bucket="backups", Key=key.replace("/pg-cluster-old/", "/pg-cluster-v0/"), CopySource={"Bucket": "backups", "Key": key})
    ids = [backup["backup_id"] for backup in bucket.backups(old.name)]
    for backup, days in zip(ids, (45, 35, 0), strict=True):
        make_older(s3, f"mlflow/pg-cluster-old/base/{backup}/backup.info", days)

    untouched = {key for bucket in ("backups", "artifacts") for key in keys(s3, bucket) if "/pg-cluster-old/" not in key}
    first_wal = {key for key in keys(s3, "backups") if "/pg-cluster-old/wals/" in key}
    done = bucket.run("backup-delete", "pg-cluster-old", options=("--retention-policy", "RECOVERY WINDOW OF 30 DAYS"))
    assert done.returncode == 0, done.stderr

    assert [backup["backup_id"] for backup in bucket.backups("pg-cluster-old")] == ids[1:]
    assert untouched == {key for bucket in ("backups", "artifacts") for key in keys(s3, bucket) if "/pg-cluster-old/" not in key}
    kept = {key for key in keys(s3, "backups") if "/pg-cluster-old/wals/" in key}
    assert kept < first_wal, "the log before the oldest kept backup goes"
    with cluster.recovered("pg-cluster-old-2", "pg-cluster-old", bucket) as restored:
        assert restored.sql("SELECT 1") == [(1,)]


def make_older(s3, key: str, days: int) -> None:
    """A base backup as it would be, had it been taken so many days ago."""
    lines = s3.get_object(Bucket="backups", Key=key)["Body"].read().decode().splitlines()
    for place, line in enumerate(lines):
        name, _, value = line.partition("=")
        if name in ("begin_time", "end_time"):
            moved = datetime.strptime(value.split("+")[0].strip(), "%a %b %d %H:%M:%S %Y") if value[:3].isalpha() else datetime.fromisoformat(value)
            moved -= timedelta(days=days)
            lines[place] = f"{name}={moved.strftime('%a %b %d %H:%M:%S %Y') if value[:3].isalpha() else moved.isoformat(sep=' ')}"
    s3.put_object(Bucket="backups", Key=key, Body="\n".join([*lines, ""]).encode())


def keys(s3, bucket: str) -> set[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return {item["Key"] for page in pages for item in page.get("Contents", [])}
