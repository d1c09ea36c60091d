"""Weights: near the truth of honest people whatever the plan, neutral where nothing can be known, the same everywhere.

The panels judge pairs of which a share is truly tied, and whoever does not know guesses ties as often.
"""

from __future__ import annotations

import numpy as np
import pytest

from plaudit.feedback.aggregate import preferences
from plaudit.feedback.quality.choices import Choices, Tasks
from plaudit.feedback.quality.reliability import LEAST_WEIGHT, annotator_weights, fit_reliability, fit_weights
from plaudit.feedback.quality.report import quality_report
from plaudit.feedback.store import FeedbackStore
from plaudit.types import Annotator, Judgement, Prompt, Ranking, Response, Task, TaskPurpose

KNOWING = 0.7  # of the honest: right 85% of the time, without ties
COIN, FIRST = 0, 1
# How many tasks there are, which share of them is judged by several, and by how many.
PLANS = {"all by three": (150, 1.0, 3), "all by two": (300, 1.0, 2), "15% by three": (1000, 0.15, 3)}


def pairs_judged(unit: np.ndarray, rater: np.ndarray, said: np.ndarray, shown: np.ndarray) -> Choices:
    units, n = int(unit.max()) + 1, np.arange(len(unit))
    tasks = Tasks({}, [TaskPurpose.WORK] * units, *[np.arange(units)] * 3, np.full(units, -1))
    nothing = np.zeros(len(unit))
    return Choices(
        annotators=tuple(f"r{i}" for i in range(int(rater.max()) + 1)),
        tasks=tasks,
        tags={},
        annotator=rater,
        task=unit,
        answers=np.full(len(unit), 2),
        seconds=nothing,
        version=nothing,
        characters=nothing,
        judgement=n,
        unit=unit,
        choice=said,
        shown=shown,
        sides=(2 * unit, 2 * unit + 1),
        longer=nothing,
        rated={},
    )


def panel(seed: int, plan: str, ties: float, raters: int = 8) -> Choices:
    """Number 0 is a coin (calling ties as often as others), number 1 takes what is shown first, the others know 70%."""
    chance = np.random.default_rng(seed)
    tasks, share, overlap = PLANS[plan]
    by = [overlap if i < share * tasks else 1 for i in range(tasks)]
    unit = np.repeat(np.arange(tasks), by)
    rater = np.concatenate([chance.choice(raters, n, replace=False) for n in by])
    odds = [(1 - ties) / 2, ties, (1 - ties) / 2]
    truth, guess = chance.choice(3, tasks, p=odds)[unit], chance.choice(3, len(unit), p=odds)
    shown = np.where(chance.random(len(unit)) < 0.5, 1, -1)
    said = np.where((rater > FIRST) & (chance.random(len(unit)) < KNOWING), truth, guess)
    return pairs_judged(unit, rater, np.where(rater == FIRST, 1 - shown, said), shown)


@pytest.mark.parametrize("ties", [0.0, 0.05, 0.2])
@pytest.mark.parametrize("plan", PLANS)
def test_honest_people_weigh_what_they_know_and_guessers_far_less(plan: str, ties: float) -> None:
    weights = np.array([fit_weights(panel(seed, plan, ties)) for seed in range(12)])
    honest = weights[:, 2:]
    assert honest.mean() == pytest.approx(KNOWING, abs=0.07)
    assert weights[:, COIN].mean() < KNOWING / 2
    assert (weights[:, COIN] < honest.mean(1)).all()
    assert weights[:, FIRST].max() < 0.15


def with_lone(lone: int, shared: int = 0) -> Choices:
    """A panel of eight, and a ninth who judges `lone` pairs alone and the first `shared` of the panel's."""
    others = panel(0, "all by three", 0.0)
    alone = int(others.unit.max()) + 1 + np.arange(lone)
    unit = np.concatenate([others.unit, np.arange(shared), alone])
    rater = np.concatenate([others.annotator, np.full(shared + lone, 8)])
    more = np.random.default_rng(1).choice([0, 2], shared + lone)
    shown = np.concatenate([others.shown, np.ones(shared + lone, dtype=int)])
    return pairs_judged(unit, rater, np.concatenate([others.choice, more]), shown)


