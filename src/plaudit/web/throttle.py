"""How often a password may be guessed: attempts are counted in the shared database, under several limits each.

Failed sign-ins are counted by name and address together, by address, and by name. So whoever guesses from one place
locks nobody out elsewhere, and whoever guesses from many is stopped by the name's own, larger limit. That limit must
not lock the person out either: a browser in which they signed in before is counted by itself alone (a "device cookie",
https://owasp.org/www-community/Slow_Down_Online_Guessing_Attacks_with_Device_Cookies).

An attempt is counted before the password is looked at, and forgiven when it was right: of a thousand attempts that come
at the same moment, no more than the limit are looked at. Names are counted whether or not they exist, and by an address
only while it is within its own limit.

What was right is counted, too. Each takes a processor for a while, and whoever has an account could keep all others
from theirs.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, delete, insert, select, update

from plaudit.feedback.events.log import SOMEBODY, timestamp
from plaudit.feedback.events.schema import throttles
from plaudit.web.label_store import LabelStore
from plaudit.web.people import fold_name
from plaudit.web.secret import fingerprint
from plaudit.web.texts import RefusalError

WINDOW = timedelta(minutes=15)  # in which failed attempts are counted
ATTEMPTS_BY_NAME = 10  # from one address
ATTEMPTS_BY_NAME_ANYWHERE = 100
ATTEMPTS_BY_ADDRESS = 50  # a team behind one address mistypes, too
ATTEMPTS_BY_ONE = 10  # by one session, or by one browser that is known
RIGHT_BY_NAME = 30  # sign-ins, and as many changes of the password


@dataclass(frozen=True, slots=True)
class Limit:
    """What an attempt is counted under, and how many it may have."""

    key: str
    most: int
    begins_anew: bool = False  # once an attempt was right; else that one attempt is forgiven


Limits = tuple[Limit, ...]


def by_name_and_address(name: str, address: str) -> Limits:
    name, network = fold_name(name), _network(address)
    return (
        Limit(fingerprint(f"address {network}"), ATTEMPTS_BY_ADDRESS),
        Limit(fingerprint(f"name {name} address {network}"), ATTEMPTS_BY_NAME, begins_anew=True),
        Limit(fingerprint(f"name {name}"), ATTEMPTS_BY_NAME_ANYWHERE),
    )


def by_browser(token: str) -> Limits:
    return (Limit(fingerprint(f"browser {token}"), ATTEMPTS_BY_ONE, begins_anew=True),)


def by_session(session_id: str) -> Limits:
    return (Limit(fingerprint(f"session {session_id}"), ATTEMPTS_BY_ONE, begins_anew=True),)


def right_by(name: str, what: str) -> Limits:
    """What a right password is counted under, which nobody but its person can use up."""
    return (Limit(fingerprint(f"right {what} {fold_name(name)}"), RIGHT_BY_NAME),)


class Throttle:
    def __init__(self, store: LabelStore) -> None:
        self._store = store

    def attempt(self, limits: Limits) -> None:
        """Count an attempt. RefusalError (429) where there were too many."""
        now = datetime.now(UTC)
        if allowed := self._may_try(limits, now):  # who may not, does not even wait for the turn to write
            with self._store.writing() as connection:
                _forget(connection, now)
                allowed = all(_count(connection, limit.key, now) <= limit.most for limit in limits)
        if not allowed:
            minutes = int(WINDOW.total_seconds() // 60)
            raise RefusalError(429, "slow-down", minutes=minutes, retry_seconds=minutes * 60)

    def forgive(self, limits: Limits) -> None:
        """The attempt was right."""
        over = [limit.key for limit in limits if limit.begins_anew]
        others = [limit.key for limit in limits if not limit.begins_anew]
        with self._store.writing() as connection:
            connection.execute(delete(throttles).where(throttles.c.id.in_(over)))
            one_less = update(throttles).where(throttles.c.id.in_(others), throttles.c.failures > 0)
            connection.execute(one_less.values(failures=throttles.c.failures - 1))

    def note_stop(self, limits: Limits, name: str, is_known: bool) -> None:
        """Write into the log of actions that a known name's password was guessed up to a limit, once a window."""
        now = datetime.now(UTC)
        if self._may_try(limits, now):
            return
        with self._store.writing() as connection:
            is_new = _count(connection, fingerprint(f"noted {fold_name(name)}"), now) == 1  # also of nobody: as long
            if is_new and is_known:
                self._store.act(SOMEBODY, "stopped guesses", name, {})

    def _may_try(self, limits: Limits, now: datetime) -> bool:
        keys = [limit.key for limit in limits]
        counted = select(throttles.c.id, throttles.c.failures).where(throttles.c.id.in_(keys))
        counted = counted.where(throttles.c.since.between(timestamp(now - WINDOW), timestamp(now + WINDOW)))
        with self._store.reading() as connection:
            failures = {row.id: row.failures for row in connection.execute(counted)}
        return all(failures.get(limit.key, 0) < limit.most for limit in limits)


def _network(address: str) -> str:
    """The address; of IPv6 the /64, as whoever has one address has all of those."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((known, 64), strict=False)) if known.version == 6 else address


def _forget(connection: Connection, now: datetime) -> None:
    """Names that nobody has need not exist to be counted: what is over is deleted, or there would be no end of them."""
    long_ago, ahead = throttles.c.since < timestamp(now - WINDOW), throttles.c.since > timestamp(now + WINDOW)
    connection.execute(delete(throttles).where(long_ago | ahead))  # ahead: the clock was wrong once


def _count(connection: Connection, key: str, now: datetime) -> int:
    """One more for `key`; how many there were since its window began."""
    row = connection.execute(select(throttles).where(throttles.c.id == key)).first()
    if row is None:
        connection.execute(insert(throttles), [{"id": key, "failures": 1, "since": timestamp(now)}])
        return 1
    one_more = update(throttles).where(throttles.c.id == key)
    connection.execute(one_more.values(failures=throttles.c.failures + 1))
    return int(row.failures) + 1
