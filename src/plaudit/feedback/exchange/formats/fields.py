"""Reading one field of a record, with a sentence for what is not as it should be (MalformedError)."""

from __future__ import annotations

import json
import re
from typing import Any

from plaudit.feedback.exchange.formats.comparison import MalformedError, Messages, UnusableError
from plaudit.types import Message, Role, Split

ROLES = {
    "system": Role.SYSTEM,
    "user": Role.USER,
    "human": Role.USER,
    "prompter": Role.USER,
    "assistant": Role.ASSISTANT,
    "gpt": Role.ASSISTANT,
}
TURN = re.compile(r"\n\n(Human|Assistant):")
TAGS = ("topic", "language", "group", "subset")  # columns that become tags of the prompt, beside `tags` itself
_HELDOUT = {"heldout", "test", "validation"}


def text(record: dict[str, Any], name: str) -> str:
    if name not in record:
        raise MalformedError(f'no "{name}", only {names(record)}')
    if not isinstance(record[name], str):
        raise MalformedError(f'"{name}" is {kind(record[name])}, not text')
    return str(record[name])


def messages(turns: Any, name: str) -> Messages:
    """A list of `{"role", "content"}`."""
    if not isinstance(turns, list) or not turns:
        raise MalformedError(f'"{name}" is not a list of messages')
    parsed = []
    for turn in turns:
        role, content = (turn.get("role"), turn.get("content")) if isinstance(turn, dict) else (None, None)
        if not isinstance(role, str) or not isinstance(content, str):
            raise MalformedError(f'"{name}" has a message without role and content as text')
        if role not in ROLES:
            raise UnusableError(f'a turn by "{role}"')
        parsed.append(Message(ROLES[role], content))
    return tuple(parsed)


def prompt(record: dict[str, Any], name: str = "prompt") -> Messages:
    """Messages, a question, or a transcript that ends where the assistant's turn begins; none where there is none."""
    value = record.get(name)
    if value is None:
        return ()
    if isinstance(value, list):
        return messages(value, name)
    question = text(record, name)
    if question.endswith("\n\nAssistant:") and "\n\nHuman:" in question:
        return transcript(question.removesuffix("\n\nAssistant:"))
    return (Message(Role.USER, question),)


def transcript(transcribed: str) -> Messages:
    """The turns of "\\n\\nHuman: …\\n\\nAssistant: …"; what stands before the first is a system message."""
    opening, *turns = TURN.split(transcribed)
    lead = (Message(Role.SYSTEM, opening.strip()),) if opening.strip() else ()
    spoken = zip(turns[::2], turns[1::2], strict=True)
    return (*lead, *(Message(ROLES[who.lower()], words.strip()) for who, words in spoken))


def system(record: dict[str, Any]) -> Messages:
    return (Message(Role.SYSTEM, text(record, "system")),) if record.get("system") else ()


def tags(record: dict[str, Any]) -> dict[str, str]:
    """What audits and splits go by. `split` is kept only where it says train or held out: ours is by hash."""
    given = record.get("tags")
    if isinstance(given, str):  # a table has no records in records
        given = _record_in(given)
    tags_found = {
        **(given if isinstance(given, dict) else {}),
        **{name: record[name] for name in TAGS if name in record},
    }
    kept = {str(name): value for name, value in tags_found.items() if isinstance(value, str)}
    side = record.get("split") if isinstance(record.get("split"), str) else kept.get("split")
    if side == Split.TRAIN or side in _HELDOUT:
        kept["split"] = str(Split.TRAIN if side == Split.TRAIN else Split.HELDOUT)
    else:
        kept.pop("split", None)
    return kept


def _record_in(given: str) -> Any:
    try:
        return json.loads(given) if given else {}
    except ValueError:
        return {}


def names(record: dict[str, Any]) -> str:
    return ", ".join(f'"{name}"' for name in list(record)[:6]) or "nothing"


def kind(value: Any) -> str:
    kinds = {dict: "a record", list: "a list", str: "text", bool: "true or false", type(None): "nothing"}
    return kinds.get(type(value), "a number")
