"""Argilla's two layouts say the same, and every kind of question is read as what it means."""

from __future__ import annotations

from typing import Any

import pytest

from plaudit.feedback.exchange.formats import FORMATS, recognise
from plaudit.feedback.exchange.formats.comparison import Comparison, MalformedError, UnusableError
from plaudit.types import Message, Role

ANA, BEN = "0b0d1f9e-5a60-4c39-9d2e-6a8a2f3b5c01", "0b0d1f9e-5a60-4c39-9d2e-6a8a2f3b5c02"


def nested(responses: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """As `records.to_json()` writes a record."""
    return {
        "id": "7",
        "fields": {"instruction": "Why?", "response-1": "Because.", "response-2": "No.", **fields},
        "metadata": {"language": "en", "model-1": "x", "model-2": "y"},
        "suggestions": {"ranking": {"value": ["response-2", "response-1"], "score": None, "agent": "bot"}},
        "responses": responses,
        "vectors": {},
        "_server_id": None,
    }


def flat(record: dict[str, Any]) -> dict[str, Any]:
    """The same as `to_datasets()` lays it out."""
    row = {"id": record["id"], "status": "completed", "_server_id": None, **record["fields"], **record["metadata"]}
    for question, given in record["responses"].items():
        row[f"{question}.responses"] = [one["value"] for one in given]
        row[f"{question}.responses.users"] = [one["user_id"] for one in given]
        row[f"{question}.responses.status"] = [one.get("status", "submitted") for one in given]
    return row | {"ranking.suggestion": ["response-2", "response-1"], "ranking.suggestion.agent": "bot"}


def said(user: str, value: Any, **more: Any) -> dict[str, Any]:
    return {"value": value, "user_id": user, **more}


def read(record: Any) -> Comparison:
    assert recognise(record) is FORMATS["argilla"]
    [found] = FORMATS["argilla"].said(record)
    if isinstance(found, UnusableError):
        raise found
    return found


@pytest.mark.parametrize("layout", [lambda record: record, flat], ids=["nested", "flat"])
def test_several_people_answer_several_questions(layout: Any) -> None:
    record = nested(
        {
            "ranking": [said(ANA, ["response-2", "response-1"]), said(BEN, ["response-1", "response-2"])],
            "rating_response-1": [said(ANA, 2)],
            "response-2 honest": [said(ANA, 7)],
            "why": [said(ANA, "The second is honest.")],
            "corrected answer": [said(BEN, "Because it is so.")],
        }
    )
    found = read(layout(record))
    assert found.messages == (Message(Role.USER, "Why?"),)
    assert found.answers == ("Because.", "No.")
    assert found.tags == {"language": "en"}
    ana, ben = found.votes
    assert (ana.annotator, ana.tiers, ana.reason) == (ANA, ((1,), (0,)), "The second is honest.")
    assert ana.ratings == {0: {"rating": 2}, 1: {"honest": 7}}
    assert (ben.annotator, ben.tiers, ben.better_answer) == (BEN, ((0,), (1,)), "Because it is so.")


@pytest.mark.parametrize(
    ("label", "tiers", "all_bad"),
    [
        ("response-2", ((1,), (0,)), False),
        ("Response 1", ((0,), (1,)), False),
        ("2", ((1,), (0,)), False),
        ("tie", ((0, 1),), False),
        ("both_good", ((0, 1),), False),
        ("both bad", ((0, 1),), True),
        ("neither", ((0, 1),), True),
    ],
)
def test_a_label_names_the_better_answer_or_a_tie(label: str, tiers: Any, all_bad: bool) -> None:
    [vote] = read(nested({"preference": [said(ANA, label)]})).votes
    assert (vote.tiers, vote.all_bad) == (tiers, all_bad)


def test_ranks_may_be_tied() -> None:
    ranked = [
        {"value": "response-3", "rank": 1},
        {"value": "response-1", "rank": 2},
        {"value": "response-2", "rank": 2},
    ]
    [vote] = read(nested({"q": [said(ANA, ranked)]}, **{"response-3": "Perhaps."})).votes
    assert vote.tiers == ((2,), (0, 1))


def test_ratings_of_every_answer_are_an_order() -> None:
    rated = {
        "helpful_1": [said(ANA, 3)],
        "helpful_2": [said(ANA, 5)],
        "true_1": [said(ANA, 3)],
        "true_2": [said(ANA, 1)],
    }
    assert read(nested(rated)).votes[0].tiers == ((0, 1),)  # means 3 and 3
    assert read(nested({**rated, "true_2": [said(ANA, 2)]})).votes[0].tiers == ((1,), (0,))
    assert read(nested({"helpful_1": [said(ANA, 3)]})).lost == (
        "no question orders the answers for certain (--question says which does)",
    )


def test_discarded_is_a_skip_and_a_draft_is_nothing() -> None:
    given = [said(ANA, ["response-1", "response-2"], status="discarded"), said(BEN, ["response-1"], status="draft")]
    [vote] = read(flat(nested({"ranking": given}))).votes
    assert (vote.annotator, vote.tiers) == (ANA, ())


def test_a_text_with_no_answers_shown_is_a_written_answer() -> None:
    record = {"fields": {"prompt": "Why?"}, "responses": {"answer": [said(ANA, "Because.")], "notes": [said(ANA, "x")]}}
    found = read(record)
    assert (found.answers, found.votes[0].better_answer) == ((), "Because.")


def test_one_answer_that_was_rated_is_kept_with_what_would_be_better() -> None:
    fields = {"prompt": "Why?", "response": "No."}
    responses = {"rating": [said(ANA, 4), said(BEN, 2)], "corrected response": [said(ANA, "Because.")]}
    found = read({"fields": fields, "responses": responses})
    assert (found.messages, found.answers) == ((Message(Role.USER, "Why?"),), ("No.",))
    ana, ben = found.votes
    assert (ana.tiers, ana.ratings, ana.better_answer) == (((0,),), {0: {"rating": 4}}, "Because.")
    assert (ben.ratings, ben.better_answer) == ({0: {"rating": 2}}, "")


def test_a_chat_and_a_context_make_the_prompt() -> None:
    chat = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Yes?"},
        {"role": "user", "content": "A?"},
    ]
    choice = {"q": [said(ANA, "response-1")]}
    record = nested(choice, context="Rules.")
    assert read(record).messages == (Message(Role.USER, "Rules.\n\nWhy?"),)
    record["fields"]["instruction"] = chat
    assert [m.content for m in read(record).messages] == ["Hi", "Yes?", "Rules.\n\nA?"]


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        ({"fields": {"response_1": "A", "response_2": "B"}, "responses": {}}, "no field that could be the prompt"),
        ({"fields": {"prompt": "A"}, "responses": {"q": [3]}}, "not a list of records with value and user_id"),
        ({"prompt": "A", "q.responses": ["a"], "q.responses.users": []}, '"q" has 1 responses, 0 users'),
        ({"chosen": "A"}, "not one of Argilla records"),
    ],
)
def test_what_is_not_of_the_layout_says_why(record: Any, sentence: str) -> None:
    with pytest.raises(MalformedError, match=sentence):
        FORMATS["argilla"].said(record)
