"""Published pairs of answers, with the better one or every worker's vote.

- `hh` (Anthropic HH, arXiv 2204.05862): two transcripts "\\n\\nHuman: …\\n\\nAssistant: …" that share all but the last
  answer.
- `oasst` (OpenAssistant's ranked pairs): `context` [[role, text], …], `chosen`, `rejected`.
- `trl` (TRL's "preference" type; RewardBench 1): `chosen` and `rejected`, as text or as messages, with an explicit
  `prompt` (`question`, `instruction` and `input`, …) or with the prompt as what both begin with.
- `rewardbench2`: `prompt`, and lists `chosen` and `rejected` of which every one of the first is better than every one
  of the second.
- `ukpconvarg` (UKPConvArg1, Habernal and Gurevych, ACL 2016): pairs of arguments `arg1` and `arg2`, the debate's
  `title` and `stance`, and `votes`, a list of `{"annotator", "value", "reason"}` whose value is `a1`, `a2` or `equal`.
  The data set's own aggregated label (`gold`) is no vote, and is left alone.

All but the last may have columns for a system message, earlier turns, a passage, who chose, and why (`beside`).
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from itertools import takewhile
from typing import Any

from plaudit.feedback.exchange.formats import beside, fields
from plaudit.feedback.exchange.formats.comparison import (
    Comparison,
    MalformedError,
    Messages,
    Tiers,
    UnusableError,
    Vote,
)
from plaudit.feedback.exchange.formats.mapping import NO_STRENGTH, ColumnMap
from plaudit.feedback.labelling.settings import LONGEST_NAME
from plaudit.types import Message, Role

PROMPTS = ("prompt", "question", "instruction", "query", "input", "messages", "conversations", "conversation",
           "context", "history", "dialogue", "trajectory", "user_message", "user_prompt", "user_input", "post",
           "request", "user", "task")  # fmt: skip
_DOUBTFUL = ("user", "task")  # may as well say who asked, or of which kind it is
_ABOUT = re.compile(  # columns that tell about a pair
    r"(?i)(.*_)?(ids?|uuid|key|hash|index|url|link|sources?|origin|dataset|data_source|splits?|subset|category|categories|"
    r"domain|group|languages?|lang|tags?|labels?|type|kind|task_type|status|license|date|time|timestamp|"
    r"created_at|updated_at|models?|generator|annotators?|annotator_id|worker|judge|user_id|author|by|version|name|"
    r"score|scores|rating|ratings|margin|strength|confidence|difficulty|simulated|probability|votes|"
    r"reasons?|rationale|rationales|justification|comment|comments|explanation|notes?|system|system_prompt|"
    r"system_message|gold|winner|preferred|preference|quality)(_.*)?"
)
_SCORES = tuple(
    (before + "chosen" + behind, before + "rejected" + behind)
    for word in ("score", "scores", "rating", "ratings", "reward")
    for join in ("_", "-")
    for before, behind in ((word + join, ""), ("", join + word))
)
_BY_A_MODEL = ("score_chosen", "score_rejected")  # only the binarised UltraFeedback and what is made like it have these
_VALUES: dict[str, Tiers] = {"a1": ((0,), (1,)), "a2": ((1,), (0,)), "equal": ((0, 1),)}


def hh(record: dict[str, Any]) -> Comparison:
    before, _, chosen = fields.text(record, "chosen").rpartition("\n\nAssistant:")
    before_rejected, _, rejected = fields.text(record, "rejected").rpartition("\n\nAssistant:")
    if not before or not before_rejected:
        raise MalformedError('no "\\n\\nAssistant:" in a transcript')
    if before != before_rejected:
        raise UnusableError("the conversations differ before the last answer")
    if fields.TURN.split(fields.led(before))[0].strip():
        raise UnusableError("the transcript does not begin with a turn")
    return _pair(record, fields.transcript(before), chosen.strip(), rejected.strip())


def oasst(record: dict[str, Any]) -> Comparison:
    context = record.get("context")
    if not isinstance(context, list) or not all(isinstance(turn, list) and len(turn) == 2 for turn in context):
        raise MalformedError('"context" is not a list of [role, text]')
    messages = fields.messages([{"role": role, "content": content} for role, content in context], "context")
    answers = (fields.text(record, "chosen"), fields.text(record, "rejected"))
    return _judged(record, messages, answers, ((0,), (1,)), ("context",))


def trl(record: dict[str, Any]) -> Comparison:
    opened = {name: fields.opened(record.get(name)) for name in ("chosen", "rejected")}
    chosen, rejected = opened["chosen"], opened["rejected"]
    if chosen is not record.get("chosen") or rejected is not record.get("rejected"):
        record = record | opened
    spoken = [isinstance(said, list) or fields.is_message(said) for said in (chosen, rejected)]
    for name in ("chosen", "rejected"):
        if not all(spoken):
            fields.text(record, name)
    if not isinstance(record.get("prompt"), (str, list, type(None))):
        fields.text(record, "prompt")
    columns = prompt_columns(record)
    if columns:
        return _mapped(record, columns)
    if not isinstance(chosen, str) or not isinstance(rejected, str) or fields.is_transcript(chosen):
        return _mapped(record, ())
    shared = "".join(a for a, b in takewhile(lambda both: both[0] == both[1], zip(chosen, rejected, strict=False)))
    shared = shared[: max((space.end() for space in re.finditer(r"\s+", shared)), default=0)]  # whole words
    prompt = fields.spoken(shared.strip()) if shared.strip() else ()
    answers = [said[len(shared) :].strip() for said in (chosen, rejected)]
    if shared.startswith("<|im_start|>"):
        answers = [answer.removesuffix("<|im_end|>").rstrip() for answer in answers]
    return _mapped(record | dict(zip(("chosen", "rejected"), answers, strict=True)), (), prompt)


def prompt_columns(record: dict[str, Any]) -> tuple[str, ...]:
    """Where the prompt of a record with `chosen` and `rejected` stands; () where it is what both begin with.

    MalformedError where another text might be the prompt: what both answers begin with would then be made up.
    """
    others = {name: value for name, value in record.items() if _is_said(value) and name not in ("chosen", "rejected")}
    known = next((name for wanted in PROMPTS for name in others if name.lower() == wanted), None)
    strangers = [name for name in others if len(name) > LONGEST_NAME or not _ABOUT.fullmatch(name)]
    if known is not None and (known.lower() not in _DOUBTFUL or strangers == [known]):
        beneath = next((name for name in others if name.lower() == "input"), None)
        return (known, beneath) if known.lower() == "instruction" and beneath else (known,)
    if isinstance(record.get("prompt"), str):
        return ("prompt",)
    both_texts = isinstance(record.get("chosen"), str) and isinstance(record.get("rejected"), str)
    strangers += [
        name
        for name in (*beside.HISTORIES, *beside.PASSAGES)
        if name in record and name not in others and beside.is_there(record[name])
    ]
    if strangers and both_texts and not fields.is_transcript(record["chosen"]):
        raise MalformedError(
            f'no column is called "prompt", and {fields.names(dict.fromkeys(strangers))} may be it: say which, as '
            + fields.by_map(prompt=strangers[:1], chosen=["chosen"], rejected=["rejected"])
        )
    return ()


def has_question(record: dict[str, Any]) -> bool:
    """Whether a question stands in a column of its own, so that a conversation beside it is what went before."""
    return any(isinstance(record.get(name), str) and record[name].strip() for name in PROMPTS[:5])


def _is_said(value: Any) -> bool:
    """Text, or a conversation."""
    if isinstance(value, str):
        return bool(value.strip())
    return isinstance(value, list) and bool(value) and all(fields.is_message(turn) for turn in value)


def _mapped(record: dict[str, Any], columns: tuple[str, ...], prompt: Messages = ()) -> Comparison:
    """The pair with what stands beside it; `prompt` is one that stands in no column."""
    scores = next((both for both in _SCORES if both[0] in record and both[1] in record), ())
    found = _mapping(columns, scores).comparison(record)
    if not prompt:
        return found
    lead = tuple(message for message in found.messages if message.role is Role.SYSTEM)
    return replace(found, messages=(*lead, *prompt))


@lru_cache(maxsize=100)
def _mapping(columns: tuple[str, ...], scores: tuple[str, ...]) -> ColumnMap:
    return ColumnMap(
        description="such pairs",
        prompt=columns,
        chosen=("chosen",),
        rejected=("rejected",),
        score=scores,
        by_model=scores == _BY_A_MODEL,
        known=True,
    )


def rewardbench2(record: dict[str, Any]) -> Comparison:
    chosen, rejected = record.get("chosen"), record.get("rejected")
    for name, answers in (("chosen", chosen), ("rejected", rejected)):
        if not isinstance(answers, list) or not answers or not all(isinstance(answer, str) for answer in answers):
            raise MalformedError(f'"{name}" is not a list of texts')
    assert isinstance(chosen, list)
    assert isinstance(rejected, list)
    best = tuple(range(len(chosen)))
    rest = tuple(range(len(chosen), len(chosen) + len(rejected)))
    return _judged(record, fields.prompt(record), (*chosen, *rejected), (best, rest), ("prompt",))


def is_simulated(record: dict[str, Any]) -> bool:
    return record.get("simulated") in (True, "true", "True")


def _pair(record: dict[str, Any], messages: Messages, chosen: str, rejected: str) -> Comparison:
    return _judged(record, messages, (chosen, rejected), ((0,), (1,)))


def _judged(
    record: dict[str, Any], messages: Messages, answers: tuple[str, ...], tiers: Tiers, used: tuple[str, ...] = ()
) -> Comparison:
    """The answers with what stands beside the prompt and the choice."""
    number = fields.number(record.get(beside.STRENGTH)) if len(answers) == 2 else None
    annotator = beside.annotator_in(record)
    vote = Vote(
        tiers,
        annotator,
        is_simulated(record) or beside.is_model(annotator),
        strength=None if number is None else int(number) if number.is_integer() else NO_STRENGTH,
        reason=beside.reason_in(record),
    )
    return Comparison(beside.add_around(record, messages, used), answers, (vote,), fields.tags(record))


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
