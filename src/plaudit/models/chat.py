"""From conversations and answers to tokens.

How an answer ended is kept: a finished one carries the end-of-sequence token, one cut at the length limit does not.
A conversation that is too long loses whole turns, the oldest first; what the system said stays.

Only the chat template writes control tokens. What people wrote is text, also where it reads `<|im_start|>`: a tokenizer
would take that for the beginning of a turn, and a prompt could forge one. So it is cut in two there, which no tokenizer
takes for a token, and encoded part by part. Text without control tokens has one part, and the ids that it always had.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from itertools import count
from typing import Any

from jinja2.exceptions import TemplateError

from plaudit.errors import UsageError
from plaudit.types import Message, Prompt, Role, StopReason

TODAY = date(2025, 1, 1)  # for templates that write a date, where none is told: the same text must read the same
DATE = re.compile(r"""strftime_now\(\s*(?P<quote>['"])(?P<format>.*?)(?P=quote)\s*\)""")  # in a template
CUTS = "control_cuts"  # attribute of a tokenizer: the chat template that it was made for, and where to cut a text
TOLD = "template_told"  # attribute of a tokenizer: the arguments of its chat template, and the day


@dataclass(frozen=True)
class EncodedPrompt:
    """Token ids up to where the model's turn begins, and what did not fit."""

    ids: list[int]
    messages: tuple[Message, ...]  # those that are in it
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
    ids = encode_up_to(tokenizer, kept, prompt)
    while limit and len(ids) > limit and (older := _oldest_turn(kept)):
        kept = [message for message in kept if not any(message is old for old in older)]
        dropped += len(older)
        ids = encode_up_to(tokenizer, kept, prompt)
    if not limit or len(ids) <= limit:
        return EncodedPrompt(ids, tuple(kept), dropped)
    return EncodedPrompt(_cut_newest(tokenizer, kept, prompt, limit), tuple(kept), dropped, is_cut=True)


def _oldest_turn(messages: Sequence[Message]) -> list[Message]:
    """What is said first after the system's words, up to the next thing that the user says; never the newest."""
    spoken = [message for message in messages if message.role is not Role.SYSTEM]
    users = [n for n, message in enumerate(spoken) if message.role is Role.USER and n > 0]
    return spoken[: users[0]] if users else []


def _cut_newest(tokenizer: Any, messages: Sequence[Message], prompt: Prompt, limit: int) -> list[int]:
    newest = encode_text(tokenizer, messages[-1].content)
    keep = limit - len(encode_up_to(tokenizer, [*messages[:-1], Message(messages[-1].role, "")], prompt))
    while keep > 0:
        content = tokenizer.decode(newest[-keep:])
        ids = encode_up_to(tokenizer, [*messages[:-1], Message(messages[-1].role, content)], prompt)
        if len(ids) <= limit:
            return ids
        keep -= len(ids) - limit
    return encode_up_to(tokenizer, messages, prompt)[-limit:]  # the template alone is longer than that


def encode_up_to(tokenizer: Any, messages: Sequence[Message], prompt: Prompt) -> list[int]:
    """Token ids of some of the prompt's messages, up to where the model's turn begins. UsageError as `fit_prompt`."""
    if tokenizer.chat_template:
        return encode_turns(tokenizer, messages, f"the prompt {prompt.id}", add_generation_prompt=True)
    # a base model without a template: plain turns, as InstructGPT's few-shot prompts
    text = "".join(f"{str(m.role).capitalize()}: {m.content}\n\n" for m in messages) + "Assistant:"
    return beginning(tokenizer) + encode_text(tokenizer, text)


def encode_turns(tokenizer: Any, messages: Sequence[Message], what: str, *, add_generation_prompt: bool) -> list[int]:
    """Token ids of the conversation as the chat template writes it. UsageError as `render`.

    Where a message is to be cut, a mark that is in no message goes through the template with it.
    """
    marks = (f"\ufdd0{n}\ufdd1" for n in count())
    mark = next(mark for mark in marks if not any(mark in m.content for m in messages))
    cuts = control_cuts(tokenizer)
    marked = [Message(m.role, cuts.sub(mark, m.content)) for m in messages]
    text = render(tokenizer, marked, what, add_generation_prompt=add_generation_prompt)
    return _encode_parts(tokenizer, text.split(mark))


def encode_text(tokenizer: Any, text: str) -> list[int]:
    """Token ids of what somebody wrote, without a control token."""
    return _encode_parts(tokenizer, control_cuts(tokenizer).split(text))


def _encode_parts(tokenizer: Any, parts: Sequence[str]) -> list[int]:
    return [token for part in parts for token in tokenizer(part, add_special_tokens=False)["input_ids"]]


def control_cuts(tokenizer: Any) -> re.Pattern[str]:
    """The places, between two characters, at which a text is cut so that it holds no control token."""
    template, cuts = getattr(tokenizer, CUTS, (None, None))
    if cuts is None or template != tokenizer.chat_template:
        rests: dict[str, list[str]] = {}
        for token in _control_tokens(tokenizer):
            rests.setdefault(token[:1], []).append(re.escape(token[1:]))
        places = [f"(?<={re.escape(first)})(?={'|'.join(its)})" for first, its in rests.items()]
        cuts = re.compile("|".join(places) or "(?!)")
        setattr(tokenizer, CUTS, (tokenizer.chat_template, cuts))
    return cuts


def _control_tokens(tokenizer: Any) -> list[str]:
    """What the tokenizer calls special, and the signs that its template writes around turns, special or not.

    Not what it writes after the last turn, such as `<think>`: that belongs to an answer.
    """
    turns = [Message(role, "…") for role in (Role.USER, Role.ASSISTANT, Role.USER)]
    around_turns = ""
    if tokenizer.chat_template:
        with suppress(UsageError):
            around_turns = render(tokenizer, turns, "a question", add_generation_prompt=False).rpartition("…")[0]
    added = [token for token in tokenizer.added_tokens_decoder.values() if len(token.content) > 1]
    signs = {token.content for token in added if token.content in around_turns and re.search(r"[^\w\s]", token.content)}
    return sorted({token.content for token in added if token.special} | signs)


def beginning(tokenizer: Any) -> list[int]:
    """What the tokenizer itself begins a text with: a BOS, or nothing."""
    return around(tokenizer)[0]


def around(tokenizer: Any) -> tuple[list[int], list[int]]:
    """What the tokenizer itself begins and ends a text with."""
    whole, plain = (list(tokenizer("a", add_special_tokens=special)["input_ids"]) for special in (True, False))
    if not plain or plain[0] not in whole:
        return [], []
    first = whole.index(plain[0])
    return whole[:first], whole[first + len(plain) :]


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
    ids = encode_text(tokenizer, text)
    if stop_reason is StopReason.EOS:
        ids.append(tokenizer.eos_token_id)
    return ids[:limit] if limit else ids
