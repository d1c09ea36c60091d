"""Published pairs of answers, with the better one or every worker's vote.

- `hh` (Anthropic HH, arXiv 2204.05862): two transcripts "\\n\\nHuman: …\\n\\nAssistant: …" that share all but the last
  answer.
- `oasst` (OpenAssistant's ranked pairs): `context` [[role, text], …], `chosen`, `rejected`.
- `trl` (TRL's "preference" type; RewardBench 1): `chosen` and `rejected`, as text or as messages, with an explicit
  `prompt` or with the prompt as what both begin with; optional `system`.
- `rewardbench2`: `prompt`, and lists `chosen` and `rejected` of which every one of the first is better than every one
  of the second.
- `ukpconvarg` (UKPConvArg1, Habernal and Gurevych, ACL 2016): pairs of arguments `arg1` and `arg2`, the debate's
  `title` and `stance`, and `votes`, a list of `{"annotator", "value", "reason"}` whose value is `a1`, `a2` or `equal`.
  The data set's own aggregated label (`gold`) is no vote, and is left alone.
"""

from __future__ import annotations

import re
from itertools import takewhile
from typing import Any

from plaudit.feedback.exchange.formats import fields
from plaudit.feedback.exchange.formats.comparison import (
    Comparison,
    MalformedError,
    Messages,
    Tiers,
    UnusableError,
    Vote,
)
from plaudit.types import Message, Role

_VALUES: dict[str, Tiers] = {"a1": ((0,), (1,)), "a2": ((1,), (0,)), "equal": ((0, 1),)}


def hh(record: dict[str, Any]) -> Comparison:
    before, _, chosen = fields.text(record, "chosen").rpartition("\n\nAssistant:")
    before_rejected, _, rejected = fields.text(record, "rejected").rpartition("\n\nAssistant:")
    if not before or not before_rejected:
        raise MalformedError('no "\\n\\nAssistant:" in a transcript')
    if before != before_rejected:
        raise UnusableError("the conversations differ before the last answer")
    if fields.TURN.split(before)[0].strip():
        raise UnusableError("the transcript does not begin with a turn")
    return _pair(record, fields.transcript(before), chosen.strip(), rejected.strip())


def oasst(record: dict[str, Any]) -> Comparison:
    context = record.get("context")
    if not isinstance(context, list) or not all(isinstance(turn, list) and len(turn) == 2 for turn in context):
        raise MalformedError('"context" is not a list of [role, text]')
    messages = fields.messages([{"role": role, "content": content} for role, content in context], "context")
    return _pair(record, messages, fields.text(record, "chosen"), fields.text(record, "rejected"))


def trl(record: dict[str, Any]) -> Comparison:
    lead = (*fields.system(record), *fields.prompt(record))
    chosen, rejected = record.get("chosen"), record.get("rejected")
    if isinstance(chosen, list) and isinstance(rejected, list):
        return _pair(
            record, *_of_messages(lead, fields.messages(chosen, "chosen"), fields.messages(rejected, "rejected"))
        )
    chosen, rejected = fields.text(record, "chosen"), fields.text(record, "rejected")
    if record.get("prompt") is not None:
        return _pair(record, lead, chosen, rejected)
    shared = "".join(a for a, b in takewhile(lambda both: both[0] == both[1], zip(chosen, rejected, strict=False)))
    shared = shared[: max((space.end() for space in re.finditer(r"\s+", shared)), default=0)]  # whole words
    prompt = (Message(Role.USER, shared.strip()),) if shared.strip() else ()
    return _pair(record, (*lead, *prompt), chosen[len(shared) :].strip(), rejected[len(shared) :].strip())


def rewardbench2(record: dict[str, Any]) -> Comparison:
    chosen, rejected = record.get("chosen"), record.get("rejected")
    for name, answers in (("chosen", chosen), ("rejected", rejected)):
        if not isinstance(answers, list) or not answers or not all(isinstance(answer, str) for answer in answers):
            raise MalformedError(f'"{name}" is not a list of texts')
    assert isinstance(chosen, list)
    assert isinstance(rejected, list)
    best = tuple(range(len(chosen)))
    rest = tuple(range(len(chosen), len(chosen) + len(rejected)))
    vote = Vote((best, rest), simulated=is_simulated(record))
    return Comparison(fields.prompt(record), (*chosen, *rejected), (vote,), fields.tags(record))


def is_simulated(record: dict[str, Any]) -> bool:
    return record.get("simulated") in (True, "true", "True")


def _pair(record: dict[str, Any], messages: Messages, chosen: str, rejected: str) -> Comparison:
    return Comparison.pair(messages, chosen, rejected, fields.tags(record), is_simulated(record))


def _of_messages(lead: Messages, chosen: Messages, rejected: Messages) -> tuple[Messages, str, str]:
    """Messages may hold only the answer, or repeat the conversation before it; then that is the prompt."""
    if chosen[:-1] != rejected[:-1]:
        raise UnusableError("the conversations differ before the last answer")
    if chosen[-1].role is not Role.ASSISTANT or rejected[-1].role is not Role.ASSISTANT:
        raise UnusableError("a conversation does not end with an answer")
    before = chosen[:-1]
    if chosen[0].role is Role.ASSISTANT:
        before = (*lead, *before)
    elif before[0].role is not Role.SYSTEM:
        before = (*(m for m in lead if m.role is Role.SYSTEM), *before)
    return before, chosen[-1].content, rejected[-1].content


def is_crowd_voted(record: dict[str, Any]) -> bool:
    return {"arg1", "arg2", "votes"} <= record.keys()


def crowd_voted(record: dict[str, Any]) -> Comparison:
    votes = record["votes"]
    if not isinstance(votes, list) or not all(isinstance(v, dict) and str(v.get("value")) in _VALUES for v in votes):
        raise MalformedError('"votes" is not a list of records whose value is a1, a2 or equal')
    cast = tuple(
        Vote(_VALUES[vote["value"]], str(vote.get("annotator", "")), reason=str(vote.get("reason") or ""))
        for vote in votes
    )
    debate = "\n".join(part for part in (fields.text(record, "title"), str(record.get("stance") or "")) if part.strip())
    tags = {"topic": record["debate"]} if isinstance(record.get("debate"), str) else {}
    return Comparison(
        (Message(Role.USER, debate),),
        (fields.text(record, "arg1"), fields.text(record, "arg2")),
        cast,
        tags,
        question="Which argument is more convincing?",
    )
