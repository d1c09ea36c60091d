"""A limit on guessing passwords: failed sign-ins are counted by name and by address, in the shared database.

An attempt is counted before the password is looked at, and forgiven when it was right: of a thousand attempts that come
at the same moment, no more than the limit are looked at. Names are counted whether or not they exist, and by an
address only while it is within its own limit.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, delete, insert, select, update

from plaudit.feedback.log import timestamp
from plaudit.feedback.schema import throttles
from plaudit.web.label_store import LabelStore
from plaudit.web.people import folded
from plaudit.web.secret import fingerprint
from plaudit.web.sentences import RefusalError

WINDOW = timedelta(minutes=15)
ATTEMPTS_BY_NAME = 10
ATTEMPTS_BY_ADDRESS = 50  # a team behind one address mistypes, too


class Throttle:
    def __init__(self, store: LabelStore) -> None:
        self._store = store

    def attempt(self, name: str, address: str) -> None:
        """Count an attempt. RefusalError (429) where there were too many."""
        now = datetime.now(UTC)
        with self._store.writing() as connection:
            _forget(connection, now)
            allowed = _count(connection, _by_address(address), now) <= ATTEMPTS_BY_ADDRESS
            allowed = allowed and _count(connection, _by_name(name), now) <= ATTEMPTS_BY_NAME
        if not allowed:
            minutes = int(WINDOW.total_seconds() // 60)
            raise RefusalError(429, "slow-down", minutes=minutes, retry_seconds=minutes * 60)

    def forgive(self, name: str, address: str) -> None:
        """The attempt was right: the name begins anew, the address has one less."""
        with self._store.writing() as connection:
            connection.execute(delete(throttles).where(throttles.c.id == _by_name(name)))
            one_less = update(throttles).where(throttles.c.id == _by_address(address), throttles.c.failures > 0)
            connection.execute(one_less.values(failures=throttles.c.failures - 1))


def _by_name(name: str) -> str:
    return fingerprint(f"name {folded(name)}")


def _by_address(address: str) -> str:
    return fingerprint(f"address {address}")


def _forget(connection: Connection, now: datetime) -> None:
    """Names that nobody has need not exist to be counted: what is over is deleted, or there would be no end of them."""
    connection.execute(delete(throttles).where(throttles.c.since < timestamp(now - WINDOW)))


def _count(connection: Connection, key: str, now: datetime) -> int:
    """One more for `key`; how many there were since its window began."""
    row = connection.execute(select(throttles).where(throttles.c.id == key)).first()
    if row is None:
        connection.execute(insert(throttles), [{"id": key, "failures": 1, "since": timestamp(now)}])
        return 1
    one_more = update(throttles).where(throttles.c.id == key)
    connection.execute(one_more.values(failures=throttles.c.failures + 1))
    return int(row.failures) + 1
