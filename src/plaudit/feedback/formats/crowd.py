"""Pairs of arguments with every crowd worker's vote: UKPConvArg1 (Habernal and Gurevych, ACL 2016).

`arg1`, `arg2`, the debate's `title` and `stance`, and `votes`, a list of `{"annotator", "value", "reason"}` whose value
is `a1`, `a2` or `equal`. The data set's own aggregated label (`gold`) is no vote, and is left alone.
"""

from __future__ import annotations

from typing import Any

from plaudit.feedback.formats import fields
from plaudit.feedback.formats.comparison import Comparison, MalformedError, Tiers, Vote
from plaudit.types import Message, Role

_VALUES: dict[str, Tiers] = {"a1": ((0,), (1,)), "a2": ((1,), (0,)), "equal": ((0, 1),)}


def is_voted(record: dict[str, Any]) -> bool:
    return {"arg1", "arg2", "votes"} <= record.keys()


def comparison(record: dict[str, Any]) -> Comparison:
    votes = record["votes"]
    if not isinstance(votes, list) or not all(isinstance(v, dict) and str(v.get("value")) in _VALUES for v in votes):
        raise MalformedError('"votes" is not a list of records whose value is a1, a2 or equal')
    said = tuple(
        Vote(_VALUES[vote["value"]], str(vote.get("annotator", "")), reason=str(vote.get("reason") or ""))
        for vote in votes
    )
    debate = "\n".join(part for part in (fields.text(record, "title"), str(record.get("stance") or "")) if part.strip())
    tags = {"topic": record["debate"]} if isinstance(record.get("debate"), str) else {}
    return Comparison(
        (Message(Role.USER, debate),),
        (fields.text(record, "arg1"), fields.text(record, "arg2")),
        said,
        tags,
        question="Which argument is more convincing?",
    )
