"""PRISM (Kirk et al., arXiv 2404.16019): people who talk with several models at once and score every answer, 1 to 100.

A conversation is a record with `conversation_history`, whose answers have a `turn`, a `score` and `if_chosen`; the
conversation goes on from the chosen one. Every turn is a comparison, ordered by score. The utterances file has the same
answers a row each, with the person's turn before them, and is put together to the same conversations; it lacks when
they were held and what was said about them as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from plaudit.feedback.exchange.formats import fields
from plaudit.feedback.exchange.formats.comparison import Comparison, MalformedError, Messages, UnusableError, Vote
from plaudit.feedback.exchange.formats.fields import moment
from plaudit.feedback.exchange.formats.mapping import scaled
from plaudit.types import Message, Role

Turn = list[dict[str, Any]]
SCALE = (1, 100)  # of the scores, "terrible" to "perfect"


def is_conversation(record: dict[str, Any]) -> bool:
    return {"conversation_history", "user_id", "conversation_id"} <= record.keys()


def is_utterance(record: dict[str, Any]) -> bool:
    return {"utterance_id", "conversation_id", "user_id", "turn", "user_prompt", "model_response"} <= record.keys()


def conversations(placed: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """The records as conversations, each with its place (of its first utterance)."""
    by_id: dict[str, tuple[str, list[dict[str, Any]]]] = {}
    for where, record in placed:
        if isinstance(record, dict) and is_utterance(record):
            by_id.setdefault(str(record["conversation_id"]), (where, []))[1].append(record)
        else:
            yield where, record
    for where, rows in by_id.values():
        yield where, {**rows[0], "conversation_history": list(_history(rows))}


def _history(utterances: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    turns: dict[int, list[dict[str, Any]]] = {}
    for row in utterances:
        turns.setdefault(int(fields.number(row["turn"]) or 0), []).append(row)
    for turn, rows in sorted(turns.items()):
        yield {"turn": turn, "role": "user", "content": rows[0]["user_prompt"]}
        for row in rows:
            chosen = str(row.get("if_chosen")).lower() == "true"  # a table says it in words
            yield {**row, "turn": turn, "role": "model", "content": row["model_response"], "if_chosen": chosen}


def comparisons(record: dict[str, Any]) -> list[Comparison | UnusableError]:
    """One for each turn of the conversation. MalformedError."""
    found: list[Comparison | UnusableError] = []
    turns = list(_turns(record.get("conversation_history")))
    for number, (before, asked, answers) in enumerate(turns, 1):
        feedback = str(record.get("open_feedback") or "") if number == len(turns) else ""  # on all that was said
        try:
            if before is None:
                raise UnusableError("what was said before it is not in the file")
            found.append(_comparison(record, (*before, asked), answers, feedback).check())
        except UnusableError as reason:
            found.append(reason)
    return found or [UnusableError("the conversation has no answers", 0)]


def _turns(history: Any) -> Iterator[tuple[Messages | None, Message, Turn]]:
    """What was said before (None: that is not known), the person's turn, and the answers to it."""
    if not isinstance(history, list) or not all(
        isinstance(said, dict) and isinstance(said.get("turn"), int) for said in history
    ):
        raise MalformedError('"conversation_history" is not a list of records with a "turn"')
    numbers = dict.fromkeys(said.get("turn") for said in history)
    before: Messages | None = ()
    for place, number in enumerate(numbers):
        turn = [said for said in history if said.get("turn") == number]
        questions = [said for said in turn if said.get("role") == "user"]
        answers = [said for said in turn if said.get("role") == "model"]
        if len(questions) != 1 or not answers:
            raise MalformedError(f"turn {number} is not one question with answers")
        asked = Message(Role.USER, fields.content_of(questions[0].get("content"), "content"))
        before = before if number == place else None
        yield before, asked, answers
        chosen = [fields.content_of(said.get("content"), "content") for said in answers if said.get("if_chosen")]
        went_on = before is not None and len(set(chosen)) == 1
        before = (*(before or ()), asked, Message(Role.ASSISTANT, chosen[0])) if went_on else None


def _comparison(record: dict[str, Any], messages: Messages, answers: Turn, feedback: str) -> Comparison:
    texts = tuple(fields.content_of(said.get("content"), "content") for said in answers)
    scores = [fields.number(said.get("score")) for said in answers]
    if None in scores:
        raise UnusableError("an answer has no score")
    levels = sorted({score for score in scores if score is not None}, reverse=True)
    tiers = tuple(tuple(i for i, score in enumerate(scores) if score == level) for level in levels)
    ratings = {
        place: {"score": rated}
        for place, score in enumerate(scores)
        if score is not None and (rated := scaled(score, SCALE)) is not None
    }
    at = moment(record.get("generated_datetime"))
    vote = Vote(tiers, str(record["user_id"]), ratings=ratings, reason=feedback, at=at)
    kind = record.get("conversation_type")
    return Comparison(messages, texts, (vote,), {"topic": kind} if isinstance(kind, str) else {})
