"""The guidelines: the quality and ethical principles that people judge by, in numbered versions, and who read which."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select

from plaudit.errors import NotThereError, UsageError
from plaudit.feedback.events.log import add, append, moment_of, require, rows_with
from plaudit.feedback.events.schema import EventKind, annotators, judgements, readings
from plaudit.feedback.events.schema import guidelines as table
from plaudit.types import content_id


@dataclass(frozen=True)
class Guidelines:
    version: int  # 1, 2, …
    texts: Mapping[str, str]  # language -> Markdown
    author: str
    created_at: datetime


def publish(connection: Connection, texts: Mapping[str, str], author: str, now: datetime) -> int:
    """The new version's number, or the newest's where that says the same. UsageError for a text that is empty.

    It is above those that imported judgements were made by, whose texts are elsewhere.
    """
    if not texts or not all(language.strip() and text.strip() for language, text in texts.items()):
        raise UsageError("Guidelines need a text in at least one language, and none of their texts may be empty.")
    newest = newest_in(connection)
    if newest is not None and dict(newest.texts) == dict(texts):
        return newest.version
    used = connection.execute(select(func.max(judgements.c.guidelines_version))).scalar() or 0
    version = 1 + max(used, 0 if newest is None else newest.version)
    payload = {"id": str(version), "texts": dict(texts), "author": author}
    add(connection, EventKind.GUIDELINES, {str(version): payload}, now, author)
    return version


def newest_in(connection: Connection) -> Guidelines | None:
    row = connection.execute(select(table).order_by(table.c.seq.desc()).limit(1)).first()
    return None if row is None else _guidelines(row)


def version_in(connection: Connection, version: int) -> Guidelines | None:
    row = connection.execute(select(table).where(table.c.id == str(version))).first()
    return None if row is None else _guidelines(row)


def read(connection: Connection, annotator_id: str, version: int, now: datetime) -> None:
    """Record that the annotator has read them; once is enough. NotThereError for a version that there is not."""
    require(connection, annotators, [annotator_id], "annotator")
    if version_in(connection, version) is None:
        raise NotThereError(f"There is no version {version} of the guidelines.")
    reading = content_id(annotator_id, version)
    payload = {"id": reading, "annotator_id": annotator_id, "version": version}
    append(connection, EventKind.READ, [(reading, payload)], now)


def versions_read(connection: Connection, annotator_ids: Collection[str]) -> dict[str, int]:
    """Annotator id -> the newest version that the annotator has read, for those who read any."""
    query = select(readings.c.annotator_id, func.max(readings.c.version).label("version"))
    query = query.group_by(readings.c.annotator_id)
    found = rows_with(connection, query, readings.c.annotator_id, annotator_ids)
    return {row.annotator_id: row.version for row in found}


def _guidelines(row: Row[Any]) -> Guidelines:
    return Guidelines(int(row.id), row.texts, row.author, moment_of(row.created_at))
