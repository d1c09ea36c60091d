"""Taking in what annotators say, and what they take back: submitting twice is submitting once, nothing is overwritten.

Two things about a judgement the store knows best, and writes down with it: the version of the guidelines that its
author had read, where that is not given and it was said here, and whether it is surplus, because others had taken all
places of the task when it came.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Table, select

from plaudit.errors import ConflictError, NotThereError, PlauditError
from plaudit.feedback.events.log import add, require, rows_with
from plaudit.feedback.events.projection import UNSAID
from plaudit.feedback.events.rows import Payload, assignment_from, judgement_payload
from plaudit.feedback.events.schema import (
    TAKEN_BACK,
    AssignmentState,
    EventKind,
    annotators,
    assignments,
    demonstrations,
    events,
    judgements,
    tasks,
)
from plaudit.feedback.labelling import leases
from plaudit.feedback.labelling.settings import settings_in, versions_read
from plaudit.types import Assignment, Judgement

ENTRIES: dict[str, Table] = {"judgement": judgements, "demonstration": demonstrations}


def submit_all(
    connection: Connection, submitted: Sequence[Judgement], now: datetime, at: Mapping[str, datetime] | None = None
) -> int:
    """Record judgements in order; how many were new. One that does not fit stops all of them, with a sentence.

    `at`: judgement id -> when it was said, of those that were said elsewhere before now.
    """
    fresh = _unseen(connection, submitted)
    if not fresh:
        return 0
    require(connection, annotators, {j.annotator_id for j in fresh}, "annotator")
    tasks_asked = {row.id: row for row in rows_with(connection, select(tasks), tasks.c.id, {j.task_id for j in fresh})}
    require(connection, tasks, {j.task_id for j in fresh} - tasks_asked.keys(), "task")
    for judgement in fresh:
        check(judgement, tasks_asked[judgement.task_id].response_ids)
    _check_edits(connection, fresh)
    completed = _with_surplus(connection, _with_guidelines(connection, fresh, at or {}), tasks_asked, now)
    facts = {j.id: judgement_payload(j) for j in completed}
    add(connection, EventKind.JUDGED, facts, now, at=at)
    return len(facts)


def _unseen(connection: Connection, submitted: Sequence[Judgement]) -> list[Judgement]:
    """Those whose id is new. ConflictError when an id comes back with other content."""
    event_ids = [f"{EventKind.JUDGED}:{j.id}" for j in submitted]
    known_events = rows_with(connection, select(events), events.c.id, event_ids)
    seen = {row.payload["id"]: UNSAID[EventKind.JUDGED] | row.payload for row in known_events}
    fresh: dict[str, Judgement] = {}
    for judgement in submitted:
        earlier = seen.setdefault(judgement.id, payload := judgement_payload(judgement))
        if earlier is payload:
            fresh[judgement.id] = judgement
        elif _as_submitted(earlier, judgement) != payload:
            raise ConflictError(
                f"Judgement {judgement.id} is already stored with other content. "
                "Give an edit an id of its own and let it supersede the first."
            )
    return list(fresh.values())


def _as_submitted(stored: Payload, judgement: Judgement) -> Payload:
    """The stored payload, without what the store itself added, and wherever it first came from."""
    added: Payload = {"source": judgement.source} | ({} if judgement.surplus else {"surplus": False})
    return stored | added | ({"guidelines_version": None} if judgement.guidelines_version is None else {})


def check(judgement: Judgement, response_ids: Sequence[str]) -> None:
    """PlauditError unless the judgement speaks about exactly the answers of its task, within the scales."""
    answers, ranked = set(response_ids), set(judgement.ranking.response_ids)
    shown, rated = judgement.order, judgement.ratings.keys() | judgement.flags.keys()
    values = [value for ratings in judgement.ratings.values() for value in ratings.values()]
    seconds, strength = judgement.seconds, judgement.strength
    problems = {
        "must rank every answer of its task, and no other": ranked != answers,
        "must show every answer of its task once": bool(shown) and sorted(shown) != sorted(answers),
        "rates or flags an answer that its task does not have": not rated <= answers,
        "has a rating outside 1 to 7": not all(1 <= value <= 7 for value in values),
        "has a strength, which only a pair can have, from 1 to 4": strength is not None
        and not (len(answers) == 2 and 1 <= strength <= 4),
        "must take a time of zero or more": seconds is not None and not (math.isfinite(seconds) and seconds >= 0),
        "needs an id of 1 to 64 characters": not 1 <= len(judgement.id) <= 64,
    }
    for problem, is_so in problems.items():
        if is_so:
            raise PlauditError(f"Judgement {judgement.id} of task {judgement.task_id} {problem}.")


def _check_edits(connection: Connection, fresh: Sequence[Judgement]) -> None:
    """ConflictError unless each is the annotator's first on its task, or supersedes what the annotator says now."""
    query = select(judgements.c.id, judgements.c.task_id, judgements.c.annotator_id, judgements.c.withdrawn)
    query = query.where(judgements.c.superseded_by.is_(None))
    on_tasks = list(rows_with(connection, query, judgements.c.task_id, {j.task_id for j in fresh}))
    current: dict[tuple[str, str], Any] = {(row.task_id, row.annotator_id): row.id for row in on_tasks}
    withdrawn = {row.id for row in on_tasks if row.withdrawn}
    for judgement in fresh:
        key = (judgement.task_id, judgement.annotator_id)
        if judgement.supersedes != current.get(key):
            raise ConflictError(
                f"{judgement.annotator_id} has judged task {judgement.task_id} already ({current[key]}); "
                "an edit must supersede that judgement."
                if key in current
                else f"Judgement {judgement.id} supersedes {judgement.supersedes}, which is not what "
                f"{judgement.annotator_id} says about task {judgement.task_id} now."
            )
        if judgement.supersedes in withdrawn:
            raise ConflictError(f"Judgement {judgement.supersedes} was withdrawn; it cannot be edited any more.")
        current[key] = judgement.id


