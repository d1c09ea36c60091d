"""From conversations and answers to tokens.

How an answer ended is kept: a finished one carries the end-of-sequence token, one cut at the length limit does not.
A conversation that is too long loses whole turns, the oldest first; what the system said stays.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from jinja2.exceptions import TemplateError

from plaudit.errors import UsageError
from plaudit.types import Message, Prompt, Role, StopReason

TODAY = date(2025, 1, 1)  # for templates that write a date, where none is told: the same text must read the same
DATE = re.compile(r"""strftime_now\(\s*(?P<quote>['"])(?P<format>.*?)(?P=quote)\s*\)""")  # in a template
TOLD = "template_told"  # attribute of a tokenizer: the arguments of its chat template, and the day


@dataclass(frozen=True)
class EncodedPrompt:
    """Token ids up to where the model's turn begins, and what did not fit."""

    ids: list[int]
    turns_dropped: int = 0  # whole messages, the oldest
    is_cut: bool = False  # the newest message alone was too long: its beginning is missing


def tell_template(tokenizer: Any, arguments: Mapping[str, Any], today: date = TODAY) -> None:
    """Variables of the chat template, such as `enable_thinking`, and the day whose date it may write."""
    setattr(tokenizer, TOLD, (dict(arguments), today))


def template_of(tokenizer: Any) -> str:
    """The chat template, of several the default one; empty where there is none."""
    return str(tokenizer.get_chat_template()) if tokenizer.chat_template else ""


def encode_prompt(tokenizer: Any, prompt: Prompt, limit: int | None = None) -> list[int]:
    """Token ids up to where the model's turn begins, at most `limit`: see `fit_prompt`."""
    return fit_prompt(tokenizer, prompt, limit).ids


def fit_prompt(tokenizer: Any, prompt: Prompt, limit: int | None = None) -> EncodedPrompt:
    """The conversation in at most `limit` tokens.

    Longer ones lose their oldest turns, each with the answer to it, never what the system said. Where the newest
    message alone is too long, it loses its beginning.

    Raises:
        UsageError: the model's chat template refuses the conversation.
    """
    kept, dropped = list(prompt.messages), 0
    ids = _encode(tokenizer, kept, prompt)
    while limit and len(ids) > limit and (older := _oldest_turn(kept)):
        kept = [message for message in kept if not any(message is old for old in older)]
        dropped += len(older)
        ids = _encode(tokenizer, kept, prompt)
    if not limit or len(ids) <= limit:
        return EncodedPrompt(ids, dropped)
    return EncodedPrompt(_cut_newest(tokenizer, kept, prompt, limit), dropped, is_cut=True)


def _oldest_turn(messages: Sequence[Message]) -> list[Message]:
    """What is said first after the system's words, up to the next thing that the user says; never the newest."""
    spoken = [message for message in messages if message.role is not Role.SYSTEM]
    users = [n for n, message in enumerate(spoken) if message.role is Role.USER and n > 0]
    return spoken[: users[0]] if users else []


def _cut_newest(tokenizer: Any, messages: Sequence[Message], prompt: Prompt, limit: int) -> list[int]:
    newest = list(tokenizer(messages[-1].content, add_special_tokens=False)["input_ids"])
    keep = limit - len(_encode(tokenizer, [*messages[:-1], Message(messages[-1].role, "")], prompt))
    while keep > 0:
        content = tokenizer.decode(newest[-keep:])
        ids = _encode(tokenizer, [*messages[:-1], Message(messages[-1].role, content)], prompt)
        if len(ids) <= limit:
            return ids
        keep -= len(ids) - limit
    return _encode(tokenizer, messages, prompt)[-limit:]  # the template alone is longer than that


def _encode(tokenizer: Any, messages: Sequence[Message], prompt: Prompt) -> list[int]:
    if tokenizer.chat_template:
        text = render(tokenizer, messages, f"the prompt {prompt.id}", add_generation_prompt=True)
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])
    # a base model without a template: plain turns, as InstructGPT's few-shot prompts
    text = "".join(f"{str(m.role).capitalize()}: {m.content}\n\n" for m in messages) + "Assistant:"
    return beginning(tokenizer) + list(tokenizer(text, add_special_tokens=False)["input_ids"])


def beginning(tokenizer: Any) -> list[int]:
    """What the tokenizer itself begins a text with: a BOS, or nothing."""
    whole, plain = (list(tokenizer("a", add_special_tokens=special)["input_ids"]) for special in (True, False))
    return whole[: whole.index(plain[0])] if plain and plain[0] in whole else []


def render(tokenizer: Any, messages: Sequence[Message], what: str, *, add_generation_prompt: bool) -> str:
    """The conversation as the tokenizer's chat template writes it.

    Raises:
        UsageError: the template refuses it, for example a system message, or two turns of one side in a row.
    """
    arguments, today = getattr(tokenizer, TOLD, None) or ({}, TODAY)
    # the library takes no other clock than today's, so the date is written into the template
    template = DATE.sub(lambda call: json.dumps(today.strftime(call["format"])), template_of(tokenizer))
    turns = [{"role": str(m.role), "content": m.content} for m in messages]
    try:
        text: str = tokenizer.apply_chat_template(
            turns, chat_template=template, add_generation_prompt=add_generation_prompt, tokenize=False, **arguments
        )
    except TemplateError as error:
        roles = ", ".join(turn["role"] for turn in turns)
        raise UsageError(
            f"The chat template of {tokenizer.name_or_path} refuses {what} ({roles}): {str(error).rstrip('.')}. Leave "
            "such conversations out, or give a copy of the model whose chat_template takes them."
        ) from error
    return text


def encode_answer(tokenizer: Any, text: str, stop_reason: StopReason, limit: int | None = None) -> list[int]:
    """Token ids of an answer, with the end-of-sequence token where it ended by itself and fits into `limit`."""
    ids = list(tokenizer(text, add_special_tokens=False)["input_ids"])
    if stop_reason is StopReason.EOS:
        ids.append(tokenizer.eos_token_id)
    return ids[:limit] if limit else ids
