"""Appending to the event log: the only way anything gets into a feedback store.

An event's id names the fact (`prompt-added:ID`), so the same fact told twice happens once. The event and its
projection are written in the caller's transaction, together.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Column, Connection, Row, Select, Table, func, insert, select

from plaudit.errors import NotThereError
from plaudit.feedback.projection import Event, apply, chunks
from plaudit.feedback.schema import EventKind, events

SOMEBODY = "plaudit"  # who acts where nobody is named


def append(
    connection: Connection,
    kind: EventKind,
    facts: Iterable[tuple[str, dict[str, Any]]],
    now: datetime,
    actor: str | None = None,
) -> int:
    """Add what is new among `facts` (key of the fact, payload), in order; how many that were.

    Whose doing it is: `actor`, else the annotator that a payload names. Positions in the log are counted here, under
    the write lock: no gaps, and no database's own idea of a sequence.
    """
    told: dict[str, dict[str, Any]] = {}
    for key, payload in facts:
        told.setdefault(f"{kind}:{key}", payload)
    known = {row.id for row in rows_with(connection, select(events.c.id), events.c.id, told)}
    new = {event_id: payload for event_id, payload in told.items() if event_id not in known}
    if new:
        _write(connection, kind, new, timestamp(now), actor)
    return len(new)


def fact(
    connection: Connection, kind: EventKind, key: str, payload: dict[str, Any], now: datetime, actor: str | None = None
) -> None:
    """Add one event whose key is known to be new, which saves asking."""
    _write(connection, kind, {f"{kind}:{key}": payload}, timestamp(now), actor)


def last_seq(connection: Connection) -> int:
    """Position of the newest event; 0 in an empty store."""
    return connection.execute(select(func.max(events.c.seq))).scalar() or 0


def _write(
    connection: Connection, kind: EventKind, new: Mapping[str, dict[str, Any]], created_at: str, actor: str | None
) -> None:
    first = last_seq(connection) + 1
    happened = [Event(seq, created_at, kind, payload) for seq, payload in enumerate(new.values(), first)]
    rows = [
        {
            "seq": event.seq,
            "id": event_id,
            "kind": str(kind),
            "created_at": created_at,
            "actor": actor or event.payload.get("annotator_id") or SOMEBODY,
            "payload": event.payload,
        }
        for event_id, event in zip(new, happened, strict=True)
    ]
    connection.execute(insert(events), rows)
    apply(connection, kind, happened)


def timestamp(moment: datetime) -> str:
    """UTC as text that sorts by time."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def moment_of(text: str) -> datetime:
    """What `timestamp` wrote."""
    return datetime.fromisoformat(text)


def rows_with(
    connection: Connection, query: Select[Any], column: Column[Any], values: Collection[str]
) -> Iterator[Row[Any]]:
    """The query's rows whose `column` is among `values`, however many those are."""
    for chunk in chunks(values):
        yield from connection.execute(query.where(column.in_(chunk)))


def require(connection: Connection, table: Table, ids: Iterable[str], noun: str) -> None:
    """NotThereError when one of `ids` is not in `table`."""
    wanted = set(ids)
    missing = wanted - {row.id for row in rows_with(connection, select(table.c.id), table.c.id, wanted)}
    if missing:
        raise NotThereError(f"There is no {noun} {min(missing)} in the feedback store. Add it first.")
