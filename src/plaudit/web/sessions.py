"""Who is signed in: a random token in a signed cookie, its hash in the database, so that it can be ended from there.

Guessing passwords is limited: failed sign-ins are counted by name and address together, by address, and by name, in the
shared database. So whoever guesses from one place locks nobody out elsewhere, and whoever guesses from many is stopped
by the name's own, larger limit. An attempt is counted before the password is looked at, and forgiven when it was right:
of a thousand attempts that come at the same moment, no more than the limit are looked at. Names are counted whether or
not they exist, and by an address only while it is within its own limit.
"""

from __future__ import annotations

import hmac
import ipaddress
import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from plaudit.errors import PlauditError
from plaudit.feedback.events.log import timestamp
from plaudit.feedback.events.schema import accounts, sessions, throttles
from plaudit.web.label_store import LabelStore
from plaudit.web.people import Account, Role, fold_name
from plaudit.web.secret import fingerprint, new_token
from plaudit.web.texts import RefusalError

LASTS = timedelta(days=30)
IDLE = timedelta(days=7)
SEEN_EVERY = timedelta(minutes=15)  # how exactly the database knows when a session was last used

log = logging.getLogger("plaudit.web")
WINDOW = timedelta(minutes=15)  # in which failed sign-ins are counted
ATTEMPTS_BY_NAME = 10  # from one address
ATTEMPTS_BY_NAME_ANYWHERE = 100
ATTEMPTS_BY_ADDRESS = 50  # a team behind one address mistypes, too


@dataclass(frozen=True, slots=True)
class Session:
    """One browser of one person, signed in."""

    id: str
    account: Account
    csrf: str  # goes with every form and every POST

    def sent(self, csrf: str | None) -> bool:
        return csrf is not None and hmac.compare_digest(self.csrf.encode(), csrf.encode("utf-8", "replace"))


@dataclass(frozen=True, slots=True)
class Visit:
    """Where somebody is signed in, as they are told it."""

    id: str
    begun: str
    seen: str


class Sessions:
    def __init__(self, store: LabelStore) -> None:
        self._store = store

    def begin(self, account: Account) -> str:
        """Sign in: the token for the cookie."""
        token, now = new_token(), timestamp(datetime.now(UTC))
        row = {"id": fingerprint(token), "annotator_id": account.name, "csrf": secrets.token_urlsafe(24)}
        with self._store.writing() as connection:
            connection.execute(insert(sessions), [row | {"created_at": now, "seen_at": now, "revoked_at": None}])
        return token

    def find(self, token: str) -> Session | None:
        """The session, unless it has ended, is too old, was idle for too long, or its account is disabled."""
        now = datetime.now(UTC)
        query = select(sessions, *(c.label(f"account_{c.name}") for c in accounts.c)).join(
            accounts, accounts.c.annotator_id == sessions.c.annotator_id
        )
        query = query.where(sessions.c.id == fingerprint(token), accounts.c.disabled_at.is_(None), *_alive())
        with self._store.reading() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        if row.seen_at < timestamp(now - SEEN_EVERY):
            self._note_seen(row.id, now)
        account = Account(
            row.annotator_id, Role(row.account_role), row.account_language, row.account_created_at, session=row.id
        )
        return Session(row.id, account, row.csrf)

    def _note_seen(self, session_id: str, now: datetime) -> None:
        try:
            with self._store.writing() as connection:
                its = sessions.c.id == session_id
                connection.execute(update(sessions).where(its).values(seen_at=timestamp(now)))
        except PlauditError as refusal:  # whoever is signed in goes on working
            log.warning("%s", refusal)

    def of(self, name: str) -> list[Visit]:
        """Everywhere the person is signed in, newest first."""
        theirs = select(sessions).where(sessions.c.annotator_id == name, *_alive())
        with self._store.reading() as connection:
            rows = connection.execute(theirs.order_by(sessions.c.created_at.desc())).all()
        return [Visit(row.id, row.created_at, row.seen_at) for row in rows]

    def counts(self) -> dict[str, int]:
        """Name -> in how many browsers the person is signed in."""
        count = select(sessions.c.annotator_id, func.count()).where(*_alive()).group_by(sessions.c.annotator_id)
        with self._store.reading() as connection:
            return {row[0]: row[1] for row in connection.execute(count)}

    def end(self, session_id: str) -> None:
        with self._store.writing() as connection:
            its = sessions.c.id == session_id
            connection.execute(update(sessions).where(its).values(revoked_at=timestamp(datetime.now(UTC))))

    def end_all(self, name: str, but: str | None = None) -> None:
        """Sign the person out everywhere, or everywhere but in one session."""
        with self._store.writing() as connection:
            end_sessions(connection, name, but)


def has_ended(connection: Connection, session_id: str) -> bool:
    query = select(sessions.c.id).where(sessions.c.id == session_id, *_alive())
    return connection.execute(query).first() is None


def _alive() -> tuple[ColumnElement[bool], ...]:
    now = datetime.now(UTC)
    return (
        sessions.c.revoked_at.is_(None),
        sessions.c.created_at > timestamp(now - LASTS),
        sessions.c.seen_at > timestamp(now - IDLE),
    )


def end_sessions(connection: Connection, name: str, but: str | None = None) -> None:
    theirs = update(sessions).where(sessions.c.annotator_id == name, sessions.c.revoked_at.is_(None))
    theirs = theirs if but is None else theirs.where(sessions.c.id != but)
    connection.execute(theirs.values(revoked_at=timestamp(datetime.now(UTC))))


class Throttle:
    def __init__(self, store: LabelStore) -> None:
        self._store = store

    def attempt(self, name: str, address: str) -> None:
        """Count an attempt. RefusalError (429) where there were too many."""
        now = datetime.now(UTC)
        limits = _limits(name, address)
        if allowed := self._may_try(limits, now):  # who may not, does not even wait for the turn to write
            with self._store.writing() as connection:
                _forget(connection, now)
                allowed = all(_count(connection, key, now) <= most for key, most in limits)
        if not allowed:
            minutes = int(WINDOW.total_seconds() // 60)
            raise RefusalError(429, "slow-down", minutes=minutes, retry_seconds=minutes * 60)

    def forgive(self, name: str, address: str) -> None:
        """The attempt was right: the name begins anew there, and address and name have one less."""
        (by_address, _), (there, _), (anywhere, _) = _limits(name, address)
        with self._store.writing() as connection:
            connection.execute(delete(throttles).where(throttles.c.id == there))
            one_less = update(throttles).where(throttles.c.id.in_([by_address, anywhere]), throttles.c.failures > 0)
            connection.execute(one_less.values(failures=throttles.c.failures - 1))

    def _may_try(self, limits: Sequence[tuple[str, int]], now: datetime) -> bool:
        counted = select(throttles.c.id, throttles.c.failures).where(throttles.c.id.in_([key for key, _ in limits]))
        counted = counted.where(throttles.c.since.between(timestamp(now - WINDOW), timestamp(now + WINDOW)))
        with self._store.reading() as connection:
            failures = {row.id: row.failures for row in connection.execute(counted)}
        return all(failures.get(key, 0) < most for key, most in limits)


def _limits(name: str, address: str) -> tuple[tuple[str, int], ...]:
    """What an attempt is counted under, and how many each may have."""
    name, network = fold_name(name), _network(address)
    return (
        (fingerprint(f"address {network}"), ATTEMPTS_BY_ADDRESS),
        (fingerprint(f"name {name} address {network}"), ATTEMPTS_BY_NAME),
        (fingerprint(f"name {name}"), ATTEMPTS_BY_NAME_ANYWHERE),
    )


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
