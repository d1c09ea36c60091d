"""The quality report: what is planted is found, and nothing that is undefined becomes a number."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import numpy as np
import pytest

from plaudit.errors import PlauditError, UsageError
from plaudit.feedback.aggregate import preferences
from plaudit.feedback.quality.annotators import FlagKind, Share
from plaudit.feedback.quality.reliability import LEAST_WEIGHT, annotator_weights
from plaudit.feedback.quality.report import QualityReport, advice, quality_report
from plaudit.feedback.simulated.panel import Habit, Panel
from plaudit.feedback.store import FeedbackStore
from plaudit.types import Annotator, Demonstration, Judgement, Prompt, Ranking, Response, Task, TaskPurpose


def fill(store: FeedbackStore, tasks: int, answers: int, **task) -> tuple[list[Task], dict[str, float]]:
    """Tasks over answers of random length, and a utility that length has no part in."""
    chance = np.random.default_rng(0)
    prompts = [Prompt.from_text(f"Question {i}?", topic="ab"[i % 2]) for i in range(tasks)]
    texts = [[f"{k} " + "word " * int(chance.integers(5, 60)) for k in range(answers)] for _ in prompts]
    written = [[Response(p.id, text) for text in some] for p, some in zip(prompts, texts, strict=True)]
    made = [Task(p.id, tuple(r.id for r in some), **task) for p, some in zip(prompts, written, strict=True)]
    store.add_prompts(prompts)
    store.add_responses(r for some in written for r in some)
    store.add_tasks(made)
    return made, {r.id: float(chance.normal()) for some in written for r in some}


@pytest.fixture
def panel(store: FeedbackStore) -> Panel:
    tasks, utility = fill(store, 150, 4, overlap=5)
    panel = Panel(utility, seed=0)
    panel.answer_tasks(store, tasks)
    return panel


def test_planted_habits_are_flagged_and_honest_annotators_are_not(store: FeedbackStore, panel: Panel) -> None:
    report = quality_report(store)
    flags = {one.annotator: {flag.kind for flag in one.flags} for one in report.annotators}
    by_habit = {habit: flags[who.id] for habit, who in zip(panel.habits, panel.annotators, strict=True)}
    assert FlagKind.SPAMMER in by_habit[Habit.RANDOM]
    assert FlagKind.POSITION in by_habit[Habit.LEFT]
    assert FlagKind.LENGTH in by_habit[Habit.LENGTH]
    assert FlagKind.FAST in by_habit[Habit.LEFT]
    honest = [
        flags[who.id] for habit, who in zip(panel.habits, panel.annotators, strict=True) if habit is Habit.UTILITY
    ]
    assert honest == [set()] * 10
    assert report.simulated == report.judgements
    assert "are simulated: no person made them" in report.advice[0]
    odd = [who.id for habit, who in zip(panel.habits, panel.annotators, strict=True) if habit is not Habit.UTILITY]
    assert all(any(name in sentence for sentence in report.advice) for name in odd)


def test_weights_count_votes_that_were_meant(store: FeedbackStore, panel: Panel) -> None:
    weights = annotator_weights(store)
    odd = {who.id for habit, who in zip(panel.habits, panel.annotators, strict=True) if habit is not Habit.UTILITY}
    assert max(weights[name] for name in odd) < 0.3 < min(weights[name] for name in weights.keys() - odd)
    assert min(weights.values()) >= LEAST_WEIGHT
    plain, weighted = preferences(store), preferences(store, weights=weights)
    assert [p.a for p in plain] == [p.a for p in weighted]  # nobody and nothing is dropped
    assert sum(p.votes for p in weighted) == pytest.approx(
        sum(6 * weights[j.annotator_id] for j in store.judgements()), rel=1e-9
    )


def test_every_figure_is_json_and_nothing_is_nan(store: FeedbackStore, panel: Panel) -> None:
    shown = json.loads(json.dumps(quality_report(store).as_dict(), allow_nan=False))
    assert shown["judgements"] == 750
    assert shown["choices"] == 4500
    assert shown["gold"]["value"] is None
    assert {group["group"] for group in shown["groups"]} == {"a", "b"}
    assert shown["agreement"]["alpha_nominal"]["low"] < shown["agreement"]["alpha_nominal"]["value"]


def test_the_report_is_the_same_again(store: FeedbackStore, panel: Panel) -> None:
    assert quality_report(store) == quality_report(store)


def judge(task: Task, who: str, better: int, **others) -> Judgement:
    pair = task.response_ids
    ranking = Ranking(((pair[better],), (pair[1 - better],)))
    return Judgement(f"{who} {task.id}", task.id, who, ranking, pair, **others)


def test_one_annotator_is_undefined_not_nan(store: FeedbackStore) -> None:
    tasks, _ = fill(store, 5, 2)
    store.add_annotators([Annotator("ana")])
    store.submit_all([judge(task, "ana", 0) for task in tasks])
    report = quality_report(store)
    assert report.as_dict()["agreement"]["cohen"]["undefined"] == "there was one rater only"
    assert json.dumps(report.as_dict(), allow_nan=False)
    ana = report.annotators[0]
    assert (ana.consensus.value, ana.knowing, ana.accuracy, ana.competence, ana.weight) == (None, None, None, None, 1.0)
    assert any("overlap of at least 2" in sentence for sentence in report.advice)


def test_an_empty_store_is_one_sentence(store: FeedbackStore) -> None:
    with pytest.raises(PlauditError, match="Nobody has compared any answers yet"):
        quality_report(store)
    assert annotator_weights(store) == {}


def by_two(store: FeedbackStore, tasks: list[Task], right: float, **others) -> QualityReport:
    chance = random.Random(0)
    store.add_annotators([Annotator("ana"), Annotator("ben")])
    store.submit_all([judge(t, who, int(chance.random() >= right), **others) for t in tasks for who in ("ana", "ben")])
    return quality_report(store)


def test_gold_accuracy_with_its_interval(store: FeedbackStore) -> None:
    fill(store, 60, 2, overlap=2)
    prompts = [Prompt.from_text(f"Gold {i}?") for i in range(50)]
    pairs = [[Response(p.id, text) for text in ("good", "bad")] for p in prompts]
    gold = [
        Task(p.id, (g.id, b.id), overlap=2, gold=((g.id,), (b.id,)), purpose=TaskPurpose.GOLD)
        for p, (g, b) in zip(prompts, pairs, strict=True)
    ]
    store.add_prompts(prompts)
    store.add_responses(r for pair in pairs for r in pair)
    store.add_tasks(gold)
    report = by_two(store, gold, right=0.9)
    assert report.gold.n == 100
    assert report.gold.value == pytest.approx(0.9, abs=0.07)
    assert 0.75 < report.gold.low < report.gold.value < report.gold.high < 1
    assert {one.annotator: one.gold.n for one in report.annotators} == {"ana": 50, "ben": 50}


def test_qualification_is_gold_and_nothing_else(store: FeedbackStore) -> None:
    tasks, _ = fill(store, 30, 2, overlap=2)
    prompt = Prompt.from_text("Before?")
    good, bad = (Response(prompt.id, text) for text in ("good", "bad"))
    before = Task(
        prompt.id, (good.id, bad.id), overlap=2, gold=((good.id,), (bad.id,)), purpose=TaskPurpose.QUALIFICATION
    )
    store.add_prompts([prompt])
    store.add_responses([good, bad])
    store.add_tasks([before])
    report = by_two(store, [*tasks, before], right=0.8)
    assert (report.judgements, report.tasks, report.gold.n) == (60, 30, 2)


def test_a_drifting_annotator_is_found(store: FeedbackStore) -> None:
    """Nine in ten with the others for the first half; then a coin."""
    tasks, _ = fill(store, 240, 2, overlap=4)
    chance = random.Random(1)
    people = ("ana", "ben", "cem", "dan")
    store.add_annotators([Annotator(name) for name in people])
    for i, task in enumerate(tasks):
        right = {name: 0.5 if name == "dan" and i >= 120 else 0.9 for name in people}
        truth = chance.randrange(2)
        store.submit_all([judge(task, n, truth if chance.random() < right[n] else 1 - truth) for n in people])
    flags = {one.annotator: [flag.kind for flag in one.flags] for one in quality_report(store).annotators}
    assert flags == {"ana": [], "ben": [], "cem": [], "dan": [FlagKind.DRIFT]}


def test_time_and_cost_a_comparison(store: FeedbackStore) -> None:
    tasks, _ = fill(store, 40, 2, overlap=2)
    store.change_settings(replace(store.settings(), hourly_cost=18.0, currency="EUR"), "lead")
    effort = by_two(store, tasks, right=0.8, seconds=20.0).effort
    assert (effort.timed, effort.seconds_median, effort.seconds_a_comparison) == (80, 20.0, 20.0)
    assert effort.cost_a_comparison == pytest.approx(0.1)
    assert effort.hours == pytest.approx(80 * 20 / 3600)
    assert effort.currency == "EUR"


def test_agreement_by_version_of_the_guidelines(store: FeedbackStore) -> None:
    tasks, _ = fill(store, 80, 2, overlap=2)
    for version in (1, 2):
        store.publish_guidelines({"en": f"Version {version}."}, "lead")
    store.add_annotators([Annotator("ana"), Annotator("ben")])
    chance = random.Random(0)
    store.submit_all(
        [
            judge(t, who, 0 if i < 40 else chance.randrange(2), guidelines_version=1 + (i >= 40))
            for i, t in enumerate(tasks)
            for who in ("ana", "ben")
        ]
    )
    report = quality_report(store)
    by_version = {group.group: group.percent.value for group in report.guidelines}
    assert by_version["1"] == 1.0
    assert by_version["2"] == pytest.approx(0.5, abs=0.2)
    assert any("Agreement fell from 100% under guidelines 1" in sentence for sentence in report.advice)


def test_skips_are_counted_by_person_and_reason(store: FeedbackStore) -> None:
    tasks, _ = fill(store, 10, 2, overlap=3)
    store.add_annotators([Annotator(name) for name in ("ana", "ben", "eve")])
    for task in tasks[:4]:
        store.assign(task.id, "ana", (0, 1))
        store.skip(task.id, "ana", "not my subject")
    store.submit_all([judge(task, who, 0) for task in tasks[4:] for who in ("ana", "ben")])
    report = quality_report(store)
    assert (report.skips.skipped, dict(report.skips.reasons)) == (4, {"not my subject": 4})
    assert report.skips.skipped_share == pytest.approx(4 / 16)
    assert {one.annotator: one.skips for one in report.annotators} == {"ana": 4, "ben": 0}


def test_the_share_skipped_is_of_all_that_was_handed_out_whatever_its_kind(store: FeedbackStore) -> None:
    """Nine of ten texts written and one skipped, one pair judged, and another brought in, which nobody was handed."""
    (pair, brought), _ = fill(store, 2, 2)
    store.add_annotators([Annotator("ana")])
    writing = [Task(pair.prompt_id, (), f"Write {i}.") for i in range(10)]
    store.add_tasks(writing)
    for task in (pair, *writing):
        store.assign(task.id, "ana", (0, 1) if task is pair else ())
    store.submit_all([judge(pair, "ana", 0), judge(brought, "ana", 0)])
    for task in writing[1:]:
        store.write(Demonstration(f"text of {task.id}", pair.prompt_id, task.id, "people", "ana", task.id))
    store.skip(writing[0].id, "ana", "cannot say")
    skips = quality_report(store).skips
    assert (skips.skipped, skips.skipped_share) == (1, pytest.approx(1 / 12))


def test_two_pairs_that_two_agree_on_prove_nothing(store: FeedbackStore) -> None:
    tasks, _ = fill(store, 2, 2, overlap=2)
    report = by_two(store, tasks, right=1.0)
    assert (report.agreement.percent.value, report.percent_decided.value) == (1.0, 1.0)
    assert report.percent_decided.low < 0.4
    assert not any("the pairs are easy" in sentence for sentence in report.advice)


def test_figures_are_of_one_question(store: FeedbackStore) -> None:
    tasks, _ = fill(store, 12, 2, overlap=2)
    other = [replace(task, question="Which is worse?") for task in tasks]
    store.add_tasks(other)
    store.add_annotators(map(Annotator, ("ana", "ben")))
    for task in (*tasks, *other):
        for who in ("ana", "ben"):
            order = task.response_ids if task.question != "Which is worse?" or who == "ana" else task.response_ids[::-1]
            store.submit(Judgement(f"{task.id} {who}"[:60], task.id, who, Ranking(tuple((r,) for r in order))))
    alike, apart = quality_report(store), quality_report(store, "Which is worse?")
    assert (alike.question, alike.other_questions) == ("Which answer is better?", {"Which is worse?": 24})
    assert (alike.judgements, apart.judgements) == (24, 24)
    assert (alike.agreement.percent.value, apart.agreement.percent.value) == (1.0, 0.0)
    assert annotator_weights(store).keys() == {"ana", "ben"}
    with pytest.raises(UsageError, match=r"“Which is worse\?” \(24 judgements\)"):
        quality_report(store, "Which is best?")


@pytest.mark.parametrize(
    ("low", "high", "word"), [(0.2, 0.8, None), (0.66, 0.9, "longer"), (0.1, 0.34, "shorter"), (0.4, 0.7, None)]
)
def test_advice_on_length_where_the_interval_is_on_one_side(
    store: FeedbackStore, panel: Panel, low: float, high: float, word: str | None
) -> None:
    report = replace(quality_report(store), longer_wins=Share((low + high) / 2, low, high, 100))
    said = [sentence for sentence in advice(report) if "answer wins" in sentence]
    assert [sentence.split()[1] for sentence in said] == ([word] if word else [])


def test_what_is_left_is_estimated(store: FeedbackStore) -> None:
    tasks, _ = fill(store, 10, 3, overlap=3)
    store.add_annotators(map(Annotator, ("ana", "ben")))
    for task in tasks[:4]:
        ranking = Ranking(tuple((r,) for r in task.response_ids))
        store.submit(Judgement(task.id, task.id, "ana", ranking, task.response_ids, seconds=30.0))
    left = quality_report(store).left
    assert (left.judgements, left.comparisons, left.people) == (26, 78, 3)
    assert left.hours == pytest.approx(78 * 10 / 3600)
