"""Accounts, and the one-time links by which people get one: the tables beside the event log that hold secrets.

There are no default credentials. Without any account, `plaudit label` prints a one-time link for the first owner;
everybody else joins by a link that a lead hands out. A link serves once: a claim is one conditional UPDATE, so that of
two browsers that come at the same moment one is turned down.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, insert, literal, select, update

from plaudit.feedback.events.log import AHEAD, timestamp
from plaudit.feedback.events.schema import accounts, annotators, invitations
from plaudit.printable import as_read
from plaudit.types import COMMAND_LINE, Annotator
from plaudit.web.label_store import LabelStore
from plaudit.web.people import (
    Account,
    Role,
    hash_password,
    is_outdated,
    matches,
    proper_name,
    proper_password,
    same_name,
)
from plaudit.web.secret import fingerprint, new_token
from plaudit.web.sessions import KEPT, end_sessions, session_lasts, way_in
from plaudit.web.texts import LANGUAGES, RefusalError
from plaudit.web.tokens import end_tokens, token_lasts

INVITATION_LASTS = timedelta(days=7)
FIRST_LINK_LASTS = timedelta(hours=24)
Bound = tuple[str, str] | tuple[None, None]  # issuer and subject, where somebody signs in with an OpenID provider
NO_PASSWORD = ""
BY_THE_PROGRAM = "plaudit"  # the first owner's link


@dataclass(frozen=True, slots=True)
class Invitation:
    """A one-time link that can still be used; `known` names the account whose password it sets anew."""

    id: str
    role: Role
    by: str
    made: str
    expires: str
    known: str | None


class Accounts:
    """Everybody who may sign in. RefusalError (a sentence) for what cannot be done as asked."""

    def __init__(self, store: LabelStore) -> None:
        self._store = store

    def all(self) -> list[Account]:
        with self._store.reading() as connection:
            return [_account(row) for row in connection.execute(select(accounts).order_by(accounts.c.created_at))]

    def find(self, name: str) -> Account | None:
        """Whose name it is, letter by letter or else as `same_name` has it.

        All accounts are looked through, whoever asks: how long a sign-in takes must not tell which names there are.
        """
        same = [account for account in self.all() if same_name(account.name, name)]
        return next((account for account in same if account.name == name.strip()), same[0] if same else None)

    def known(self, name: str) -> Account:
        account = self.find(name)
        if account is None:
            raise RefusalError(404, "not-found")
        return account

    def authenticate(self, name: str, password: str) -> Account | None:
        """The account, where name and password are right and it is not disabled."""
        account = self.find(name)
        known_hash = None if account is None else self.hash_of(account.name)
        right = matches(password, known_hash)
        if not right or account is None or account.disabled_at is not None:
            return None
        return self._with_new_hash(account, password) if is_outdated(str(known_hash)) else account

    def _with_new_hash(self, account: Account, password: str) -> Account:
        """A hash of an earlier version takes longer to compare, which tells strangers whose name there is."""
        password_hash = hash_password(password)
        with self._store.writing():
            now = self.known(account.name)
            if now.way_in == account.way_in:  # nobody has changed the password meanwhile
                self._set(account.name, password_hash=password_hash)
                return self.known(account.name)
        return account

    def change_password(self, by: Account, current: str, new: str) -> Account:
        """The account as it is then. All its sessions end, and links for or by it: who knew the old password is out.

        RefusalError as `acting` where whoever asks may no more when it is their turn.
        """
        name = by.name
        before = self.hash_of(name)
        if not matches(current, before):
            raise RefusalError(422, "password-wrong")
        password_hash = self._hashed(new, name)
        with self._store.writing() as connection:
            self.acting(by)
            if self.hash_of(name) != before:  # somebody else who knew it was quicker
                raise RefusalError(422, "password-wrong")
            self._renew(connection, name, password_hash=password_hash)
            self._store.act(name, "changed the password", name, {})
            return self.known(name)

    def change_language(self, name: str, language: str) -> None:
        self._set(name, language=_proper_language(language))

    def change_role(self, by: Account, name: str, role: Role) -> None:
        with self._store.writing() as connection:
            account = self.changeable(by, name)
            if role not in self.acting(by).role.may_give:
                raise RefusalError(403, "not-yours-to-change")
            self._set(account.name, role=str(role))
            if role.rank > account.role.rank:  # a session that somebody stole must not rise with the account
                end_sessions(connection, account.name)
            _end_links(connection, _for_or_by(account.name))
            end_tokens(connection, account.name, role)

    def disable(self, by: Account, name: str) -> None:
        """Let the account sign in no more; what it said stays. Its sessions end at once."""
        with self._store.writing() as connection:
            account = self.changeable(by, name)
            self._renew(connection, account.name, disabled_at=_now())

    def enable(self, by: Account, name: str) -> None:
        with self._store.writing():
            self._set(self.changeable(by, name).name, disabled_at=None)

    def sign_out(self, by: Account, name: str) -> None:
        with self._store.writing():
            self.end_all(self.changeable(by, name).name)

    def end_all(self, name: str) -> None:
        """Sign the person out everywhere. A token or a link may be a thief's who had one of the sessions."""
        with self._store.writing() as connection:
            end_sessions(connection, name)
            end_tokens(connection, name)
            _end_links(connection, _for_or_by(name))

    def changeable(self, by: Account, name: str) -> Account:
        """The account, where `by` may change it as things are now. Nobody may change themselves: an owner remains."""
        account = self.known(name)
        if not self.acting(by).may_change(account):
            raise RefusalError(403, "not-yours-to-change")
        return account

    def acting(self, by: Account) -> Account:
        """The account as it is now: between a request and its turn to write, somebody may have put it out.

        RefusalError where it is disabled, or leads no more and did (403), or its session or token has ended (401).
        """
        lasts = (literal(True) if by.session is None else session_lasts(by.session)).label("session_lasts")
        token = (literal(True) if by.token is None else token_lasts(by.token)).label("token_lasts")
        query = select(accounts, lasts, token).where(accounts.c.annotator_id == by.name)
        with self._store.reading() as connection:  # one question: others wait while it is answered
            row = connection.execute(query).first()
        if row is not None and not row.session_lasts:
            raise RefusalError(401, "signed-out")
        if row is not None and not row.token_lasts:
            raise RefusalError(401, "token-ended")
        if row is None or row.disabled_at is not None or (by.role.leads and not Role(row.role).leads):
            raise RefusalError(403, "role")
        return _account(row)

    def invite(self, by: Account, role: Role) -> str:
        """A one-time link's token. Only its hash is kept: it can be shown now and never again."""
        with self._store.writing():
            if role not in self.acting(by).role.may_give:
                raise RefusalError(403, "not-yours-to-change")
            return self._invitation(role, by.name, INVITATION_LASTS)

    def invite_again(self, by: Account, name: str) -> str:
        """A one-time link's token for somebody who forgot the password."""
        with self._store.writing():
            account = self.changeable(by, name)
            return self._invitation(account.role, by.name, INVITATION_LASTS, known=account.name)

    def first_invitation(self) -> str:
        """A one-time link's token for an owner; earlier ones that the program made serve no more."""
        with self._store.writing() as connection:
            mine = invitations.c.created_by == BY_THE_PROGRAM
            _end_links(connection, mine)
            self._store.act(COMMAND_LINE, "made a link for an owner", str(Role.OWNER), {})
            return self._invitation(Role.OWNER, BY_THE_PROGRAM, FIRST_LINK_LASTS)

    def _invitation(self, role: Role, by: str, lasts: timedelta, known: str | None = None) -> str:
        token, now = new_token(), datetime.now(UTC)
        row = {"id": fingerprint(token), "role": str(role), "created_by": by, "created_at": timestamp(now)}
        row["expires_at"] = timestamp(now + lasts)
        with self._store.writing() as connection:
            long_ago = timestamp(now - KEPT)  # the log of actions says who made and used it
            over = (invitations.c.used_at < long_ago) | (invitations.c.expires_at < long_ago)
            connection.execute(delete(invitations).where(over))
            connection.execute(insert(invitations).values(**row, used_by=known))
        return token

    def invitation(self, token: str) -> Invitation:
        """The invitation behind a link. RefusalError, in the same words, for one used, expired or never made."""
        invitation = next((it for it in self.invitations() if it.id == fingerprint(token)), None)
        if invitation is None:
            raise RefusalError(404, "link-used")
        return invitation

    def invitations(self) -> list[Invitation]:
        """Those that can still be used."""
        with self._store.reading() as connection:
            rows = connection.execute(select(invitations).where(*_open()).order_by(invitations.c.created_at)).all()
        return [
            Invitation(row.id, Role(row.role), row.created_by, row.created_at, row.expires_at, row.used_by)
            for row in rows
        ]

    def uninvite(self, by: Account, invitation_id: str) -> Invitation:
        with self._store.writing() as connection:
            invitation = next((it for it in self.invitations() if it.id == invitation_id), None)
            if invitation is None or invitation.role not in self.acting(by).role.may_give:
                raise RefusalError(404, "not-found")
            _end_links(connection, invitations.c.id == invitation.id)
        return invitation

    def join(self, token: str, name: str, password: str, language: str) -> Account:
        """Use a link: a new account, or a new password for a known one, which is then signed out everywhere."""
        invitation = self.invitation(token)
        name = invitation.known or proper_name(name)
        password_hash = self._hashed(password, name)  # slow, so before the transaction
        return self._use(invitation, name, language, password_hash, (None, None))

    def join_bound(self, token: str, bound: tuple[str, str], name: str, language: str) -> Account:
        """As `join`, for somebody who signs in with an OpenID provider: issuer and subject instead of a password."""
        invitation = self.invitation(token)
        return self._use(invitation, invitation.known or proper_name(name), language, NO_PASSWORD, bound)

    def join_by_domain(self, domain: str, bound: tuple[str, str], name: str, language: str) -> Account:
        """A new annotator without an invitation, whose e-mail address is the provider's word."""
        name = proper_name(name)
        with self._store.writing() as connection:
            self._refuse_bound(bound, name)
            self._refuse_taken(connection, name)
            self._add(connection, name, Role.ANNOTATOR, language, NO_PASSWORD, bound)
            self._store.act(name, "joined", name, {"role": str(Role.ANNOTATOR), "e-mail of": domain})
            return self.known(name)

    def bound_to(self, issuer: str, subject: str) -> Account | None:
        """Who signs in with the provider as that, also where the account is disabled."""
        theirs = (accounts.c.oidc_issuer == issuer) & (accounts.c.oidc_subject == subject)
        with self._store.reading() as connection:
            row = connection.execute(select(accounts).where(theirs)).first()
        return None if row is None else _account(row)

    def has_password(self, name: str) -> bool:
        return bool(self.hash_of(name))

    def _use(self, invitation: Invitation, name: str, language: str, password_hash: str, bound: Bound) -> Account:
        with self._store.writing() as connection:
            _claim(connection, invitation.id, name)
            self._refuse_bound(bound, name)
            if invitation.known:
                way_in = {"password_hash": password_hash, "oidc_issuer": bound[0], "oidc_subject": bound[1]}
                self._renew(connection, name, language=_proper_language(language), **way_in)
            else:
                self._refuse_taken(connection, name)
                self._add(connection, name, invitation.role, language, password_hash, bound)
            self._note(invitation, name)
            return self.known(name)

    def _note(self, invitation: Invitation, name: str) -> None:
        """Every use of a link stands in the log: who made a link for somebody else may have used it themselves."""
        anew = "set a new password" if self.has_password(name) else "now signs in with the provider"
        what = anew if invitation.known else "joined"
        self._store.act(name, what, name, {"role": str(invitation.role), "invited by": invitation.by})

    def _refuse_taken(self, connection: Connection, name: str) -> None:
        """A name that is read as another is taken; also where that one gave feedback some other way."""
        taken = [*connection.execute(select(annotators.c.id)).scalars(), *(a.name for a in self.all())]
        if as_read(name) in map(as_read, taken):
            raise RefusalError(409, "name-taken")

    def _refuse_bound(self, bound: Bound, name: str) -> None:
        """One sign-in at the provider is one person here."""
        issuer, subject = bound
        account = self.bound_to(issuer, subject) if issuer and subject else None
        if account is not None and account.name != name:
            raise RefusalError(409, "oidc-taken")

    def _add(
        self, connection: Connection, name: str, role: Role, language: str, password_hash: str, bound: Bound
    ) -> None:
        self._store.add_annotators([Annotator(name)])
        row = {"annotator_id": name, "role": str(role), "password_hash": password_hash}
        row |= {"language": _proper_language(language), "created_at": _now()}
        connection.execute(insert(accounts).values(**row, oidc_issuer=bound[0], oidc_subject=bound[1]))

    def _hashed(self, password: str, name: str) -> str:
        return hash_password(proper_password(password, name, self._store.settings().name, BY_THE_PROGRAM))

    def hash_of(self, name: str) -> str | None:
        with self._store.reading() as connection:
            query = select(accounts.c.password_hash).where(accounts.c.annotator_id == name)
            return connection.execute(query).scalar()

    def _renew(self, connection: Connection, name: str, **values: Any) -> None:
        """Change the account so that nothing which rested on what it was goes on."""
        self._set(name, **values)
        end_sessions(connection, name)
        end_tokens(connection, name)
        _end_links(connection, _for_or_by(name))

    def _set(self, name: str, **values: Any) -> None:
        with self._store.writing() as connection:
            connection.execute(update(accounts).where(accounts.c.annotator_id == name).values(**values))


