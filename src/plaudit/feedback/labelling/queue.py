"""What an annotator is asked next: the task that is open already, else qualification, else a mix of work and checks.

The mix is drawn anew for every task, so that no pattern gives a check away. Checks come only while there is work for
the annotator beside them, or being careful with the last tasks would do. The task is drawn at random among those that
wait. A task's id is a hash, so "the next id after a random one" is such a draw, and an index finds it however many
tasks there are. (A task after a large gap between ids is drawn a little more often: no matter.)
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, ScalarSelect, Subquery, exists, func, or_, select

from plaudit.feedback.events.rows import assignment_from
from plaudit.feedback.events.schema import IS_FREE, AssignmentState, assignments, demonstrations, judgements, tasks
from plaudit.feedback.labelling import leases
from plaudit.feedback.labelling.qualification import is_qualified
from plaudit.types import Assignment, TaskPurpose

# Out of 100 tasks, about so many are checks while there are any: Stiennon et al. 2020 (appendix C) take 10 to 20% from
# a shared pool; gold and sentinel items are rarer, because nothing is learnt from them but who to trust.
SHARE = {TaskPurpose.SHARED: 0.15, TaskPurpose.GOLD: 0.05, TaskPurpose.SENTINEL: 0.02}
CHECKS = (TaskPurpose.GOLD, TaskPurpose.SENTINEL)
LEARNED = (TaskPurpose.WORK, TaskPurpose.SHARED)  # that preferences come from
REAL = (TaskPurpose.SENTINEL, TaskPurpose.GOLD, TaskPurpose.SHARED, TaskPurpose.WORK)


def open_lease(connection: Connection, annotator_id: str) -> Row[Any] | None:
    """The annotator's assignment that is neither answered nor given up: the one begun last where there are several."""
    mine = select(assignments).where(assignments.c.annotator_id == annotator_id)
    return connection.execute(
        mine.where(assignments.c.state == AssignmentState.OPEN).order_by(assignments.c.seq.desc()).limit(1)
    ).first()


def lease_next(
    connection: Connection, annotator_id: str, purposes: Iterable[TaskPurpose], now: datetime, length: timedelta
) -> Assignment | None:
    """Lease a task of the first of the purposes that has one for the annotator, its answers in a random order."""
    mine = open_lease(connection, annotator_id)
    if mine is not None:  # its lease may have run out, but nobody has its place yet
        leases.extend(connection, mine, now, length)
        return assignment_from(mine)
    leases.expire(connection, now)
    for purpose in purposes:
        task = _draw(connection, annotator_id, purpose)
        slot = None if task is None else leases.free_slot(connection, task)
        if task is not None and slot is not None:
            count = len(task.response_ids)
            shown = task.shown_order or random.sample(range(count), count)  # as it was first shown to the annotator
            return leases.take(connection, task, annotator_id, shown, slot, now, length)
    return None


def _draw(connection: Connection, annotator_id: str, purpose: TaskPurpose) -> Row[Any] | None:
    """A random task of the purpose that waits for the annotator, with the order in which they saw it before, if any."""
    somewhere = f"{random.getrandbits(64):016x}"
    query = select(tasks, assignments.c.shown_order).select_from(tasks.outerjoin(assignments, _own(annotator_id)))
    waits = query.where(IS_FREE, tasks.c.purpose == str(purpose), _waits_for(annotator_id))
    for half in (tasks.c.id >= somewhere, tasks.c.id < somewhere):
        row = connection.execute(waits.where(half).order_by(tasks.c.id).limit(1)).first()
        if row is not None:
            return row
    return None


def _own(annotator_id: str) -> ColumnElement[bool]:
    return (assignments.c.task_id == tasks.c.id) & (assignments.c.annotator_id == annotator_id)


def _waits_for(annotator_id: str) -> ColumnElement[bool]:
    """Not among `_settled_tasks`, but asked of one task after the other, which stops at the first that fits."""
    judged, written = (
        exists().where(
            table.c.task_id == tasks.c.id, table.c.annotator_id == annotator_id, table.c.superseded_by.is_(None)
        )
        for table in (judgements, demonstrations)
    )
    not_leased = assignments.c.state.is_(None) | (assignments.c.state == AssignmentState.EXPIRED)
    return not_leased & ~or_(judged, written)


def purposes_to_try(connection: Connection, annotator_id: str) -> Iterator[TaskPurpose]:
    """The purposes in the order in which to try them: shared tasks or a check by their share, otherwise work.

    Without work that waits for the annotator there is no check either.
    """
    drawn = random.random()
    first = TaskPurpose.WORK
    for purpose, share in SHARE.items():
        if 0 <= drawn < share:
            first = purpose
        drawn -= share
    if first not in CHECKS or any(_draw(connection, annotator_id, purpose) for purpose in LEARNED):
        yield first
    yield from (purpose for purpose in LEARNED if purpose is not first)


def purposes(connection: Connection, annotator_id: str, needed: float) -> tuple[TaskPurpose, ...]:
    """What the annotator may be asked now."""
    return (TaskPurpose.QUALIFICATION,) if is_qualified(connection, annotator_id, needed) is False else REAL


class Backlog:
    """How many tasks of some purposes have a free place. Where those are many, the count is up to 5 seconds old.

    Counting a hundred thousand tasks takes a while, annotators see the figure with every task, and a handful more or
    less of thousands is nothing to them.
    """

    MANY = 2_000
    SECONDS = 5.0

    def __init__(self) -> None:
        self._counted: dict[tuple[TaskPurpose, ...], tuple[float, int]] = {}

    def count(self, connection: Connection, purposes: tuple[TaskPurpose, ...]) -> int:
        counted_at, count = self._counted.get(purposes, (-math.inf, 0))
        if count < self.MANY or time.monotonic() - counted_at > self.SECONDS:
            query = select(func.count()).select_from(tasks).where(IS_FREE, _of(purposes))
            count = connection.execute(query).scalar_one()
            self._counted[purposes] = time.monotonic(), count
        return count


def waiting(annotator_id: str, purposes: Iterable[TaskPurpose]) -> tuple[ScalarSelect[int], ScalarSelect[int]]:
    """Queries to count what the annotator has open, and what of the backlog they have open or are done with."""
    opened = (
        select(func.count())
        .select_from(assignments.join(tasks, tasks.c.id == assignments.c.task_id))
        .where(assignments.c.annotator_id == annotator_id, assignments.c.state == AssignmentState.OPEN, _of(purposes))
    )
    settled = _settled_tasks(annotator_id)
    of_backlog = (
        select(func.count())
        .select_from(settled.join(tasks, tasks.c.id == settled.c.task_id))
        .where(IS_FREE, _of(purposes))
    )
    return opened.scalar_subquery(), of_backlog.scalar_subquery()


def _of(purposes: Iterable[TaskPurpose]) -> ColumnElement[bool]:
    return tasks.c.purpose.in_([str(purpose) for purpose in purposes])


def _settled_tasks(annotator_id: str) -> Subquery:
    """Ids of the tasks that the annotator has open, has answered or has skipped."""
    leased = select(assignments.c.task_id).where(
        assignments.c.annotator_id == annotator_id, assignments.c.state != AssignmentState.EXPIRED
    )
    answered = (
        select(table.c.task_id).where(table.c.annotator_id == annotator_id, table.c.superseded_by.is_(None))
        for table in (judgements, demonstrations)
    )
    return leased.union(*answered).subquery()
