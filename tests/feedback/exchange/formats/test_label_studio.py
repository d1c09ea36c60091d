"""Label Studio's pairwise and ranker templates, by several people, with what else they filled in."""

from __future__ import annotations

from typing import Any

import pytest

from plaudit.feedback.exchange.formats import FORMATS, recognise
from plaudit.feedback.exchange.formats.comparison import Comparison, MalformedError, UnusableError
from plaudit.types import Message, Role

PAIR = {"prompt": "Why?", "answer1": "Because.", "answer2": "No."}
ITEMS = [{"id": "llm_1", "title": "x", "body": "A."}, {"id": "llm_2", "body": "B."}, {"id": "llm_3", "title": "C."}]


def task(data: dict[str, Any], *annotations: dict[str, Any]) -> dict[str, Any]:
    return {"id": 1, "data": data, "annotations": list(annotations), "predictions": [{"result": []}], "project": 3}


def by(who: Any, *results: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": 9, "completed_by": who, "result": list(results), "was_cancelled": False, "lead_time": 4.5, **more}


def result(value: dict[str, Any], from_name: str = "pw", to_name: Any = "answer1,answer2") -> dict[str, Any]:
    return {"id": "r", "from_name": from_name, "to_name": to_name, "type": next(iter(value)), "value": value}


def chose(side: str) -> dict[str, Any]:
    return {**result({"selected": side}), "type": "pairwise"}


def read(record: Any) -> Comparison:
    assert recognise(record) is FORMATS["label-studio"]
    [found] = FORMATS["label-studio"].said(record)
    if isinstance(found, UnusableError):
        raise found
    return found


def test_pairwise_by_several_people() -> None:
    found = read(
        task(
            PAIR,
            by(1, chose("right"), result({"text": ["Too short."]}, "comment", "prompt")),
            by({"id": 2, "email": "ben@example.org"}, chose("left"), result({"rating": 4}, "quality", "answer2")),
            by(3, was_cancelled=True),
        )
    )
    assert (found.messages, found.answers) == ((Message(Role.USER, "Why?"),), ("Because.", "No."))
    first, second, third = found.votes
    assert (first.annotator, first.tiers, first.reason, first.seconds) == ("1", ((1,), (0,)), "Too short.", 4.5)
    assert (second.annotator, second.tiers) == ("ben@example.org", ((0,), (1,)))
    assert second.ratings == {1: {"quality": 4}}
    assert (third.annotator, third.tiers, third.reason) == ("3", (), "cancelled")


def test_the_names_of_a_pairwise_tag_say_which_side_is_which() -> None:
    data = {"question": "Why?", "ours": "A.", "theirs": "B."}
    chosen = {**chose("left"), "to_name": ["theirs", "ours"]}
    found = read(task(data, by(1, chosen)))
    assert (found.answers, found.votes[0].tiers) == (("B.", "A."), ((0,), (1,)))


def test_a_ranker_orders_its_list() -> None:
    ranked = result({"ranker": {"rank": ["llm_3", "llm_1", "llm_2"]}}, "rank", "results")
    found = read(task({"prompt": "Why?", "items": ITEMS}, by(1, ranked)))
    assert (found.answers, found.votes[0].tiers) == (("A.", "B.", "C."), ((2,), (0,), (1,)))
    older = result({"ranker": ["llm_2", "llm_1", "llm_3"]}, "rank", "results")
    assert read(task({"prompt": "Why?", "items": ITEMS}, by(1, older))).votes[0].tiers == ((1,), (0,), (2,))


def test_buckets_have_no_order() -> None:
    sorted_in = result({"ranker": {"good": ["llm_1", "llm_3"], "biased": ["llm_2"], "_": []}}, "rank", "results")
    found = read(task({"prompt": "Why?", "items": ITEMS}, by(1, sorted_in)))
    assert (found.votes, found.lost) == (
        (),
        ("no question orders the answers for certain (--question says which does)",),
    )


@pytest.mark.parametrize(
    ("choice", "tiers"), [("answer2", ((1,), (0,))), ("Tie", ((0, 1),)), ("Answer 1", ((0,), (1,)))]
)
def test_choices(choice: str, tiers: Any) -> None:
    [vote] = read(task(PAIR, by(1, result({"choices": [choice]}, "which")))).votes
    assert vote.tiers == tiers


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        (task({"answer1": "A", "answer2": "B"}, by(1, chose("left"))), "no field that could be the prompt"),
        (task(PAIR, {"completed_by": 1}), '"annotations" has one without "result"'),
        (task(PAIR, by(1, {"type": "pairwise"})), 'has no "value"'),
    ],
)
def test_what_is_not_of_the_export_says_why(record: Any, sentence: str) -> None:
    with pytest.raises(MalformedError, match=sentence):
        FORMATS["label-studio"].said(record)


def test_numbers_too_long_for_a_float_stop_nothing() -> None:
    ratings = [result({"rating": value}, "quality", f"answer{n}") for n, value in ((1, 10**400), (2, 1))]
    found = read(task(PAIR, by(1, *ratings, result({"rating": 2}, "depth", "answer1"), lead_time=10**400)))
    assert (found.votes[0].tiers, found.votes[0].seconds) == (((0,), (1,)), None)
