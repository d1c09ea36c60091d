"""A whole feedback store as one file, which either kind of database can be restored from.

    manifest.json     format, revision, and for every part its rows and its SHA-256
    events.jsonl      the event log: everything else that is not a secret is made from it
    accounts.jsonl    who may sign in: keep a backup as you keep a password file

A ZIP file of JSON lines: nothing is needed to read it but a program from any decade. Sessions, one-time links,
tokens of scripts and the counts of wrong passwords are no part of it: a restore must not revive what had ended, and
everybody signs in again.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import struct
import uuid
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, func, insert, select
from sqlalchemy.exc import OperationalError

from plaudit.errors import PlauditError, UsageError
from plaudit.feedback.events import replay
from plaudit.feedback.events.projection import Event
from plaudit.feedback.events.schema import REVISION, SECRETS, EventKind, accounts, events
from plaudit.files import create_private, writing
from plaudit.memory import bounded_memory, most_for_json, parse_json

FORMAT = "plaudit-feedback-1"
PARTS = (events, accounts)
ROWS_AT_ONCE = 5_000
LARGEST_MANIFEST = 1 << 20  # bytes
LONGEST_LINE = 1 << 25  # bytes, in a small archive
MOST_EXPANSION = 20  # times the archive: what a line may have in a large one, such as the withdrawal of a data set
BYTES_AT_ONCE = 1 << 22  # what is read of them may be many times as large
_NO_ZIP = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, NotImplementedError, RuntimeError)


def back_up(connection: Connection, file: Path) -> int:
    """Write everything that the connection's snapshot holds into `file`, durably and whole or not at all; the events.

    UsageError when the file is there already, PlauditError when the disk refuses.
    """
    if file.exists():
        raise UsageError(f"{file} exists already; name another file, or remove it first.")
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.parent / f".{file.name}.{uuid.uuid4().hex}"
        try:
            with create_private(temporary) as raw:
                with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
                    parts = {table.name: _write(connection, table, archive) for table in PARTS}
                    manifest = {"format": FORMAT, "revision": REVISION, "parts": parts}
                    archive.writestr("manifest.json", json.dumps(manifest, indent=2) + "\n")
                raw.flush()
                os.fsync(raw.fileno())
            os.replace(temporary, file)
        finally:
            temporary.unlink(missing_ok=True)
    return int(parts["events"]["rows"])


def _write(connection: Connection, table: Table, archive: zipfile.ZipFile) -> dict[str, Any]:
    digest, rows = hashlib.sha256(), 0
    first = next(iter(table.primary_key))
    with archive.open(f"{table.name}.jsonl", "w", force_zip64=True) as part:
        query = select(table).order_by(first).execution_options(yield_per=ROWS_AT_ONCE)
        for row in connection.execute(query):
            line = (json.dumps(row._asdict(), ensure_ascii=False) + "\n").encode()
            part.write(line)
            digest.update(line)
            rows += 1
    return {"rows": rows, "sha256": digest.hexdigest()}


def restore(connection: Connection, file: Path) -> int:
    """Fill the empty store behind the connection from a backup, and check it; how many events there are.

    Raises:
        UsageError: the store is not empty, or the file is no backup, damaged, or of a newer Plaudit.
        PlauditError: the restored store is not what its events say.
    """
    if any(connection.execute(select(func.count()).select_from(table)).scalar() for table in (events, *SECRETS)):
        raise UsageError("A backup is restored into an empty feedback store only, and this one holds something.")
    try:
        longest = max(LONGEST_LINE, MOST_EXPANSION * file.stat().st_size)
        with zipfile.ZipFile(file) as archive:
            manifest = _manifest(archive, file)
            for table in PARTS:  # all of them, before any row is believed
                _compare(table, archive, manifest["parts"][table.name], file, longest)
            for table in PARTS:
                for lines in _batches(table, archive, longest):
                    _insert(connection, table, _rows(table, lines))
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror or error}.") from error
    except OperationalError:  # the disk or a lock, and not what the archive holds
        raise
    except (*_NO_ZIP, *replay.NO_EVENTS, MemoryError) as error:
        raise UsageError(f"{file} is no whole backup of a feedback store; nothing was restored.") from error
    if differences := replay.differences(connection):
        raise PlauditError(f"What {file} holds contradicts itself, so nothing was restored: {differences[0]}")
    return int(manifest["parts"]["events"]["rows"])


def _manifest(archive: zipfile.ZipFile, file: Path) -> dict[str, Any]:
    with archive.open("manifest.json") as part:
        text = part.read(LARGEST_MANIFEST + 1)
    if len(text) > LARGEST_MANIFEST:
        raise UsageError(f"{file} is no backup of a feedback store: its manifest is too large. Nothing was restored.")
    manifest: dict[str, Any] = json.loads(text)
    if manifest["format"] != FORMAT or manifest["revision"] > REVISION:
        raise UsageError(f"{file} was written by a newer Plaudit. Update Plaudit to restore it.")
    return manifest


def _compare(table: Table, archive: zipfile.ZipFile, manifest: dict[str, Any], file: Path, longest: int) -> None:
    digest, rows = hashlib.sha256(), 0
    for lines in _batches(table, archive, longest):
        rows += len(lines)
        for line in lines:
            digest.update(line)
    if {"rows": rows, "sha256": digest.hexdigest()} != manifest:
        raise UsageError(f"{file} is damaged: its {table.name} are not those that were written; nothing was restored.")


def _batches(table: Table, archive: zipfile.ZipFile, longest: int) -> Iterator[list[bytes]]:
    with archive.open(f"{table.name}.jsonl") as part:
        batch: list[bytes] = []
        size = 0
        while line := part.readline(longest + 1):
            if len(line) > longest:
                raise ValueError("a line is longer than any that is written")
            batch.append(line)
            size += len(line)
            if len(batch) == ROWS_AT_ONCE or size > BYTES_AT_ONCE:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch


def _rows(table: Table, lines: list[bytes]) -> list[dict[str, Any]]:
    """What the lines hold. ValueError or MemoryError where they are no rows, or only short as texts."""
    with bounded_memory(most_for_json(sum(map(len, lines)))):
        return [_row(table, parse_json(line.decode())) for line in lines]


def _row(table: Table, row: Any) -> dict[str, Any]:
    """What a line holds, as the table's columns take it. ValueError otherwise: each database says it differently."""
    if not isinstance(row, dict) or not set(row) <= set(table.columns.keys()):
        raise ValueError("a line is no row of its table")
    for name, column in table.columns.items():
        kind, value = column.type.python_type, row.get(name)
        if not (column.nullable if value is None else isinstance(value, kind) and not isinstance(value, bool)):
            raise ValueError(f"{name} is no {kind.__name__}")
    return row


def _insert(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    connection.execute(insert(table), rows)
    if table is events:
        replay.play(connection, [Event(r["seq"], r["created_at"], EventKind(r["kind"]), r["payload"]) for r in rows])
