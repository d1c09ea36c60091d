"""PRISM (Kirk et al., arXiv 2404.16019): people who talk with several models at once and score every answer, 1 to 100.

A conversation is a record with `conversation_history`, whose answers have a `turn`, a `score` and `if_chosen`; the
conversation goes on from the chosen one. Every turn is a comparison, ordered by score. The utterances file has the
same answers one by one, without the conversation before them, and so is not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from plaudit.feedback.exchange.formats import fields
from plaudit.feedback.exchange.formats.comparison import Comparison, MalformedError, Messages, UnusableError, Vote
from plaudit.feedback.exchange.formats.fields import moment
from plaudit.types import Message, Role

Turn = list[dict[str, Any]]


def is_conversation(record: dict[str, Any]) -> bool:
    return {"conversation_history", "user_id", "conversation_id"} <= record.keys()


def comparisons(record: dict[str, Any]) -> list[Comparison | UnusableError]:
    """One for each turn of the conversation. MalformedError."""
    found: list[Comparison | UnusableError] = []
    turns = list(_turns(record.get("conversation_history")))
    for number, (before, asked, answers) in enumerate(turns, 1):
        feedback = str(record.get("open_feedback") or "") if number == len(turns) else ""  # on all that was said
        try:
            found.append(_comparison(record, (*before, asked), answers, feedback).check())
        except UnusableError as reason:
            found.append(reason)
    return found or [UnusableError("the conversation has no answers", 0)]


def _turns(history: Any) -> Iterator[tuple[Messages, Message, Turn]]:
    """What was said before, the person's turn, and the answers to it."""
    if not isinstance(history, list) or not all(
        isinstance(said, dict) and isinstance(said.get("turn"), int) for said in history
    ):
        raise MalformedError('"conversation_history" is not a list of records with a "turn"')
    numbers = dict.fromkeys(said.get("turn") for said in history)
    before: Messages = ()
    for number in numbers:
        turn = [said for said in history if said.get("turn") == number]
        questions = [said for said in turn if said.get("role") == "user"]
        answers = [said for said in turn if said.get("role") == "model"]
        if len(questions) != 1 or not answers:
            raise MalformedError(f"turn {number} is not one question with answers")
        asked = Message(Role.USER, fields.content_of(questions[0].get("content"), "content"))
        yield before, asked, answers
        chosen = next((said for said in answers if said.get("if_chosen")), answers[0])
        before = (*before, asked, Message(Role.ASSISTANT, fields.content_of(chosen.get("content"), "content")))


def _comparison(record: dict[str, Any], messages: Messages, answers: Turn, feedback: str) -> Comparison:
    texts = tuple(fields.content_of(said.get("content"), "content") for said in answers)
    scores = [fields.number(said.get("score")) for said in answers]
    if None in scores:
        raise UnusableError("an answer has no score")
    levels = sorted({score for score in scores if score is not None}, reverse=True)
    tiers = tuple(tuple(i for i, score in enumerate(scores) if score == level) for level in levels)
    vote = Vote(tiers, str(record["user_id"]), reason=feedback, at=moment(record.get("generated_datetime")))
    kind = record.get("conversation_type")
    return Comparison(messages, texts, (vote,), {"topic": kind} if isinstance(kind, str) else {})
