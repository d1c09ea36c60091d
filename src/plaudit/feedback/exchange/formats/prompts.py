"""Prompts, perhaps with a good answer: a text; `prompt` (text, messages or the root of an OpenAssistant tree),
`messages` or ShareGPT's `conversations`, `question`, `inputs` or `text`, or Alpaca's `instruction` with its `input`;
the answer is called as in `_ANSWERS` and `_TEXTS`, what may stand beside the prompt as in `beside`.
"""

from __future__ import annotations

from typing import Any

from plaudit.feedback.exchange.formats import beside, fields
from plaudit.feedback.exchange.formats.comparison import (
    MOST_CHARACTERS,
    Asked,
    MalformedError,
    Messages,
    UnusableError,
    check_prompt,
)
from plaudit.feedback.exchange.formats.oasst import best_reply, is_tree
from plaudit.feedback.labelling.settings import LONGEST_NAME
from plaudit.types import Message, Role

_ANSWERS = ("reference", "demonstration", "completion", "output")
_TEXTS = ("response", "answer", "targets")  # are an answer, too, where they are text and not a list of facts
_QUESTIONS = ("question", "query", "inputs", "text")


def read_prompt(record: Any) -> Asked:
    """The prompt that a record holds. MalformedError, UnusableError."""
    if isinstance(record, str):
        record = {"prompt": record}
    if not isinstance(record, dict):
        raise MalformedError(f"{fields.kind(record)} where a prompt should be")
    messages, reference = _conversation(record)
    check_prompt(messages)
    tags = fields.tags(record)
    if max(map(len, (reference, *tags.values()))) > MOST_CHARACTERS or any(len(name) > LONGEST_NAME for name in tags):
        raise UnusableError(f"its answer or a tag has more than {MOST_CHARACTERS:,} characters")
    return Asked(messages, reference, tags)


def _conversation(record: dict[str, Any]) -> tuple[Messages, str]:
    """Messages up to the model's turn, and the reference answer or nothing."""
    if is_tree(record):
        return (Message(Role.USER, fields.text(record["prompt"], "text")),), best_reply(record["prompt"])
    reference = next((record[name] for name in _ANSWERS if record.get(name)), None)
    reference = reference or next((record[name] for name in _TEXTS if isinstance(record.get(name), str)), "")
    if isinstance(reference, list):
        reference = fields.messages(reference, "completion")[-1].content
    if not isinstance(reference, str):
        raise MalformedError(f"the reference answer is {fields.kind(reference)}, not text")
    spoken = next((name for name in ("messages", "conversations") if record.get(name) is not None), None)
    if spoken is not None:
        messages = fields.messages(record[spoken], spoken)
        if messages[-1].role is Role.ASSISTANT:
            messages, reference = messages[:-1], messages[-1].content
        return beside.add_around(record, messages, (spoken,)), reference
    if record.get("prompt") is not None:
        return beside.add_around(record, fields.prompt(record), ("prompt",)), reference
    if record.get("instruction") is not None:
        return _instruction(record, reference)
    asked = next((name for name in _QUESTIONS if record.get(name) is not None), None)
    if asked is None:
        raise MalformedError(f'no "prompt", "messages", "text" or "instruction", only {fields.names(record)}')
    return beside.add_around(record, (Message(Role.USER, fields.text(record, asked)),), (asked,)), reference


def _instruction(record: dict[str, Any], reference: str) -> tuple[Messages, str]:
    """Alpaca's instruction and input, or Dolly's with the passage that it is about before it.

    Self-Instruct keeps these in `instances`, of which we take the first.
    """
    instances = record.get("instances")
    example = instances[0] if isinstance(instances, list) and instances and isinstance(instances[0], dict) else record
    parts = [fields.text(record, "instruction"), str(example.get("input") or "")]
    question = "\n\n".join(part for part in parts if part.strip())
    asked = (Message(Role.USER, question),)
    return beside.add_around(record, asked), reference or str(example.get("output") or "")
