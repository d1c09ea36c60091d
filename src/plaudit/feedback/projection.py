"""From events to tables: what each kind of event does, used alike when it happens and when it is replayed.

`apply` takes many events of one kind at once, because a data set brings tens of thousands. That is the same as one
after the other: no two events in an uninterrupted run of one kind touch the same row, but for edits of judgements,
which `_judge` orders itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Table, bindparam, create_engine, delete, insert, select, update

from plaudit.feedback.schema import (
    AssignmentState,
    EventKind,
    annotators,
    assignments,
    demonstrations,
    events,
    judgements,
    metadata,
    projections,
    prompts,
    responses,
    tasks,
)

BATCH = 5_000  # events read at once on replay

_ADDED: dict[EventKind, Table] = {
    EventKind.PROMPT: prompts,
    EventKind.DEMONSTRATION: demonstrations,
    EventKind.RESPONSE: responses,
    EventKind.TASK: tasks,
    EventKind.ANNOTATOR: annotators,
}

# What events of revision 0001 did not say yet. Events are never rewritten, so this is read for ever.
UNSAID: dict[EventKind, dict[str, Any]] = {
    EventKind.TASK: {"purpose": "work"},
    EventKind.DEMONSTRATION: {"annotator_id": None, "task_id": None, "seconds": None, "supersedes": None},
    EventKind.JUDGED: {"all_bad": False, "guidelines_version": None, "surplus": False},
}


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened: the `seq`-th thing, at `created_at`, with what its projection needs to know."""

    seq: int
    created_at: str
    kind: EventKind
    payload: dict[str, Any]


def apply(connection: Connection, kind: EventKind, happened: Sequence[Event]) -> None:
    """Write what `happened` (all of one kind, in order) into the projections."""
    if kind in _ADDED:
        rows = [{"seq": event.seq, **UNSAID.get(kind, {}), **event.payload} for event in happened]
        connection.execute(insert(_ADDED[kind]), rows)
    else:
        {EventKind.ASSIGNED: _assign, EventKind.RELEASED: _release, EventKind.JUDGED: _judge}[kind](
            connection, happened
        )


def _assign(connection: Connection, happened: Sequence[Event]) -> None:
    rows = [
        {"seq": event.seq, "leased_at": event.created_at, "state": AssignmentState.OPEN, "reason": "", **event.payload}
        for event in happened
    ]
    again = delete(assignments).where(assignments.c.id == bindparam("again"))  # a lease taken up after it was released
    connection.execute(again, [{"again": row["id"]} for row in rows])
    connection.execute(insert(assignments), rows)


def _release(connection: Connection, happened: Sequence[Event]) -> None:
    release = update(assignments).where(assignments.c.id == bindparam("given_up"))
    rows = [
        {"given_up": event.payload["id"], "state": event.payload["state"], "reason": event.payload["reason"]}
        for event in happened
    ]
    connection.execute(release.values(slot=None), rows)


def _judge(connection: Connection, happened: Sequence[Event]) -> None:
    edits = {event.payload["supersedes"]: event.payload["id"] for event in happened if event.payload["supersedes"]}
    if edits:  # first, because only one judgement of a task by an annotator may be current at any moment
        mark = update(judgements).where(judgements.c.id == bindparam("old")).values(superseded_by=bindparam("new"))
        connection.execute(mark, [{"old": old, "new": new} for old, new in edits.items()])
    rows = [
        {
            "seq": event.seq,
            "created_at": event.created_at,
            "superseded_by": edits.get(event.payload["id"]),
            **UNSAID[EventKind.JUDGED],
            **event.payload,
        }
        for event in happened
    ]
    connection.execute(insert(judgements), rows)
    done = update(assignments).where(
        assignments.c.task_id == bindparam("of_task"), assignments.c.annotator_id == bindparam("by_annotator")
    )
    leases = [{"of_task": row["task_id"], "by_annotator": row["annotator_id"]} for row in rows]
    connection.execute(done.values(state=AssignmentState.DONE), leases)


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
        return [sentence for table in projections for sentence in _compare(table, connection, replayed)]


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


def _compare(table: Table, stored: Connection, replayed: Connection) -> Iterator[str]:
    has, should = ({row.id: row._asdict() for row in c.execute(select(table))} for c in (stored, replayed))
    for key in sorted(has.keys() | should.keys()):
        if key not in should:
            yield f"{table.name} {key}: stored, but no event says so."
        elif key not in has:
            yield f"{table.name} {key}: missing, though event {should[key]['seq']} says so."
        elif wrong := [name for name in has[key] if has[key][name] != should[key][name]]:
            yield f"{table.name} {key}: {', '.join(wrong)} differ from event {should[key]['seq']}."
