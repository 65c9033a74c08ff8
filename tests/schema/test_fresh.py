"""What ferroflow makes of an empty database is what the reference makes of it."""

import pytest
from support import introspect


@pytest.mark.rotates(together=True)
def test_schema_is_the_reference_s(made):
    found = introspect.differences(made["reference"].schema, made["ferroflow"].schema)
    assert not found, "\n".join(found)


@pytest.mark.rotates(together=True)
def test_it_has_all_65_tables(made):
    tables = {name.split()[2] for name in made["ferroflow"].schema if name.startswith("columns of ")}
    assert len(tables) == 65


@pytest.mark.rotates(together=True)
def test_rows_are_the_reference_s(made):
    assert _without_times(made["ferroflow"].rows) == _without_times(made["reference"].rows)


def _without_times(rows):
    """Experiment 0 has the moments of its creation and of its last update."""
    experiments = [
        tuple("time" if isinstance(value, int) and value > 10**12 else value for value in row)
        for row in rows["experiments"]
    ]
    return rows | {"experiments": experiments}
