"""Fills every table that a database has at this moment, whatever its revision, with the same rows each time.

The tables are read from the database itself. A value depends on its column and on the number of its row;
keys refer to rows that exist, unique columns differ in each row, CHECK constraints are kept. What a revision
reads to move data is not left to that: ``moved.py`` has the rows of such tables.
"""

import datetime
import re
from collections.abc import Iterator

import moved
import sqlalchemy as sa
from chains import engine

#: Rows of a table that nothing special is known of.
ROWS = 4

#: Floats that a copy easily breaks.
FLOATS = (0.1, -1.7976931348623157e308, 5e-324, 3.0)


def fill(uri: str, *, many: bool = False) -> None:
    """Fills all tables; ``many`` makes more rows than a page of the reference's back-fills holds."""
    with engine(uri) as used, used.begin() as connection:
        metadata = sa.MetaData()
        metadata.reflect(connection)
        inspector = sa.inspect(connection)
        filled: dict[str, list[dict]] = {}
        for table in metadata.sorted_tables:
            if not table.name.startswith("alembic_version"):
                choices = _choices(inspector, table)
                filled[table.name] = [dict(row._mapping) for row in connection.execute(table.select())]
                for row in _rows(table, choices, filled, many):
                    filled[table.name].append(_insert(connection, table, row))


def _insert(connection: sa.Connection, table: sa.Table, row: dict) -> dict:
    result = connection.execute(table.insert().values(row))
    given = dict(zip(table.primary_key.columns.keys(), result.inserted_primary_key, strict=True))
    return {**row, **given}


def _rows(table: sa.Table, choices: dict[str, list[str]], filled: dict[str, list[dict]], many: bool) -> Iterator[dict]:
    known = moved.rows(table.name, filled, many)
    seen = {_key(table, row) for row in filled[table.name]}
    for number, given in enumerate([{} for _ in range(ROWS)] if known is None else known):
        row = {
            column.name: _value(column, number, choices)
            for column in table.columns
            if column.computed is None and not _numbered_by_the_database(column)
        }
        for key in table.foreign_key_constraints:
            parents = filled.get(key.referred_table.name, [])
            if not parents:
                # A table that refers to itself, before its first row.
                row |= dict.fromkeys(key.column_keys, sa.null())
            elif not (number == 2 and all(table.columns[name].nullable for name in key.column_keys)):
                parent = parents[number % len(parents)]
                row |= {element.parent.name: parent[element.column.name] for element in key.elements}
        row |= {name: value for name, value in given.items() if name in table.columns}
        if _key(table, row) not in seen or not _key(table, row):
            seen.add(_key(table, row))
            yield row


def _key(table: sa.Table, row: dict) -> tuple:
    return tuple(row[column.name] for column in table.primary_key if column.name in row)


def _numbered_by_the_database(column: sa.Column) -> bool:
    return column is column.table.autoincrement_column and not column.foreign_keys


def _choices(inspector: sa.Inspector, table: sa.Table) -> dict[str, list[str]]:
    """The texts that the CHECK constraints of a table name, by the column that they name."""
    found = {}
    for check in inspector.get_check_constraints(table.name):
        texts = re.findall(r"'([^']*)'", check["sqltext"])
        for column in table.columns.keys():
            if texts and re.search(rf"\b{column}\b", check["sqltext"]):
                found[column] = texts
    return found


def _value(column: sa.Column, number: int, choices: dict[str, list[str]]):
    in_key = column.primary_key or any(
        column.name in constraint.columns.keys()
        for constraint in column.table.constraints
        if isinstance(constraint, sa.UniqueConstraint)
    )
    if column.name in choices:
        return choices[column.name][number % len(choices[column.name])]
    if column.nullable and not in_key and number == 2:
        return sa.null()
    kind = column.type
    if isinstance(kind, sa.Boolean):
        return number % 2 == 1
    if isinstance(kind, sa.BigInteger):
        return 2**53 + 1 + number
    if isinstance(kind, sa.Integer):
        return 7 * number + 1
    if isinstance(kind, sa.Float):
        return FLOATS[number % len(FLOATS)]
    if isinstance(kind, sa.LargeBinary):
        return bytes([number, 0, 255, 39])
    if isinstance(kind, sa.Date):
        return datetime.date(2026, 1, 1 + number)
    if isinstance(kind, sa.JSON):
        return [{"k": [number, "ü", None, 1.5], "a": {}}, "text", [1, 2**53 + 1], None][number % 4]
    if isinstance(kind, sa.String):
        return _text(column.name, number, kind.length)
    raise TypeError(f"{column.table.name}.{column.name} is a {kind!r}, of which no value is known")


def _text(name: str, number: int, length: int | None) -> str:
    """The number comes first, so that what is cut off does not make two of them equal."""
    text = f"{number} {name} 'é\"中🧪\\%"
    if number == 0:
        # As long as it may be; of text without a limit, longer than a page of either database.
        return text.ljust(length or 20_000, "x")[: length or 20_000]
    return text[:length]
