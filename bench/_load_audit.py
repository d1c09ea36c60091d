"""What became of a crowd's judgements: the store against what the crowd sent and was told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

from sqlalchemy import Row, select

from bench._crowd import Crowd
from plaudit.feedback.events.places import FOR_EVERYBODY
from plaudit.feedback.events.schema import EventKind, assignments, events, judgements, tasks
from plaudit.web.label_store import LabelStore


def audit(store: LabelStore, crowd: Crowd, beside: Collection[str] = ()) -> Counter[str]:
    """How many judgements were lost, doubled and over-assigned, how many are surplus, and how many places nobody took.

    The events are asked as well as the judgements: one that stands in only one of the two is lost. A judgement that the
    crowd sent, but was never told about, may be stored or not. Who works `beside` the crowd takes
    places, and else is not looked at.
    """
    in_log = select(events.c.id).where(events.c.kind == str(EventKind.JUDGED))
    pair = select(assignments.c.task_id, assignments.c.annotator_id)
    with store.reading() as connection:
        stored = connection.execute(select(judgements)).all()
        logged = Counter(key.partition(":")[2] for key in connection.execute(in_log).scalars())
        asked = connection.execute(select(tasks)).all()
        assigned = Counter(tuple(row) for row in connection.execute(pair))
    in_place = Counter(row.task_id for row in stored if stands(row) and not row.surplus)
    crowds = [row for row in stored if row.annotator_id not in beside]
    said = {row.id: (row.annotator_id, row.reason) for row in crowds}
    by_pair = Counter((row.task_id, row.annotator_id) for row in crowds)
    too_many = [in_place[task.id] - task.overlap for task in asked if task.purpose not in FOR_EVERYBODY]
    return Counter({
        "lost": sum(said.get(key) != crowd.said[key] or key not in logged for key in crowd.acknowledged),
        "doubled": sum(key not in crowd.said for key in said) + _beyond_one(logged) + _beyond_one(by_pair)
        + _beyond_one(crowd.stored),
        "over-assigned": sum(more for more in too_many if more > 0) + _beyond_one(assigned),
        "left empty": -sum(more for more in too_many if more < 0),
        "surplus": sum(row.surplus for row in crowds),
    })  # fmt: skip


def stands(judgement: Row[Any]) -> bool:
    return judgement.superseded_by is None and not judgement.withdrawn


def _beyond_one(counts: Counter) -> int:
    return sum(count - 1 for count in counts.values() if count > 1)
