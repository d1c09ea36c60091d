"""What an annotator is asked next: the task that is open already, else qualification, else a mix of work and checks.

The mix is drawn anew for every task, so that no pattern gives a check away, and the task is drawn at random among
those that wait. A task's id is a hash, so "the next id after a random one" is such a draw, and an index finds it
however many tasks there are. (A task after a large gap between ids is drawn a little more often: no matter.)
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, exists, func, or_, select

from plaudit.feedback import leases
from plaudit.feedback.log import require
from plaudit.feedback.rows import assignment_from
from plaudit.feedback.schema import (
    IS_FREE,
    AssignmentState,
    annotators,
    assignments,
    demonstrations,
    judgements,
    tasks,
)
from plaudit.types import Assignment, Ranking, TaskPurpose

# Out of 100 tasks, about so many are checks while there are any: Stiennon et al. 2020 (appendix C) take 10 to 20% from
# a shared pool; gold and sentinel items are rarer, because nothing is learnt from them but who to trust.
SHARE = {TaskPurpose.SHARED: 0.15, TaskPurpose.GOLD: 0.05, TaskPurpose.SENTINEL: 0.02}
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
    require(connection, annotators, [annotator_id], "annotator")
    mine = open_lease(connection, annotator_id)
    if mine is not None:  # its lease may have run out, but nobody has its place yet
        leases.extend(connection, mine, now, length)
        return assignment_from(mine)
    leases.expire(connection, now)
    for purpose in purposes:
        task = _draw(connection, annotator_id, purpose)
        slot = None if task is None else leases.free_slot(connection, task)
        if task is not None and slot is not None:
            shown = _order(connection, task, annotator_id)
            return leases.take(connection, task, annotator_id, shown, slot, now, length)
    return None


def _draw(connection: Connection, annotator_id: str, purpose: TaskPurpose) -> Row[Any] | None:
    """A random task of the purpose that waits for the annotator."""
    somewhere = f"{random.getrandbits(64):016x}"
    waiting = select(tasks).where(_waits_for(annotator_id), tasks.c.purpose == str(purpose))
    for half in (tasks.c.id >= somewhere, tasks.c.id < somewhere):
        row = connection.execute(waiting.where(half).order_by(tasks.c.id).limit(1)).first()
        if row is not None:
            return row
    return None


def _order(connection: Connection, task: Row[Any], annotator_id: str) -> list[int]:
    """As it was first shown to the annotator, else at random."""
    before = leases.assignment_row(connection, task.id, annotator_id)
    count = len(task.response_ids)
    return random.sample(range(count), count) if before is None else before.shown_order


def mixed() -> Iterator[TaskPurpose]:
    """The purposes in the order in which to try them: a check by its share, otherwise work; then all the others."""
    drawn = random.random()
    first = TaskPurpose.WORK
    for purpose, share in SHARE.items():
        if 0 <= drawn < share:
            first = purpose
        drawn -= share
    yield first
    yield from (purpose for purpose in (TaskPurpose.WORK, *SHARE) if purpose is not first)


def purposes(connection: Connection, annotator_id: str, needed: float) -> tuple[TaskPurpose, ...]:
    """What the annotator may be asked now."""
    return (TaskPurpose.QUALIFICATION,) if qualified(connection, annotator_id, needed) is False else REAL


def qualified(connection: Connection, annotator_id: str, needed: float) -> bool | None:
    """Whether the annotator has answered all qualification tasks and agrees with gold on the share `needed` of pairs.

    None where there are no such tasks.
    """
    query = select(tasks.c.id, tasks.c.gold, judgements.c.ranking).select_from(
        tasks.outerjoin(
            judgements,
            (judgements.c.task_id == tasks.c.id)
            & (judgements.c.annotator_id == annotator_id)
            & judgements.c.superseded_by.is_(None)
            & ~judgements.c.withdrawn,
        )
    )
    rows = connection.execute(query.where(IS_FREE, tasks.c.purpose == str(TaskPurpose.QUALIFICATION))).all()
    if not rows:
        return None
    if waiting(connection, annotator_id, [TaskPurpose.QUALIFICATION]):
        return False
    pairs = [agrees for row in rows if row.gold for agrees in _agreement(row.gold, row.ranking)]
    return not pairs or sum(pairs) >= needed * len(pairs)


def _agreement(gold: list[list[str]], ranking: list[list[str]] | None) -> list[bool]:
    """For every pair, whether the ranking says what gold says; no ranking agrees with nothing."""
    expected = list(_ranking(gold).pairs())
    said = {(a, b): share for a, b, share in _ranking(ranking).pairs()} if ranking else {}
    return [said.get((a, b)) == share for a, b, share in expected]


def _ranking(tiers: list[list[str]]) -> Ranking:
    return Ranking(tuple(map(tuple, tiers)))


def waiting(connection: Connection, annotator_id: str, purposes: Iterable[TaskPurpose]) -> int:
    """How many tasks of the purposes the annotator could get or has open."""
    of_purpose = tasks.c.purpose.in_([str(purpose) for purpose in purposes])
    free = connection.execute(select(func.count()).select_from(tasks).where(IS_FREE, of_purpose)).scalar_one()
    settled = select(func.count()).select_from(tasks).where(IS_FREE, of_purpose, tasks.c.id.in_(_mine(annotator_id)))
    open_ones = (
        select(func.count())
        .select_from(assignments.join(tasks, tasks.c.id == assignments.c.task_id))
        .where(assignments.c.annotator_id == annotator_id, assignments.c.state == AssignmentState.OPEN, of_purpose)
    )
    return int(free - connection.execute(settled).scalar_one() + connection.execute(open_ones).scalar_one())


def _mine(annotator_id: str) -> Any:
    """Ids of the tasks that the annotator has open, has answered or has skipped."""
    leased = select(assignments.c.task_id).where(
        assignments.c.annotator_id == annotator_id, assignments.c.state != AssignmentState.EXPIRED
    )
    return leased.union(*(_answered(table, annotator_id) for table in (judgements, demonstrations)))


def _answered(table: Any, annotator_id: str) -> Select[Any]:
    own = select(table.c.task_id).where(table.c.annotator_id == annotator_id, table.c.superseded_by.is_(None))
    return own.where(table.c.task_id.is_not(None))


def _waits_for(annotator_id: str) -> ColumnElement[bool]:
    """As "not among `_mine`", but asked of one task after the other, which stops at the first that fits."""
    leased = exists().where(
        assignments.c.task_id == tasks.c.id,
        assignments.c.annotator_id == annotator_id,
        assignments.c.state != AssignmentState.EXPIRED,
    )
    judged, written = (
        exists().where(
            table.c.task_id == tasks.c.id, table.c.annotator_id == annotator_id, table.c.superseded_by.is_(None)
        )
        for table in (judgements, demonstrations)
    )
    return IS_FREE & ~or_(leased, judged, written)
