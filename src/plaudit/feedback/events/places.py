"""How many people a task is for, and how many of those places are free: decided here, and nowhere else.

A task has `overlap` places. A place is taken by a lease that is held or answered, and by an answer that came without
one, as an import's does. Gold, sentinel and qualification tasks are for everybody: their places never end.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import ColumnElement, Connection, ScalarSelect, case, exists, func, select, update

from plaudit.feedback.events.schema import annotators, assignments, judgements, tasks
from plaudit.types import AnnotatorKind, TaskPurpose

FOR_EVERYBODY = (TaskPurpose.GOLD, TaskPurpose.SENTINEL, TaskPurpose.QUALIFICATION)
ENDLESS = 1_000_000  # places


def places(purpose: str, overlap: int) -> int:
    """How many may answer a task."""
    return ENDLESS if purpose in FOR_EVERYBODY else overlap


def count_free(connection: Connection, task_ids: Collection[str]) -> None:
    """Count the free places of these tasks (as many as fit one statement) anew."""
    everybody = tasks.c.purpose.in_([str(purpose) for purpose in FOR_EVERYBODY])
    free = case((everybody, ENDLESS), else_=tasks.c.overlap) - _held() - _unleased()
    connection.execute(update(tasks).where(tasks.c.id.in_(task_ids)).values(free_places=free))


def for_people(connection: Connection, task_ids: Collection[str]) -> dict[str, int]:
    """Task id -> its places, less those that data sets and simulated annotators have; for as many as fit a statement.

    Tasks that are for everybody are not among them.
    """
    nobody = annotators.c.kind != str(AnnotatorKind.PERSON)
    by_others = _held(nobody) + _unleased(nobody)
    query = select(tasks.c.id, (tasks.c.overlap - by_others).label("places")).where(tasks.c.id.in_(task_ids))
    query = query.where(tasks.c.purpose.not_in([str(purpose) for purpose in FOR_EVERYBODY]))
    return {row.id: max(0, row.places) for row in connection.execute(query)}


def _held(who: ColumnElement[bool] | None = None) -> ScalarSelect[int]:
    """How many places of a task are held or answered under a lease."""
    held = select(func.count()).where(assignments.c.task_id == tasks.c.id, assignments.c.slot.is_not(None))
    if who is not None:
        held = held.where(annotators.c.id == assignments.c.annotator_id, who)
    return held.correlate(tasks).scalar_subquery()


def _unleased(who: ColumnElement[bool] | None = None) -> ScalarSelect[int]:
    """How many places of a task are answered without a lease."""
    leased = exists().where(
        assignments.c.task_id == judgements.c.task_id, assignments.c.annotator_id == judgements.c.annotator_id
    )
    unleased = select(func.count()).where(
        judgements.c.task_id == tasks.c.id,
        judgements.c.superseded_by.is_(None),
        ~judgements.c.surplus,
        ~judgements.c.withdrawn,
        ~leased.correlate(judgements),
    )
    if who is not None:
        unleased = unleased.where(annotators.c.id == judgements.c.annotator_id, who)
    return unleased.correlate(tasks).scalar_subquery()
