"""Preferences are vote shares: symmetric, independent of order, and nobody's vote counts twice."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plaudit.errors import PlauditError, UsageError
from plaudit.feedback.aggregate import (
    Selection,
    aggregate,
    annotator_named,
    count_aside,
    count_votes,
    preferences,
    question_asked,
    rank,
)
from plaudit.feedback.labelling.settings import ProjectSettings
from plaudit.feedback.store import FeedbackStore
from plaudit.types import Judgement, Preference, Prompt, Ranking, Response, Split, Task

TASKS = [Task("p", ("a", "b", "c", "d")), Task("p", ("a", "b")), Task("q", ("x", "y", "z"))]

scores = st.integers(0, 3)


@st.composite
def judged(draw: st.DrawFn) -> list[Judgement]:
    found = []
    for number in range(draw(st.integers(1, 12))):
        task = draw(st.sampled_from(TASKS))
        ranking = Ranking.from_scores({r: float(draw(scores)) for r in task.response_ids})
        found.append(Judgement(f"j{number}", task.id, draw(st.sampled_from(["ana", "ben"])), ranking))
    return found


def say(
    task: Task, *tiers: tuple[str, ...], name: str = "j", who: str = "ana", supersedes: str | None = None
) -> Judgement:
    return Judgement(name, task.id, who, Ranking(tiers), supersedes=supersedes)


def test_ties_are_half_a_vote() -> None:
    said = [
        say(TASKS[1], ("a",), ("b",), name="1"),
        say(TASKS[1], ("a",), ("b",), name="2", who="ben"),
        say(TASKS[1], ("b",), ("a",), name="3", who="cem"),
        say(TASKS[1], ("a", "b"), name="4", who="dan"),
    ]
    assert aggregate(said, TASKS, sources={"p": "mine"}) == [Preference("p", "a", "b", 0.625, 4.0, "mine", ties=0.25)]


def test_weights_count_as_votes_and_nobody_with_none_is_heard() -> None:
    said = [say(TASKS[1], ("a",), ("b",), name="1"), say(TASKS[1], ("b",), ("a",), name="2", who="ben")]
    assert aggregate(said, TASKS, weights={"ana": 3.0}) == [Preference("p", "a", "b", 0.75, 4.0)]
    assert aggregate(said, TASKS, weights={"ana": 0.0}) == [Preference("p", "a", "b", 0.0, 1.0)]
    assert aggregate(said, TASKS, weights={"ana": 0.0, "ben": 0.0}) == []
    with pytest.raises(PlauditError, match="must be zero or more"):
        aggregate(said, TASKS, weights={"ana": -1.0})


def test_the_votes_of_one_ranking_share_one_judgements_say() -> None:
    """InstructGPT, section 3.5: 1 over the number of pairs, so that nine answers ranked weigh no 36 times a pair."""
    nine = tuple(f"r{i}" for i in range(9))
    tasks = [Task("p", nine), *TASKS]
    found = aggregate([say(tasks[0], *((r,) for r in nine), name="1")], tasks)
    assert len(found) == 36
    assert sum(preference.weight for preference in found) == pytest.approx(1)
    assert {preference.votes for preference in found} == {1.0}
    said = [say(TASKS[0], ("a",), ("b",), ("c",), ("d",), name="1"), say(TASKS[1], ("b",), ("a",), name="2")]
    both = {(p.a, p.b): p for p in aggregate(said, TASKS)}
    assert both["a", "b"].weight == pytest.approx(1 + 1 / 6)
    assert both["a", "b"].probability == 0.5
    assert both["c", "d"].swapped().weight == pytest.approx(1 / 6)


def test_a_superseded_judgement_has_no_vote() -> None:
    said = [say(TASKS[1], ("a",), ("b",), name="1"), say(TASKS[1], ("b",), ("a",), name="2", supersedes="1")]
    assert aggregate(said, TASKS) == [Preference("p", "a", "b", 0.0, 1.0)]


def test_a_pair_shown_in_two_tasks_is_one_preference() -> None:
    said = [say(TASKS[0], ("a",), ("b", "c", "d"), name="1"), say(TASKS[1], ("a",), ("b",), name="2")]
    found = {(p.a, p.b): p.votes for p in aggregate(said, TASKS)}
    assert found[("a", "b")] == 2.0
    assert len(found) == 6


def test_a_judgement_of_an_unknown_task_is_refused() -> None:
    with pytest.raises(PlauditError, match="which is not given"):
        aggregate([say(TASKS[1], ("a",), ("b",))], TASKS[2:])


@given(judged(), st.randoms())
def test_order_does_not_matter(said: list[Judgement], random: object) -> None:
    mixed = list(said)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert aggregate(mixed, TASKS[::-1]) == aggregate(said, TASKS)


@given(judged())
def test_turning_every_ranking_round_turns_every_preference_round(said: list[Judgement]) -> None:
    turned = [Judgement(j.id, j.task_id, j.annotator_id, Ranking(j.ranking.tiers[::-1])) for j in said]
    for before, after in zip(aggregate(said, TASKS), aggregate(turned, TASKS), strict=True):
        assert (after.a, after.b, after.votes) == (before.a, before.b, before.votes)
        assert after.probability == pytest.approx(before.swapped().probability)


@given(judged())
def test_every_pair_once_and_every_vote_once(said: list[Judgement]) -> None:
    found = aggregate(said, TASKS)
    assert len({frozenset((p.a, p.b)) for p in found}) == len(found)
    assert all(p.a < p.b for p in found)
    assert sum(p.votes for p in found) == sum(len(list(j.ranking.pairs())) for j in said)


@given(st.permutations("abcdef"), st.integers(2, 6))
def test_a_ranking_says_each_pair_once_and_from_the_winners_side(ids: list[str], k: int) -> None:
    ranking = Ranking(tuple((r,) for r in ids[:k]))
    pairs = list(ranking.pairs())
    assert len(pairs) == k * (k - 1) // 2
    for a, b, share in pairs:
        assert share == float(ids.index(a) < ids.index(b))


@given(st.floats(0, 1), st.floats(0.1, 50))
def test_a_preference_swapped_twice_is_itself(probability: float, votes: float) -> None:
    preference = Preference("p", "a", "b", probability, votes, "s")
    swapped = preference.swapped()
    assert (swapped.a, swapped.b, swapped.votes, swapped.source) == ("b", "a", votes, "s")
    assert swapped.probability + preference.probability == pytest.approx(1.0)
    assert swapped.swapped().probability == pytest.approx(probability)


def test_from_a_store_by_split_and_source(store: FeedbackStore, world: list[Task]) -> None:
    for number, task in enumerate(world):
        store.submit(Judgement(f"j{number}", task.id, "ana", Ranking((task.response_ids,))))
    everything = preferences(store)
    assert len(everything) == 18
    assert {p.source for p in everything} == {"world"}
    assert preferences(store, Selection(source="elsewhere")) == []
    sides = [preferences(store, Selection(split)) for split in Split]
    assert sorted([*sides[0], *sides[1]], key=lambda p: (p.prompt_id, p.a, p.b)) == everything
    heldout = {prompt.id for prompt in store.prompts(Split.HELDOUT)}
    assert {p.prompt_id for p in sides[1]} == heldout


def test_votes_need_no_tasks() -> None:
    votes = count_votes([say(TASKS[1], ("b",), ("a",))])
    assert {pair: (v.total, v.for_a) for pair, v in votes.items()} == {("a", "b"): (1.0, 0.0)}


def ask_again(store: FeedbackStore, tasks: list[Task], question: str) -> list[Task]:
    """The same answers under another question, to which ana says the opposite of her own first order."""
    asked = [replace(task, question=question) for task in tasks]
    store.add_tasks(asked)
    for task in asked:
        tiers = tuple((r,) for r in reversed(task.response_ids))
        store.submit(Judgement(f"{question} {task.prompt_id}", task.id, "ana", Ranking(tiers)))
    return asked


def test_answers_to_two_questions_are_never_added_up(store: FeedbackStore, world: list[Task]) -> None:
    for task in world:
        store.submit(Judgement(f"j{task.id}", task.id, "ana", Ranking(tuple((r,) for r in task.response_ids))))
    better = preferences(store)
    ask_again(store, world[:2], "Which is more harmful?")
    assert preferences(store) == better
    assert {p.votes for p in better} == {1.0}
    harmful = preferences(store, Selection(question="Which is more harmful?"))
    opposite = {(p.a, p.b): 1.0 - p.probability for p in better}
    assert {(p.a, p.b): p.probability for p in harmful} == {
        (p.a, p.b): opposite[p.a, p.b] for p in better if p.prompt_id in {task.prompt_id for task in world[:2]}
    }
    assert store.questions() == {"Which answer is better?": 3, "Which is more harmful?": 2}
    assert count_aside(store) == 12  # pairs: 2 tasks of 4 answers


def test_the_question_is_the_projects_also_after_it_was_changed(store: FeedbackStore, world: list[Task]) -> None:
    store.submit(Judgement("j", world[0].id, "ana", Ranking((world[0].response_ids,))))
    store.change_settings(ProjectSettings(question="Which is \x1bsafer?"), "lead")
    with pytest.raises(
        UsageError, match=r"answered “Which is \\x1bsafer\?” here, but “Which answer is better\?” \(1 j"
    ):
        preferences(store)
    assert len(preferences(store, Selection(question="Which answer is better?"))) == 6
    ask_again(store, world[1:], "Which is \x1bsafer?")
    assert {p.prompt_id for p in preferences(store)} == {task.prompt_id for task in world[1:]}


def test_nobody_answered_anything(store: FeedbackStore, world: list[Task]) -> None:
    assert preferences(store, Selection(question="Anything?")) == []
    assert question_asked(store) == "Which answer is better?"


def test_a_source_is_that_of_what_was_said(store: FeedbackStore, world: list[Task]) -> None:
    """`second` brings votes on prompts that `world` brought first."""
    votes = [(world[0], "ana", None), (world[0], "ben", "second"), (world[1], "ben", "second"), (world[2], "ana", None)]
    for task, who, source in votes:
        ranking = Ranking(tuple((r,) for r in task.response_ids))
        store.submit(Judgement(f"{who} {task.id}", task.id, who, ranking, source=source))
    second = preferences(store, Selection(source="second"))
    assert {p.prompt_id for p in second} == {world[0].prompt_id, world[1].prompt_id}
    assert {(p.votes, p.source) for p in second} == {(1.0, "second")}
    first = preferences(store, Selection(source="world"))
    assert {p.prompt_id for p in first} == {world[0].prompt_id, world[2].prompt_id}
    assert {(p.votes, p.source) for p in first} == {(1.0, "world")}
    assert {p.prompt_id: p.source for p in preferences(store)} == {
        world[0].prompt_id: "world",
        world[1].prompt_id: "second",
        world[2].prompt_id: "world",
    }
    assert store.sources() == {"world", "second"}
    seq = store.last_seq()
    store.withdraw(annotator_id="ben", reason="", actor="lead")
    assert len(store.withdrawn_since(seq, ["judgements"], "second")) == 2
    assert store.withdrawn_since(seq, ["judgements"], "world") == []
    assert store.verify() == []


def test_a_selection_by_tag_and_annotator(store: FeedbackStore, world: list[Task]) -> None:
    prompt = Prompt.from_text("Warum?", "world", language="de", topic="law")
    answers = [Response(prompt.id, text) for text in ("Darum.", "Weil.")]
    task = Task(prompt.id, tuple(r.id for r in answers), overlap=2)
    store.add_prompts([prompt])
    store.add_responses(answers)
    store.add_tasks([task])
    for one in (task, world[0]):
        for who in ("ana", "ben"):
            store.submit(Judgement(f"{who} {one.id}", one.id, who, Ranking((one.response_ids,))))
    assert len(preferences(store, Selection(tags={"language": "de", "topic": "law"}))) == 1
    assert preferences(store, Selection(tags={"language": "de", "topic": "tea"})) == []
    assert [p.votes for p in preferences(store, Selection(tags={"topic": "law"}, annotator="ana"))] == [1.0]


def test_a_name_is_known_in_every_unicode_form() -> None:
    assert annotator_named("Zoe\u0308", {"Zo\u00eb", "ana"}) == "Zo\u00eb"
    assert annotator_named("Zo\u00eb", {"Zoe\u0308"}) == "Zoe\u0308"
    with pytest.raises(UsageError, match=r"no annotator \\x1bana in .* Did you mean `ana`\?"):
        annotator_named("\x1bana", {"ana"})


def test_strength_is_the_mean_of_those_who_named_a_winner() -> None:
    said = [
        replace(say(TASKS[1], ("a",), ("b",), name="1"), strength=4),
        replace(say(TASKS[1], ("b",), ("a",), name="2", who="ben"), strength=1),
        replace(say(TASKS[1], ("a", "b"), name="3", who="cem"), strength=3),  # of no difference
        say(TASKS[1], ("a",), ("b",), name="4", who="dan"),
    ]
    (found,) = aggregate(said, TASKS)
    assert (found.strength, found.ties, found.probability) == (2.5, 0.25, 0.625)
    assert found.swapped().strength == 2.5
    (weighed,) = aggregate(said, TASKS, weights={"ana": 3.0})
    assert weighed.strength == pytest.approx((3 * 4 + 1) / 4)
    assert aggregate(said[2:], TASKS)[0].strength is None


def test_rankings_are_as_they_were_given_and_silence_is_no_praise() -> None:
    by_id = {task.id: task for task in TASKS}
    said = [
        replace(say(TASKS[0], ("b",), ("a", "c"), ("d",), name="2"), source="ours"),
        replace(say(TASKS[1], ("a", "b"), name="1", who="ben"), source="ours", all_bad=True),
        replace(say(TASKS[2], ("x",), ("y", "z"), name="3", who="cem"), source="theirs", strength=2),
        say(TASKS[2], ("y",), ("x", "z"), name="4", who="eve"),
        say(TASKS[2], ("z",), ("x", "y"), name="5", who="eve", supersedes="4"),
    ]
    found = rank(said, by_id, weights={"cem": 0.5}, sources={"q": "ours"})
    assert [(r.prompt_id, r.ranking.tiers[0], r.votes, r.strength, r.acceptable) for r in found] == [
        ("p", ("a", "b"), 1.0, None, False),
        ("p", ("b",), 1.0, None, True),
        ("q", ("x",), 0.5, 2, None),  # in that data set nobody ever said that all were bad
        ("q", ("z",), 1.0, None, True),
    ]
