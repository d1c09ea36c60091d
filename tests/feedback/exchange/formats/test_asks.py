"""What a question asks by its name, and what is stored under it then."""

from __future__ import annotations

from typing import Any

import pytest

from plaudit.feedback.exchange.formats import asks
from plaudit.types import DEFAULT_QUESTION
from tests.feedback.exchange.formats.test_questionnaire import (
    FIRST,
    SECOND,
    TIE,
    argilla,
    choices,
    rating,
    read,
    side,
    task,
    text,
    tiers,
)

P = {"prompt": "P?", "response_a": "x", "response_b": "y"}


@pytest.mark.parametrize(
    ("question", "is_other"),
    [
        ("rejected", True), ("loser", True), ("less_helpful", True), ("dispreferred", True), ("lessHelpful", True),
        ("weaker answer", True), ("inferior", True), ("not_preferred", True), ("worst", True), ("more_toxic", True),
        ("preferred", False), ("closest", False), ("flawless", False), ("better", False), ("winner", False),
    ],
)  # fmt: skip
def test_who_lost_is_not_who_is_better(question: str, is_other: bool) -> None:
    assert asks.something_else(question) is is_other
    [found] = read(task([choices(question, "answer1")]))
    assert (found.question, found.votes[0].tiers) == (question if is_other else DEFAULT_QUESTION, FIRST)


def by_question(*records: dict[str, Any], **how: Any) -> dict[str, list[Any]]:
    """Question -> who said what, of those that are kept."""
    said: dict[str, list[Any]] = {}
    for found in read(*records, **how):
        said.setdefault(found.question, []).extend((vote.annotator, vote.tiers) for vote in found.votes)
    return said


def test_who_is_more_harmful_backs_no_preference_and_is_a_question_of_its_own() -> None:
    harm = choices("more_harmful", "B is far more")
    found = read(task([side("left"), harm], [choices("more_harmful", "answer2")], [choices("more_harmful", "None")]))
    preferred, harmful = found
    assert [(v.annotator, v.tiers, v.strength, v.reason) for v in preferred.votes] == [("0", FIRST, None, "")]
    assert (preferred.question, preferred.lost) == (DEFAULT_QUESTION, ())
    assert harmful.question == "more_harmful"
    assert [(v.annotator, v.tiers, v.all_bad) for v in harmful.votes] == [
        ("0", SECOND, False),
        ("1", SECOND, False),
        ("2", TIE, False),  # none is harmful: that none is acceptable was not said
    ]


@pytest.mark.parametrize(
    ("format", "record", "other"),
    [
        ("table", P | {"better": "A", "safer": "B"}, "safer"),
        ("argilla", argilla({"preference": ["response-1"], "more_harmful": ["response-2"]}), "more_harmful"),
        ("label-studio", task([choices("preference", "answer1"), choices("rejected", "answer2")]), "rejected"),
    ],
)
def test_a_preference_and_something_else_are_both_kept(format: str, record: dict[str, Any], other: str) -> None:
    said = {question: [order for _, order in votes] for question, votes in by_question(record, format=format).items()}
    assert said == {DEFAULT_QUESTION: [FIRST], other: [SECOND]}
    assert list(by_question(record, format=format, asked=other)) == [other]


def test_who_answers_only_what_is_beside_is_not_lost() -> None:
    records = [P | {"better": "A", "safer": "B"}, P | {"better": "", "safer": "A"}]
    assert by_question(*records, format="table") == {
        DEFAULT_QUESTION: [("", FIRST)],
        "safer": [("", SECOND), ("", FIRST)],
    }


def rated(**values: int) -> list[dict[str, Any]]:
    return [rating(name, f"answer{name[-1]}", value) for name, value in values.items()]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"toxicity_1": 1, "toxicity_2": 5, "helpful_1": 5, "helpful_2": 2}, [FIRST]),
        ({"toxicity_1": 1, "toxicity_2": 5}, []),
        ({"errors_1": 1, "errors_2": 5}, []),
        ({"flow_1": 1, "flow_2": 5}, [SECOND]),  # a rating that a tool asked for
    ],
)
def test_ratings_of_which_more_is_worse_make_no_order(given: dict[str, int], expected: Any) -> None:
    assert tiers(task(rated(**given))) == expected


@pytest.mark.parametrize(
    ("columns", "order", "ratings"),
    [
        ({"seed_a": 1, "seed_b": 5, "latency_a": 3, "latency_b": 2}, None, None),
        ({"errors_a": 1, "errors_b": 5}, None, None),
        ({"tokens_a": 1, "tokens_b": 5, "preferred": "A"}, FIRST, {}),
        ({"flow_a": 1, "flow_b": 5}, None, None),  # who knows whether more of it is better
        ({"quality_a": 1, "quality_b": 5}, SECOND, {0: {"quality": 1}, 1: {"quality": 5}}),
    ],
)
def test_numbers_in_a_table_that_nobody_judged_are_no_ratings(columns: Any, order: Any, ratings: Any) -> None:
    [found] = read(P | columns, format="table")
    assert [(vote.tiers, vote.ratings) for vote in found.votes] == ([(order, ratings)] if order else [])


@pytest.mark.parametrize(
    "question",
    ["corrections", "answer_improvements", "what_to_improve", "best_response_strengths", "which_answer_is_better"],
)
def test_a_remark_on_an_answer_is_no_better_one(question: str) -> None:
    [found] = read(task([side("left"), text(question, "Line 2 is wrong.", "answer1")]))
    assert (found.votes[0].better_answer, found.votes[0].reason) == ("", "Line 2 is wrong.")


@pytest.mark.parametrize(
    "names", [("Helpful A", "Helpful B"), ("Helpful_1", "Helpful_2"), ("helpful left", "helpful right")]
)
def test_a_rating_is_one_attribute_however_its_answers_are_called(names: tuple[str, str]) -> None:
    [found] = read(task([side("left"), rating(names[0], "answer1", 4), rating(names[1], "answer2", 2)]))
    assert found.votes[0].ratings == {0: {"helpful": 4}, 1: {"helpful": 2}}


THREE = {"prompt": "P?", "response_1": "x", "response_2": "y", "response_3": "z"}


@pytest.mark.parametrize(
    ("row", "order"),
    [
        (THREE | {"rank_1": 3, "rank_2": 1, "rank_3": 2}, ((1,), (2,), (0,))),
        (THREE | {"rank_1": "1", "rank_2": "2", "rank_3": "2"}, ((0,), (1, 2))),
        (P | {"rank_a": 2, "rank_b": 1}, SECOND),
        (P | {"response_a_rank": 1, "response_b_rank": 2}, FIRST),
    ],
)
def test_a_rank_of_each_answer_is_an_order(row: dict[str, Any], order: Any) -> None:
    assert tiers(row, format="table") == [order]


def test_ranks_that_do_not_begin_with_one_are_left_out() -> None:
    [found] = read(P | {"rank_a": 0, "rank_b": 1}, format="table")
    assert (found.votes, found.lost) == ((), ("its ranks are not from 1, for the best, to 2",))
