"""What records mean: the shapes in which preferences and prompts are published, read into our nouns.

- `hh` (Anthropic HH, arXiv 2204.05862): two transcripts "\\n\\nHuman: …\\n\\nAssistant: …" that share all but the last
  answer.
- `oasst` (OpenAssistant's ranked pairs): `context` [[role, text], …], `chosen`, `rejected`.
- `trl` (TRL's "preference" type): `chosen` and `rejected`, as text or as messages, with an explicit `prompt` or with
  the prompt as what both begin with; optional `system`.

Two ways to be wrong are kept apart. `MalformedError`: the record is not of the format; the whole import stops.
`UnusableError`: it is, but teaches nothing; it is counted and left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import takewhile
from typing import Any

from plaudit.types import Message, Role, Split

_ROLES = {
    "system": Role.SYSTEM,
    "user": Role.USER,
    "human": Role.USER,
    "prompter": Role.USER,
    "assistant": Role.ASSISTANT,
    "gpt": Role.ASSISTANT,
}
_TURN = re.compile(r"\n\n(Human|Assistant):")
_TAGS = ("topic", "language", "group")  # columns that become tags of the prompt, beside `tags` itself
_HELDOUT = {"heldout", "test", "validation"}

Messages = tuple[Message, ...]


class Format(StrEnum):
    HH = "hh"
    OASST = "oasst"
    TRL = "trl"


class MalformedError(Exception):
    """Not of the format at all."""


class UnusableError(Exception):
    """Of the format, but nothing can be learned from it."""


@dataclass(frozen=True)
class Pair:
    """Two answers to one conversation, the first preferred."""

    messages: Messages
    chosen: str
    rejected: str
    tags: Mapping[str, str] = field(default_factory=dict)
    simulated: bool = False  # our own export says so of what no person chose


@dataclass(frozen=True)
class Asked:
    """A conversation up to the model's turn, perhaps with a good answer that somebody wrote."""

    messages: Messages
    reference: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


def recognise(record: Any) -> Format | None:
    """The format of a preference record, None for none that we know."""
    if not isinstance(record, dict) or "chosen" not in record or "rejected" not in record:
        return None
    if "context" in record:
        return Format.OASST
    chosen = record["chosen"]
    transcript = isinstance(chosen, str) and "\n\nHuman:" in chosen and "\n\nAssistant:" in chosen
    return Format.HH if transcript and record.get("prompt") is None else Format.TRL


def pair(record: Any, format: Format) -> Pair:
    """The pair that a record holds. MalformedError, UnusableError."""
    if not isinstance(record, dict):
        raise MalformedError(f"{_kind(record)} where a record with chosen and rejected should be")
    messages, chosen, rejected = {Format.HH: _hh, Format.OASST: _oasst, Format.TRL: _trl}[format](record)
    _check_prompt(messages)
    if not chosen.strip() or not rejected.strip():
        raise UnusableError("an answer is empty")
    if chosen.strip() == rejected.strip():
        raise UnusableError("both answers are the same")
    return Pair(messages, chosen, rejected, _tags(record), record.get("simulated") is True)


def asked(record: Any) -> Asked:
    """The prompt that a record holds. MalformedError, UnusableError."""
    if isinstance(record, str):
        record = {"prompt": record}
    if not isinstance(record, dict):
        raise MalformedError(f"{_kind(record)} where a prompt should be")
    messages, reference = _conversation(record)
    _check_prompt(messages)
    return Asked(messages, reference, _tags(record))


def _hh(record: dict[str, Any]) -> tuple[Messages, str, str]:
    before, _, chosen = _text(record, "chosen").rpartition("\n\nAssistant:")
    before_rejected, _, rejected = _text(record, "rejected").rpartition("\n\nAssistant:")
    if not before or not before_rejected:
        raise MalformedError('no "\\n\\nAssistant:" in a transcript')
    if before != before_rejected:
        raise UnusableError("the conversations differ before the last answer")
    opening, *turns = _TURN.split(before)
    if opening.strip():
        raise UnusableError("the transcript does not begin with a turn")
    said = zip(turns[::2], turns[1::2], strict=True)
    return tuple(Message(_ROLES[who.lower()], text.strip()) for who, text in said), chosen.strip(), rejected.strip()


def _oasst(record: dict[str, Any]) -> tuple[Messages, str, str]:
    context = record.get("context")
    if not isinstance(context, list) or not all(isinstance(turn, list) and len(turn) == 2 for turn in context):
        raise MalformedError('"context" is not a list of [role, text]')
    messages = _messages([{"role": role, "content": text} for role, text in context], "context")
    return messages, _text(record, "chosen"), _text(record, "rejected")