def _with_guidelines(connection: Connection, fresh: Sequence[Judgement], elsewhere: Container[str]) -> list[Judgement]:
    """With the version that the author had read, where that is not given and it was not said `elsewhere`."""
    unread = {j.id: j.annotator_id for j in fresh if j.guidelines_version is None and j.id not in elsewhere}
    read = versions_read(connection, set(unread.values()))
    versions = {j.id: read[j.annotator_id] for j in fresh if j.id in unread and j.annotator_id in read}
    return [replace(j, guidelines_version=versions[j.id]) if j.id in versions else j for j in fresh]


def _with_surplus(
    connection: Connection, fresh: Sequence[Judgement], tasks_asked: dict[str, Row[Any]], now: datetime
) -> list[Judgement]:
    """With the mark `surplus`: who lost the place takes a free one again, an edit is what it edits."""
    keys = [leases.assignment_id(j.task_id, j.annotator_id) for j in fresh]
    leased = {row.id: row for row in rows_with(connection, select(assignments), assignments.c.id, keys)}
    length = settings_in(connection).lease
    free = {
        task_id: row.free_places for task_id, row in tasks_asked.items()
    }  # for what comes without a lease (an import's)
    edited = rows_with(connection, select(judgements), judgements.c.id, {j.supersedes for j in fresh if j.supersedes})
    extra = {row.id for row in edited if row.surplus}
    for judgement, key in zip(fresh, keys, strict=True):
        if judgement.surplus:
            extra.add(judgement.id)
        elif key in leased:
            lost = leased[key].slot is None
            if lost and not leases.regain(connection, tasks_asked[judgement.task_id], leased[key], now, length):
                extra.add(judgement.id)
        elif judgement.supersedes:
            extra |= {judgement.id} if judgement.supersedes in extra else set()
        else:
            free[judgement.task_id] -= 1
            extra |= {judgement.id} if free[judgement.task_id] < 0 else set()
    return [j if j.surplus == (j.id in extra) else replace(j, surplus=j.id in extra) for j in fresh]


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
