"""Taking in the answers that annotators write: for a task that asks for one, once, and editable like a judgement.

A better answer than those of a ranking task is part of its judgement; a reader of demonstrations finds both.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from plaudit.errors import ConflictError, NotThereError, PlauditError
from plaudit.feedback.events.log import add, require
from plaudit.feedback.events.rows import Payload, written_payload
from plaudit.feedback.events.schema import EventKind, annotators, demonstrations, events, prompts, tasks
from plaudit.feedback.labelling import leases
from plaudit.types import Demonstration


def write(
    connection: Connection, written: Demonstration, now: datetime, length: timedelta, at: datetime | None = None
) -> bool:
    """Record the answer, written now or `at` another time, and close its lease; False when it is stored already."""
    payload = written_payload(written)
    if _is_known(connection, written, payload):
        return False
    _check(connection, written)
    if written.task_id is not None and written.annotator_id is not None:
        _check_edit(connection, written)
        _hold_place(connection, written.task_id, written.annotator_id, now, length)
    add(connection, EventKind.WROTE, {written.id: payload}, at or now)
    return True


def _is_known(connection: Connection, written: Demonstration, payload: Payload) -> bool:
    """ConflictError when the id is stored with other content."""
    event_id = f"{EventKind.WROTE}:{written.id}"
    earlier = connection.execute(select(events.c.payload).where(events.c.id == event_id)).scalar()
    taken = connection.execute(select(demonstrations.c.id).where(demonstrations.c.id == written.id)).first()
    if earlier is not None and earlier == payload:
        return True
    if earlier is not None or taken is not None:
        raise ConflictError(
            f"Demonstration {written.id} is already stored with other content. "
            "Give an edit an id of its own and let it supersede the first."
        )
    return False


def _check(connection: Connection, written: Demonstration) -> None:
    if written.annotator_id is None:
        raise PlauditError(f"Demonstration {written.id} has no author; add it with its data set instead.")
    require(connection, annotators, [written.annotator_id], "annotator")
    require(connection, prompts, [written.prompt_id], "prompt")
    seconds = written.seconds
    problems = {
        "needs a text": not written.text.strip(),
        "needs an id of 1 to 64 characters": not 1 <= len(written.id) <= 64,
        "must take a time of zero or more": seconds is not None and not (math.isfinite(seconds) and seconds >= 0),
        "supersedes another one, but belongs to no task": written.task_id is None and written.supersedes is not None,
    }
    if written.task_id is not None:
        task = connection.execute(select(tasks).where(tasks.c.id == written.task_id)).first()
        if task is None:
            raise NotThereError(f"There is no task {written.task_id} in the feedback store. Add it first.")
        problems["answers another prompt than its task's"] = task.prompt_id != written.prompt_id
        problems["belongs to a task that asks for a ranking; give it as its judgement's better answer"] = bool(
            task.response_ids
        )
    for problem, is_so in problems.items():
        if is_so:
            raise PlauditError(f"Demonstration {written.id} {problem}.")


def _check_edit(connection: Connection, written: Demonstration) -> None:
    """ConflictError unless it is the annotator's first for the task, or supersedes the one that stands."""
    table = demonstrations
    mine = (table.c.task_id == written.task_id) & (table.c.annotator_id == written.annotator_id)
    current = connection.execute(select(table).where(mine, table.c.superseded_by.is_(None))).first()
    if written.supersedes != (None if current is None else current.id):
        raise ConflictError(
            f"Demonstration {written.id} supersedes {written.supersedes}, which is not what {written.annotator_id} "
            f"has written for task {written.task_id} now."
            if current is None
            else f"{written.annotator_id} has written for task {written.task_id} already ({current.id}); "
            "an edit must supersede that."
        )
    if current is not None and current.withdrawn:
        raise ConflictError(f"Demonstration {current.id} was withdrawn; it cannot be edited any more.")


def _hold_place(connection: Connection, task_id: str, annotator_id: str, now: datetime, length: timedelta) -> None:
    """Take a free place where none is held, so that the task is not asked once too often; too many answers are kept."""
    task = connection.execute(select(tasks).where(tasks.c.id == task_id)).one()
    before = leases.assignment_row(connection, task_id, annotator_id)
    if before is None:
        leases.take(connection, task, annotator_id, (), leases.free_slot(connection, task), now, length)
    elif before.slot is None:
        leases.regain(connection, task, before, now, length)
