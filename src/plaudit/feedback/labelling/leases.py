"""Who has which task: a lease of one of the task's places, for a while, with the order in which answers are shown.

A task has places for so many people (`events/places`). A lease that ran out gives its place back as
soon as anybody looks for work. Answering late is still answering: the annotator takes a free place again, or else the
answer is kept as surplus (`submitting`).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, select

from plaudit.errors import ConflictError, NotThereError, PlauditError
from plaudit.feedback.events.log import AHEAD, add, append, moment_of, require, rows_with, timestamp
from plaudit.feedback.events.places import places
from plaudit.feedback.events.rows import Payload, assignment_from
from plaudit.feedback.events.schema import (
    IS_LEASED,
    AssignmentState,
    EventKind,
    annotators,
    assignments,
    tasks,
)
from plaudit.types import Assignment, content_id

LONGEST = timedelta(hours=8)  # that a browser left open keeps a task, unless a lease is longer by itself


def assignment_id(task_id: str, annotator_id: str) -> str:
    """One annotator has a task at most once, so both together name the assignment."""
    return content_id(task_id, annotator_id)


def assignment_row(connection: Connection, task_id: str, annotator_id: str) -> Row[Any] | None:
    mine = assignments.c.id == assignment_id(task_id, annotator_id)
    return connection.execute(select(assignments).where(mine)).first()


def lease(
    connection: Connection, task_id: str, annotator_id: str, order: Sequence[int], now: datetime, length: timedelta
) -> Assignment | None:
    """Take a free place of the task, or keep the one held, with the order first shown; None when all are taken."""
    require(connection, annotators, [annotator_id], "annotator")
    task = connection.execute(select(tasks).where(tasks.c.id == task_id)).first()
    if task is None:
        raise NotThereError(f"There is no task {task_id} in the feedback store. Add it first.")
    mine = assignment_row(connection, task_id, annotator_id)
    if mine is not None and (mine.state == AssignmentState.DONE or _is_open_place(mine)):
        if mine.state == AssignmentState.OPEN:
            extend(connection, mine, now, length)
        return assignment_from(mine)
    expire(connection, now)
    slot = free_slot(connection, task)
    if slot is None:
        return None
    return take(connection, task, annotator_id, order if mine is None else mine.shown_order, slot, now, length)


def take(
    connection: Connection,
    task: Row[Any],
    annotator_id: str,
    order: Sequence[int],
    slot: int | None,
    now: datetime,
    length: timedelta,
    since: str | None = None,
) -> Assignment:
    """Record that the annotator has the task; without a place (`slot` None) what comes of it will be surplus."""
    assignment = Assignment(assignment_id(task.id, annotator_id), task.id, annotator_id, tuple(order))
    payload = _fact(assignment, task, slot, now + length) | ({"leased_at": since} if since else {})
    add(connection, EventKind.ASSIGNED, {f"{assignment.id}:{uuid.uuid4()}": payload}, now)
    return assignment


def lease_all(connection: Connection, given: Sequence[Assignment], now: datetime, length: timedelta) -> int:
    """Record many assignments at once (a simulated panel's), none of which takes over a place whose lease ran out."""
    task_ids = {a.task_id for a in given}
    require(connection, annotators, {a.annotator_id for a in given}, "annotator")
    require(connection, tasks, task_ids, "task")
    task = {row.id: row for row in rows_with(connection, select(tasks), tasks.c.id, task_ids)}
    taken: dict[str, set[int | None]] = {task_id: set() for task_id in task_ids}
    known = set()
    for row in rows_with(connection, select(assignments), assignments.c.task_id, task_ids):
        taken[row.task_id].add(row.slot)
        known.add(row.id)
    facts = []
    for assignment in (a for a in given if a.id not in known):
        slot = _first_free(task[assignment.task_id], taken[assignment.task_id])
        if slot is None:
            raise PlauditError(f"All places of task {assignment.task_id} are taken; make tasks with a larger overlap.")
        taken[assignment.task_id].add(slot)
        facts.append((assignment.id, _fact(assignment, task[assignment.task_id], slot, now + length)))
    return len(append(connection, EventKind.ASSIGNED, facts, now))


def heartbeat(
    connection: Connection, row: Row[Any], now: datetime, length: timedelta, *, may_write: bool
) -> datetime | None:
    """When the lease ends, made longer once less than half of it is left. None: that takes a transaction that writes.

    A lease that ran out is taken up again while a place is free and LONGEST from its beginning is not over; else
    its end stays in the past. ConflictError when the task is answered or skipped.
    """
    until = moment_of(row.leased_until)
    if row.state in (AssignmentState.DONE, AssignmentState.SKIPPED):
        raise ConflictError(f"Assignment {row.id} is {row.state}; there is nothing to keep.")
    if row.state == AssignmentState.OPEN and until - now >= length / 2:
        return until
    if not may_write:
        return None
    if row.state == AssignmentState.OPEN:
        extend(connection, row, now, length)
        return moment_of(assignment_row(connection, row.task_id, row.annotator_id).leased_until)  # type: ignore[union-attr]
    left = min(length, _last_end(row, length) - now)
    if left <= timedelta(0):
        return until  # it can still be answered
    task = connection.execute(select(tasks).where(tasks.c.id == row.task_id)).one()
    return now + left if regain(connection, task, row, now, left, since=row.leased_at) else until


def _last_end(row: Row[Any], length: timedelta) -> datetime:
    """Until when a lease may be kept."""
    return moment_of(row.leased_at) + max(LONGEST, length)


def regain(
    connection: Connection, task: Row[Any], row: Row[Any], now: datetime, length: timedelta, since: str | None = None
) -> bool:
    """Take a place again for an assignment that lost its own; whether one was free. `since`: as if from then on."""
    slot = free_slot(connection, task)
    if slot is None:
        return False
    take(connection, task, row.annotator_id, row.shown_order, slot, now, length, since)
    return True


def extend(connection: Connection, row: Row[Any], now: datetime, length: timedelta) -> None:
    """Let the lease run for its whole length again, where half of that is over, up to LONGEST from its beginning."""
    last = _last_end(row, length)
    if moment_of(row.leased_until) - now < length / 2 and now < last:
        payload = {
            "id": row.id,
            "task_id": row.task_id,
            "annotator_id": row.annotator_id,
            "leased_until": timestamp(min(now + length, last)),
        }
        add(connection, EventKind.EXTENDED, {f"{row.id}:{uuid.uuid4()}": payload}, now)


def expire(connection: Connection, now: datetime) -> None:
    """Take back the places of all leases that ran out, or that a clock began which was wrong once."""
    ran_out, ahead = assignments.c.leased_until < timestamp(now), assignments.c.leased_at > timestamp(now + AHEAD)
    over = select(assignments).where(IS_LEASED, ran_out | ahead)
    rows = connection.execute(over.order_by(assignments.c.seq)).all()
    release(connection, rows, AssignmentState.EXPIRED, "the lease ran out", now)


def release(
    connection: Connection, rows: Sequence[Row[Any]], state: AssignmentState, reason: str, now: datetime
) -> None:
    """Give the places of assignments' rows back."""
    facts = [
        (
            f"{row.id}:{uuid.uuid4()}",
            {
                "id": row.id,
                "task_id": row.task_id,
                "annotator_id": row.annotator_id,
                "state": str(state),
                "reason": reason,
            },
        )
        for row in rows
    ]
    if facts:
        append(connection, EventKind.RELEASED, facts, now)


def free_slot(connection: Connection, task: Row[Any]) -> int | None:
    """The first place of the task that nobody holds; None when all are held, or answered without a lease."""
    now_free = connection.execute(select(tasks.c.free_places).where(tasks.c.id == task.id)).scalar_one()
    if now_free <= 0:
        return None
    held = select(assignments.c.slot).where(assignments.c.task_id == task.id, assignments.c.slot.is_not(None))
    return _first_free(task, set(connection.execute(held).scalars()))


def _first_free(task: Row[Any], taken: Iterable[int | None]) -> int | None:
    return next((slot for slot in range(places(task.purpose, task.overlap)) if slot not in taken), None)


def _is_open_place(row: Row[Any]) -> bool:
    return row.state == AssignmentState.OPEN and row.slot is not None


def _fact(assignment: Assignment, task: Row[Any], slot: int | None, until: datetime) -> Payload:
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
        "leased_until": timestamp(until),
    }
