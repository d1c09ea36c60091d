"""From events to tables: what each kind of event does, used alike when it happens and when it is replayed (`replay`).

`apply` takes many events of one kind at once, because a data set brings tens of thousands. That is the same as one
after the other: no two events in an uninterrupted run of one kind touch the same row, but for edits and leases, whose
functions order them themselves. A task's `free_places` is counted anew from the other tables whenever they change.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Dialect, Table, bindparam, delete, insert, select, update

from plaudit.feedback.events.places import count_free, places
from plaudit.feedback.events.schema import (
    TAKEN_BACK,
    AssignmentState,
    EventKind,
    actions,
    annotators,
    assignments,
    demonstrations,
    guidelines,
    judgements,
    project,
    prompts,
    readings,
    responses,
    tasks,
)

ROWS_AT_ONCE = 1_000  # databases limit the variables in one statement

_ADDED: dict[EventKind, Table] = {
    EventKind.PROMPT: prompts,
    EventKind.DEMONSTRATION: demonstrations,
    EventKind.RESPONSE: responses,
    EventKind.ANNOTATOR: annotators,
}
_ADDED_WITH_TIME: dict[EventKind, Table] = {
    EventKind.GUIDELINES: guidelines,
    EventKind.READ: readings,
    EventKind.ACTION: actions,
}

# What events of revisions 0001 and 0002 did not say yet. Events are never rewritten, so this is read for ever.
UNSAID: dict[EventKind, dict[str, Any]] = {
    EventKind.TASK: {"purpose": "work"},
    EventKind.DEMONSTRATION: {"annotator_id": None, "task_id": None, "seconds": None, "supersedes": None},
    EventKind.JUDGED: {"all_bad": False, "guidelines_version": None, "surplus": False, "source": None},
}


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened: the `seq`-th thing, at `created_at`, with what its projection needs to know."""

    seq: int
    created_at: str
    kind: EventKind
    payload: dict[str, Any]

    def row(self, **more: Any) -> dict[str, Any]:
        """The payload as a row, under what it did not say yet."""
        return {"seq": self.seq, **more, **UNSAID.get(self.kind, {}), **self.payload}


def apply(connection: Connection, kind: EventKind, happened: Sequence[Event]) -> None:
    """Write what `happened` (all of one kind, in order) into the projections."""
    if kind in _ADDED:
        insert_rows(connection, _ADDED[kind], [event.row() for event in happened])
    elif kind in _ADDED_WITH_TIME:
        rows = [event.row(created_at=event.created_at) for event in happened]
        insert_rows(connection, _ADDED_WITH_TIME[kind], rows)
    else:
        _EFFECTS[kind](connection, happened)


def _add_tasks(connection: Connection, happened: Sequence[Event]) -> None:
    rows = [event.row() for event in happened]
    for row in rows:
        row["free_places"] = places(row["purpose"], row["overlap"])
    insert_rows(connection, tasks, rows)


def _raise_overlap(connection: Connection, happened: Sequence[Event]) -> None:
    raised = update(tasks).where(tasks.c.id == bindparam("of_task")).values(overlap=bindparam("people"))
    rows = [{"of_task": event.payload["task_id"], "people": event.payload["overlap"]} for event in happened]
    connection.execute(raised, rows)
    _count_places(connection, {row["of_task"] for row in rows})


def _change_project(connection: Connection, happened: Sequence[Event]) -> None:
    connection.execute(delete(project))
    connection.execute(insert(project), [happened[-1].row()])


def _assign(connection: Connection, happened: Sequence[Event]) -> None:
    rows = {
        event.payload["id"]: event.row(leased_at=event.created_at, state=AssignmentState.OPEN, reason="")
        for event in happened
    }
    again = delete(assignments).where(assignments.c.id == bindparam("again"))  # a lease taken up after it was released
    connection.execute(again, [{"again": key} for key in rows])
    connection.execute(insert(assignments), list(rows.values()))
    _count_places(connection, {row["task_id"] for row in rows.values()})


def _release(connection: Connection, happened: Sequence[Event]) -> None:
    release = update(assignments).where(assignments.c.id == bindparam("given_up"))
    rows = [
        {"given_up": event.payload["id"], "state": event.payload["state"], "reason": event.payload["reason"]}
        for event in happened
    ]
    connection.execute(release.values(slot=None), rows)
    _count_places(connection, _tasks_of(connection, [row["given_up"] for row in rows]))


def _extend(connection: Connection, happened: Sequence[Event]) -> None:
    extend = update(assignments).where(assignments.c.id == bindparam("extended"))
    rows = [{"extended": e.payload["id"], "leased_until": e.payload["leased_until"]} for e in happened]
    connection.execute(extend, rows)


def _judge(connection: Connection, happened: Sequence[Event]) -> None:
    _said(connection, judgements, [event.row(created_at=event.created_at) for event in happened])


