"""Reading one field of a record, with a sentence for what is not as it should be (MalformedError)."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime
from typing import Any

from plaudit.feedback.exchange.formats.comparison import MalformedError, Messages, UnusableError
from plaudit.feedback.exchange.formats.paths import as_list
from plaudit.memory import parse_json
from plaudit.types import Message, Role, Split

ROLES = {
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,  # what OpenAI calls it since 2025
    "user": Role.USER,
    "human": Role.USER,
    "prompter": Role.USER,
    "assistant": Role.ASSISTANT,
    "gpt": Role.ASSISTANT,
    "chatgpt": Role.ASSISTANT,
    "bot": Role.ASSISTANT,
    "model": Role.ASSISTANT,
    "function_call": Role.ASSISTANT,
    "tool": Role.TOOL,
    "function": Role.TOOL,
    "ipython": Role.TOOL,
    "observation": Role.TOOL,
}
SYSTEMS = ("system", "system_prompt", "system_message")  # columns of a system message
TURN = re.compile(r"\n\n(Human|Assistant):")
_LETTER = re.compile(r"(?:^|\n)[^\S\n]*(?i:(?:response|answer|completion|output|option)\s+)?\(?([A-I])[.:)]\s+")
TAGS = ("topic", "language", "group", "subset")  # columns that become tags of the prompt, beside `tags` itself
_HELDOUT = {"heldout", "test", "validation", "valid", "val", "dev"}


def text(record: dict[str, Any], name: str) -> str:
    if name not in record:
        raise MalformedError(f'no "{name}", only {names(record)}')
    if not isinstance(record[name], str):
        raise MalformedError(f'"{name}" is {kind(record[name])}, not text')
    return str(record[name])


def is_message(value: Any) -> bool:
    """`{"role", "content"}`, or ShareGPT's `{"from", "value"}`."""
    return isinstance(value, dict) and ({"role", "content"} <= value.keys() or {"from", "value"} <= value.keys())


def messages(turns: Any, name: str) -> Messages:
    """A list of messages, in any spelling of them; or just one."""
    if is_message(turns):
        turns = [turns]
    listed = as_list(turns)
    if not listed:
        raise MalformedError(f'"{name}" is not a list of messages')
    return tuple(message(turn, name) for turn in listed)


def message(turn: Any, name: str) -> Message:
    if not is_message(turn):
        raise MalformedError(f'"{name}" has a message without role and content as text')
    role, content = (turn["role"], turn["content"]) if "role" in turn else (turn["from"], turn["value"])
    if not isinstance(role, str):
        raise MalformedError(f'"{name}" has a message without role and content as text')
    if role.strip().lower() not in ROLES:
        raise UnusableError(f'a turn by "{role}"')
    called = turn.get("tool_calls")
    if content is None and called:
        content = json.dumps(called, ensure_ascii=False)  # a turn that calls a tool may say nothing else
    return Message(ROLES[role.strip().lower()], content_of(content, name))


def content_of(content: Any, name: str) -> str:
    """The text of a message, whole or in parts. UnusableError where a part is no text (an image, a sound)."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise MalformedError(f'"{name}" has a message without role and content as text')
    texts = []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif isinstance(part, dict) and part.get("type") not in (None, "text", "input_text", "output_text"):
            raise UnusableError(f'a part of a message is no text but "{part["type"]}"')
        else:
            raise MalformedError(f'"{name}" has a message without role and content as text')
    return "".join(texts)


def prompt(record: dict[str, Any], name: str = "prompt") -> Messages:
    """Messages, a question, or a transcript that ends where the assistant's turn begins; none where there is none."""
    value = record.get(name)
    if value is None:
        return ()
    return asked(value, name) if isinstance(value, (list, dict)) else asked(text(record, name), name)


def asked(value: Any, name: str) -> Messages:
    """A conversation up to the model's turn: messages, a question, or a transcript of either kind."""
    if _is_dialogue(value):
        return _dialogue(value)
    if isinstance(value, str):
        listed = as_list(value) if value.lstrip().startswith("[") else None
        if listed and all(is_message(turn) for turn in listed):
            return messages(listed, name)
        return spoken(value)
    return messages(value, name)


