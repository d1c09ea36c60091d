"""The workspace's secret key, and all that is made with it: signed cookies, one-time tokens, opaque names.

The key is a file in the workspace that only its owner may read, made once and shared by all workers. Deleting it signs
everybody out, ends scripts' tokens, and does no other harm. Sessions, invitations and scripts' tokens are looked up by
a hash, so that who reads the database, or a backup of it, can neither sign in nor join.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path

from itsdangerous import BadSignature, Signer

from plaudit.errors import PlauditError
from plaudit.files import writing

FILE = "secret.key"
TOKEN_BYTES = 32
HALF = 24  # bits: `Secret.blinded` numbers up to 2^48, which JavaScript holds exactly
HANDLE_HALF = 32  # bits: ids are 16 hexadecimal digits
HANDLE = re.compile(r"[0-9a-f]{16}")
ROUNDS = 4  # make a Feistel network a pseudorandom permutation (Luby and Rackoff 1988)


def new_token() -> str:
    """What stands in a cookie or a one-time link: 256 random bits."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def fingerprint(token: str) -> str:
    """What the database keeps of a token. No salt and no stretching: there is nothing to guess in 256 random bits."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def key_of(folder: Path) -> bytes:
    """The workspace's key, made if there is none. PlauditError where others may read it."""
    path = folder / FILE
    with writing(path):
        if not path.exists():
            _make(path)
        if os.name == "posix" and path.stat().st_mode & 0o077:
            raise PlauditError(
                f"Others may read {path}, which signs the cookies of everybody: `chmod 600 {path}`, or delete it if "
                "somebody may have copied it (everybody then signs in again)."
            )
        return read_key(path)


def read_key(path: Path) -> bytes:
    """The key in the file. PlauditError for one that is empty or short: anybody could sign cookies with it."""
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except ValueError:
        key = b""
    if len(key) != TOKEN_BYTES:
        raise PlauditError(
            f"{path} must hold {TOKEN_BYTES} bytes as hexadecimal digits. Restore it from a copy, or delete it "
            "(everybody then signs in again)."
        )
    return key


def _make(path: Path) -> None:
    """Write a new key; where another process was quicker, its key stays."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(TOKEN_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()


class Secret:
    """What is signed or hidden with the key. Each use has a salt of its own, so that none can stand in for another."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @property
    def cookie_suffix(self) -> str:
        """Cookies do not tell ports apart: two workspaces on one machine need names of their own."""
        return self._digest("cookie", b"")[:8]

    def sign(self, use: str, value: str) -> str:
        return self._signer(use).sign(value).decode()

    def read_signed(self, use: str, signed: str | None) -> str | None:
        """The value, or None where the signature is not ours."""
        try:
            return None if signed is None else self._signer(use).unsign(signed.encode("utf-8", "replace")).decode()
        except (BadSignature, UnicodeDecodeError):
            return None

    def account_key(self, name: str) -> str:
        """Under which a browser keeps what an account has not sent yet: says nothing to who finds it there."""
        return self._digest("account", name.encode())[:24]

    def blind(self, number: int) -> int:
        """A number that stands for `number` (a position in the log) and does not tell how much lies between two."""
        return self._permute(number, HALF)

    def unblind(self, number: int) -> int:
        return self._restore(number, HALF)

    def handle(self, assignment_id: str) -> str:
        """What stands for an assignment. Its id is a hash of the task, whose answers' runs could be guessed from it."""
        return f"{self._permute(int(assignment_id, 16), HANDLE_HALF):016x}"

    def assignment_of(self, handle: str) -> str | None:
        """The assignment behind a handle; None where it has no such form."""
        if not HANDLE.fullmatch(handle):
            return None
        return f"{self._restore(int(handle, 16), HANDLE_HALF):016x}"

    def _permute(self, number: int, half: int) -> int:
        left, right = divmod(number, 1 << half)
        for turn in range(ROUNDS):
            left, right = right, left ^ self._round(turn, right, half)
        return left << half | right

    def _restore(self, number: int, half: int) -> int:
        left, right = divmod(number, 1 << half)
        for turn in reversed(range(ROUNDS)):
            left, right = right ^ self._round(turn, left, half), left
        return left << half | right

    def _round(self, turn: int, number: int, half: int) -> int:
        return int(self._digest(f"blind-{half}-{turn}", str(number).encode()), 16) % (1 << half)

    def _digest(self, use: str, value: bytes) -> str:
        return hmac.new(self._key, use.encode() + b"\0" + value, hashlib.sha256).hexdigest()

    def _signer(self, use: str) -> Signer:
        return Signer(self._key, salt=f"plaudit.{use}", digest_method=hashlib.sha256)
