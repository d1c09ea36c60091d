"""Making the projections again from the events, and comparing what is stored with what the events say."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from sqlalchemy import Connection, Table, create_engine, delete, select

from plaudit.feedback.projection import Event, apply
from plaudit.feedback.schema import EventKind, events, metadata, projections

BATCH = 5_000  # events read at once


def rebuild(connection: Connection) -> None:
    """Throw every projection away and make it again from the events."""
    for table in reversed(projections):
        connection.execute(delete(table))
    _replay(connection, connection)


def differences(connection: Connection) -> list[str]:
    """Where the projections are not what the events say, a sentence a row; the store itself is left as it is."""
    scratch = create_engine("sqlite://")
    with scratch.begin() as replayed:
        metadata.create_all(replayed)
        _replay(connection, replayed)
        return [*_gaps(connection), *(s for table in projections for s in _compare(table, connection, replayed))]


def _replay(source: Connection, target: Connection) -> None:
    for kind, happened in groupby(_history(source), key=lambda event: event.kind):
        apply(target, kind, list(happened))


def _history(connection: Connection) -> Iterator[Event]:
    last = -1
    while batch := connection.execute(
        select(events).where(events.c.seq > last).order_by(events.c.seq).limit(BATCH)
    ).all():
        for row in batch:
            yield Event(row.seq, row.created_at, EventKind(row.kind), row.payload)
        last = batch[-1].seq


def _gaps(connection: Connection) -> Iterator[str]:
    expected = 1
    for (seq,) in connection.execute(select(events.c.seq).order_by(events.c.seq)):
        if seq != expected:
            yield f"events: {expected} to {seq - 1} are missing from the log."
        expected = seq + 1


def _compare(table: Table, stored: Connection, replayed: Connection) -> Iterator[str]:
    has, should = ({row.id: row._asdict() for row in c.execute(select(table))} for c in (stored, replayed))
    for key in sorted(has.keys() | should.keys()):
        if key not in should:
            yield f"{table.name} {key}: stored, but no event says so."
        elif key not in has:
            yield f"{table.name} {key}: missing, though event {should[key]['seq']} says so."
        elif wrong := [name for name in has[key] if has[key][name] != should[key][name]]:
            yield f"{table.name} {key}: {', '.join(wrong)} differ from event {should[key]['seq']}."
