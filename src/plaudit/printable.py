"""Text for a terminal: from outside, so that nothing in it steers the screen or reorders a line; and counted things."""

from __future__ import annotations

import unicodedata

_STEERING = {"Cc", "Cs", "Zl", "Zp"}  # controls, halves of characters, separators of lines and paragraphs
_REORDERING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def make_printable(text: str) -> str:
    """`text` with whatever would steer a terminal or reorder the line written as escapes; newlines and tabs stay."""
    return "".join(_escape(c) if _steers(c) else c for c in text.replace("\r\n", "\n"))


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 task`, `2,000 tasks`; a plural that is no s is given."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def _steers(character: str) -> bool:
    return character not in "\n\t" and (unicodedata.category(character) in _STEERING or character in _REORDERING)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()