def _is_dialogue(value: Any) -> bool:
    """Paragraphs of people who are named, as Label Studio shows them."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(said, dict) and {"author", "text"} <= said.keys() for said in value)
    )


def _dialogue(paragraphs: list[dict[str, Any]]) -> Messages:
    """Turns where the authors are called by their roles; else all of it as one question."""
    authors = [str(said["author"]).strip().lower() for said in paragraphs]
    texts = [content_of(said["text"], "text") for said in paragraphs]
    if all(author in ROLES for author in authors):
        return tuple(Message(ROLES[author], text) for author, text in zip(authors, texts, strict=True))
    lines = [f"{said['author']}: {text}" for said, text in zip(paragraphs, texts, strict=True)]
    return (Message(Role.USER, "\n".join(lines)),)


def spoken(said: str) -> Messages:
    """A question as it is; a transcript "\\n\\nHuman: …\\n\\nAssistant:" that ends there as its turns."""
    trimmed = said.rstrip()
    if trimmed.endswith("\n\nAssistant:") and "\n\nHuman:" in led(trimmed):
        return transcript(led(trimmed).removesuffix("\n\nAssistant:"))
    return (Message(Role.USER, said),)


def led(said: str) -> str:
    """A transcript that has lost the blank line that it begins with, with it."""
    return f"\n\n{said.lstrip()}" if said.lstrip().startswith(("Human:", "Assistant:")) else said


def is_transcript(value: Any) -> bool:
    """Text that is turns from its first word on: an answer may quote some, and is none."""
    return isinstance(value, str) and bool(TURN.match(led(value))) and "\n\nAssistant:" in value


def transcript(transcribed: str) -> Messages:
    """The turns of "\\n\\nHuman: …\\n\\nAssistant: …"; what stands before the first is a system message."""
    opening, *turns = TURN.split(led(transcribed))
    lead = (Message(Role.SYSTEM, opening.strip()),) if opening.strip() else ()
    spoken_turns = zip(turns[::2], turns[1::2], strict=True)
    return (*lead, *(Message(ROLES[who.lower()], words.strip()) for who, words in spoken_turns))


def shown_answers(text: str) -> tuple[str, dict[str, str]]:
    """The prompt in a text, and the answers behind `A.` and `B.`, or `(A)` and `(B)`, by what they are called."""
    prompt, *parts = _LETTER.split(text)
    answers = {f"answer {letter}": said.strip() for letter, said in zip(parts[::2], parts[1::2], strict=True)}
    return prompt.strip(), answers


def system(record: dict[str, Any]) -> Messages:
    name = next((name for name in SYSTEMS if record.get(name)), None)
    return (Message(Role.SYSTEM, text(record, name)),) if name else ()


def tags(record: dict[str, Any]) -> dict[str, str]:
    """What audits and splits go by. `split` is kept only where it says train or held out: ours is by hash."""
    given = record.get("tags")
    if isinstance(given, str):  # a table has no records in records
        given = _record_in(given)
    tags_found = {
        **(given if isinstance(given, dict) else {}),
        **{name: record[name] for name in TAGS if name in record},
    }
    kept = {str(name): value for name, value in tags_found.items() if isinstance(value, str) and value}
    return with_split(kept, record.get("split") if isinstance(record.get("split"), str) else kept.get("split"))


def with_split(given: dict[str, str], side: Any) -> dict[str, str]:
    """The tags, with `split` where the data set names a side."""
    kept = {name: value for name, value in given.items() if name != "split"}
    if side == Split.TRAIN or side in _HELDOUT:
        kept["split"] = str(Split.TRAIN if side == Split.TRAIN else Split.HELDOUT)
    return kept


def _record_in(given: str) -> Any:
    try:
        return parse_json(given) if given else {}
    except ValueError:
        return {}


def number(value: Any) -> float | None:
    """The number that a value is or spells; None where it is none (a table's empty cell, "N/A", NaN)."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def seconds(value: Any) -> float | None:
    """How long something took, where that is told."""
    took = number(value)
    return took if took is not None and took >= 0 else None


def moment(value: Any) -> datetime | None:
    """When something was said: ISO 8601 or seconds since 1970; UTC where no zone is given, None where it is neither."""
    try:
        when: datetime | None
        if isinstance(value, datetime):
            when = value
        elif isinstance(value, str) and not value.strip().isdecimal():
            when = datetime.fromisoformat(value.strip())
        else:
            since = number(value)
            when = datetime.fromtimestamp(since / (1000 if since > 1e11 else 1), UTC) if since else None
        if when is None:
            return None
        return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


def names(record: dict[str, Any], most: int = 12) -> str:
    """For a sentence, which is one line: a table's heading may hold a whole conversation."""
    return ", ".join(f'"{" ".join(str(name).split())[:100]}"' for name in list(record)[:most]) or "nothing"


def kind(value: Any) -> str:
    kinds = {dict: "a record", list: "a list", str: "text", bool: "true or false", type(None): "nothing"}
    return kinds.get(type(value), "a number")
