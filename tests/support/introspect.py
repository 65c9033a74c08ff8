"""Everything a database knows about its schema, as one flat ``{name of the object: definition}``.

Flat, so that two databases are compared by comparing dictionaries and every difference has a name.
Tables and indexes of ferroflow's own (``ff_…``) are left out: the reference neither sees nor minds them.
"""

import contextlib
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator

import sqlalchemy

from support.postgres import connect

Schema = dict[str, str]


def schema(uri: str) -> Schema:
    """The schema as the database's own catalogue has it, and as SQLAlchemy, so Alembic, reads it."""
    return catalogue(uri) | dict(_reflection(uri))


def catalogue(uri: str) -> Schema:
    """The schema as the database's own catalogue has it, which takes a tenth of the time."""
    return dict(_sqlite(uri) if uri.startswith("sqlite:") else _postgresql(uri))


def rows(uri: str) -> dict[str, list[tuple]]:
    """All rows of all tables that have any."""
    engine = _engine(uri)
    with engine.connect() as connection:
        tables = [table for table in sqlalchemy.inspect(engine).get_table_names() if not _own(table)]
        found = {
            table: sorted(map(_row, connection.execute(sqlalchemy.text(f"SELECT * FROM {table}"))), key=repr)
            for table in tables
        }
    engine.dispose()
    return {table: content for table, content in found.items() if content}


def _row(row: sqlalchemy.Row) -> tuple:
    return tuple(bytes(value) if isinstance(value, memoryview) else value for value in row)


def differences(expected: Schema, actual: Schema) -> list[str]:
    """One line for each object that is missing, not expected, or defined differently."""
    lines = []
    for name in sorted(expected.keys() | actual.keys()):
        if name not in actual:
            lines.append(f"missing: {name}: {expected[name]}")
        elif name not in expected:
            lines.append(f"not in the reference: {name}: {actual[name]}")
        elif expected[name] != actual[name]:
            lines.append(f"different: {name}: {actual[name]}, in the reference {expected[name]}")
    return lines


def row_differences(expected: dict[str, list[tuple]], actual: dict[str, list[tuple]]) -> list[str]:
    """One line for each row that is missing or not expected. Values of another type are different: 1 is not 1.0."""
    lines = []
    for table in sorted(expected.keys() | actual.keys()):
        wanted, found = (Counter(map(repr, rows.get(table, ()))) for rows in (expected, actual))
        lines += [f"missing in {table}: {row}" for row in (wanted - found).elements()]
        lines += [f"not in the reference's {table}: {row}" for row in (found - wanted).elements()]
    return lines


def _own(name: str) -> bool:
    """Whether the name is one of ferroflow's own."""
    return name.startswith("ff_")


def _sqlite(uri: str) -> Iterator[tuple[str, str]]:
    with contextlib.closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as connection:
        master = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
        for kind, name, table, sql in master:
            # An index that SQLite makes for a key has the name of its table in it.
            if _own(name) or _own(table):
                continue
            if kind == "table":
                yield f"table {name}", "exists"
                columns = connection.execute(f"PRAGMA table_xinfo({name})").fetchall()
                for position, column, type_, not_null, default, key, hidden in columns:
                    yield (
                        f"column {name}.{column}",
                        f"{position} {type_} null={not not_null} default={default} key={key} hidden={hidden}",
                    )
                # The text also holds what no pragma tells: constraint names, CHECK, collations, generated columns.
                clauses = _clauses(sql)
                yield f"clauses of {name}", "; ".join(clauses[: len(columns)] + sorted(clauses[len(columns) :]))
                for key in connection.execute(f"PRAGMA foreign_key_list({name})").fetchall():
                    _, position, target, source, destination, on_update, on_delete, match = key
                    yield (
                        f"foreign key {name}.{source} to {target}.{destination}",
                        f"{position} update={on_update.upper()} delete={on_delete.upper()} {match}",
                    )
                for _, index, unique, origin, partial in connection.execute(f"PRAGMA index_list({name})").fetchall():
                    if not _own(index):
                        parts = connection.execute(f"PRAGMA index_xinfo({index})").fetchall()
                        yield f"index {name}.{index}", f"unique={unique} {origin} partial={partial} {parts}"
            else:
                yield f"{kind} {name} on {table}", _normal(sql) if sql else "implicit"


