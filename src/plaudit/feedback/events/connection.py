"""Opening the database, and its transactions. Here alone one database is known from another.

SQLite is made durable and polite: a write-ahead log so that readers never wait, `synchronous=FULL` so that what was
acknowledged survives a power cut, foreign keys on, and `BEGIN IMMEDIATE` for writes, so that a writer waits its turn at
the beginning instead of failing in the middle. pysqlite's own transaction handling is switched off for that
(SQLAlchemy's documentation, dialects/sqlite, "Enabling Non-Legacy SQLite Transactional Modes").

PostgreSQL gets the same by an advisory lock that a writing transaction takes first and holds until it ends: writers
follow each other, so that positions in the log have no gaps and what was checked still holds when it is written.
Readers see one snapshot (REPEATABLE READ).

What a database refuses is said in one sentence that says what to do, and never a password.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, insert, inspect, make_url, select
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import ArgumentError, DatabaseError, IntegrityError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from plaudit.errors import PlauditError, UsageError
from plaudit.feedback.events.schema import REVISION, metadata, versions
from plaudit.files import create_private, writing

_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))  # made once: an import writes millions
_EMPTY: dict[type[Any], str] = {dict: "{}", list: "[]"}  # a third of them
BUSY_SECONDS = 20.0  # a bulk import of tens of thousands of rows holds the lock for a few
PATIENCE = "plaudit_patience"  # an engine's option: for how many seconds it waits instead

ASKED_EVERY = 0.004  # seconds: whether the lock is free

_BUSY = "Another program is writing to {place} and did not finish within {busy:.0f} s. Try again when it has."
_CROWDED = "Too many wait for their turn to write to {place}. Try again in a moment."
_FULL = "The disk is full: nothing was written to {place}. Free some space and run the same command again."
_READ_ONLY = "{place} is read-only. Change its permissions or work on a copy."
_UNREACHABLE = "{place} cannot be reached ({refusal}). Check the address, and that PostgreSQL is running there."
_REFUSALS = (
    ("disk is full", _FULL),
    ("no space left", _FULL),
    ("locked", _BUSY),
    ("lock timeout", _BUSY),
    ("readonly", _READ_ONLY),
    ("read-only", _READ_ONLY),
    ("malformed", "{place} is damaged. Restore it from a backup, or recover it with `sqlite3 {place} .recover`."),
    ("not a database", "{place} is not a feedback store. Choose another file."),
    ("unable to open", "{place} cannot be opened. Check that its folder exists and may be written."),
    (
        "password",
        "{place} refused the name or password. Correct the URL, or give the password by PGPASSWORD or ~/.pgpass.",
    ),
    ('database "', "{place} cannot be opened ({refusal}). Make the database first, for example with `createdb`."),
    ('role "', "{place} cannot be opened ({refusal}). Correct the user in the URL."),
    ("permission denied", "{place} does not allow it ({refusal}). Ask for the rights to make and fill tables there."),
    ("connection", _UNREACHABLE),
    ("could not translate", _UNREACHABLE),
    ("resolve host", _UNREACHABLE),
)

POSTGRESQL = "postgresql"
WRITERS_LOCK = 0x506C6175  # "Plau": the number of the advisory lock, the same in every Plaudit on the database
MOST_CONNECTIONS = 40  # as many as a web worker has threads (Starlette's limit), so that none waits for another's
POSTGRESQL_CONNECTIONS = 20  # so that four web workers stay below the 100 that PostgreSQL allows by default


@contextmanager
def reported(engine: Engine) -> Iterator[None]:
    """Turn the database's refusals inside into one sentence; a broken constraint or statement stays the bug it is."""
    try:
        yield
    except (IntegrityError, sqlite3.IntegrityError, sqlite3.ProgrammingError):
        raise
    except (DatabaseError, sqlite3.DatabaseError) as error:
        if isinstance(error, ProgrammingError) and "permission denied" not in str(error.orig):
            raise
        raise PlauditError(_sentence(str(getattr(error, "orig", error)), engine)) from error
    except PoolTimeoutError as error:
        raise busy(engine) from error
    except UnicodeEncodeError as error:
        place = name_of(engine)
        raise PlauditError(f"{place} cannot hold half a character (a lone surrogate); remove it from the text.") from (
            error
        )


def busy(engine: Engine) -> PlauditError:
    return PlauditError(_BUSY.format(place=name_of(engine), busy=_patience_of(engine)))


