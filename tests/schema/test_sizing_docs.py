"""The SQL of docs/sizing.md is run as it is written, and changes nothing that belongs to the schema."""

import contextlib
import re
import subprocess
from pathlib import Path

from support import postgres, required

PAGE = (Path(__file__).parents[2] / "docs/sizing.md").read_text("utf-8")


def ferroflow(*arguments):
    return subprocess.run([required("FERROFLOW_BIN"), *arguments], capture_output=True, text=True)


def test_settings_of_tables_are_accepted(tmp_path):
    blocks = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 3
    with postgres.database("postgresql", tmp_path) as uri:
        assert ferroflow("db", "upgrade", uri).returncode == 0
        with contextlib.closing(postgres.connect(uri)) as connection, connection.cursor() as cursor:
            for statement in "".join(blocks).splitlines():
                cursor.execute(statement)
            cursor.execute("SELECT relname, reloptions FROM pg_class WHERE reloptions IS NOT NULL AND relname IN ('metrics', 'latest_metrics')")
            assert {name: len(options) for name, options in cursor.fetchall()} == {"metrics": 2, "latest_metrics": 3}
        checked = ferroflow("db", "check", uri)
        assert checked.returncode == 0, checked.stdout + checked.stderr
