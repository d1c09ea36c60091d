"""Who is signed in: a random token in a signed cookie, its hash in the database, so that it can be ended from there."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, exists, func, insert, select, update

from plaudit.feedback.events.log import AHEAD, timestamp
from plaudit.feedback.events.schema import accounts, sessions
from plaudit.web.label_store import LabelStore
from plaudit.web.people import Account, Role
from plaudit.web.secret import fingerprint, new_token
from plaudit.web.texts import RefusalError

LASTS = timedelta(days=30)
IDLE = timedelta(days=7)
KEPT = timedelta(days=90)  # once it has ended; a link, too
SEEN_EVERY = timedelta(minutes=15)  # how exactly the database knows when a session was last used


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
        """Sign in: the token for the cookie.

        RefusalError (401) where the account is disabled, or opens otherwise than when it was read: a sign-in that was
        under way meanwhile must not outlive what it rested on.
        """
        token, now = new_token(), timestamp(datetime.now(UTC))
        row = {"id": fingerprint(token), "annotator_id": account.name, "csrf": secrets.token_urlsafe(24)}
        with self._store.writing() as connection:
            found = connection.execute(select(accounts).where(accounts.c.annotator_id == account.name)).first()
            if found is None or found.disabled_at is not None or way_in(found) != account.way_in:
                raise RefusalError(401, "signed-out")
            _delete_old(connection)
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
            self._store.note(update(sessions).where(sessions.c.id == row.id).values(seen_at=timestamp(now)))
        account = Account(
            row.annotator_id, Role(row.account_role), row.account_language, row.account_created_at, session=row.id
        )
        return Session(row.id, account, row.csrf)

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


def way_in(row: Row[Any]) -> str:
    """What stands for that by which somebody signs in to the account, and says nothing of it."""
    return fingerprint(f"{row.password_hash}\0{row.oidc_issuer}\0{row.oidc_subject}")


def session_lasts(session_id: str) -> ColumnElement[bool]:
    """Whether it has not ended, as a part of a question."""
    return exists().where(sessions.c.id == session_id, *_alive())


def _alive() -> tuple[ColumnElement[bool], ...]:
    now = datetime.now(UTC)
    return (
        sessions.c.revoked_at.is_(None),
        sessions.c.created_at > timestamp(now - LASTS),
        sessions.c.seen_at > timestamp(now - IDLE),
        sessions.c.created_at < timestamp(now + AHEAD),
    )


def _delete_old(connection: Connection) -> None:
    """Where and when somebody worked is nobody's business for longer than it takes to notice a stolen account."""
    long_ago = datetime.now(UTC) - KEPT
    ended = sessions.c.revoked_at < timestamp(long_ago)
    connection.execute(delete(sessions).where(ended | (sessions.c.created_at < timestamp(long_ago - LASTS))))


def end_sessions(connection: Connection, name: str) -> None:
    theirs = update(sessions).where(sessions.c.annotator_id == name, sessions.c.revoked_at.is_(None))
    connection.execute(theirs.values(revoked_at=timestamp(datetime.now(UTC))))