def _patience_of(source: Engine | Connection) -> float:
    return float(source.get_execution_options().get(PATIENCE, BUSY_SECONDS))


def name_of(engine: Engine) -> str:
    """The store as a person calls it: its path, or its URL without the password."""
    if engine.dialect.name == "sqlite" and engine.url.database:
        return str(engine.url.database)
    return shown(engine.url)


def shown(url: URL) -> str:
    """A database URL without what may hold a secret."""
    bare = url.set(drivername=url.get_backend_name())
    return bare.set(query={key: value for key, value in url.query.items() if key == "host"}).render_as_string()


def _sentence(refusal: str, engine: Engine) -> str:
    known = (sentence for sign, sentence in _REFUSALS if sign in refusal.lower())
    sentence = next(known, "The feedback store {place} could not be used: {refusal}.")
    return sentence.format(place=name_of(engine), busy=_patience_of(engine), refusal=_one_line(refusal, engine.url))


def _one_line(refusal: str, url: URL) -> str:
    lines = [line.strip() for line in refusal.splitlines() if line.strip()]
    first = lines[0].rstrip(".") if lines else "no reason given"
    return first.replace(str(url.password), "***") if url.password else first


def engine_for(place: str | Path, create: bool, patience: float | None = None) -> Engine:
    """An engine for a path or a database URL. UsageError when there is nothing and `create` is off.

    `patience`: for how many seconds its writers wait for their turn; None: BUSY_SECONDS.
    """
    url = _url(place)
    is_file = url.get_backend_name() == "sqlite"
    file = str(url.database or ":memory:")
    # SQLite's own "file:" URIs say themselves whether to create anything.
    if is_file and file != ":memory:" and not file.startswith("file:"):
        _prepare_file(Path(file), create)
    # All are kept: one that is opened for a request and closed after it costs more than most requests do.
    pool: dict[str, Any] = {"pool_size": MOST_CONNECTIONS, "max_overflow": 0, "pool_use_lifo": True}
    if url.get_backend_name() == POSTGRESQL:
        pool |= {"pool_size": POSTGRESQL_CONNECTIONS, "pool_pre_ping": True, "isolation_level": "REPEATABLE READ"}
    if is_file and file == ":memory:":
        pool = {}
    try:
        engine = create_engine(url, json_serializer=_to_json, hide_parameters=True, **pool)
    except ModuleNotFoundError as error:
        if error.name == "psycopg":
            raise UsageError("A PostgreSQL database needs its driver: install `plaudit[postgres]`.") from error
        raise UsageError(f"{url.render_as_string()} cannot be used as a feedback store: {error}.") from error
    except ArgumentError as error:
        raise UsageError(f"{url.render_as_string()} cannot be used as a feedback store: {error}.") from error
    engine.update_execution_options(**{} if patience is None else {PATIENCE: patience})
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    elif engine.dialect.name == POSTGRESQL:
        event.listen(engine, "connect", partial(_configure_postgresql, _patience_of(engine)))
        event.listen(engine, "begin", _begin_postgresql)
        event.listen(engine, "handle_error", _hide_row)
    return engine


def _hide_row(context: ExceptionContext) -> None:
    """Behind its first line PostgreSQL tells the row that breaks a constraint, such as a password's hash."""
    for error in filter(None, (context.original_exception, context.sqlalchemy_exception)):
        error.args = tuple(str(arg).partition("\n")[0] for arg in error.args)


def _to_json(value: Any) -> str:
    return _EMPTY[type(value)] if type(value) in _EMPTY and not value else _JSON.encode(value)


def is_url(place: str | Path) -> bool:
    """Whether `place` is a database URL rather than a file."""
    return isinstance(place, str) and "://" in place


def _url(place: str | Path) -> URL:
    if not isinstance(place, str) or "://" not in place:
        return URL.create("sqlite", database=str(place))
    try:
        url = make_url(place)
    except (ArgumentError, ValueError) as error:
        scheme = place.split("://", maxsplit=1)[0]  # the rest may hold a password
        raise UsageError(f"What begins with {scheme}:// is not a database URL that can be read.") from error
    return url.set(drivername="postgresql+psycopg") if url.drivername in ("postgresql", "postgres") else url


def _prepare_file(path: Path, create: bool) -> None:
    if not create and not path.is_file():
        raise UsageError(f"There is no feedback store at {path}. Check the path, or make one with `plaudit init`.")
    if path.is_dir():
        raise UsageError(f"{path} is a folder, not a feedback store. Name the file in it.")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():  # before SQLite makes it: it holds secrets, and its -wal and -shm take its mode
            with suppress(FileExistsError):
                create_private(path).close()