def _trl(record: dict[str, Any]) -> tuple[Messages, str, str]:
    lead = (*_system(record), *_prompt(record))
    chosen, rejected = record.get("chosen"), record.get("rejected")
    if isinstance(chosen, list) and isinstance(rejected, list):
        return _trl_messages(lead, _messages(chosen, "chosen"), _messages(rejected, "rejected"))
    chosen, rejected = _text(record, "chosen"), _text(record, "rejected")
    if record.get("prompt") is not None:
        return lead, chosen, rejected
    shared = "".join(a for a, b in takewhile(lambda both: both[0] == both[1], zip(chosen, rejected, strict=False)))
    shared = shared[: max((space.end() for space in re.finditer(r"\s+", shared)), default=0)]  # whole words
    prompt = (Message(Role.USER, shared.strip()),) if shared.strip() else ()
    return (*lead, *prompt), chosen[len(shared) :].strip(), rejected[len(shared) :].strip()


def _trl_messages(lead: Messages, chosen: Messages, rejected: Messages) -> tuple[Messages, str, str]:
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


def _conversation(record: dict[str, Any]) -> tuple[Messages, str]:
    """Messages up to the model's turn, and the reference answer or nothing."""
    reference = next((record[k] for k in ("reference", "demonstration", "completion", "output") if record.get(k)), "")
    if isinstance(reference, list):
        reference = _messages(reference, "completion")[-1].content
    if not isinstance(reference, str):
        raise MalformedError(f"the reference answer is {_kind(reference)}, not text")
    if record.get("messages") is not None:
        messages = _messages(record["messages"], "messages")
        if messages[-1].role is Role.ASSISTANT:
            messages, reference = messages[:-1], messages[-1].content
        return (*_system(record), *messages), reference
    if record.get("prompt") is not None:
        return (*_system(record), *_prompt(record)), reference
    if record.get("instruction") is not None:
        return _instruction(record, reference)
    if record.get("text") is None:
        raise MalformedError(f'no "prompt", "messages", "text" or "instruction", only {_fields(record)}')
    return (*_system(record), Message(Role.USER, _text(record, "text"))), reference


def _instruction(record: dict[str, Any], reference: str) -> tuple[Messages, str]:
    """Alpaca's instruction and input; Self-Instruct keeps these in `instances`, of which we take the first."""
    instances = record.get("instances")
    example = instances[0] if isinstance(instances, list) and instances and isinstance(instances[0], dict) else record
    parts = [_text(record, "instruction"), str(example.get("input") or "")]
    question = "\n\n".join(part for part in parts if part.strip())
    return (*_system(record), Message(Role.USER, question)), reference or str(example.get("output") or "")


def _prompt(record: dict[str, Any]) -> Messages:
    prompt = record.get("prompt")
    if prompt is None:
        return ()
    return _messages(prompt, "prompt") if isinstance(prompt, list) else (Message(Role.USER, _text(record, "prompt")),)


def _system(record: dict[str, Any]) -> Messages:
    return (Message(Role.SYSTEM, _text(record, "system")),) if record.get("system") else ()


def _messages(turns: Any, name: str) -> Messages:
    if not isinstance(turns, list) or not turns:
        raise MalformedError(f'"{name}" is not a list of messages')
    found = []
    for turn in turns:
        role, content = (turn.get("role"), turn.get("content")) if isinstance(turn, dict) else (None, None)
        if not isinstance(role, str) or not isinstance(content, str):
            raise MalformedError(f'"{name}" has a message without role and content as text')
        if role not in _ROLES:
            raise UnusableError(f'a turn by "{role}"')
        found.append(Message(_ROLES[role], content))
    return tuple(found)


def _text(record: dict[str, Any], name: str) -> str:
    if name not in record:
        raise MalformedError(f'no "{name}", only {_fields(record)}')
    if not isinstance(record[name], str):
        raise MalformedError(f'"{name}" is {_kind(record[name])}, not text')
    return str(record[name])


def _check_prompt(messages: Messages) -> None:
    if not messages or messages[-1].role is not Role.USER:
        raise UnusableError("the conversation has no question before the answer")
    if not messages[-1].content.strip():
        raise UnusableError("the prompt is empty")


def _tags(record: dict[str, Any]) -> dict[str, str]:
    given = record.get("tags") if isinstance(record.get("tags"), dict) else {}
    found = {**(given or {}), **{name: record[name] for name in _TAGS if name in record}}
    tags = {str(name): value for name, value in found.items() if isinstance(value, str)}
    side = record.get("split") if isinstance(record.get("split"), str) else tags.get("split")
    if side == Split.TRAIN or side in _HELDOUT:
        tags["split"] = str(Split.TRAIN if side == Split.TRAIN else Split.HELDOUT)
    else:
        tags.pop("split", None)  # another's idea of a split: ours is by hash
    return tags


def _fields(record: dict[str, Any]) -> str:
    return ", ".join(f'"{name}"' for name in list(record)[:6]) or "nothing"


def _kind(value: Any) -> str:
    kinds = {dict: "a record", list: "a list", str: "text", bool: "true or false", type(None): "nothing"}
    return kinds.get(type(value), "a number")