@pytest.mark.parametrize(("shared", "known"), [(0, False), (2, False), (3, True)])
def test_who_shares_hardly_a_pair_is_unknown_and_has_the_median_weight(shared: int, known: bool) -> None:
    choices = with_lone(200, shared)
    found = fit_reliability(choices)
    assert found.known.tolist() == [True] * 8 + [known]
    assert (found.weights[8] == np.median(found.weights[:8])) == (not known)
    assert fit_weights(choices).tolist() == found.weights.tolist()


def test_pairs_that_nobody_shares_change_nothing_for_the_others() -> None:
    alone, together = fit_reliability(panel(0, "all by three", 0.0)), fit_reliability(with_lone(200))
    assert together.knowing[:8] == pytest.approx(alone.knowing)
    assert together.accuracy[:8] == pytest.approx(alone.accuracy)


def test_where_nobody_shares_anything_votes_are_plain() -> None:
    n = np.arange(40)
    apart = pairs_judged(n, n % 2, np.zeros(40, dtype=int), np.ones(40, dtype=int))
    found = fit_reliability(apart)
    assert not found.known.any()
    assert found.weights.tolist() == fit_weights(apart).tolist() == [1.0, 1.0]


def pair_tasks(store: FeedbackStore, n: int, purpose: TaskPurpose) -> list[Task]:
    prompts = [Prompt.from_text(f"{purpose} {i}?") for i in range(n)]
    pairs = [[Response(p.id, text) for text in ("good", "bad")] for p in prompts]
    gold = purpose is TaskPurpose.QUALIFICATION
    made = [
        Task(p.id, (g.id, b.id), overlap=4, purpose=purpose, gold=((g.id,), (b.id,)) if gold else None)
        for p, (g, b) in zip(prompts, pairs, strict=True)
    ]
    store.add_prompts(prompts)
    store.add_responses(r for pair in pairs for r in pair)
    store.add_tasks(made)
    return made


def judge(task: Task, who: str, right: bool) -> Judgement:
    good, bad = task.response_ids if right else task.response_ids[::-1]
    return Judgement(f"{who} {task.id}", task.id, who, Ranking(((good,), (bad,))), task.response_ids)


def test_a_failed_qualification_neither_votes_nor_weighs(store: FeedbackStore) -> None:
    chance = np.random.default_rng(0)
    store.add_annotators([Annotator(name) for name in ("ana", "ben", "cem", "failed")])
    before, work = (pair_tasks(store, n, p) for n, p in ((20, TaskPurpose.QUALIFICATION), (40, TaskPurpose.WORK)))
    store.submit_all([judge(t, n, chance.random() < 0.9) for t in [*before, *work] for n in ("ana", "ben", "cem")])
    store.submit_all([judge(t, "failed", False) for t in before])
    report = quality_report(store)
    assert annotator_weights(store) == {one.annotator: one.weight for one in report.annotators}
    assert {one.annotator for one in report.annotators} == {"ana", "ben", "cem"}
    assert {(p.prompt_id, p.votes) for p in preferences(store)} == {(t.prompt_id, 3.0) for t in work}


def test_where_qualification_is_all_there_is_it_is_reported_and_no_preference(store: FeedbackStore) -> None:
    store.add_annotators([Annotator("ana"), Annotator("ben")])
    tasks = pair_tasks(store, 5, TaskPurpose.QUALIFICATION)
    store.submit_all([judge(task, who, True) for task in tasks for who in ("ana", "ben")])
    assert quality_report(store).judgements == 10
    assert min(annotator_weights(store).values()) > LEAST_WEIGHT
    assert preferences(store) == []