def _configure_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000:.0f}")
    # SQLite refuses to change the journal at once, without waiting, where another process opens the file for the first
    # time just then.
    _patiently(lambda: connection.execute("PRAGMA journal_mode = WAL"), BUSY_SECONDS)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Connection) -> None:
    if connection.get_execution_options().get("plaudit_writes", False):
        _begin_in_turn(connection)
    else:
        connection.exec_driver_sql("BEGIN")


def _begin_in_turn(connection: Connection) -> None:
    """Begin to write as soon as another process lets go. PlauditError where none does in time.

    SQLite itself asks ever more rarely, in the end ten times a second, and misses the moments between the transactions
    of a bulk import: a labeller would wait for a second though none of them takes a tenth.
    """
    connection.exec_driver_sql("PRAGMA busy_timeout = 0")
    try:
        _patiently(lambda: connection.exec_driver_sql("BEGIN IMMEDIATE"), _patience_of(connection))
    finally:
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000:.0f}")


def _patiently(statement: Callable[[], Any], patience: float) -> None:
    """Execute `statement` again until nothing locks it out, for `patience` seconds; then what refused it."""
    until = time.monotonic() + patience
    while True:
        try:
            statement()
            return
        except (OperationalError, sqlite3.OperationalError) as error:
            if "locked" not in str(getattr(error, "orig", error)) or time.monotonic() >= until:
                raise
        time.sleep(ASKED_EVERY)


def _configure_postgresql(patience: float, connection: Any, _record: Any) -> None:
    connection.autocommit = True
    connection.execute(f"SET lock_timeout = '{patience * 1000:.0f}ms'")
    connection.autocommit = False


def _begin_postgresql(connection: Connection) -> None:
    if not connection.get_execution_options().get("plaudit_writes", False):
        return
    if _patience_of(connection) > 0:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITERS_LOCK})")
    elif not connection.exec_driver_sql(f"SELECT pg_try_advisory_xact_lock({WRITERS_LOCK})").scalar():
        raise busy(connection.engine)


class Turns:
    """Where the writers of this process queue: the next begins at once, and none holds a connection meanwhile.

    Only `most` are in the queue, whoever writes included: in a server each holds a thread, and readers need some.
    """

    def __init__(self, engine: Engine, most: int) -> None:
        self._engine, self._lock, self._counting = engine, threading.Lock(), threading.Lock()
        self._most, self._queued = most, 0

    @property
    def are_all_taken(self) -> bool:
        """Whether the next would be turned away just now."""
        return self._queued >= self._most

    @contextmanager
    def taken(self, patience: float | None = None) -> Iterator[None]:
        """PlauditError at once where the queue is full, and where it takes longer than `patience`, or the engine's."""
        with self._counting:
            if self.are_all_taken:
                raise PlauditError(_CROWDED.format(place=name_of(self._engine)))
            self._queued += 1
        try:
            if not self._lock.acquire(timeout=_patience_of(self._engine) if patience is None else patience):
                raise busy(self._engine)
            try:
                yield
            finally:
                self._lock.release()
        finally:
            with self._counting:
                self._queued -= 1


@contextmanager
def writing_transaction(engine: Engine, patience: float | None = None) -> Iterator[Connection]:
    """A transaction that may write: all of it is kept, or none. `patience` 0: it begins at once, or not at all."""
    options: dict[str, Any] = {"plaudit_writes": True} | ({} if patience is None else {PATIENCE: patience})
    if engine.dialect.name == POSTGRESQL:  # each statement sees what the writer before has committed
        options["isolation_level"] = "READ COMMITTED"
    with reported(engine), engine.execution_options(**options).begin() as connection:
        yield connection


@contextmanager
def reading_transaction(engine: Engine) -> Iterator[Connection]:
    """A snapshot: what others write meanwhile is not seen."""
    with reported(engine), engine.begin() as connection:
        yield connection


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
            from plaudit.feedback.events.migrations import migrate

            migrate(connection, name_of(engine))


def _revision(connection: Connection) -> str | None:
    """What the store stands at; None for an empty database."""
    tables = inspect(connection).get_table_names()
    if versions.name in tables:
        return connection.execute(select(versions.c.version_num)).scalar()
    if tables:
        raise UsageError(f"{name_of(connection.engine)} is another program's database. Choose another file.")
    return None
