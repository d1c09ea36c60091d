"""Who may do what, and who they are: roles, names and passwords. The rules alone; `accounts` keeps the people."""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from plaudit.feedback.events.log import SOMEBODY
from plaudit.printable import as_read, is_hidden, scripts_of
from plaudit.types import COMMAND_LINE
from plaudit.web.texts import RETRY_SECONDS, RefusalError

LONGEST_NAME = 60
OWN_NAMES = {as_read(name) for name in (SOMEBODY, COMMAND_LINE)}  # who acts in the log where no person does
LEAST_CHARACTERS = 10  # of a password (NIST SP 800-63B, 5.1.1.2, asks for 8)
MOST_CHARACTERS = 200
LEAST_GUESSES = (
    10**8
)  # that whoever knows common passwords, words and names needs: 10,000 days of what `throttle` lets by
WEIGHED_CHARACTERS = 72  # of a password; the time grows with the square of them, and 0.05 s are enough
HASHES_AT_ONCE = 1  # each takes a processor: a storm of sign-ins must leave others theirs
MOST_WAITING = 12  # for a hash, those at work included: each holds one of a worker's 40 threads
# argon2id as OWASP's "Password Storage Cheat Sheet" asks for at least: 46 MiB, one pass, one lane. RFC 9106's 64 MiB,
# 3 passes and 4 lanes take three times the time, on all processors of the machine at once.
HASHER = Argon2Hasher(time_cost=1, memory_cost=47_104, parallelism=1)

_hashing = threading.BoundedSemaphore(HASHES_AT_ONCE)
_waiting = threading.BoundedSemaphore(MOST_WAITING)
_weighing = threading.Lock()


class Role(StrEnum):
    """What an account may do; each may do what those before it may."""

    ANNOTATOR = "annotator"
    LEAD = "lead"
    OWNER = "owner"

    @property
    def rank(self) -> int:
        return list(Role).index(self)

    @property
    def leads(self) -> bool:
        return self is not Role.ANNOTATOR

    @property
    def may_give(self) -> tuple[Role, ...]:
        """Roles that this one may give to others: owners any, leads only the annotator's."""
        return {Role.OWNER: tuple(Role), Role.LEAD: (Role.ANNOTATOR,), Role.ANNOTATOR: ()}[self]


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who signs in. The name is also the annotator's id in the feedback store."""

    name: str
    role: Role
    language: str
    created_at: str
    disabled_at: str | None = None
    session: str | None = field(default=None, compare=False)  # id of the one that asks, where it is a browser's
    token: str | None = field(default=None, compare=False)  # where it is a script's
    way_in: str = field(default="", compare=False, repr=False)  # stands for what opened it when this was read

    def may_change(self, other: Account) -> bool:
        """Whether this account may disable, sign out or reset the other one. Nobody may do that to themselves."""
        return other.name != self.name and other.role in self.role.may_give


def _normal(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def proper_name(typed: str) -> str:
    """The name as it is kept. RefusalError where it could be mistaken for something else, or for nothing."""
    name = _normal(" ".join(typed.split()))
    unreadable = any(map(is_hidden, name)) or not any(map(str.isalnum, name)) or len(scripts_of(name)) > 1
    # the program's own actors, `dataset:NAME` and `simulated-NN`, must never be a person
    own = ":" in name or as_read(name) in OWN_NAMES or as_read(name).startswith("simulated-")
    if not 1 <= len(name) <= LONGEST_NAME or unreadable or own:
        raise RefusalError(422, "name-improper")
    return name


def same_name(name: str, other: str) -> bool:
    """Names that differ in capitals and widths alone are one name: a phone writes the first letter large."""
    return fold_name(name) == fold_name(other)


def fold_name(name: str) -> str:
    """The one form of all spellings of a name."""
    return _normal(" ".join(name.split())).casefold()


def proper_password(password: str, *about: str) -> str:
    """The password itself. RefusalError where it is too easily guessed, also by who knows `about` its person."""
    if len(password) < LEAST_CHARACTERS:
        raise RefusalError(422, "password-short", least=LEAST_CHARACTERS)
    if len(password) > MOST_CHARACTERS:
        raise RefusalError(422, "password-long", most=MOST_CHARACTERS)
    if _guesses(password, about) < LEAST_GUESSES:
        raise RefusalError(422, "password-weak")
    return password


def _guesses(password: str, about: Sequence[str]) -> float:
    """How many somebody needs who tries what is likely first (Wheeler 2016, zxcvbn)."""
    from zxcvbn import zxcvbn  # its lists of words take a while to be read

    known = {text for whole in about for text in (whole, *re.findall(r"\w+", whole)) if text}
    with _weighing:  # it keeps what is known of a person where other threads would find it
        weighed = zxcvbn(_normal(password)[:WEIGHED_CHARACTERS], sorted(_normal(it) for it in known))
    return float(weighed["guesses"])


@contextmanager
def _turn_to_hash() -> Iterator[None]:
    """RefusalError (503) at once where many wait."""
    if not _waiting.acquire(blocking=False):
        raise RefusalError(503, "crowded", retry_seconds=RETRY_SECONDS)
    try:
        with _hashing:
            yield
    finally:
        _waiting.release()


def hash_password(password: str) -> str:
    with _turn_to_hash():
        return _hasher().hash(_bytes(password))


def matches(password: str, password_hash: str | None) -> bool:
    """Whether the password is right. It takes as long where there is no such account or it has no password."""
    password = password[: MOST_CHARACTERS + 1]
    with _turn_to_hash():
        right = _hasher().verify(_bytes(password), password_hash or _nobodys())
    return right and bool(password_hash)  # "": no password opens it


def is_outdated(password_hash: str) -> bool:
    """Whether it was made by other settings than those of today."""
    return _hasher().current_hasher.check_needs_rehash(password_hash)


def _bytes(password: str) -> bytes:
    return _normal(password).encode("utf-8", "surrogatepass")


@cache
def _hasher() -> PasswordHash:
    return PasswordHash((HASHER,))


@cache
def _nobodys() -> str:
    return _hasher().hash(b"nobody")


def warm_up() -> None:
    """Make the hash that unknown names are compared with, so that not even the first one takes longer."""
    _nobodys()
