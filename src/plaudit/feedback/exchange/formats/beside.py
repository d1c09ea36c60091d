"""What may stand beside a question and a choice in a record of any form, whatever else its columns are.

Beside a question: a system message, the turns before it, a passage that it is about. Beside a choice: who made it, why,
and how much better the better answer is. One list of names serves all forms, so that none drops what another keeps.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from typing import Any

from plaudit.feedback.exchange.formats import fields
from plaudit.feedback.exchange.formats.comparison import MalformedError, Messages, UnusableError
from plaudit.feedback.exchange.formats.paths import as_list
from plaudit.types import Message, Role

HISTORIES = ("history", "chat_history", "conversation_history", "dialogue_history", "previous_turns")
PASSAGES = ("context", "contexts", "passage", "passages", "document", "documents", "background")
ANNOTATORS = ("annotator", "annotator_id", "annotator_email", "worker", "worker_id", "rater", "rater_id", "labeler",
              "labeler_id", "labeller", "labeller_id", "evaluator", "completed_by", "judge")  # fmt: skip
REASONS = ("reason", "reasons", "rationale", "explanation", "justification", "comment", "comments", "note", "notes",
           "feedback")  # fmt: skip
STRENGTH = "strength"
AROUND = frozenset((*fields.SYSTEMS, *HISTORIES, *PASSAGES))
_BEHIND = frozenset((*ANNOTATORS, *REASONS))
_REFERENCE = re.compile(r"(?i)[a-z]+://\S+|[\w./\\-]+\.[a-z0-9]{2,5}|[0-9a-f-]{8,}|\d+")  # to what is elsewhere
_MODEL = re.compile(r"(?i)(chat)?gpt[-_ .]?\d.*|(claude|gemini|llama|mi[sx]tral|qwen|deepseek|palm)[-_ .].*\d.*")
_ASKED = {"user", "human", "question", "prompt", "instruction", "query", "input"}
_REPLIED = {"assistant", "gpt", "bot", "model", "answer", "response", "output"}


def add_around(record: Mapping[str, Any], messages: Messages, used: Collection[str] = ()) -> Messages:
    """The conversation with its system message, earlier turns and passage, unless it has them itself.

    Columns that are `used` are read otherwise. MalformedError for one that is nothing of that kind.
    """
    if AROUND.isdisjoint(record):  # as nearly always
        return messages
    named = [name for name in record if name in AROUND and name not in used and is_there(record[name])]
    turns: Messages = ()
    passages: list[str] = []
    for name in (*HISTORIES, *PASSAGES):
        if name in named:
            before = turns_in(record[name])
            text = _passage(record[name]) if before is None and name in PASSAGES else None
            if before is None and text is None:
                raise MalformedError(_sentence(name, record[name]))
            turns += before or ()
            passages += [text] if text else []
    messages = _after(turns, messages)
    for text in reversed(passages):
        messages = _about(text, messages)
    return _led([_system(name, record[name]) for name in fields.SYSTEMS if name in named], messages)


def is_there(value: Any) -> bool:
    """Whether a cell says anything: an empty one of a table may be NaN, or an empty list as text."""
    if isinstance(value, str):
        return value.strip() not in ("", "[]", "{}")
    is_nan = isinstance(value, float) and math.isnan(value)
    return value is not None and not is_nan and value not in ([], {})


def turns_in(value: Any) -> Messages | None:
    """The turns that a list holds: messages, pairs of a role and a text, or of a question and its answer.

    None for what holds none.
    """
    listed = as_list(value)
    if listed is None:
        return fields.turns_of(value) if isinstance(value, str) else None
    if not listed:
        return None
    if all(fields.is_message(turn) for turn in listed):
        return fields.messages(listed, "history")
    pairs = [_pair(turn) for turn in listed]
    if not all(pairs):
        return None
    both = [pair for pair in pairs if pair]
    if all(first.strip().lower() in fields.ROLES for first, _ in both):
        return tuple(Message(fields.ROLES[role.strip().lower()], text) for role, text in both)
    roles = (Role.USER, Role.ASSISTANT)
    spoken = [Message(role, text) for pair in both for role, text in zip(roles, pair, strict=True)]
    return tuple(message for message in spoken if message.content.strip())


def _pair(turn: Any) -> tuple[str, str] | None:
    if isinstance(turn, dict) and len(turn) == 2:
        asked = [value for name, value in turn.items() if name.lower() in _ASKED]
        replied = [value for name, value in turn.items() if name.lower() in _REPLIED]
        turn = [*asked, *replied] if len(asked) == len(replied) == 1 else None
    if not isinstance(turn, (list, tuple)) or len(turn) != 2:
        return None
    first, second = ("" if said is None else said for said in turn)
    return (first, second) if isinstance(first, str) and isinstance(second, str) else None


def _passage(value: Any) -> str | None:
    """A text, or several."""
    listed = value if isinstance(value, (list, tuple)) else None
    if isinstance(value, str):
        listed = as_list(value) if value.lstrip().startswith("[") else None
        listed = listed if listed and all(isinstance(text, str) for text in listed) else [value]
        listed = [text for text in listed if not _REFERENCE.fullmatch(text.strip())]
    if listed is None or not all(isinstance(text, str) for text in listed):
        return None
    return "\n\n".join(text.strip() if len(listed) > 1 else text for text in listed if text.strip())


def _sentence(name: str, value: Any) -> str:
    wanted = "text nor turns" if name in PASSAGES else "turns"
    holds = "neither" if name in PASSAGES else "no"
    return (
        f'"{name}" beside the prompt is {fields.kind(value)} that holds {holds} {wanted} (messages, or pairs of a '
        "question and its answer): write it so, or say by --map which columns to read"
    )


def _after(turns: Messages, messages: Messages) -> Messages:
    """A conversation behind its earlier turns, where it does not repeat them itself."""
    if not turns:
        return messages
    opening = tuple(message for message in messages if message.role is Role.SYSTEM)
    spoken = tuple(message for message in messages if message.role is not Role.SYSTEM)
    earlier = tuple(message for message in turns if message not in opening)
    plain = tuple(message for message in earlier if message.role is not Role.SYSTEM)
    if spoken[: len(plain)] == plain or (len(spoken) == 1 and _holds(spoken[0].content, plain)):
        return messages
    if spoken and earlier[-1:] == spoken[:1]:  # the question is the last of the turns, too
        earlier = earlier[:-1]
    return (*opening, *earlier, *spoken)


def _holds(text: str, turns: Messages) -> bool:
    """Whether a text is a transcript of turns and what follows them."""
    place = 0
    for turn in turns:
        found = text.find(turn.content.strip(), place)
        if found <= 0 or text[found - 1].isalnum():
            return False
        place = found + len(turn.content.strip())
    return len(turns) > 1


def _about(passage: str, messages: Messages) -> Messages:
    """A conversation whose question follows a passage, where nothing in it repeats that."""
    asked = [place for place, message in enumerate(messages) if message.role is Role.USER]
    if not asked or not passage.strip() or any(passage.strip() in message.content for message in messages):
        return messages
    question = Message(Role.USER, f"{passage.strip()}\n\n{messages[asked[-1]].content}")
    return (*messages[: asked[-1]], question, *messages[asked[-1] + 1 :])


def _system(name: str, value: Any) -> str:
    if fields.is_message(value):
        return fields.message(value, name).content
    if not isinstance(value, str):
        raise MalformedError(f'"{name}" is {fields.kind(value)}, not text')
    return value


def _led(texts: list[str], messages: Messages) -> Messages:
    """A conversation behind its system message. UnusableError where it has another."""
    own = [message.content.strip() for message in messages if message.role is Role.SYSTEM]
    told = dict.fromkeys(text for text in texts if text.strip() not in own)
    if told and own:
        raise UnusableError("its system message and that of the conversation differ")
    return (Message(Role.SYSTEM, "\n\n".join(told)), *messages) if told else messages


def annotator_in(said: Mapping[str, Any], used: Collection[str] = ()) -> str:
    """Who made a choice; "" where no column names them."""
    if _BEHIND.isdisjoint(said):
        return ""
    values = (said[name] for name in ANNOTATORS if name in said and name not in used)
    return next((words for value in values if (words := _words(value))), "")


def is_model(annotator: str) -> bool:
    """Whether who made a choice is a model by its name, as `gpt-4` is under `judge`."""
    return bool(_MODEL.fullmatch(annotator))


def reason_in(said: Mapping[str, Any], used: Collection[str] = ()) -> str:
    """Why, as far as columns tell."""
    if _BEHIND.isdisjoint(said):
        return ""
    values = (said[name] for name in REASONS if name in said and name not in used)
    return "\n\n".join(dict.fromkeys(words for value in values if (words := _words(value))))


def _words(value: Any) -> str:
    return str(value).strip() if is_there(value) and not isinstance(value, (dict, list)) else ""
