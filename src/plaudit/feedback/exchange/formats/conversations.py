"""Answers that repeat the conversation before them, or stand in lists beside their questions."""

from __future__ import annotations

from typing import Any

from plaudit.feedback.exchange.formats import fields as reading
from plaudit.feedback.exchange.formats.comparison import Messages, UnusableError
from plaudit.feedback.exchange.formats.paths import as_list
from plaudit.types import Role


def join_conversation(prompt: Messages, values: list[Any]) -> tuple[Messages, tuple[str, ...]]:
    """The prompt and the answers, where each answer is a text, a message, or a conversation that ends with it."""
    replies = [_reply(value) for value in values]
    before = [messages for messages, _ in replies if messages]
    texts = tuple(text for _, text in replies)
    if not before:
        return prompt, texts
    if len(before) < len(replies) or any(messages != before[0] for messages in before):
        raise UnusableError("the conversations differ before the last answer")
    if prompt and before[0][: len(prompt)] != prompt and not _repeats(prompt, before[0]):
        return (*prompt, *before[0]), texts
    repeated = before[0]
    leading = tuple(m for m in prompt if m.role is Role.SYSTEM and m not in repeated)
    return (*(leading if repeated[0].role is not Role.SYSTEM else ()), *repeated), texts


def _repeats(prompt: Messages, before: Messages) -> bool:
    """Whether a conversation says what the prompt says: its last question, or all but its system message."""
    asked = [m for m in prompt if m.role is not Role.SYSTEM]
    spoken = [m for m in before if m.role is not Role.SYSTEM]
    return not asked or spoken[: len(asked)] == asked or spoken[-1:] == asked[-1:] or len(spoken) >= len(asked)


def _reply(value: Any) -> tuple[Messages, str]:
    """An answer and the conversation that it repeats before itself, if it does."""
    if isinstance(value, str):
        if reading.is_transcript(value):
            before, _, answer = value.rpartition("\n\nAssistant:")
            return reading.transcript(before), answer.strip()
        inside = reading.opened(value)
        return ((), value) if inside is value else _reply(inside)
    if value is None:
        return (), ""
    messages = reading.messages(value, "answers")
    if messages[-1].role is not Role.ASSISTANT:
        raise UnusableError("a conversation does not end with an answer")
    return messages[:-1], messages[-1].content


def up_to(conversation: Any, turn: float | None) -> Any:
    """A conversation up to the answer with that number, whole where it has no more."""
    listed = as_list(conversation)
    if listed is None or turn is None:
        return conversation
    said = [place for place, each in enumerate(listed) if reading.is_message(each) and _is_answer(each)]
    return listed[: said[int(turn) - 1] + 1] if 1 <= turn <= len(said) else conversation


def _is_answer(turn: dict[str, Any]) -> bool:
    return reading.ROLES.get(str(turn.get("role", turn.get("from"))).lower()) is Role.ASSISTANT


def by_turn(asked: Any, replies: list[Any]) -> list[list[dict[str, str]]]:
    """Conversations of questions and answers that stand in lists of their own; none where they do not."""
    questions = as_list(asked) if not isinstance(asked, dict) else None
    lists = [as_list(reply) if not isinstance(reply, dict) else None for reply in replies]
    if not questions or not all(isinstance(text, str) for text in questions):
        return []
    conversations = []
    for said in lists:
        if (
            said is None
            or len(said) != len(questions)
            or not all(text is None or isinstance(text, str) for text in said)
        ):
            return []
        pairs = zip(questions, said, strict=True)
        conversations.append(
            [
                {"role": str(role), "content": text or ""}
                for pair in pairs
                for role, text in zip((Role.USER, Role.ASSISTANT), pair, strict=True)
            ]
        )
    return conversations
