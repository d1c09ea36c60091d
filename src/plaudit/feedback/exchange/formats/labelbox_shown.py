"""What a data row of Labelbox showed: the messages, and the answers to them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

from plaudit.feedback.exchange.formats import fields
from plaudit.feedback.exchange.formats.comparison import MalformedError, Messages
from plaudit.memory import parse_json
from plaudit.types import Message, Role

_ADDRESS = re.compile(r"(?i)\s*(https?|gs|s3|file)://\S+\s*")


@dataclass(frozen=True)
class Turn:
    """A message that was answered."""

    messages: Messages | None  # up to it; None: more than one conversation leads there
    id: str
    answers: dict[str, tuple[str, str]]  # message id -> what the answer is called, and its text

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.answers.values()]


def turns_in(record: dict[str, Any]) -> list[Turn]:
    """The messages that were answered. MalformedError where the texts are not in the export, UnusableError."""
    row = record["data_row"].get("row_data")
    if isinstance(row, str) and _ADDRESS.fullmatch(row):
        raise MalformedError('"row_data" is an address, and the texts are there: put them into its place')
    if isinstance(row, str):
        try:
            row = parse_json(row)
        except ValueError:
            return _shown_in(str(row))
    if isinstance(row, dict) and isinstance(row.get("messages"), dict):
        return _chat(row)
    if isinstance(row, dict) and isinstance(row.get("messages"), list):
        return _with_outputs(row)
    return []


def _shown_in(text: str) -> list[Turn]:
    prompt, answers = fields.shown_answers(text)
    named = {name: (name, said) for name, said in answers.items()}
    return [Turn((Message(Role.USER, prompt),), "", named)] if prompt and answers else []


def _with_outputs(row: dict[str, Any]) -> list[Turn]:
    spoken = records_in(row, "messages")
    said = [
        {"author": record_in(m, "user").get("name") or record_in(m, "user").get("userId"), "text": m.get("content")}
        for m in spoken
    ]
    outputs = {
        f"output {number}": (str(output.get("title") or f"Response {ascii_uppercase[number]}"), str(output["content"]))
        for number, output in enumerate(records_in(row, "modelOutputs")[: len(ascii_uppercase)])
        if isinstance(output.get("content"), str)
    }
    if not said or not outputs:
        return []
    first = fields.content_of(said[0]["text"], "messages")
    messages = (Message(Role.USER, first),) if len(said) == 1 else fields.asked(said, "messages")
    return [Turn(messages, str(spoken[-1].get("messageId") or "last"), outputs)]


def _chat(row: dict[str, Any]) -> list[Turn]:
    messages = {str(key): message for key, message in row["messages"].items() if isinstance(message, dict)}
    parents: dict[str, list[str]] = {}
    for key, message in messages.items():
        for child in _children(message):
            parents.setdefault(child, []).append(key)
    turns = []
    for key, message in messages.items():
        children = [child for child in _children(message) if child in messages]
        replies = [child for child in children if _role(row, messages[child]) is Role.ASSISTANT]
        if replies and _role(row, message) is not Role.ASSISTANT:
            letters = zip(ascii_uppercase, replies, strict=False)
            answers = {reply: (f"Response {letter}", _text(messages[reply])) for letter, reply in letters}
            turns.append(Turn(_path(row, messages, parents, key), key, answers))
    return turns


def _path(
    row: dict[str, Any], messages: dict[str, Any], parents: dict[str, list[str]], key: str
) -> tuple[Message, ...] | None:
    """All that was said up to a message; None where several different messages lead to one."""
    path: list[Message] = []
    while len(path) <= len(messages):
        path.append(Message(_role(row, messages[key]), _text(messages[key])))
        before = parents.get(key, [])
        if not before:
            return tuple(reversed(path))
        if len({_text(messages[parent]) for parent in before}) > 1:
            return None
        key = before[0]
    return None


def _children(message: dict[str, Any]) -> list[str]:
    listed = message.get("childMessageIds")
    return [str(child) for child in listed] if isinstance(listed, list) else []


def _role(row: dict[str, Any], message: dict[str, Any]) -> Role:
    actor = record_in(record_in(row, "actors"), str(message.get("actorId")))
    return fields.ROLES.get(str(actor.get("role")).lower(), Role.USER)


def _text(message: dict[str, Any]) -> str:
    parts = message.get("content")
    if isinstance(parts, list):
        parts = [{**part, "text": part.get("content")} if isinstance(part, dict) else part for part in parts]
    return fields.content_of(parts, "messages")


def record_in(owner: dict[str, Any], name: str) -> dict[str, Any]:
    found = owner.get(name)
    return found if isinstance(found, dict) else {}


def records_in(owner: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = owner.get(name)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
