"""What is special about battles: which turn was judged, what differs before it, and a judge that is a model."""

from __future__ import annotations

import json

import pytest

from plaudit.feedback.exchange.formats import FORMATS
from plaudit.feedback.exchange.formats.comparison import Comparison, UnusableError, Vote
from plaudit.types import Message, Role
from tests.feedback.exchange.formats.forms.battles import ARENA, FORMS
from tests.feedback.exchange.formats.forms.form import FIRST, SECOND, TIE, A, B, Q, said, user


def test_the_judged_turn_of_a_longer_conversation_is_taken() -> None:
    """MT-bench says which of two turns was judged, in conversations that hold both."""
    later = [user("And above twenty?"), said("Twenty-three.")]
    record = {
        "question_id": 81, "model_a": "alpaca-13b", "model_b": "gpt-3.5-turbo", "winner": "model_b",
        "judge": "author_2",
        "conversation_a": [*ARENA["conversation_a"], *later], "conversation_b": [*ARENA["conversation_b"], *later],
        "turn": 1,
    }  # fmt: skip
    [found] = FORMATS["chatbot-arena"].said(record)
    assert isinstance(found, Comparison)
    assert (found.messages, found.answers) == ((Message(Role.USER, Q),), (A, B))
    assert found.votes == (Vote(SECOND, "author_2", shown=(0, 1)),)
    [second] = FORMATS["chatbot-arena"].said(record | {"turn": 2})
    assert str(second) == "the conversations differ before the last answer"


def test_a_later_turn_of_a_later_arena_is_left_out() -> None:
    """The turns before it had other models: what the person saw is not in the two conversations."""
    [left_out] = FORMATS["arena-140k"].said(FORMS["arena-140k"].record | {"evaluation_order": 2})
    assert str(left_out) == "evaluation_order is 2, not 1"


def test_half_of_a_character_in_a_list_that_is_text_stops_nothing() -> None:
    record = FORMS["lmsys-55k"].record | {"response_a": '["\\ud83d"]'}
    [found] = FORMATS["lmsys-55k"].said(record)
    for answer in found.answers if isinstance(found, Comparison) else ():
        answer.encode()


def test_a_preference_between_one_and_two_is_a_side() -> None:
    record = FORMS["alpaca-eval"].record
    for value, tiers in ((1, FIRST), (1.0002, FIRST), (1.5, TIE), (0, TIE), (1.998, SECOND), ("2", SECOND)):
        [found] = FORMATS["alpaca-eval"].said(record | {"preference": value})
        assert isinstance(found, Comparison)
        assert [(vote.tiers, vote.strength) for vote in found.votes] == [(tiers, None)]


@pytest.mark.parametrize("judge", ["gpt4_pair", ["gpt-4", "pair-v2"]])
def test_gpt_4_as_a_judge_is_a_model_that_saw_both_orders(judge: object) -> None:
    """MT-bench's second split: a column on the Hub, a list in its own file."""
    record = {
        "question_id": 81, "model_a": "alpaca-13b", "model_b": "gpt-3.5-turbo", "winner": "tie (inconsistent)",
        "judge": judge, "conversation_a": ARENA["conversation_a"], "conversation_b": ARENA["conversation_b"], "turn": 1,
    }  # fmt: skip
    named = judge if isinstance(judge, str) else "gpt-4 pair-v2"
    for winner, tiers in (("tie (inconsistent)", TIE), ("model_b", SECOND)):
        [found] = FORMATS["chatbot-arena"].said(record | {"winner": winner})
        assert isinstance(found, Comparison)
        assert found.votes == (Vote(tiers, named, simulated=True),)


LATER = [user("And above twenty?"), said("Twenty-three.")]
DIFFERING = {
    "chatbot-arena": {
        "winner": "model_a", "conversation_a": [*ARENA["conversation_a"], *LATER],
        "conversation_b": [*ARENA["conversation_b"], *LATER],
    },
    "lmsys-55k": {
        "prompt": json.dumps([Q, "And?"]), "response_a": json.dumps([A, "No."]), "response_b": json.dumps([B, "Yes."]),
        "winner_model_a": 1, "winner_model_b": 0,
    },
    "trl": {"chosen": [*ARENA["conversation_a"], *LATER], "rejected": [*ARENA["conversation_b"], *LATER]},
}  # fmt: skip


@pytest.mark.parametrize("name", DIFFERING)
def test_what_was_judged_behind_other_histories_is_left_out_and_counted(name: str) -> None:
    """People judged whole conversations: neither the last answers nor the first were compared by themselves."""
    [left_out] = FORMATS[name].said(DIFFERING[name])
    assert isinstance(left_out, UnusableError)
    assert (str(left_out), left_out.votes) == ("the conversations differ before the last answer", 1)
