"""What was shown: the prompt and the answers, among the fields that people name in a labelling tool.

- The answers are text fields that differ in a number or letter at the end: `response_1`, `Answer B`, `completion2`.
- The prompt is a field called so (`prompt`, `instruction`, `question`, …); a `context` beside it stands before it.
  Names of ids, sources and passages are neither.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from plaudit.feedback.exchange.formats import asks, fields
from plaudit.feedback.exchange.formats.comparison import MalformedError, Messages, UnusableError
from plaudit.feedback.exchange.formats.options import ANSWERS, split_name
from plaudit.types import Message, Role

_PROMPTS = ("prompt", "instruction", "question", "query", "input", "user_message", "message", "conversation",
            "dialogue", "messages", "chat", "request", "post", "context", "text")  # fmt: skip
_DOUBTFUL = ("task", "user")  # may as well say of which kind it is, or who asked
OF_THE_TASK = (*fields.SYSTEMS, "context", "history", "split", "tags", *fields.TAGS)  # columns that no question has
_CONTEXT = ("context", "passage", "document", "background")
_NO_TEXT = re.compile(
    r"(?i)(^|[\W_])(ids?|uuid|key|index|idx|url|link|sources?|model|models|score|author|meta|metadata)$"
)
_NO_ANSWER = re.compile(
    r"(?i)prompt|instruction|question|query|context|passage|document|evidence|source|chunk|retriev|snippet|citation|"
    r"reference|background|system|turn|message|meta|model|score|title|url|tag|label|keyword|fact|history|example"
)


def answers_in(record: Mapping[str, Any]) -> dict[str, str]:
    """Name -> text of the fields that hold the answers, in the order of their numbers or letters."""
    groups: dict[str, dict[str, tuple[str, str]]] = {}
    for name, value in record.items():
        stem, place = split_name(name)
        if place and isinstance(value, str) and not _NO_TEXT.search(name):
            groups.setdefault(stem, {})[place.rjust(9, "0")] = (name, value)
    several = {stem: group for stem, group in groups.items() if len(group) > 1}
    named = [stem for stem in several if _is_answers(stem)]
    others = [stem for stem in several if not _NO_ANSWER.search(stem)]
    likely = sorted(named or others, key=lambda stem: len(several[stem]), reverse=True)
    return dict(several[likely[0]][place] for place in sorted(several[likely[0]])) if likely else {}


def one_answer(data: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """The one answer that was rated: a field called so, or the end of a conversation."""
    for name, value in data.items():
        if name.lower() in ANSWERS and isinstance(value, str) and value.strip() and len(data) > 1:
            return {name: value}, {other: text for other, text in data.items() if other != name}
        if _are_turns(value) and len(value) > 1:
            last = fields.message(value[-1], name)
            if last.role is Role.ASSISTANT:
                return {f"{name}, last": last.content}, {**data, name: value[:-1]}
    return {}, dict(data)


def is_of_the_task(name: str) -> bool:
    """Whether a column is called as an answer or the prompt is: if it is empty, that is missing."""
    return name.lower() in _PROMPTS[:3] or (bool(split_name(name)[1]) and _is_answers(split_name(name)[0]))


def _is_answers(stem: str) -> bool:
    return any(
        word in re.split(r"[\W_]+", stem) or stem.endswith(word) for word in ANSWERS if word != "model"
    ) and not (any(word in stem for word in _CONTEXT))


def prompt_in(record: Mapping[str, Any], answers: Mapping[str, str], votes: int = 1) -> Messages:
    """The conversation that the answers are to. MalformedError where no field can be it.

    UnusableError, which leaves out so many `votes`, where a turn of it is nothing that we know.
    """
    named = prompt_name(record, answers)
    if named is None:
        known = fields.names(dict(record))
        raise MalformedError(
            f'no field that could be the prompt, only {known}: call it "prompt", or say --map prompt=…'
        )
    others = {name: value for name, value in record.items() if name not in answers and isinstance(value, (str, list))}
    try:
        messages = fields.prompt(dict(others), named)
    except UnusableError as error:
        raise UnusableError(str(error), votes) from None
    for name in ("context", "history"):
        before = others.get(name)
        last = messages[-1] if messages and messages[-1].role is Role.USER else None
        if isinstance(before, str) and before.strip() and named != name and last:
            messages = (*messages[:-1], Message(Role.USER, f"{before}\n\n{last.content}"))
    history = others.get("history")
    if isinstance(history, list) and history and named != "history" and len(messages) == 1:
        messages = (*_turns_before(history, votes), *messages)
    system = next((others[n] for n in fields.SYSTEMS if isinstance(others.get(n), str)), "")
    if isinstance(system, str) and system.strip() and messages[:1] and messages[0].role is not Role.SYSTEM:
        messages = (Message(Role.SYSTEM, system), *messages)
    return messages


def _turns_before(history: list[Any], votes: int) -> Messages:
    """What was said before the prompt: messages, or pairs of a question and its answer."""
    if _are_turns(history):
        return fields.messages(history, "history")
    if all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(each, str) for each in pair) for pair in history
    ):
        roles = (Role.USER, Role.ASSISTANT)
        return tuple(Message(role, said) for pair in history for role, said in zip(roles, pair, strict=True))
    raise UnusableError("its history is neither text nor turns", votes)


def _are_turns(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(fields.is_message(turn) for turn in value)


def prompt_name(record: Mapping[str, Any], answers: Mapping[str, str]) -> str | None:
    """The field that the conversation is in; None where there is none that could be it."""
    texts = {
        name: value
        for name, value in record.items()
        if name not in answers and isinstance(value, (str, list)) and not _NO_TEXT.search(name)
    }
    others = [name for name, value in texts.items() if value]
    by_word = [name for word in _PROMPTS for name in others if name.lower() == word]
    empty = [name for word in _PROMPTS[:3] for name in texts if name.lower() == word]
    by_part = [name for word in _PROMPTS for name in others if word in name.lower() and not _is_passage(name)]
    doubtful = [name for name in others if name.lower() in _DOUBTFUL and _is_longest(name, texts)]
    return next(iter([*by_word, *empty, *by_part, *doubtful, *(others if len(others) == 1 else [])]), None)


def _is_longest(name: str, texts: Mapping[str, Any]) -> bool:
    """Whether no other text but a comment has more words, and so is rather what was asked."""
    words = [len(str(value).split()) for other, value in texts.items() if not asks.for_text(other)]
    return len(str(texts[name]).split()) >= max(words, default=0)


def _is_passage(name: str) -> bool:
    return bool(split_name(name)[1]) and any(word in name.lower() for word in _CONTEXT)
