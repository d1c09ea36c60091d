"""Who has which task: a lease of one of the task's places, for a while, with the order in which answers are shown.

A task has `overlap` places. A place is free when nobody holds it, or when its lease ran out before the annotator
answered. Answering late is still answering: the judgement is kept, even when somebody else has taken the place.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, select

from plaudit.errors import PlauditError
from plaudit.feedback.log import append, require, rows_with, timestamp
from plaudit.feedback.rows import Payload, assignment_from
from plaudit.feedback.schema import AssignmentState, EventKind, annotators, assignments, tasks
from plaudit.types import Assignment, content_id

LEASE = timedelta(hours=1)


def assignment_id(task_id: str, annotator_id: str) -> str:
    """One annotator has a task at most once, so both together name the assignment."""
    return content_id(task_id, annotator_id)


def lease(
    connection: Connection, task_id: str, annotator_id: str, order: Sequence[int], now: datetime
) -> Assignment | None:
    """Take a free place of the task, or keep the one held, with the order first shown; None when all are taken."""
    require(connection, annotators, [annotator_id], "annotator")
    require(connection, tasks, [task_id], "task")
    task = connection.execute(select(tasks).where(tasks.c.id == task_id)).one()
    given = connection.execute(select(assignments).where(assignments.c.task_id == task_id)).all()
    mine = next((row for row in given if row.annotator_id == annotator_id), None)
    if mine is not None and (mine.state == AssignmentState.DONE or _holds(mine, now)):
        return assignment_from(mine)
    slot = _free_slot(task, [row.slot for row in given if _holds(row, now)])
    if slot is None:
        return None
    for row in given:
        if row.slot is not None and (row.slot == slot or row is mine):
            release(connection, row, AssignmentState.EXPIRED, "the lease ran out", now)
    shown = tuple(order if mine is None else mine.shown_order)
    assignment = Assignment(assignment_id(task_id, annotator_id), task_id, annotator_id, shown)
    append(
        connection, EventKind.ASSIGNED, [(f"{assignment.id}:{uuid.uuid4()}", _fact(assignment, task, slot, now))], now
    )
    return assignment


def lease_all(connection: Connection, given: Sequence[Assignment], now: datetime) -> int:
    """Record many assignments at once (a simulated panel's), none of which takes over a place whose lease ran out."""
    task_ids = {a.task_id for a in given}
    require(connection, annotators, {a.annotator_id for a in given}, "annotator")
    require(connection, tasks, task_ids, "task")
    task = {row.id: row for row in rows_with(connection, select(tasks), tasks.c.id, task_ids)}
    taken: dict[str, list[int | None]] = {task_id: [] for task_id in task_ids}
    known = set()
    for row in rows_with(connection, select(assignments), assignments.c.task_id, task_ids):
        taken[row.task_id].append(row.slot)
        known.add(row.id)
    facts = []
    for assignment in (a for a in given if a.id not in known):
        slot = _free_slot(task[assignment.task_id], taken[assignment.task_id])
        if slot is None:
            raise PlauditError(f"All places of task {assignment.task_id} are taken; make tasks with a larger overlap.")
        taken[assignment.task_id].append(slot)
        facts.append((assignment.id, _fact(assignment, task[assignment.task_id], slot, now)))
    return append(connection, EventKind.ASSIGNED, facts, now)


def release(connection: Connection, row: Row[Any], state: AssignmentState, reason: str, now: datetime) -> None:
    """Give the place of an assignment's row back."""
    payload = {"id": row.id, "annotator_id": row.annotator_id, "state": str(state), "reason": reason}
    append(connection, EventKind.RELEASED, [(f"{row.id}:{uuid.uuid4()}", payload)], now)


def _free_slot(task: Row[Any], taken: Iterable[int | None]) -> int | None:
    taken = set(taken)
    return next((slot for slot in range(task.overlap) if slot not in taken), None)


def _holds(row: Row[Any], now: datetime) -> bool:
    ran_out = row.state == AssignmentState.OPEN and row.leased_until < timestamp(now)
    return row.slot is not None and not ran_out


def _fact(assignment: Assignment, task: Row[Any], slot: int, now: datetime) -> Payload:
    if sorted(assignment.order) != list(range(len(task.response_ids))):
        raise PlauditError(
            f"The order {assignment.order} does not show each of the {len(task.response_ids)} answers of task "
            f"{task.id} once."
        )
    return {
        "id": assignment.id,
        "task_id": assignment.task_id,
        "annotator_id": assignment.annotator_id,
        "slot": slot,
        "shown_order": list(assignment.order),
        "leased_until": timestamp(now + LEASE),
    }