def _claim(connection: Connection, invitation_id: str, name: str) -> None:
    claim = update(invitations).where(invitations.c.id == invitation_id, *_open())
    if connection.execute(claim.values(used_at=_now(), used_by=name)).rowcount != 1:
        raise RefusalError(404, "link-used")


def _open() -> tuple[ColumnElement[bool], ...]:
    """Links that can still be used."""
    now = datetime.now(UTC)
    return (
        invitations.c.used_at.is_(None),
        invitations.c.expires_at > timestamp(now),
        invitations.c.created_at < timestamp(now + AHEAD),
    )


def _end_links(connection: Connection, which: ColumnElement[bool]) -> None:
    """Links that nobody has used yet serve no more: what gave the right to them has changed."""
    unused = update(invitations).where(which, invitations.c.used_at.is_(None))
    connection.execute(unused.values(expires_at=_now()))


def _for_or_by(name: str) -> ColumnElement[bool]:
    return (invitations.c.used_by == name) | (invitations.c.created_by == name)


def _account(row: Row[Any]) -> Account:
    about = row.annotator_id, Role(row.role), row.language, row.created_at, row.disabled_at
    return Account(*about, way_in=way_in(row))


def _proper_language(language: str) -> str:
    if language not in LANGUAGES:
        raise RefusalError(422, "language-unknown")
    return language


def _now() -> str:
    return timestamp(datetime.now(UTC))