def _clauses(create_table: str) -> list[str]:
    """The columns and constraints of a CREATE TABLE statement, in one spelling."""
    body = create_table[create_table.index("(") + 1 : create_table.rindex(")")]
    clauses, depth, start = [], 0, 0
    for position, character in enumerate(body):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            clauses.append(body[start:position])
            start = position + 1
    return [_normal(clause) for clause in [*clauses, body[start:]]]


def _normal(sql: str) -> str:
    words = re.sub(r"\s+", " ", sql.replace('"', "")).strip()
    words = re.sub(r" ?([(),]) ?", r"\1", words)
    return words.replace("ON DELETE cascade", "ON DELETE CASCADE")


_POSTGRESQL = {
    "relation": """
        SELECT relname, relkind::text || ' ' || relpersistence::text || coalesce(' ' || reloptions::text, '')
        FROM pg_class WHERE relnamespace = 'public'::regnamespace""",
    "column": """
        SELECT attrelid::regclass || '.' || attname,
               concat_ws(' ', row_number() OVER (PARTITION BY attrelid ORDER BY attnum),
                   format_type(atttypid, atttypmod), 'null=' || NOT attnotnull,
                   'default=' || coalesce(pg_get_expr(adbin, adrelid), 'none'), 'identity=' || attidentity::text,
                   'generated=' || attgenerated::text, 'collation=' || attcollation::regcollation)
        FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
        LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0 AND NOT attisdropped""",
    "constraint": """
        SELECT conrelid::regclass || '.' || conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace""",
    "index": """
        SELECT indrelid::regclass || '.' || indexrelid::regclass, pg_get_indexdef(indexrelid) FROM pg_index
        JOIN pg_class ON pg_class.oid = indrelid WHERE relnamespace = 'public'::regnamespace""",
    "sequence": """
        SELECT seqrelid::regclass::text,
               concat_ws(' ', format_type(seqtypid, NULL), seqstart, seqincrement, seqmin, seqmax, seqcache, seqcycle,
                   'owned by', refobjid::regclass || '.' || attname)
        FROM pg_sequence
        LEFT JOIN pg_depend ON objid = seqrelid AND deptype IN ('a', 'i') AND refclassid = 'pg_class'::regclass
        LEFT JOIN pg_attribute ON attrelid = refobjid AND attnum = refobjsubid""",
    "trigger": """
        SELECT tgrelid::regclass || '.' || tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal""",
    "function": """
        SELECT proname, pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace""",
    "comment": """
        SELECT objoid::regclass || '.' || objsubid, description FROM pg_description
        JOIN pg_class ON pg_class.oid = objoid WHERE relnamespace = 'public'::regnamespace""",
}


def _postgresql(uri: str) -> Iterator[tuple[str, str]]:
    with contextlib.closing(connect(uri)) as connection, connection.cursor() as cursor:
        for kind, query in _POSTGRESQL.items():
            cursor.execute(query)
            for name, definition in cursor.fetchall():
                if not any(map(_own, name.split("."))):
                    yield f"{kind} {name}", re.sub(r"\s+", " ", definition)


def _reflection(uri: str) -> Iterator[tuple[str, str]]:
    engine = _engine(uri)
    inspector = sqlalchemy.inspect(engine)
    questions = {
        "columns": inspector.get_multi_columns,
        "primary key": inspector.get_multi_pk_constraint,
        "foreign keys": inspector.get_multi_foreign_keys,
        "unique constraints": inspector.get_multi_unique_constraints,
        "check constraints": inspector.get_multi_check_constraints,
        "indexes": inspector.get_multi_indexes,
    }
    for question, answer in questions.items():
        for (_, table), found in answer().items():
            if _own(table):
                continue
            items = found if isinstance(found, list) else [found]
            items = [item for item in items if not _own(str(item.get("name")))]
            text = [str(sorted((key, str(value)) for key, value in item.items())) for item in items]
            yield f"{question} of {table} in SQLAlchemy", "; ".join(text if question == "columns" else sorted(text))
    engine.dispose()


def _engine(uri: str) -> sqlalchemy.Engine:
    return sqlalchemy.create_engine(uri.replace("postgresql://", "postgresql+psycopg2://", 1))
