"""The database's refusals in words: one sentence that says what to do, and never a password."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import URL, Engine
from sqlalchemy.exc import DatabaseError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from plaudit.errors import PlauditError

BUSY_SECONDS = 20.0  # a bulk import of tens of thousands of rows holds the lock for a few

_BUSY = "Another program is writing to {place} and did not finish within {busy:.0f} s. Try again when it has."
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
    return PlauditError(_BUSY.format(place=name_of(engine), busy=BUSY_SECONDS))


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
    return sentence.format(place=name_of(engine), busy=BUSY_SECONDS, refusal=_one_line(refusal, engine.url))


def _one_line(refusal: str, url: URL) -> str:
    lines = [line.strip() for line in refusal.splitlines() if line.strip()]
    first = lines[0].rstrip(".") if lines else "no reason given"
    return first.replace(str(url.password), "***") if url.password else first
