"""Opening the database, and its refusals in words. The one place that knows one database from another.

SQLite is made durable and polite: a write-ahead log so that readers never wait, `synchronous=FULL` so that what was
acknowledged survives a power cut, foreign keys on, and `BEGIN IMMEDIATE` for writes, so that a writer waits its turn at
the beginning instead of failing in the middle. pysqlite's own transaction handling is switched off for that
(SQLAlchemy's documentation, dialects/sqlite, "Enabling Non-Legacy SQLite Transactional Modes").
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, insert, inspect, make_url, select
from sqlalchemy.exc import ArgumentError, DatabaseError, IntegrityError, ProgrammingError

from plaudit.errors import PlauditError, UsageError
from plaudit.feedback.schema import REVISION, metadata, versions
from plaudit.files import writing

BUSY_SECONDS = 20.0  # a bulk import of tens of thousands of rows holds the lock for a few

_REFUSALS = (
    (
        "disk is full",
        "The disk is full: nothing was written to {place}. Free some space and run the same command again.",
    ),
    ("locked", "Another program is writing to {place} and did not finish within {busy:.0f} s. Try again when it has."),
    ("readonly", "{place} is read-only. Change its permissions or work on a copy."),
    ("read-only", "{place} is read-only. Change its permissions or work on a copy."),
    ("malformed", "{place} is damaged. Restore it from a backup, or recover it with `sqlite3 {place} .recover`."),
    ("not a database", "{place} is not a feedback store. Choose another file."),
    ("unable to open", "{place} cannot be opened. Check that its folder exists and may be written."),
)


def engine_for(place: str | Path, create: bool) -> Engine:
    """An engine for a path or a database URL. UsageError when there is nothing and `create` is off."""
    url = _url(place)
    file = str(url.database or ":memory:")
    # SQLite's own "file:" URIs say themselves whether to create anything.
    if url.get_backend_name() == "sqlite" and file != ":memory:" and not file.startswith("file:"):
        _prepare_file(Path(file), create)
    try:
        engine = create_engine(url, json_serializer=partial(json.dumps, ensure_ascii=False, separators=(",", ":")))
    except (ArgumentError, ModuleNotFoundError) as error:
        raise UsageError(f"{url.render_as_string()} cannot be used as a feedback store: {error}.") from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _url(place: str | Path) -> URL:
    if not isinstance(place, str) or "://" not in place:
        return URL.create("sqlite", database=str(place))
    try:
        return make_url(place)
    except ArgumentError as error:
        raise UsageError(f"{place} is neither a path nor a database URL.") from error


def _prepare_file(path: Path, create: bool) -> None:
    if not create and not path.is_file():
        raise UsageError(f"There is no feedback store at {path}. Check the path, or make one with `plaudit init`.")
    if path.is_dir():
        raise UsageError(f"{path} is a folder, not a feedback store. Name the file in it.")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)


def _configure_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000:.0f}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("plaudit_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def writing_transaction(engine: Engine) -> Iterator[Connection]:
    """A transaction that may write: all of it is kept, or none."""
    with reported(engine), engine.execution_options(plaudit_writes=True).begin() as connection:
        yield connection


@contextmanager
def reading_transaction(engine: Engine) -> Iterator[Connection]:
    """A snapshot: what others write meanwhile is not seen."""
    with reported(engine), engine.begin() as connection:
        yield connection


@contextmanager
def reported(engine: Engine) -> Iterator[None]:
    """Turn the database's refusals inside into one sentence; a broken constraint or statement stays the bug it is."""
    try:
        yield
    except (IntegrityError, ProgrammingError, sqlite3.IntegrityError, sqlite3.ProgrammingError):
        raise
    except (DatabaseError, sqlite3.DatabaseError) as error:
        raise PlauditError(_sentence(str(getattr(error, "orig", error)), name_of(engine))) from error


def name_of(engine: Engine) -> str:
    """The store as a person calls it: its path, or its URL without the password."""
    is_file = engine.dialect.name == "sqlite" and engine.url.database
    return str(engine.url.database) if is_file else engine.url.render_as_string()


def _sentence(refusal: str, place: str) -> str:
    for sign, sentence in _REFUSALS:
        if sign in refusal.lower():
            return sentence.format(place=place, busy=BUSY_SECONDS)
    return f"The feedback store {place} could not be used: {refusal}."


def bring_up_to_date(engine: Engine) -> None:
    """Make the schema, or migrate it to this program's. PlauditError for a newer or a foreign database.

    Alembic (a third of a second to import) is asked only where there is something to migrate: a new store is made at
    the newest revision at once, and a test holds that to be what the migrations lead to.
    """
    with reading_transaction(engine) as connection:
        if _revision(connection) == REVISION:
            return
    with writing_transaction(engine) as connection:
        revision = _revision(connection)
        if revision is None:
            metadata.create_all(connection)
            versions.create(connection)
            connection.execute(insert(versions).values(version_num=REVISION))
        elif revision != REVISION:  # another process may have been quicker
            from plaudit.feedback.migrations import migrate

            migrate(connection, name_of(engine))


def _revision(connection: Connection) -> str | None:
    """What the store stands at; None for an empty database."""
    tables = inspect(connection).get_table_names()
    if versions.name in tables:
        return connection.execute(select(versions.c.version_num)).scalar()
    if tables:
        raise UsageError(f"{name_of(connection.engine)} is another program's database. Choose another file.")
    return None
