"""Making the projections again from the events, and comparing what is stored with what the events say.

Annotators' events alternate (assigned, judged, assigned, …), and a database that takes them one by one takes a
millisecond for each. But what happens to one task changes nothing about another, so events of different tasks may
change places, and `play` puts those of one kind together. Events of one task keep their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from sqlalchemy import Connection, Table, create_engine, delete, select
from sqlalchemy.exc import ArgumentError, CompileError, OperationalError, StatementError

from plaudit.errors import PlauditError
from plaudit.feedback.events.projection import Event, apply
from plaudit.feedback.events.schema import EventKind, events, metadata, projections

BATCH = 5_000  # events read at once
NO_EVENTS = (  # what is raised of what no store ever wrote, by Python, SQLAlchemy or the database
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    OverflowError,
    ArgumentError,
    CompileError,
    StatementError,
)

_OF_TASKS = {
    EventKind.RAISED,
    EventKind.ASSIGNED,
    EventKind.RELEASED,
    EventKind.EXTENDED,
    EventKind.JUDGED,
    EventKind.WROTE,
    EventKind.RETRACTED,
}


def rebuild(connection: Connection) -> None:
    """Throw every projection away and make it again from the events. PlauditError for an event that there cannot be."""
    for table in reversed(projections):
        connection.execute(delete(table))
    _replay(connection, connection)


def differences(connection: Connection) -> list[str]:
    """Where the projections are not what the events say, a sentence a row; the store itself is left as it is.

    PlauditError for an event that there cannot be.
    """
    scratch = create_engine("sqlite://")
    with scratch.begin() as replayed:
        metadata.create_all(replayed)
        _replay(connection, replayed)
        return [*_gaps(connection), *(s for table in projections for s in _compare(table, connection, replayed))]


def _replay(source: Connection, target: Connection) -> None:
    done = 0
    try:
        for batch in _history(source):
            play(target, batch)
            done += len(batch)
    except OperationalError:  # the disk or a lock, and not what the log holds
        raise
    except NO_EVENTS as error:
        wrong = type(error).__name__
        raise PlauditError(
            f"The log of events holds what none can be, after the first {done:,} ({wrong}). Restore a backup."
        ) from error


def play(connection: Connection, happened: Iterable[Event]) -> None:
    """Write what happened (in order) into the projections."""
    for touches_all, part in groupby(happened, key=lambda event: _touched(event) is None):
        runs = [list(run) for _, run in groupby(part, key=lambda event: event.kind)] if touches_all else _layers(part)
        for run in runs:
            apply(connection, run[0].kind, run)


def _layers(happened: Iterable[Event]) -> list[list[Event]]:
    """The events in runs of one kind, so that those which touch the same thing keep their order."""
    layers: dict[tuple[int, EventKind], list[Event]] = {}
    newest: dict[str | None, tuple[int, EventKind]] = {}
    for event in happened:
        touched = _touched(event)
        depth, kind = newest.get(touched, (0, event.kind))
        newest[touched] = layer = (depth + (kind is not event.kind), event.kind)
        layers.setdefault(layer, []).append(event)
    return [layers[layer] for layer in sorted(layers)]


def _touched(event: Event) -> str | None:
    """The one thing that an event changes: a task's id, or what its kind alone changes. None: other things too."""
    if event.kind in (EventKind.READ, EventKind.GUIDELINES, EventKind.PROJECT, EventKind.ACTION):
        return str(event.kind)
    if event.kind in _OF_TASKS:  # a release did not name its task in revision 0001, and not all that is written has one
        task_id: str | None = event.payload.get("task_id")
        return task_id
    return None


def _history(connection: Connection) -> Iterator[list[Event]]:
    last = -1
    while batch := connection.execute(
        select(events).where(events.c.seq > last).order_by(events.c.seq).limit(BATCH)
    ).all():
        yield [Event(row.seq, row.created_at, EventKind(row.kind), row.payload) for row in batch]
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
