"""An annotator takes back what they said, and has the task again; the event says so, and nothing is overwritten."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Table, select

from plaudit.errors import ConflictError, NotThereError
from plaudit.feedback import leases
from plaudit.feedback.log import add
from plaudit.feedback.rows import assignment_from
from plaudit.feedback.schema import TAKEN_BACK, AssignmentState, EventKind, demonstrations, judgements, tasks
from plaudit.types import Assignment

ENTRIES: dict[str, Table] = {"judgement": judgements, "demonstration": demonstrations}


def retract(connection: Connection, entry_id: str, annotator_id: str, now: datetime, length: timedelta) -> Assignment:
    """Take the entry back and lease its task to the annotator again; done before, it is the lease that stands.

    Raises:
        NotThereError: the annotator has said no such thing, or withdrew it.
        ConflictError: it has been edited, or said anew, since.
    """
    entry, row = _entry(connection, entry_id, annotator_id)
    before = leases.assignment_row(connection, row.task_id, annotator_id)
    if row.superseded_by is not None:
        if row.superseded_by.startswith(TAKEN_BACK) and before is not None and before.state == AssignmentState.OPEN:
            return assignment_from(before)
        raise ConflictError(f"{annotator_id} has said something else in place of {entry_id}; take that back.")
    payload = {"id": entry_id, "annotator_id": annotator_id, "task_id": row.task_id, "entry": entry}
    add(connection, EventKind.RETRACTED, {entry_id: payload}, now)
    task = connection.execute(select(tasks).where(tasks.c.id == row.task_id)).one()
    order = before.shown_order if before is not None else _order(task, getattr(row, "shown_order", []))
    slot = leases.free_slot(connection, task)
    return leases.take(connection, task, annotator_id, order, slot, now, length)


def _entry(connection: Connection, entry_id: str, annotator_id: str) -> tuple[str, Row[Any]]:
    for entry, table in ENTRIES.items():
        own = (table.c.id == entry_id) & (table.c.annotator_id == annotator_id) & ~table.c.withdrawn
        row = connection.execute(select(table).where(own)).first()
        if row is not None and row.task_id is not None:
            return entry, row
    raise NotThereError(f"{annotator_id} has said nothing under {entry_id} that could be taken back.")


def _order(task: Row[Any], shown: list[str]) -> list[int]:
    """As indices, for what was judged without a lease."""
    return [task.response_ids.index(response) for response in shown] or list(range(len(task.response_ids)))
