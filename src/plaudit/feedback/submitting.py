"""Taking in what annotators say: submitting twice is submitting once, and nothing that was said is overwritten."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from plaudit.errors import PlauditError
from plaudit.feedback.log import append, require, rows_with
from plaudit.feedback.projection import UNSAID
from plaudit.feedback.rows import judgement_payload
from plaudit.feedback.schema import EventKind, annotators, events, judgements, tasks
from plaudit.types import Judgement


def submit_all(connection: Connection, submitted: Sequence[Judgement], now: datetime) -> int:
    """Record judgements in order; how many were new. One that does not fit stops all of them, with a sentence."""
    fresh = _unseen(connection, submitted)
    require(connection, annotators, {j.annotator_id for j in fresh}, "annotator")
    require(connection, tasks, {j.task_id for j in fresh}, "task")
    shown = {
        row.id: row.response_ids for row in rows_with(connection, select(tasks), tasks.c.id, {j.task_id for j in fresh})
    }
    for judgement in fresh:
        _check(judgement, shown[judgement.task_id])
    _check_edits(connection, fresh)
    return append(connection, EventKind.JUDGED, [(j.id, judgement_payload(j)) for j in fresh], now)


def _unseen(connection: Connection, submitted: Sequence[Judgement]) -> list[Judgement]:
    """Those whose id is new. PlauditError when an id comes back with other content."""
    event_ids = [f"{EventKind.JUDGED}:{j.id}" for j in submitted]
    said = rows_with(connection, select(events), events.c.id, event_ids)
    seen = {row.payload["id"]: UNSAID[EventKind.JUDGED] | row.payload for row in said}
    fresh: dict[str, Judgement] = {}
    for judgement in submitted:
        earlier = seen.setdefault(judgement.id, payload := judgement_payload(judgement))
        if earlier is payload:
            fresh[judgement.id] = judgement
        elif earlier != payload:
            raise PlauditError(
                f"Judgement {judgement.id} is already stored with other content. "
                "Give an edit an id of its own and let it supersede the first."
            )
    return list(fresh.values())


def _check(judgement: Judgement, response_ids: Sequence[str]) -> None:
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
    """PlauditError unless each is the annotator's first on its task, or supersedes what the annotator says now."""
    query = select(judgements.c.id, judgements.c.task_id, judgements.c.annotator_id)
    query = query.where(judgements.c.superseded_by.is_(None))
    on_tasks = rows_with(connection, query, judgements.c.task_id, {j.task_id for j in fresh})
    current: dict[tuple[str, str], Any] = {(row.task_id, row.annotator_id): row.id for row in on_tasks}
    for judgement in fresh:
        key = (judgement.task_id, judgement.annotator_id)
        if judgement.supersedes != current.get(key):
            raise PlauditError(
                f"{judgement.annotator_id} has judged task {judgement.task_id} already ({current[key]}); "
                "an edit must supersede that judgement."
                if key in current
                else f"Judgement {judgement.id} supersedes {judgement.supersedes}, which is not what "
                f"{judgement.annotator_id} says about task {judgement.task_id} now."
            )
        current[key] = judgement.id