def _write(connection: Connection, happened: Sequence[Event]) -> None:
    _said(connection, demonstrations, [event.row() for event in happened])


def _said(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Judgements or written answers: they supersede what they edit, and close the lease of their task."""
    edits = {row["supersedes"]: row["id"] for row in rows if row["supersedes"]}
    if edits:  # first, because only one judgement of a task by an annotator may be current at any moment
        mark = update(table).where(table.c.id == bindparam("old")).values(superseded_by=bindparam("new"))
        connection.execute(mark, [{"old": old, "new": new} for old, new in edits.items()])
    insert_rows(connection, table, [row | {"superseded_by": edits.get(row["id"])} for row in rows])
    done = _lease_of().values(state=AssignmentState.DONE)
    if leases := [_lease(row) for row in rows if row["task_id"]]:
        connection.execute(done, leases)
        _count_places(connection, {lease["of_task"] for lease in leases})


def _retract(connection: Connection, happened: Sequence[Event]) -> None:
    for event in happened:
        table = judgements if event.payload["entry"] == "judgement" else demonstrations
        taken_back = update(table).where(table.c.id == event.payload["id"])
        connection.execute(taken_back.values(superseded_by=f"{TAKEN_BACK}{event.seq}"))
    leases = [_lease(event.payload) for event in happened]
    connection.execute(_lease_of().values(state=AssignmentState.EXPIRED, slot=None), leases)
    _count_places(connection, {lease["of_task"] for lease in leases})


def _withdraw(connection: Connection, happened: Sequence[Event]) -> None:
    """What was said leaves for good, and its places are free for others; the annotator is not asked again."""
    for table, name in ((judgements, "judgements"), (demonstrations, "demonstrations")):
        for ids in chunks([entry for event in happened for entry in event.payload[name]]):
            gone = table.c.id.in_(ids)
            connection.execute(update(table).where(gone).values(withdrawn=True))
            rows = connection.execute(select(table.c.task_id, table.c.annotator_id).where(gone)).all()
            if leases := [_lease(row._asdict()) for row in rows if row.task_id]:
                connection.execute(_lease_of().values(slot=None), leases)
                _count_places(connection, {lease["of_task"] for lease in leases})


_EFFECTS: dict[EventKind, Callable[[Connection, Sequence[Event]], None]] = {
    EventKind.TASK: _add_tasks,
    EventKind.RAISED: _raise_overlap,
    EventKind.PROJECT: _change_project,
    EventKind.ASSIGNED: _assign,
    EventKind.RELEASED: _release,
    EventKind.EXTENDED: _extend,
    EventKind.JUDGED: _judge,
    EventKind.WROTE: _write,
    EventKind.RETRACTED: _retract,
    EventKind.WITHDRAWN: _withdraw,
}


def _lease_of() -> Any:
    return update(assignments).where(
        assignments.c.task_id == bindparam("of_task"), assignments.c.annotator_id == bindparam("by_annotator")
    )


def _lease(row: dict[str, Any]) -> dict[str, Any]:
    return {"of_task": row["task_id"], "by_annotator": row["annotator_id"]}


def _tasks_of(connection: Connection, assignment_ids: Collection[str]) -> set[str]:
    query = select(assignments.c.task_id)
    return {
        row.task_id
        for ids in chunks(assignment_ids)
        for row in connection.execute(query.where(assignments.c.id.in_(ids)))
    }


def _count_places(connection: Connection, task_ids: Collection[str]) -> None:
    for ids in chunks(task_ids):
        count_free(connection, ids)


def insert_rows(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows that all have the same columns, as `insert` does, but without its preparing each of them anew.

    That preparation is a quarter of the time of an import of a hundred thousand records.
    """
    names = tuple(rows[0])
    statement, order, converters = _insertion(table, names, connection.dialect)
    columns: list[list[Any]] = []
    for name, convert in zip(order, converters, strict=True):
        values = [row[name] for row in rows]
        columns.append(values if convert is None else list(map(convert, values)))
    by_place = list(zip(*columns, strict=True))
    is_by_name = connection.dialect.paramstyle in ("pyformat", "named")
    parameters = [dict(zip(order, values, strict=True)) for values in by_place] if is_by_name else by_place
    connection.exec_driver_sql(statement, parameters)


@lru_cache(maxsize=100)
def _insertion(table: Table, names: tuple[str, ...], dialect: Dialect) -> tuple[str, list[str], list[Any]]:
    """The statement, the columns in the order of its parameters, and how each value becomes the driver's (or None)."""
    statement = insert(table).inline().compile(dialect=dialect, column_keys=list(names))
    order = statement.positiontup or list(names)
    return str(statement), order, [table.c[name].type.dialect_impl(dialect).bind_processor(dialect) for name in order]


def chunks(values: Collection[str]) -> Iterator[list[str]]:
    everything = list(values)
    for start in range(0, len(everything), ROWS_AT_ONCE):
        yield everything[start : start + ROWS_AT_ONCE]
