"""Whether an annotator passed the qualification: by what they said when, for the first time, all of it was answered.

What is said of it later (an edit, or something taken back and said anew) is kept and decides nothing: who has failed
cannot go on trying answers until some pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, select

from plaudit.feedback.events.schema import IS_FREE, TAKEN_BACK, AssignmentState, assignments, judgements, tasks
from plaudit.types import Ranking, TaskPurpose


def is_qualified(connection: Connection, annotator_id: str, needed: float) -> bool | None:
    """Whether the annotator has answered all qualification tasks and agreed with gold on the share `needed` of pairs.

    A task that was skipped agrees with nothing. None where there are no such tasks.
    """
    mine = (judgements.c.task_id == tasks.c.id) & (judgements.c.annotator_id == annotator_id)
    leased = (assignments.c.task_id == tasks.c.id) & (assignments.c.annotator_id == annotator_id)
    columns = judgements.c.ranking, judgements.c.withdrawn, judgements.c.superseded_by
    given = assignments.c.state, assignments.c.seq.label("given_seq")
    query = select(tasks.c.id, tasks.c.gold, judgements.c.seq, *columns, *given)
    query = query.select_from(tasks.outerjoin(judgements, mine).outerjoin(assignments, leased))
    rows = connection.execute(query.where(IS_FREE, tasks.c.purpose == str(TaskPurpose.QUALIFICATION))).all()
    if not rows:
        return None
    final = _first_complete(rows)
    if final is None:
        return False
    gold = {row.id: row.gold for row in rows if row.gold}
    agrees = [same for task_id, tiers in gold.items() for same in _agreement(tiers, final.get(task_id))]
    return not agrees or sum(agrees) >= needed * len(agrees)


def _first_complete(rows: Sequence[Any]) -> dict[str, Any] | None:
    """Task id -> ranking, as they stood when all tasks were settled at once for the first time; None: never yet.

    rows: of every task with all that was ever said of it, and its assignment.
    """
    standing: dict[str, Any] = {}
    wanted = len({row.id for row in rows})
    for _, task_id, stands, ranking in sorted(_settlements(rows), key=lambda event: event[0]):
        if stands:
            standing[task_id] = ranking
        else:
            standing.pop(task_id)
        if len(standing) == wanted:
            return standing
    return None


def _settlements(rows: Sequence[Any]) -> Iterator[tuple[int, str, bool, Any]]:
    """(Position in the log, task id, whether it is settled from then on, the ranking or None)."""
    for row in rows:
        if row.ranking is not None:
            yield row.seq, row.id, True, None if row.withdrawn else row.ranking
            if (row.superseded_by or "").startswith(TAKEN_BACK):
                yield int(row.superseded_by.removeprefix(TAKEN_BACK)), row.id, False, None
        if row.state == AssignmentState.SKIPPED or (row.ranking is None and row.state == AssignmentState.DONE):
            yield row.given_seq, row.id, True, None  # skipped or written since it was given, the last time


def _agreement(gold: list[list[str]], ranking: list[list[str]] | None) -> list[bool]:
    """For every pair, whether the ranking says what gold says; no ranking agrees with nothing."""
    expected = list(_ranking(gold).pairs())
    shares = {(a, b): share for a, b, share in _ranking(ranking).pairs()} if ranking else {}
    return [shares.get((a, b)) == share for a, b, share in expected]


def _ranking(tiers: list[list[str]]) -> Ranking:
    return Ranking(tuple(map(tuple, tiers)))
