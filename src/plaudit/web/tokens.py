"""Tokens by which a script calls the API in somebody's name, for one purpose and for at most a year.

A token is signed with the workspace's key, so that a wrong one is turned down before the database is asked, and the
database keeps its hash alone. It ends for good by being revoked, with its account, with the right to its scope, and
when the password is changed: whoever made it may have been somebody who knew the old one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, exists, func, insert, select, update

from plaudit.feedback.events.log import AHEAD, timestamp
from plaudit.feedback.events.schema import accounts, tokens
from plaudit.web.label_store import LabelStore
from plaudit.web.people import Account, Role, proper_name
from plaudit.web.secret import Secret, fingerprint, new_token
from plaudit.web.sessions import KEPT
from plaudit.web.texts import RefusalError

PREFIX = "plaudit_"  # tells people, and programs that look for secrets in code, what it is
MOST_DAYS = 365
MOST_TOKENS = 20  # of one person at a time
MOST_A_DAY = 50  # made by one person: each stands in the log of actions for ever
USED_EVERY = timedelta(minutes=15)  # how exactly the database knows when a token was last used


class Scope(StrEnum):
    """What a token is for."""

    ANNOTATE = "annotate"  # the annotator's API
    READ = "read"  # quality figures and everything that was said

    def suits(self, role: Role) -> bool:
        return self is Scope.ANNOTATE or role.leads


@dataclass(frozen=True, slots=True)
class Token:
    """A token that can be used; the text of it nobody has but who made it."""

    id: str
    holder: str
    name: str
    scope: Scope
    made: str
    expires: str
    used: str | None


class Tokens:
    def __init__(self, store: LabelStore, secret: Secret) -> None:
        self._store = store
        self._secret = secret

    def make(self, account: Account, name: str, scope: Scope, days: int) -> str:
        """A new token's text, which can be shown now and never again."""
        name, token, now = proper_name(name), new_token(), datetime.now(UTC)
        row = {"id": fingerprint(token), "annotator_id": account.name, "name": name, "scope": str(scope)}
        row |= {"created_at": timestamp(now), "expires_at": timestamp(now + timedelta(days=min(days, MOST_DAYS)))}
        with self._store.writing() as connection:
            if not scope.suits(account.role):
                raise RefusalError(403, "role")
            if len(self.all(tokens.c.annotator_id == account.name)) >= MOST_TOKENS:
                raise RefusalError(409, "too-many-tokens", most=MOST_TOKENS)
            if _made_since(connection, account.name, now - timedelta(days=1)) >= MOST_A_DAY:
                raise RefusalError(429, "too-many-tokens-today", most=MOST_A_DAY)
            _delete_old(connection, now)
            connection.execute(insert(tokens).values(**row))
            self._store.act(account.name, "made a token", account.name, {"token": name, "scope": str(scope)})
        return f"{PREFIX}{self._secret.sign('token', token)}"

    def is_signed(self, text: str) -> bool:
        """Whether it was made here; whether it has ended is seen later."""
        return self._secret.read_signed("token", text.removeprefix(PREFIX)) is not None

    def find(self, text: str) -> tuple[Token, Account] | None:
        """The token and whose it is, unless it has ended or its account is disabled."""
        token = self._secret.read_signed("token", text.removeprefix(PREFIX))
        if token is None:
            return None
        holders = (c.label(f"account_{c.name}") for c in accounts.c)
        query = select(tokens, *holders).join(accounts, accounts.c.annotator_id == tokens.c.annotator_id)
        query = query.where(tokens.c.id == fingerprint(token), accounts.c.disabled_at.is_(None), *_alive())
        with self._store.reading() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        self._note_used(row)
        about = row.annotator_id, Role(row.account_role), row.account_language, row.account_created_at
        return _token(row), Account(*about, token=row.id)

    def _note_used(self, row: Row[Any]) -> None:
        now = datetime.now(UTC)
        if row.used_at is not None and row.used_at > timestamp(now - USED_EVERY):
            return
        self._store.note(update(tokens).where(tokens.c.id == row.id).values(used_at=timestamp(now)))

    def all(self, *which: ColumnElement[bool]) -> list[Token]:
        """Those that can be used, newest first."""
        query = select(tokens).where(*which, *_alive()).order_by(tokens.c.created_at.desc())
        with self._store.reading() as connection:
            return [_token(row) for row in connection.execute(query)]

    def of(self, name: str) -> list[Token]:
        return self.all(tokens.c.annotator_id == name)

    def known(self, token_id: str) -> Token:
        """RefusalError (404) where there is none that can be used."""
        token = next(iter(self.all(tokens.c.id == token_id)), None)
        if token is None:
            raise RefusalError(404, "not-found")
        return token

    def revoke(self, by: str, token: Token) -> None:
        with self._store.writing() as connection:
            _end(connection, tokens.c.id == token.id)
            self._store.act(by, "revoked a token", token.holder, {"token": token.name, "scope": str(token.scope)})


def token_lasts(token_id: str) -> ColumnElement[bool]:
    """Whether it can still be used, as a part of a question."""
    return exists().where(tokens.c.id == token_id, *_alive())


def end_tokens(connection: Connection, name: str, role: Role | None = None) -> None:
    """All tokens of the person; with a role, those that it has no right to."""
    ended = [str(scope) for scope in Scope if role is None or not scope.suits(role)]
    _end(connection, (tokens.c.annotator_id == name) & tokens.c.scope.in_(ended))


def _end(connection: Connection, which: ColumnElement[bool]) -> None:
    now = timestamp(datetime.now(UTC))
    connection.execute(update(tokens).where(which, tokens.c.revoked_at.is_(None)).values(revoked_at=now))


def _made_since(connection: Connection, name: str, moment: datetime) -> int:
    made = select(func.count()).where(tokens.c.annotator_id == name, tokens.c.created_at > timestamp(moment))
    return connection.execute(made).scalar_one()


def _delete_old(connection: Connection, now: datetime) -> None:
    """The log of actions says who made and revoked them."""
    long_ago = timestamp(now - KEPT)
    connection.execute(delete(tokens).where((tokens.c.revoked_at < long_ago) | (tokens.c.expires_at < long_ago)))


def _alive() -> tuple[ColumnElement[bool], ...]:
    now = datetime.now(UTC)
    return (
        tokens.c.revoked_at.is_(None),
        tokens.c.expires_at > timestamp(now),
        tokens.c.created_at < timestamp(now + AHEAD),
    )


def _token(row: Row[Any]) -> Token:
    return Token(row.id, row.annotator_id, row.name, Scope(row.scope), row.created_at, row.expires_at, row.used_at)
