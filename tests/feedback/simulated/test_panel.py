"""The simulated panel is as noisy as it says, each habit is what it says, and it never passes for people."""

from __future__ import annotations

import math

import numpy as np
import pytest

from plaudit.errors import PlauditError, UsageError
from plaudit.feedback.simulated.panel import Habit, Panel, noise_ceiling
from plaudit.feedback.store import FeedbackStore
from plaudit.types import AnnotatorKind, Judgement, Prompt, Ranking, Response, Task

WORDS = [
    "the",
    "kettle",
    "is",
    "warm",
    "and",
    "a",
    "long",
    "walk",
    "helps",
    "more",
    "than",
    "one",
    "more",
    "cup",
    "of",
    "tea",
]


def made(count: int = 60, answers: int = 4, overlap: int = 13) -> tuple[list[Task], list[Response], dict[str, float]]:
    """Tasks over answers of random lengths, and a utility of them that has nothing to do with length."""
    random = np.random.default_rng(5)
    tasks, responses, utility = [], [], {}
    for number in range(count):
        prompt = Prompt.from_text(f"Question {number}?")
        own = [
            Response(prompt.id, f"{k}: " + " ".join(random.choice(WORDS, size=random.integers(3, 30))))
            for k in range(answers)
        ]
        tasks.append(Task(prompt.id, tuple(r.id for r in own), overlap=overlap))
        responses += own
        utility |= {r.id: float(random.normal()) for r in own}
    return tasks, responses, utility


TASKS, RESPONSES, UTILITY = made()


def by_habit(panel: Panel, said: list[Judgement], habit: Habit) -> list[Judgement]:
    ids = {a.id for a, h in zip(panel.annotators, panel.habits, strict=True) if h is habit}
    return [j for j in said if j.annotator_id in ids]


def test_the_panel_is_said_to_be_simulated() -> None:
    panel = Panel(UTILITY)
    assert len(panel.annotators) == 13
    assert panel.habits.count(Habit.UTILITY) == 10
    for annotator in panel.annotators:
        assert annotator.kind is AnnotatorKind.SIMULATED
        assert annotator.id.startswith("simulated-")
        assert annotator.note.startswith("simulated: ")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("overlap", "flip_rate"), [(13, 0.25), (3, 0.25), (13, 0.4)])
def test_choices_flip_as_often_as_was_asked(seed: int, overlap: int, flip_rate: float) -> None:
    said = Panel(UTILITY, seed=seed, flip_rate=flip_rate).rank(TASKS, RESPONSES, overlap)
    ceiling = noise_ceiling(said, UTILITY)
    assert ceiling.flip_rate == pytest.approx(flip_rate, abs=0.01)
    assert ceiling.choice_pairs > 0.9 * len(TASKS) * overlap * 6
    assert ceiling.preferences > ceiling.choices  # votes cancel noise, which is why one asks several


def test_single_votes_cannot_be_predicted_better_in_aggregate() -> None:
    ceiling = noise_ceiling(Panel(UTILITY).rank(TASKS, RESPONSES, 1), UTILITY)
    assert ceiling.preferences == ceiling.choices


def test_there_are_some_ties_and_not_many() -> None:
    panel = Panel(UTILITY)
    said = by_habit(panel, panel.rank(TASKS, RESPONSES), Habit.UTILITY)
    shares = [share for judgement in said for _, _, share in judgement.ranking.pairs()]
    assert 0.005 < shares.count(0.5) / len(shares) < 0.1


def test_habits_are_what_they_say() -> None:
    panel = Panel(UTILITY, seed=1)
    said = panel.rank(TASKS, RESPONSES)
    length = {r.id: float(len(r.text)) for r in RESPONSES}
    assert noise_ceiling(by_habit(panel, said, Habit.LENGTH), length).choices > 0.95
    assert all(j.ranking.tiers[0] == (j.order[0],) for j in by_habit(panel, said, Habit.LEFT))
    for habit in (Habit.RANDOM, Habit.LEFT, Habit.LENGTH):
        assert abs(noise_ceiling(by_habit(panel, said, habit), UTILITY).choices - 0.5) < 0.12
    assert noise_ceiling(by_habit(panel, said, Habit.UTILITY), UTILITY).choices > 0.8


def test_the_first_shown_is_no_better_than_chance_for_those_without_the_habit() -> None:
    panel = Panel(UTILITY, seed=2)
    said = by_habit(panel, panel.rank(TASKS, RESPONSES), Habit.UTILITY)
    first = sum(j.order[0] in j.ranking.tiers[0] for j in said) / len(said)
    assert abs(first - 0.25) < 0.06


def test_the_seed_decides_everything() -> None:
    assert Panel(UTILITY, seed=3).rank(TASKS, RESPONSES) == Panel(UTILITY, seed=3).rank(TASKS, RESPONSES)
    assert Panel(UTILITY, seed=3).rank(TASKS, RESPONSES) != Panel(UTILITY, seed=4).rank(TASKS, RESPONSES)


