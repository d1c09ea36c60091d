"""Rows of a spreadsheet: which cells are text of the task, which are answers to questions, and which say nothing."""

from __future__ import annotations

from typing import Any

import pytest

from plaudit.feedback.exchange.formats import FORMATS, recognise
from plaudit.feedback.exchange.formats.comparison import Comparison, MalformedError, UnusableError
from plaudit.feedback.exchange.formats.questionnaire import Ballot
from plaudit.types import Role

FIRST, SECOND = ((0,), (1,)), ((1,), (0,))
P = {"prompt": "P?", "response_a": "x", "response_b": "y"}


def read(*records: dict[str, Any]) -> list[Comparison | UnusableError]:
    ballot, table = Ballot(), FORMATS["table"]
    assert recognise(*records) is table
    assert table.survey
    for record in records:
        table.survey(record, ballot)
    ballot.decide()
    return [item for record in records for item in table.said(record, ballot)]


def only(*records: dict[str, Any]) -> Comparison:
    [found] = read(*records)
    assert isinstance(found, Comparison)
    return found


@pytest.mark.parametrize("nothing", [None, ""])
def test_a_row_that_nobody_judged_stops_nothing(nothing: Any) -> None:
    unrated, rated = P | {"preferred": nothing}, P | {"preferred": "A"}
    for records in ([rated, unrated], [unrated, rated], [unrated] * 3):
        said = [item if isinstance(item, Comparison) else (str(item), item.votes) for item in read(*records)]
        expected = [("nobody has judged it", 0) if record is unrated else "judged" for record in records]
        assert ["judged" if isinstance(item, Comparison) else item for item in said] == expected


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (P | {"response_b": None, "preferred": "A"}, "an answer is empty"),
        (P | {"prompt": "", "kind": "math", "preferred": "A"}, "the prompt is empty"),
        (dict.fromkeys(P, "") | {"preferred": ""}, "the prompt is empty"),
    ],
)
def test_a_row_with_an_empty_text_is_left_out(row: dict[str, Any], reason: str) -> None:
    first, second = read(P | {"preferred": "A"}, row)
    assert isinstance(first, Comparison)
    assert str(second) == reason


def test_short_texts_of_the_task_are_kept() -> None:
    row = {"context": "Bob is 5.", "question": "How old?", "answer_1": "5", "answer_2": "6", "best": "answer_1"}
    found = only(row | {"split": "test", "annotator": "ann"})
    assert [(m.role, m.content) for m in found.messages] == [(Role.USER, "Bob is 5.\n\nHow old?")]
    assert (found.tags, found.votes[0].tiers) == ({"split": "heldout"}, FIRST)


@pytest.mark.parametrize(
    ("columns", "messages"),
    [
        ({"system": "You are a pirate."}, [(Role.SYSTEM, "You are a pirate."), (Role.USER, "P?")]),
        ({"system_message": "Be brief."}, [(Role.SYSTEM, "Be brief."), (Role.USER, "P?")]),
        ({"history": "We spoke."}, [(Role.USER, "We spoke.\n\nP?")]),
        ({"history": [["Hi.", "Yes?"]]}, [(Role.USER, "Hi."), (Role.ASSISTANT, "Yes?"), (Role.USER, "P?")]),
        (
            {"history": [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Yes?"}]},
            [(Role.USER, "Hi."), (Role.ASSISTANT, "Yes?"), (Role.USER, "P?")],
        ),
    ],
)
def test_what_was_said_before_is_kept(columns: dict[str, Any], messages: list[Any]) -> None:
    found = only(P | columns | {"preferred": "A"})
    assert [(m.role, m.content) for m in found.messages] == messages


def test_a_history_that_nobody_can_read_is_not_left_away() -> None:
    [found] = read(P | {"history": [3], "preferred": "A"})
    assert (str(found), getattr(found, "votes", None)) == ("its history is neither text nor turns", 1)


@pytest.mark.parametrize(
    ("row", "prompt"),
    [
        ({"task": "summarize", "text": "A long story."}, "A long story."),
        ({"task": "Sum two and two.", "comment": "I think so for more than one reason."}, "Sum two and two."),
    ],
)
def test_the_kind_of_a_task_is_no_prompt(row: dict[str, str], prompt: str) -> None:
    answers = {"answer_1": "x", "answer_2": "y", "preferred": "A"}
    assert only(row | answers).messages[0].content == prompt


def test_a_task_beside_a_longer_text_is_refused() -> None:
    record = {"data": {"task": "summarize", "body": "A long story.", "answer1": "x", "answer2": "y"}, "annotations": []}
    with pytest.raises(MalformedError, match=r'no field that could be the prompt.*: call it "prompt", or say --map'):
        FORMATS["label-studio"].said(record)


@pytest.mark.parametrize(
    ("columns", "strength", "reason"),
    [
        ({"strength": "much better"}, 3, ""),
        ({"confidence": 4}, None, "confidence: 4"),
        ({"confidence": "high"}, None, "confidence: high"),
        ({"strength": 3}, None, "strength: 3"),  # of which scale is not told
        ({"colour": "blue"}, None, ""),
    ],
)
def test_how_sure_somebody_was_is_kept(columns: dict[str, Any], strength: int | None, reason: str) -> None:
    [vote] = only(P | columns | {"preferred": "A"}).votes
    assert (vote.tiers, vote.strength, vote.reason) == (FIRST, strength, reason)
