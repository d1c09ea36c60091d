"""Whether an annotator passed the qualification: by what they said when, for the first time, all of it was answered.

What is said of it later (an edit, or something taken back and said anew) is kept and decides nothing: who has failed
cannot go on trying answers until some pass.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, select

from plaudit.feedback.schema import IS_FREE, TAKEN_BACK, AssignmentState, assignments, judgements, tasks
from plaudit.types import Ranking, TaskPurpose

_SETTLED = (AssignmentState.DONE, AssignmentState.SKIPPED)


def qualified(connection: Connection, annotator_id: str, needed: float) -> bool | None:
    """Whether the annotator has answered all qualification tasks and agreed with gold on the share `needed` of pairs.

    A task that was skipped agrees with nothing. None where there are no such tasks.
    """
    mine = (judgements.c.task_id == tasks.c.id) & (judgements.c.annotator_id == annotator_id)
    leased = (assignments.c.task_id == tasks.c.id) & (assignments.c.annotator_id == annotator_id)
    said = judgements.c.ranking, judgements.c.withdrawn, judgements.c.superseded_by
    query = select(tasks.c.id, tasks.c.gold, judgements.c.seq, *said, assignments.c.state)
    query = query.select_from(tasks.outerjoin(judgements, mine).outerjoin(assignments, leased))
    rows = connection.execute(query.where(IS_FREE, tasks.c.purpose == str(TaskPurpose.QUALIFICATION))).all()
    if not rows:
        return None
    judged = [row for row in rows if row.ranking is not None]
    unsaid = {row.id for row in rows if row.ranking is None and row.state in _SETTLED}
    wanted = {row.id for row in rows} - unsaid
    final = _first_complete(judged, wanted)
    if final is None:  # what was taken back and then skipped is settled, and nothing more will be said of it
        skipped = {row.id for row in rows if row.state == AssignmentState.SKIPPED}
        final = _first_complete([row for row in judged if row.id not in skipped], wanted - skipped)
    if final is None:
        return False
    gold = {row.id: row.gold for row in rows if row.gold}
    agrees = [same for task_id, tiers in gold.items() for same in _agreement(tiers, final.get(task_id))]
    return not agrees or sum(agrees) >= needed * len(agrees)


def _first_complete(judged: Sequence[Any], wanted: Collection[str]) -> dict[str, Any] | None:
    """Task id -> ranking, as they stood when all of `wanted` stood at once for the first time; None: never yet.

    judged: the rows of all that was ever said.
    """
    said = [(row.seq, row.id, True, None if row.withdrawn else row.ranking) for row in judged]
    taken_back = [
        (int(row.superseded_by.removeprefix(TAKEN_BACK)), row.id, False, None)
        for row in judged
        if (row.superseded_by or "").startswith(TAKEN_BACK)
    ]
    standing: dict[str, Any] = {}
    for _, task_id, stands, ranking in sorted([*said, *taken_back], key=lambda one: one[0]):
        if stands:
            standing[task_id] = ranking
        else:
            standing.pop(task_id)
        if len(standing) == len(wanted):
            return standing
    return None if wanted else standing


def _agreement(gold: list[list[str]], ranking: list[list[str]] | None) -> list[bool]:
    """For every pair, whether the ranking says what gold says; no ranking agrees with nothing."""
    expected = list(_ranking(gold).pairs())
    said = {(a, b): share for a, b, share in _ranking(ranking).pairs()} if ranking else {}
    return [said.get((a, b)) == share for a, b, share in expected]


def _ranking(tiers: list[list[str]]) -> Ranking:
    return Ranking(tuple(map(tuple, tiers)))
