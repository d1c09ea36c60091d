"""Reading judgements as columns says the same as reading them as objects."""

from __future__ import annotations

import random
import uuid
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from plaudit.feedback.aggregate import count_votes
from plaudit.feedback.quality.choices import BATCH, read_choices
from plaudit.feedback.store import FeedbackStore
from plaudit.types import Annotator, Judgement, Prompt, Ranking, Response, Task, TaskPurpose


def judge(task: Task, annotator: str, seed: int, **others) -> Judgement:
    """A random weak ordering, shown in random order."""
    chance = random.Random(seed)
    ranking = Ranking.from_scores({answer: chance.randrange(len(task.response_ids)) for answer in task.response_ids})
    shown = tuple(chance.sample(task.response_ids, len(task.response_ids)))
    return Judgement(str(uuid.UUID(int=seed + 1)), task.id, annotator, ranking, shown, **others)


ON_BOTH_DATABASES = True


@pytest.fixture
def judged(store: FeedbackStore) -> list[Judgement]:
    """Tasks of two to five answers, judged by three people; some choices are edited, one is withdrawn."""
    prompts = [Prompt.from_text(f"Question {i}?", topic="ab"[i % 2], number=str(i)) for i in range(40)]
    answers = [[Response(p.id, "word " * (k + i)) for k in range(1, 3 + i % 4)] for i, p in enumerate(prompts)]
    tasks = [
        Task(p.id, tuple(r.id for r in some), overlap=3, gold=((some[1].id,), (some[0].id,)) if i == 3 else None)
        for i, (p, some) in enumerate(zip(prompts, answers, strict=True))
    ]
    store.add_prompts(prompts)
    store.add_responses(r for some in answers for r in some)
    store.add_tasks(tasks)
    store.add_annotators([Annotator(name) for name in ("ana", "ben", "cem")])
    said = [judge(t, name, 3 * i + k) for i, t in enumerate(tasks) for k, name in enumerate(("ana", "ben", "cem"))]
    said[0] = replace(said[0], ratings={answers[0][0].id: {"helpful": 7, "clear": 1}}, seconds=12.5)
    said[1] = replace(said[1], order=(), ratings={answers[0][0].id: {"helpful": 6}}, guidelines_version=None)
    store.submit_all(said)
    edit = replace(said[4], id=str(uuid.uuid4()), supersedes=said[4].id, ranking=Ranking((said[4].order,)))
    store.submit(edit)
    store.withdraw(entry_id=said[7].id, reason="asked", actor="lead")
    return store.judgements()


def test_columns_hold_what_the_objects_say(store: FeedbackStore, judged: list[Judgement]) -> None:
    choices = read_choices(store)
    ids = [answer.id for answer in store.responses()]
    read = Counter()
    for n in range(len(choices.unit)):
        who = choices.annotators[choices.annotator[choices.judgement[n]]]
        a, b = (ids[side[n]] for side in choices.sides)
        read[who, *min((a, b, 1 - choices.choice[n] / 2), (b, a, choices.choice[n] / 2))] += 1
    told = Counter((j.annotator_id, a, b, share) for j in judged for a, b, share in j.ranking.pairs())
    assert read == told
    assert len(choices.annotator) == len(judged) == 119
    assert len(count_votes(judged)) == len(choices.tasks.expected)


def test_the_shown_order_is_of_the_pair(store: FeedbackStore, judged: list[Judgement]) -> None:
    choices, by_place = read_choices(store), {}
    ids = [answer.id for answer in store.responses()]
    for n in range(len(choices.unit)):
        place = judged[choices.judgement[n]].order
        a, b = (ids[side[n]] for side in choices.sides)
        expected = 0 if not place else int(np.sign(place.index(b) - place.index(a)))
        by_place[expected] = by_place.get(expected, 0) + 1
        assert choices.shown[n] == expected
    assert by_place.keys() == {-1, 0, 1}


def test_ratings_gold_tags_and_times(store: FeedbackStore, judged: list[Judgement]) -> None:
    choices = read_choices(store)
    assert {name: rated.category.tolist() for name, rated in choices.rated.items()} == {"clear": [0], "helpful": [6, 5]}
    assert (choices.tasks.expected >= 0).sum() == 1
    assert choices.tasks.expected[choices.tasks.expected >= 0].tolist() == [2]  # the second answer is the better
    assert choices.tags["topic"][0] == ("a", "b")
    assert "number" not in choices.tags  # forty values name prompts, not groups
    assert choices.seconds[0] == 12.5
    assert np.isnan(choices.seconds[1:]).all()


def test_units_of_a_task_lie_together_and_a_part_is_a_part(store: FeedbackStore, judged: list[Judgement]) -> None:
    choices = read_choices(store)
    by_ana = choices.annotator == choices.annotators.index("ana")
    part = choices.among(by_ana)
    assert len(part.annotator) == by_ana.sum() == 40
    assert (part.rater == choices.annotators.index("ana")).all()
    assert (part.tasks.task_of_unit[part.unit] == part.task[part.judgement]).all()


def test_an_empty_store_has_no_choices(store: FeedbackStore) -> None:
    choices = read_choices(store)
    assert (len(choices.unit), choices.annotators, dict(choices.rated)) == (0, (), {})


def test_more_than_a_batch_is_read_whole(store: FeedbackStore, judged, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = read_choices(store)
    monkeypatch.setattr("plaudit.feedback.quality.choices.BATCH", 7)
    in_parts = read_choices(store)
    assert BATCH > 7
    for name in ("judgement", "unit", "choice", "shown"):
        one, other = (sorted(zip(c.judgement, c.unit, getattr(c, name), strict=True)) for c in (whole, in_parts))
        assert one == other


def test_purposes_of_tasks(store: FeedbackStore) -> None:
    prompt = Prompt.from_text("?")
    answers = [Response(prompt.id, text) for text in ("a", "b")]
    store.add_prompts([prompt])
    store.add_responses(answers)
    store.add_tasks([Task(prompt.id, tuple(a.id for a in answers), purpose=TaskPurpose.SENTINEL)])
    listed = read_choices(store).tasks
    assert listed.with_purpose(TaskPurpose.SENTINEL).tolist() == [True]
    assert listed.with_purpose(TaskPurpose.GOLD).tolist() == [False]
