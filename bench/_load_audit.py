"""What became of a crowd's judgements: the store against what the crowd sent and was told."""

from __future__ import annotations

from collections import Counter

from sqlalchemy import select

from bench._crowd import Crowd
from plaudit.feedback.events.places import FOR_EVERYBODY
from plaudit.feedback.events.schema import EventKind, assignments, events, judgements, tasks
from plaudit.web.label_store import LabelStore


def audit(store: LabelStore, crowd: Crowd) -> Counter[str]:
    """How many judgements were lost, doubled and over-assigned, how many are surplus, and how many places nobody took.

    The events are asked as well as the judgements: one that stands in only one of the two is lost. A judgement that the
    crowd sent, but was never told about, may be stored or not.
    """
    in_log = select(events.c.id).where(events.c.kind == str(EventKind.JUDGED))
    pair = select(assignments.c.task_id, assignments.c.annotator_id)
    with store.reading() as connection:
        stored = connection.execute(select(judgements)).all()
        logged = Counter(key.partition(":")[2] for key in connection.execute(in_log).scalars())
        asked = connection.execute(select(tasks)).all()
        assigned = Counter(tuple(row) for row in connection.execute(pair))
    said = {row.id: (row.annotator_id, row.reason) for row in stored}
    by_pair = Counter((row.task_id, row.annotator_id) for row in stored)
    in_place = Counter(row.task_id for row in stored if not row.surplus)
    too_many = [in_place[task.id] - task.overlap for task in asked if task.purpose not in FOR_EVERYBODY]
    return Counter({
        "lost": sum(said.get(key) != crowd.said[key] or key not in logged for key in crowd.acknowledged),
        "doubled": sum(key not in crowd.said for key in said) + _beyond_one(logged) + _beyond_one(by_pair)
        + _beyond_one(crowd.stored),
        "over-assigned": sum(more for more in too_many if more > 0) + _beyond_one(assigned),
        "left empty": -sum(more for more in too_many if more < 0),
        "surplus": sum(row.surplus for row in stored),
    })  # fmt: skip


def _beyond_one(counts: Counter) -> int:
    return sum(count - 1 for count in counts.values() if count > 1)
