"""What a record of a declared form says, and the texts that the records of all forms are made of.

The texts are made up; the columns, their types and the odd values are those of the data sets.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from plaudit.feedback.exchange.formats.comparison import Vote
from plaudit.types import DEFAULT_QUESTION, Message, Role

A, B = "Eleven is prime.", "Twelve is prime."
Q = "Name a prime above ten."
TLDR = "\n\n".join(["Is eleven prime?", "I ask for a friend.", "TL;DR:"])
FIRST, SECOND, TIE, ALONE = ((0,), (1,)), ((1,), (0,)), ((0, 1),), ((0,),)


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def in_parts(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": [{"type": "text", "text": text, "image": None, "mimeType": None}]}


def attributes(*ratings: int) -> dict[str, int]:
    """The five of HelpSteer."""
    names = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")
    return dict(zip(names, ratings, strict=True))


@dataclass(frozen=True)
class Form:
    record: Any
    votes: tuple[Vote, ...]
    answers: tuple[str, ...] = (A, B)
    messages: tuple[Message, ...] = (Message(Role.USER, Q),)
    tags: dict[str, str] = field(default_factory=dict)
    question: str = DEFAULT_QUESTION
    further: tuple[tuple[str, tuple[Vote, ...]], ...] = ()  # what is asked beside that
