"""Files that are there whole or not at all, and the operating system's refusals in words. Standard library only."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import sqlite3
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import IO, Any

from plaudit.errors import PlauditError

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
DRAFT = re.compile(r"\..+\.[0-9a-f]{32}")
AGAIN = "run the same command again"
SQLITE_MAGIC = b"SQLite format 3\0"


def create_private(path: Path) -> IO[bytes]:
    """A new file that only its owner may read, open for writing. FileExistsError where there is one."""
    return open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600))


def write_atomically(path: Path, data: bytes | str, is_private: bool = False) -> None:
    """Replace `path` by `data`, durably. PlauditError when the disk refuses: the old file stays, nothing else does.

    What is private only its owner may read.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.parent / f".{path.name}.{uuid.uuid4().hex}"
        try:
            with create_private(temporary) if is_private else temporary.open("xb") as file:
                file.write(data.encode() if isinstance(data, str) else data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def remove_drafts(folder: Path) -> None:
    """What a kill has left of files that `write_atomically` was writing. Only for who alone writes below `folder`."""
    for path in folder.rglob(".*"):
        if DRAFT.fullmatch(path.name):
            path.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Turn the operating system's refusals inside into a sentence about `path`."""
    try:
        yield path
    except OSError as error:
        raise PlauditError(disk_sentence(error, path)) from error


def disk_sentence(error: OSError, path: Path | str) -> str:
    """Say what an operating-system error means for the file at `path`, and what to do."""
    if error.errno in DISK_FULL:
        return f"The disk is full: {path} was not written. Free some space and {AGAIN}."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"No permission for {path}. Change its permissions or choose another folder."
    return f"{path}: {' '.join(str(error.strerror or error).split()).rstrip('. ')}."  # Arrow's say more than a line


def content_digest(path: Path, leave_out: tuple[str, ...] = ()) -> str:
    """SHA-256 over a file, or over a folder's file names and contents, hidden files (temporary ones, locks) aside.

    Of an SQLite database, over its contents in SQL: its bytes also depend on when it was last tidied up, and lag
    behind its write-ahead log.
    """
    if path.is_file():
        with path.open("rb") as file:
            if file.read(len(SQLITE_MAGIC)) == SQLITE_MAGIC:
                return _database_digest(path)
            file.seek(0)
            return hashlib.file_digest(file, "sha256").hexdigest()
    total = hashlib.sha256()
    for file_path in sorted(p for p in path.rglob("*") if p.is_file()):
        parts = file_path.relative_to(path).parts
        if parts[0] not in leave_out and not any(part.startswith(".") for part in parts):
            total.update(f"{'/'.join(parts)}\0{content_digest(file_path)}\n".encode())
    return total.hexdigest()


def _database_digest(path: Path) -> str:
    total = hashlib.sha256()
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        for statement in connection.iterdump():
            total.update(statement.encode())
    return total.hexdigest()


def one_line(error: BaseException) -> str:
    """What happened, short enough for a table."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def to_json(value: Any, **layout: Any) -> str:
    """JSON text: NaN and infinity become null, NumPy's and torch's numbers and arrays become Python's."""
    return json.dumps(_plain(value), ensure_ascii=False, allow_nan=False, **layout)


def _plain(value: Any) -> Any:
    convert: Callable[[], Any] | None = getattr(value, "tolist", None)
    if convert is not None:
        value = convert()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    return str(value) if isinstance(value, Path) else value