def test_a_utility_may_be_a_function() -> None:
    said = Panel(UTILITY.__getitem__).rank(TASKS, RESPONSES)
    assert said == Panel(UTILITY).rank(TASKS, RESPONSES)
    assert noise_ceiling(said, UTILITY.__getitem__) == noise_ceiling(said, UTILITY)


def test_every_task_is_judged_by_as_many_different_annotators_as_asked() -> None:
    for judgements in (Panel(UTILITY).rank(made(overlap=5)[0], RESPONSES), Panel(UTILITY).rank(TASKS, RESPONSES, 5)):
        for task in TASKS:
            assert len({j.annotator_id for j in judgements if j.task_id == task.id}) == 5
    seconds = [j.seconds for j in Panel(UTILITY).rank(TASKS, RESPONSES)]
    assert all(s is not None and 0.3 < s < 120 for s in seconds)


def test_an_indifferent_utility_ties_those_who_share_it() -> None:
    panel = Panel(dict.fromkeys(UTILITY, 1.0))
    said = panel.rank(TASKS, RESPONSES)
    assert all(len(j.ranking.tiers) == 1 for j in by_habit(panel, said, Habit.UTILITY))
    assert math.isnan(noise_ceiling(said, dict.fromkeys(UTILITY, 1.0)).choices)
    assert Panel(UTILITY).rank([], []) == []


def test_a_ceiling_by_hand() -> None:
    said = [
        Judgement("1", "t", "x", Ranking((("a",), ("b", "c")))),
        Judgement("2", "t", "y", Ranking((("b",), ("a",), ("c",)))),
    ]
    ceiling = noise_ceiling(said, {"a": 3.0, "b": 2.0, "c": 2.0})
    # choices: a>b right, a>c right, b=c tied; b>a wrong, a>c right, b>c the utility ties. Votes: ab tied, ac right.
    assert (ceiling.choices, ceiling.choice_pairs) == (0.75, 4)
    assert (ceiling.preferences, ceiling.preference_pairs) == (1.0, 1)


@pytest.mark.parametrize(("annotators", "flip_rate", "overlap"), [(3, 0.25, 1), (13, 0.5, 1), (13, 0.25, 14)])
def test_what_no_panel_can_do_is_refused(annotators: int, flip_rate: float, overlap: int) -> None:
    with pytest.raises(UsageError):
        Panel(UTILITY, annotators, 0, flip_rate).rank(TASKS, RESPONSES, overlap)


def stored(store: FeedbackStore, tasks: list[Task], responses: list[Response]) -> None:
    store.add_prompts([Prompt.from_text(f"Question {number}?") for number in range(len(tasks))])
    store.add_responses(responses)
    store.add_tasks(tasks)


def test_collecting_stores_annotators_assignments_and_judgements(store: FeedbackStore) -> None:
    tasks, responses, utility = made(count=12, overlap=3)
    stored(store, tasks, responses)
    panel = Panel(utility)
    said = panel.answer_tasks(store, tasks)
    assert store.judgements() == said
    assert {a.kind for a in store.annotators()} == {AnnotatorKind.SIMULATED}
    order_of = {task.id: task.response_ids for task in tasks}
    shown = {(a.task_id, a.annotator_id): tuple(order_of[a.task_id][i] for i in a.order) for a in store.assignments()}
    assert shown == {(j.task_id, j.annotator_id): j.order for j in said}
    assert store.verify() == []
    assert panel.answer_tasks(store, tasks) == []
    assert len(store.judgements()) == 36


def test_more_annotators_than_places_store_nothing(store: FeedbackStore) -> None:
    tasks, responses, utility = made(count=2, overlap=3)
    stored(store, tasks, responses)
    with pytest.raises(PlauditError, match="larger overlap"):
        Panel(utility).answer_tasks(store, tasks, overlap=4)
    assert store.annotators() == []


def test_a_pair_is_judged_as_strongly_as_its_answers_differ() -> None:
    tasks, responses, utility = made(answers=2)
    said = Panel(utility).rank(tasks, responses, overlap=13)
    assert {judgement.strength for judgement in said} == {None, 1, 2, 3, 4}
    assert all((j.strength is None) == (len(j.ranking.tiers) == 1) for j in said)
    apart = {strength: [abs(utility[j.order[0]] - utility[j.order[1]]) for j in said if j.strength == strength]
             for strength in (1, 4)}  # fmt: skip
    assert np.mean(apart[4]) > 1.5 * np.mean(apart[1])
    assert all(judgement.strength is None for judgement in Panel(UTILITY).rank(TASKS, RESPONSES, overlap=2))


def test_a_panel_ties_as_often_as_its_margin_is_wide() -> None:
    tied = [
        sum(
            len(judgement.ranking.tiers) < 4
            for judgement in Panel(UTILITY, tie_margin=margin).rank(TASKS, RESPONSES, 3)
        )
        for margin in (0.05, 0.5)
    ]
    assert tied[0] < tied[1] / 2
