"""What is special about battles: which turn was judged, what differs before it, and a judge that is a model."""

from __future__ import annotations

from plaudit.feedback.exchange.formats import FORMATS
from plaudit.feedback.exchange.formats.comparison import Comparison, Vote
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
